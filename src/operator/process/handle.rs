//! Typed states: what a function reads and writes for the key of its row or timer.

use super::context::Context;
use super::error::FunctionResult;
use super::values::{from_datum, to_datum};
use crate::state::StateHandle;
use crate::types::Datum;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// A state of any kind that belongs to keys.
pub trait KeyedStateHandle {
    #[doc(hidden)]
    fn handle(&self) -> StateHandle;
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident<$($parameter:ident),*>) => {
        $(#[$doc])*
        ///
        /// Made by [`super::RuntimeContext`]; one made by `default` belongs to no state, and using it is an error.
        pub struct $name<$($parameter),*> {
            handle: StateHandle,
            marker: PhantomData<fn($($parameter),*)>,
        }

        impl<$($parameter),*> $name<$($parameter),*> {
            pub(super) const fn new(handle: StateHandle) -> Self {
                Self { handle, marker: PhantomData }
            }

            /// Forgets everything that the state holds for the key.
            pub fn clear(&self, context: &mut Context<'_>) -> FunctionResult {
                let key = context.key()?;
                Ok(context.state.clear(self.handle, key)?)
            }
        }

        impl<$($parameter),*> KeyedStateHandle for $name<$($parameter),*> {
            fn handle(&self) -> StateHandle {
                self.handle
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
                Self::new(StateHandle::default())
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
    /// One value a key.
    ValueState<T>
);
handle!(
    /// A list a key.
    ListState<T>
);
handle!(
    /// A map a key.
    MapState<K, V>
);
handle!(
    /// One value a key, folded by a function.
    ReducingState<T>
);
handle!(
    /// One accumulator a key.
    AggregatingState<In, Out>
);

impl<T: Serialize + DeserializeOwned> ValueState<T> {
    /// The value.
    #[inline]
    pub fn value(&self, context: &mut Context<'_>) -> FunctionResult<Option<T>> {
        let key = context.key()?;
        match context.state.value(self.handle, key)? {
            None => Ok(None),
            Some(value) => Ok(Some(from_datum(value)?)),
        }
    }

    /// Sets the value; one that is NULL (`None`) clears it.
    #[inline]
    pub fn update(&self, context: &mut Context<'_>, value: &T) -> FunctionResult {
        let key = context.key()?;
        Ok(context.state.set_value(self.handle, key, to_datum(value)?)?)
    }
}

impl<T: Serialize + DeserializeOwned> ListState<T> {
    /// All elements in their order.
    pub fn get(&self, context: &mut Context<'_>) -> FunctionResult<Vec<T>> {
        let key = context.key()?;
        context.state.list(self.handle, key)?.iter().map(|value| Ok(from_datum(value)?)).collect()
    }

    /// Adds an element at the end. Errors on NULL (`None`).
    pub fn add(&self, context: &mut Context<'_>, value: &T) -> FunctionResult {
        let key = context.key()?;
        Ok(context.state.list_add(self.handle, key, to_datum(value)?)?)
    }

    /// Adds elements at the end.
    pub fn add_all(&self, context: &mut Context<'_>, values: &[T]) -> FunctionResult {
        values.iter().try_for_each(|value| self.add(context, value))
    }

    /// Replaces all elements.
    pub fn update(&self, context: &mut Context<'_>, values: &[T]) -> FunctionResult {
        let key = context.key()?;
        let values: Vec<Datum> = values.iter().map(to_datum).collect::<Result<_, _>>()?;
        Ok(context.state.list_set(self.handle, key, values)?)
    }
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> MapState<K, V> {
    /// The value of an entry.
    pub fn get(&self, context: &mut Context<'_>, entry: &K) -> FunctionResult<Option<V>> {
        let key = context.key()?;
        match context.state.map_get(self.handle, key, &to_datum(entry)?)? {
            None => Ok(None),
            Some(value) => Ok(Some(from_datum(value)?)),
        }
    }

    /// Sets the value of an entry.
    pub fn put(&self, context: &mut Context<'_>, entry: &K, value: &V) -> FunctionResult {
        let key = context.key()?;
        Ok(context.state.map_put(self.handle, key, to_datum(entry)?, to_datum(value)?)?)
    }

    /// Removes an entry, if there is one.
    pub fn remove(&self, context: &mut Context<'_>, entry: &K) -> FunctionResult {
        let key = context.key()?;
        Ok(context.state.map_remove(self.handle, key, &to_datum(entry)?)?)
    }

    /// True if there is this entry.
    pub fn contains(&self, context: &mut Context<'_>, entry: &K) -> FunctionResult<bool> {
        let key = context.key()?;
        Ok(context.state.map_contains(self.handle, key, &to_datum(entry)?)?)
    }

    /// True if there is no entry.
    pub fn is_empty(&self, context: &mut Context<'_>) -> FunctionResult<bool> {
        let key = context.key()?;
        Ok(context.state.map_is_empty(self.handle, key)?)
    }

    /// All entries, sorted by key.
    pub fn entries(&self, context: &mut Context<'_>) -> FunctionResult<Vec<(K, V)>> {
        let key = context.key()?;
        let entries = context.state.map_entries(self.handle, key)?;
        entries.map(|(entry, value)| Ok((from_datum(entry)?, from_datum(value)?))).collect()
    }
}

impl<T: Serialize + DeserializeOwned> ReducingState<T> {
    /// Folds a value in.
    pub fn add(&self, context: &mut Context<'_>, value: &T) -> FunctionResult {
        let key = context.key()?;
        Ok(context.state.add(self.handle, key, to_datum(value)?)?)
    }

    /// What all values that were added amount to.
    pub fn get(&self, context: &mut Context<'_>) -> FunctionResult<Option<T>> {
        let key = context.key()?;
        Ok(context.state.get(self.handle, key)?.map(|value| from_datum(&value)).transpose()?)
    }
}

impl<In: Serialize, Out: DeserializeOwned> AggregatingState<In, Out> {
    /// Adds a value.
    pub fn add(&self, context: &mut Context<'_>, value: &In) -> FunctionResult {
        let key = context.key()?;
        Ok(context.state.add(self.handle, key, to_datum(value)?)?)
    }

    /// The result over all values that were added.
    pub fn get(&self, context: &mut Context<'_>) -> FunctionResult<Option<Out>> {
        let key = context.key()?;
        Ok(context.state.get(self.handle, key)?.map(|value| from_datum(&value)).transpose()?)
    }
}
