//! Typed operator states: what a function keeps in its subtask, for no key.

use super::broadcast::{BroadcastContext, KeyedBroadcastContext};
use super::context::{Context, RuntimeContext};
use super::error::FunctionResult;
use super::values::{from_datum, to_datum};
use crate::state::{BroadcastHandle, OperatorListHandle, OperatorState};
use crate::types::Datum;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// What a function is called with, whatever the call: operator state is there in each of them.
pub trait FunctionContext {
    #[doc(hidden)]
    fn operator_state(&self) -> &OperatorState;
    #[doc(hidden)]
    fn operator_state_mut(&mut self) -> &mut OperatorState;
}

macro_rules! context {
    ($($name:ident),*) => {
        $(impl FunctionContext for $name<'_> {
            fn operator_state(&self) -> &OperatorState {
                self.operator_state
            }

            fn operator_state_mut(&mut self) -> &mut OperatorState {
                self.operator_state
            }
        })*
    };
}

context!(RuntimeContext, Context);

impl FunctionContext for BroadcastContext<'_> {
    fn operator_state(&self) -> &OperatorState {
        self.inner.operator_state()
    }

    fn operator_state_mut(&mut self) -> &mut OperatorState {
        self.inner.operator_state_mut()
    }
}

impl FunctionContext for KeyedBroadcastContext<'_> {
    fn operator_state(&self) -> &OperatorState {
        self.inner.operator_state()
    }

    fn operator_state_mut(&mut self) -> &mut OperatorState {
        self.inner.operator_state_mut()
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident<$($parameter:ident),*>, $handle:ident) => {
        $(#[$doc])*
        ///
        /// Made by [`RuntimeContext`]; one made by `default` belongs to no state, and using it is an error.
        pub struct $name<$($parameter),*> {
            handle: $handle,
            marker: PhantomData<fn($($parameter),*)>,
        }

        impl<$($parameter),*> $name<$($parameter),*> {
            pub(super) const fn new(handle: $handle) -> Self {
                Self { handle, marker: PhantomData }
            }
        }

        impl<$($parameter),*> Clone for $name<$($parameter),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($parameter),*> Copy for $name<$($parameter),*> {}

        impl<$($parameter),*> Default for $name<$($parameter),*> {
            fn default() -> Self {
                Self::new($handle::default())
            }
        }

        impl<$($parameter),*> fmt::Debug for $name<$($parameter),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

handle!(
    /// A list of a subtask's own. What it holds at a barrier is in the snapshot; at another parallelism the lists of all subtasks are
    /// divided anew.
    ///
    /// ```
    /// use flink::functions::{Collector, Context, FunctionResult, ListStateDescriptor, OperatorListState, ProcessFunction, RuntimeContext};
    /// use flink::testing::function::FunctionHarness;
    ///
    /// /// Holds rows back until there are three of them.
    /// #[derive(Default)]
    /// struct Buffer {
    ///     rows: OperatorListState<String>,
    /// }
    ///
    /// impl ProcessFunction for Buffer {
    ///     type In = (String,);
    ///     type Out = (String,);
    ///
    ///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
    ///         self.rows = context.operator_list_state(&ListStateDescriptor::new("rows"))?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(&mut self, row: (String,), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
    ///         self.rows.add(context, &row.0)?;
    ///         if self.rows.len(context)? == 3 {
    ///             for row in self.rows.get(context)? {
    ///                 out.collect(&(row,))?;
    ///             }
    ///             self.rows.clear(context)?;
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn end_of_input(&mut self, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
    ///         self.rows.get(context)?.into_iter().try_for_each(|row| out.collect(&(row,)))?;
    ///         self.rows.clear(context)
    ///     }
    /// }
    ///
    /// let mut harness = FunctionHarness::new(Buffer::default).input("word STRING").output("word STRING").open()?;
    /// assert!(harness.process(&("a",))?.is_empty());
    /// assert!(harness.process(&("b",))?.is_empty());
    /// assert_eq!(harness.process(&("c",))?, ["+I[a]", "+I[b]", "+I[c]"]);
    /// harness.process(&("d",))?;
    /// // The rows that wait are in every snapshot, and there again when a job is restored from it.
    /// let mut harness = harness.restore()?;
    /// assert_eq!(harness.end_of_input()?, ["+I[d]"]);
    /// # flink::functions::FunctionResult::Ok(())
    /// ```
    OperatorListState<T>, OperatorListHandle
);

handle!(
    /// A map of which every subtask has a copy. Every function reads it; with a row of the broadcast input it is written, too, in every
    /// subtask alike: what a row does to it must not depend on anything but the rows of that input.
    ///
    /// ```
    /// use flink::functions::{
    ///     BroadcastContext, BroadcastProcessFunction, BroadcastState, Collector, Context, FunctionResult, MapStateDescriptor, RuntimeContext,
    /// };
    /// use flink::testing::function::FunctionHarness;
    ///
    /// /// Lets the words pass that are longer than the newest rule says.
    /// #[derive(Default)]
    /// struct Rules {
    ///     lengths: BroadcastState<String, i64>,
    /// }
    ///
    /// impl BroadcastProcessFunction for Rules {
    ///     type In = (String,);
    ///     type Broadcast = (String, i64);
    ///     type Out = (String,);
    ///
    ///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
    ///         self.lengths = context.broadcast_state(&MapStateDescriptor::new("lengths"))?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(&mut self, word: (String,), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
    ///         let least = self.lengths.get(context, &"least".to_owned())?.unwrap_or(0);
    ///         if word.0.len() as i64 >= least { out.collect(&word) } else { Ok(()) }
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         rule: (String, i64),
    ///         context: &mut BroadcastContext<'_>,
    ///         _out: &mut Collector<'_, Self::Out>,
    ///     ) -> FunctionResult {
    ///         self.lengths.put(context, &rule.0, &rule.1)
    ///     }
    /// }
    ///
    /// let harness = FunctionHarness::new(Rules::default).input("word STRING").broadcast("name STRING, length BIGINT");
    /// let mut harness = harness.output("word STRING").open()?;
    /// assert_eq!(harness.process(&("of",))?, ["+I[of]"]);
    /// harness.process_broadcast(&("least", 3))?;
    /// assert!(harness.process(&("of",))?.is_empty());
    /// assert_eq!(harness.process(&("words",))?, ["+I[words]"]);
    /// # flink::functions::FunctionResult::Ok(())
    /// ```
    ///
    /// With any other row it cannot be written:
    ///
    /// ```compile_fail
    /// use flink::functions::{BroadcastState, Context, FunctionResult};
    ///
    /// fn process_element(rules: &BroadcastState<String, i64>, context: &mut Context<'_>) -> FunctionResult {
    ///     rules.put(context, &"least".to_owned(), &3)
    /// }
    /// ```
    ///
    /// Nor is there state of a key with a row of the broadcast input:
    ///
    /// ```compile_fail
    /// use flink::functions::{FunctionResult, KeyedBroadcastContext, ValueState};
    ///
    /// fn process_broadcast_element(count: &ValueState<i64>, context: &mut KeyedBroadcastContext<'_>) -> FunctionResult {
    ///     count.update(context, &1)
    /// }
    /// ```
    BroadcastState<K, V>, BroadcastHandle
);

impl<T: Serialize + DeserializeOwned> OperatorListState<T> {
    /// All elements in their order.
    pub fn get<C: FunctionContext>(&self, context: &C) -> FunctionResult<Vec<T>> {
        context.operator_state().list(self.handle)?.iter().map(|value| Ok(from_datum(value)?)).collect()
    }

    /// The number of elements.
    pub fn len<C: FunctionContext>(&self, context: &C) -> FunctionResult<usize> {
        Ok(context.operator_state().list(self.handle)?.len())
    }

    /// True if there is no element.
    pub fn is_empty<C: FunctionContext>(&self, context: &C) -> FunctionResult<bool> {
        Ok(self.len(context)? == 0)
    }

    /// Adds an element at the end. Errors on NULL (`None`).
    pub fn add<C: FunctionContext>(&self, context: &mut C, value: &T) -> FunctionResult {
        Ok(context.operator_state_mut().list_add(self.handle, to_datum(value)?)?)
    }

    /// Adds elements at the end.
    pub fn add_all<C: FunctionContext>(&self, context: &mut C, values: &[T]) -> FunctionResult {
        values.iter().try_for_each(|value| self.add(context, value))
    }

    /// Replaces all elements.
    pub fn update<C: FunctionContext>(&self, context: &mut C, values: &[T]) -> FunctionResult {
        let values: Vec<Datum> = values.iter().map(to_datum).collect::<Result<_, _>>()?;
        Ok(context.operator_state_mut().list_set(self.handle, values)?)
    }

    /// Removes all elements.
    pub fn clear<C: FunctionContext>(&self, context: &mut C) -> FunctionResult {
        Ok(context.operator_state_mut().list_set(self.handle, Vec::new())?)
    }
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> BroadcastState<K, V> {
    /// The value of an entry.
    pub fn get<C: FunctionContext>(&self, context: &C, entry: &K) -> FunctionResult<Option<V>> {
        match context.operator_state().broadcast_get(self.handle, &to_datum(entry)?)? {
            None => Ok(None),
            Some(value) => Ok(Some(from_datum(value)?)),
        }
    }

    /// True if there is this entry.
    pub fn contains<C: FunctionContext>(&self, context: &C, entry: &K) -> FunctionResult<bool> {
        Ok(context.operator_state().broadcast_get(self.handle, &to_datum(entry)?)?.is_some())
    }

    /// True if there is no entry.
    pub fn is_empty<C: FunctionContext>(&self, context: &C) -> FunctionResult<bool> {
        Ok(context.operator_state().broadcast_entries(self.handle)?.len() == 0)
    }

    /// All entries, sorted by key.
    pub fn entries<C: FunctionContext>(&self, context: &C) -> FunctionResult<Vec<(K, V)>> {
        let entries = context.operator_state().broadcast_entries(self.handle)?;
        entries.map(|(entry, value)| Ok((from_datum(entry)?, from_datum(value)?))).collect()
    }

    /// Sets the value of an entry.
    pub fn put(&self, context: &mut BroadcastContext<'_>, entry: &K, value: &V) -> FunctionResult {
        Ok(context.operator_state_mut().broadcast_put(self.handle, to_datum(entry)?, to_datum(value)?)?)
    }

    /// Sets the values of entries.
    pub fn put_all(&self, context: &mut BroadcastContext<'_>, entries: &[(K, V)]) -> FunctionResult {
        entries.iter().try_for_each(|(entry, value)| self.put(context, entry, value))
    }

    /// Removes an entry, if there is one.
    pub fn remove(&self, context: &mut BroadcastContext<'_>, entry: &K) -> FunctionResult {
        Ok(context.operator_state_mut().broadcast_remove(self.handle, &to_datum(entry)?)?)
    }

    /// Removes all entries.
    pub fn clear(&self, context: &mut BroadcastContext<'_>) -> FunctionResult {
        Ok(context.operator_state_mut().broadcast_clear(self.handle)?)
    }
}
