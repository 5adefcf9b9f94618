//! How reducing and aggregating states of functions take values in: by a function of the program, or by a built-in one.

use super::descriptor::{AggregateFunction, Base};
use super::error::{FunctionError, FunctionResult};
use super::values::{from_datum, to_datum};
use crate::state::{Fold, FoldFunction};
use crate::types::{Datum, LogicalType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Folding {
    Own(Fold),
    /// The name of one; what it is in detail depends on the type of the values.
    BuiltIn(&'static str),
}

impl Folding {
    pub(super) fn reduce<T: Serialize + DeserializeOwned + 'static>(reduce: impl Fn(T, T) -> T + Send + Sync + 'static) -> Self {
        Self::Own(Fold::Custom(Arc::new(ReduceFold { reduce, marker: PhantomData::<fn() -> T> })))
    }

    pub(super) fn aggregate(function: impl AggregateFunction) -> Self {
        Self::Own(Fold::Custom(Arc::new(AggregateFold(function))))
    }

    /// The function of a reducing state.
    pub(super) fn reducing<T: DeserializeOwned>(&self, base: &Base) -> FunctionResult<(Fold, LogicalType)> {
        let value = base.type_of::<T>()?;
        let fold = match self {
            Self::Own(fold) => fold.clone(),
            Self::BuiltIn(name) => Fold::reducing(name, &value).map_err(|message| of_state(base, message))?,
        };
        Ok((fold, value))
    }

    /// The function of an aggregating state, and the type of its accumulator.
    pub(super) fn aggregating<In: DeserializeOwned, Acc: DeserializeOwned>(&self, base: &Base) -> FunctionResult<(Fold, LogicalType)> {
        match self {
            Self::Own(fold) => Ok((fold.clone(), base.type_of::<Acc>()?)),
            Self::BuiltIn(name) => {
                let found = Fold::aggregating(name, &base.type_of::<In>()?).map_err(|message| of_state(base, message))?;
                Ok((found.0, found.1))
            }
        }
    }
}

fn of_state(base: &Base, message: String) -> FunctionError {
    FunctionError::new(format!("state {}: {message}", base.name))
}

struct ReduceFold<T, F> {
    reduce: F,
    marker: PhantomData<fn() -> T>,
}

impl<T, F> fmt::Debug for ReduceFold<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reduce")
    }
}

impl<T: Serialize + DeserializeOwned, F: Fn(T, T) -> T + Send + Sync> FoldFunction for ReduceFold<T, F> {
    fn add(&self, accumulator: &mut Datum, value: Datum) -> Result<(), String> {
        if accumulator.is_null() {
            *accumulator = value;
            return Ok(());
        }
        let left = from_datum(accumulator).map_err(|e| e.to_string())?;
        let right = from_datum(&value).map_err(|e| e.to_string())?;
        *accumulator = to_datum(&(self.reduce)(left, right)).map_err(|e| e.to_string())?;
        Ok(())
    }
}

struct AggregateFold<F>(F);

impl<F> fmt::Debug for AggregateFold<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("aggregate")
    }
}

impl<F: AggregateFunction> FoldFunction for AggregateFold<F> {
    fn add(&self, accumulator: &mut Datum, value: Datum) -> Result<(), String> {
        let kept = if accumulator.is_null() { self.0.create_accumulator() } else { from_datum(accumulator).map_err(|e| e.to_string())? };
        let value = from_datum(&value).map_err(|e| e.to_string())?;
        *accumulator = to_datum(&self.0.add(value, kept)).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn result(&self, accumulator: &Datum) -> Result<Datum, String> {
        let kept = from_datum(accumulator).map_err(|e| e.to_string())?;
        to_datum(&self.0.get_result(kept)).map_err(|e| e.to_string())
    }
}
