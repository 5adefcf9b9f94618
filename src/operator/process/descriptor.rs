//! Typed descriptors of states: name, types, functions, TTL (Flink: `ValueStateDescriptor` and its siblings).

use super::error::{FunctionError, FunctionResult};
use super::values::{from_datum, logical_type_of, to_datum};
use crate::state::{Fold, FoldFunction, StateTtl, TtlTime, TtlUpdate, TtlVisibility};
use crate::types::{Datum, LogicalType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Builds a [`StateTtl`] (Flink: `StateTtlConfig`).
///
/// ```
/// use flink::functions::{StateTtlConfig, TtlUpdate, ValueStateDescriptor};
/// use std::time::Duration;
///
/// let ttl = StateTtlConfig::new_builder(Duration::from_secs(3600)).update_type(TtlUpdate::OnReadAndWrite).build();
/// let descriptor = ValueStateDescriptor::<i64>::new("count").enable_time_to_live(ttl);
/// # let _ = descriptor;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StateTtlConfig(StateTtl);

impl StateTtlConfig {
    /// Entries expire `ttl` after they were last written. Other choices have Flink's defaults.
    pub const fn new_builder(ttl: Duration) -> Self {
        Self(StateTtl::new(ttl))
    }

    /// What prolongs an entry's life.
    #[must_use]
    pub const fn update_type(mut self, update: TtlUpdate) -> Self {
        self.0.update = update;
        self
    }

    /// Whether an expired entry can still be read.
    #[must_use]
    pub const fn state_visibility(mut self, visibility: TtlVisibility) -> Self {
        self.0.visibility = visibility;
        self
    }

    /// By which time entries expire.
    #[must_use]
    pub const fn time(mut self, time: TtlTime) -> Self {
        self.0.time = time;
        self
    }

    /// The TTL.
    pub const fn build(self) -> StateTtl {
        self.0
    }
}

/// What all descriptors have.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) name: String,
    pub(super) ttl: Option<StateTtl>,
    /// A type that was given instead of the one that the Rust type says.
    given: Option<Result<LogicalType, String>>,
}

impl Base {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ttl: None, given: None }
    }

    /// The type of values of `T`, as a column that may be NULL.
    pub(super) fn type_of<T: DeserializeOwned>(&self) -> FunctionResult<LogicalType> {
        let found = match &self.given {
            Some(Ok(given)) => given.clone(),
            Some(Err(message)) => return Err(FunctionError::new(format!("state {}: {message}", self.name))),
            None => logical_type_of::<T>().map_err(|e| FunctionError::new(format!("state {}: {e}", self.name)))?,
        };
        Ok(LogicalType::nullable(found.kind))
    }
}

macro_rules! common {
    () => {
        /// Its entries expire.
        #[must_use]
        pub fn enable_time_to_live(mut self, ttl: StateTtl) -> Self {
            self.base.ttl = Some(ttl);
            self
        }

        /// Values are saved as this type, written as in DDL, and not as the one that the Rust type says: a struct is a
        /// `ROW<…>` of its fields in their order, an `i128` the digits of a `DECIMAL(p, s)`, an `i64` a `TIMESTAMP(3)`.
        #[must_use]
        pub fn with_type(mut self, data_type: &str) -> Self {
            self.base.given = Some(data_type.parse().map_err(|e| format!("\"{data_type}\": {e}")));
            self
        }
    };
}

/// One value a key.
///
/// ```
/// use flink::functions::{Collector, Context, FunctionResult, KeyedProcessFunction, RuntimeContext, ValueState, ValueStateDescriptor};
///
/// /// How often each key came so far.
/// #[derive(Default)]
/// struct Count {
///     count: ValueState<i64>,
/// }
///
/// impl KeyedProcessFunction for Count {
///     type In = (String, i64);
///     type Out = (String, i64);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         self.count = context.value_state(&ValueStateDescriptor::new("count"))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, row: (String, i64), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         let count = self.count.value(context)?.unwrap_or(0) + 1;
///         self.count.update(context, &count)?;
///         out.collect(&(row.0, count))
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ValueStateDescriptor<T> {
    pub(super) base: Base,
    marker: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> ValueStateDescriptor<T> {
    /// A state called `name`, which is unique within the function.
    pub fn new(name: &str) -> Self {
        Self { base: Base::new(name), marker: PhantomData }
    }

    common!();
}

/// A list a key.
///
/// ```
/// use flink::functions::{Context, FunctionResult, ListState, ListStateDescriptor, RuntimeContext};
///
/// fn open(context: &mut RuntimeContext<'_>) -> FunctionResult<ListState<i64>> {
///     context.list_state(&ListStateDescriptor::new("recent"))
/// }
///
/// /// Keeps the last three.
/// fn keep(recent: &ListState<i64>, value: i64, context: &mut Context<'_>) -> FunctionResult {
///     let mut values = recent.get(context)?;
///     values.push(value);
///     let first = values.len().saturating_sub(3);
///     recent.update(context, &values[first..])
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ListStateDescriptor<T> {
    pub(super) base: Base,
    marker: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> ListStateDescriptor<T> {
    /// A state called `name`, which is unique within the function.
    pub fn new(name: &str) -> Self {
        Self { base: Base::new(name), marker: PhantomData }
    }

    common!();
}

/// A map a key, walked in the order of its keys.
///
/// ```
/// use flink::functions::{Context, FunctionResult, MapState, MapStateDescriptor, RuntimeContext};
///
/// fn open(context: &mut RuntimeContext<'_>) -> FunctionResult<MapState<String, i64>> {
///     context.map_state(&MapStateDescriptor::new("channels"))
/// }
///
/// fn count(channels: &MapState<String, i64>, channel: String, context: &mut Context<'_>) -> FunctionResult<usize> {
///     let seen = channels.get(context, &channel)?.unwrap_or(0);
///     channels.put(context, &channel, &(seen + 1))?;
///     Ok(channels.entries(context)?.len())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct MapStateDescriptor<K, V> {
    pub(super) base: Base,
    marker: PhantomData<fn() -> (K, V)>,
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> MapStateDescriptor<K, V> {
    /// A state called `name`, which is unique within the function.
    pub fn new(name: &str) -> Self {
        Self { base: Base::new(name), marker: PhantomData }
    }

    common!();
}

/// One value a key, folded by a function.
///
/// ```
/// use flink::functions::{Context, FunctionResult, ReducingState, ReducingStateDescriptor, RuntimeContext};
///
/// fn open(context: &mut RuntimeContext<'_>) -> FunctionResult<ReducingState<i64>> {
///     context.reducing_state(&ReducingStateDescriptor::new("volume", |a: i64, b: i64| a + b))
/// }
///
/// fn total(volume: &ReducingState<i64>, price: i64, context: &mut Context<'_>) -> FunctionResult<i64> {
///     volume.add(context, &price)?;
///     Ok(volume.get(context)?.unwrap_or(0))
/// }
/// ```
#[derive(Clone)]
pub struct ReducingStateDescriptor<T> {
    pub(super) base: Base,
    pub(super) fold: Fold,
    marker: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for ReducingStateDescriptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReducingStateDescriptor").field("base", &self.base).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> ReducingStateDescriptor<T> {
    /// A state called `name`, which is unique within the function. `reduce` is associative.
    pub fn new(name: &str, reduce: impl Fn(T, T) -> T + Send + Sync + 'static) -> Self {
        let fold = Fold::Custom(Arc::new(ReduceFold { reduce, marker: PhantomData::<fn() -> T> }));
        Self { base: Base::new(name), fold, marker: PhantomData }
    }

    common!();
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

/// How values of an aggregating state become its result (Flink: `AggregateFunction`).
pub trait AggregateFunction: Send + Sync + 'static {
    /// What is added.
    type In: Serialize + DeserializeOwned;
    /// What is kept.
    type Acc: Serialize + DeserializeOwned;
    /// What comes out.
    type Out: Serialize + DeserializeOwned;

    /// What is kept before the first value.
    fn create_accumulator(&self) -> Self::Acc;

    /// Adds a value.
    fn add(&self, value: Self::In, accumulator: Self::Acc) -> Self::Acc;

    /// What the accumulator amounts to.
    fn get_result(&self, accumulator: Self::Acc) -> Self::Out;
}

/// One accumulator a key.
///
/// ```
/// use flink::functions::{AggregateFunction, AggregatingState, AggregatingStateDescriptor, Context, FunctionResult, RuntimeContext};
///
/// struct Mean;
///
/// impl AggregateFunction for Mean {
///     type In = f64;
///     type Acc = (f64, i64);
///     type Out = f64;
///
///     fn create_accumulator(&self) -> (f64, i64) {
///         (0.0, 0)
///     }
///
///     fn add(&self, value: f64, (sum, count): (f64, i64)) -> (f64, i64) {
///         (sum + value, count + 1)
///     }
///
///     fn get_result(&self, (sum, count): (f64, i64)) -> f64 {
///         sum / count as f64
///     }
/// }
///
/// fn open(context: &mut RuntimeContext<'_>) -> FunctionResult<AggregatingState<f64, f64>> {
///     context.aggregating_state(&AggregatingStateDescriptor::new("mean", Mean))
/// }
///
/// fn mean(state: &AggregatingState<f64, f64>, price: f64, context: &mut Context<'_>) -> FunctionResult<Option<f64>> {
///     state.add(context, &price)?;
///     state.get(context)
/// }
/// ```
#[derive(Clone)]
pub struct AggregatingStateDescriptor<In, Acc, Out> {
    pub(super) base: Base,
    pub(super) fold: Fold,
    marker: PhantomData<fn(In, Acc) -> Out>,
}

impl<In, Acc, Out> fmt::Debug for AggregatingStateDescriptor<In, Acc, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregatingStateDescriptor").field("base", &self.base).finish_non_exhaustive()
    }
}

impl<In, Acc, Out> AggregatingStateDescriptor<In, Acc, Out> {
    /// A state called `name`, which is unique within the function.
    pub fn new(name: &str, function: impl AggregateFunction<In = In, Acc = Acc, Out = Out>) -> Self {
        Self { base: Base::new(name), fold: Fold::Custom(Arc::new(AggregateFold(function))), marker: PhantomData }
    }

    common!();
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
