//! What a function is given with a row of its broadcast input: broadcast state to write, and no key.

use super::context::{Context, OutputTag};
use super::error::FunctionResult;
use super::handle::KeyedStateHandle;
use crate::state::KeyWalk;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// What a [`super::BroadcastProcessFunction`] may use with a row of its broadcast input.
pub struct BroadcastContext<'a> {
    /// Without key.
    pub(super) inner: Context<'a>,
}

impl fmt::Debug for BroadcastContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastContext").field("timestamp", &self.timestamp()).finish_non_exhaustive()
    }
}

impl BroadcastContext<'_> {
    /// The event time of the row in milliseconds since 1970; none if the input has no rowtime.
    pub const fn timestamp(&self) -> Option<i64> {
        self.inner.timestamp()
    }

    /// Wall-clock time in milliseconds since 1970.
    pub const fn current_processing_time(&self) -> i64 {
        self.inner.current_processing_time()
    }

    /// The watermark of both inputs in milliseconds since 1970; `i64::MIN` before the first one.
    pub const fn current_watermark(&self) -> i64 {
        self.inner.current_watermark()
    }

    /// Emits a row to the output of this tag.
    pub fn output<T: Serialize>(&mut self, tag: &mut OutputTag<T>, value: &T) -> FunctionResult {
        self.inner.output(tag, value)
    }
}

/// What a [`super::KeyedBroadcastProcessFunction`] may use with a row of its broadcast input: a [`BroadcastContext`], and the state of
/// all keys.
pub struct KeyedBroadcastContext<'a> {
    pub(super) inner: BroadcastContext<'a>,
}

impl fmt::Debug for KeyedBroadcastContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBroadcastContext").field("timestamp", &self.timestamp()).finish_non_exhaustive()
    }
}

impl<'a> Deref for KeyedBroadcastContext<'a> {
    type Target = BroadcastContext<'a>;

    fn deref(&self) -> &BroadcastContext<'a> {
        &self.inner
    }
}

impl DerefMut for KeyedBroadcastContext<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl KeyedBroadcastContext<'_> {
    /// Calls `function` for each key of this subtask for which `state` holds something, with the key (of one column its value, of
    /// several a tuple of them), the state, and what is there with a row of that key. Which key comes first is not defined. Ends with
    /// the first error.
    pub fn apply_to_keyed_state<K: DeserializeOwned, S: KeyedStateHandle>(
        &mut self,
        state: &S,
        mut function: impl FnMut(K, &S, &mut Context<'_>) -> FunctionResult,
    ) -> FunctionResult {
        let context = &mut self.inner.inner;
        let (mut walk, mut keys) = (KeyWalk::default(), Vec::new());
        // A row of a broadcast input has no key, so none is held that the walk could move.
        while context.state.next_keys(&mut walk, &mut keys)? {
            for key in keys.drain(..) {
                if context.state.holds(state.handle(), key)? {
                    context.key = Some(key);
                    let applied = context.current_key().and_then(|of_key| function(of_key, state, context));
                    context.key = None;
                    applied?;
                }
            }
        }
        Ok(())
    }
}
