//! Typed descriptors of states: name, types, functions, TTL (Flink: `ValueStateDescriptor` and its siblings).

use super::error::{FunctionError, FunctionResult};
use super::folding::Folding;
use super::values::logical_type_of;
use crate::state::{StateTtl, TtlTime, TtlUpdate, TtlVisibility};
use crate::types::LogicalType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Builds a [`StateTtl`] (Flink: `StateTtlConfig`).
///
/// ```
/// use flink::functions::{
///     Collector, Context, FunctionResult, KeyedProcessFunction, RuntimeContext, StateTtlConfig, TtlUpdate, ValueState,
///     ValueStateDescriptor,
/// };
/// use flink::testing::function::FunctionHarness;
/// use std::time::Duration;
///
/// /// How often each key came without an hour's pause.
/// #[derive(Default)]
/// struct Count {
///     count: ValueState<i64>,
/// }
///
/// impl KeyedProcessFunction for Count {
///     type In = (String,);
///     type Out = (String, i64);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         let ttl = StateTtlConfig::new_builder(Duration::from_secs(3600)).update_type(TtlUpdate::OnReadAndWrite).build();
///         self.count = context.value_state(&ValueStateDescriptor::new("count").enable_time_to_live(ttl))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, row: (String,), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         let count = self.count.value(context)?.unwrap_or(0) + 1;
///         self.count.update(context, &count)?;
///         out.collect(&(row.0, count))
///     }
/// }
///
/// let harness = FunctionHarness::new(Count::default).input("word STRING").key_by(&["word"]);
/// let mut harness = harness.output("word STRING, count BIGINT").open()?;
/// assert_eq!(harness.process(&("a",))?, ["+I[a, 1]"]);
/// harness.processing_time(3_599_999)?;
/// assert_eq!(harness.process(&("a",))?, ["+I[a, 2]"]);
/// harness.processing_time(2 * 3_600_000)?;
/// assert_eq!(harness.process(&("a",))?, ["+I[a, 1]"]);
/// # FunctionResult::Ok(())
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
/// use flink::testing::function::FunctionHarness;
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
///
/// let harness = FunctionHarness::new(Count::default).input("word STRING, n BIGINT").key_by(&["word"]);
/// let mut harness = harness.output("word STRING, count BIGINT").open()?;
/// assert_eq!(harness.process(&("a", 7))?, ["+I[a, 1]"]);
/// assert_eq!(harness.process(&("b", 7))?, ["+I[b, 1]"]);
/// assert_eq!(harness.process(&("a", 7))?, ["+I[a, 2]"]);
/// # FunctionResult::Ok(())
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
/// use flink::functions::{Collector, Context, FunctionResult, KeyedProcessFunction, ListState, ListStateDescriptor, RuntimeContext};
/// use flink::testing::function::FunctionHarness;
///
/// /// The last three prices of each bidder.
/// #[derive(Default)]
/// struct Recent {
///     prices: ListState<i64>,
/// }
///
/// impl KeyedProcessFunction for Recent {
///     type In = (i64, i64);
///     type Out = (i64, Vec<i64>);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         self.prices = context.list_state(&ListStateDescriptor::new("prices"))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, bid: (i64, i64), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         self.prices.add(context, &bid.1)?;
///         let prices = self.prices.get(context)?;
///         let last = &prices[prices.len().saturating_sub(3)..];
///         self.prices.update(context, last)?;
///         out.collect(&(bid.0, last.to_vec()))
///     }
/// }
///
/// let harness = FunctionHarness::new(Recent::default).input("bidder BIGINT, price BIGINT").key_by(&["bidder"]);
/// let mut harness = harness.output("bidder BIGINT, prices ARRAY<BIGINT>").open()?;
/// for price in [10, 20, 30] {
///     harness.process(&(1, price))?;
/// }
/// assert_eq!(harness.process(&(1, 40))?, ["+I[1, [20, 30, 40]]"]);
/// assert_eq!(harness.process(&(2, 50))?, ["+I[2, [50]]"]);
/// # FunctionResult::Ok(())
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
/// use flink::functions::{Collector, Context, FunctionResult, KeyedProcessFunction, MapState, MapStateDescriptor, RuntimeContext};
/// use flink::testing::function::FunctionHarness;
///
/// /// How often each bidder came by each channel.
/// #[derive(Default)]
/// struct Channels {
///     channels: MapState<String, i64>,
/// }
///
/// impl KeyedProcessFunction for Channels {
///     type In = (i64, String);
///     type Out = (i64, String, i64);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         self.channels = context.map_state(&MapStateDescriptor::new("channels"))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, bid: (i64, String), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         let seen = self.channels.get(context, &bid.1)?.unwrap_or(0);
///         self.channels.put(context, &bid.1, &(seen + 1))?;
///         for (channel, times) in self.channels.entries(context)? {
///             out.collect(&(bid.0, channel, times))?;
///         }
///         Ok(())
///     }
/// }
///
/// let harness = FunctionHarness::new(Channels::default).input("bidder BIGINT, channel STRING").key_by(&["bidder"]);
/// let mut harness = harness.output("bidder BIGINT, channel STRING, times BIGINT").open()?;
/// harness.process(&(1, "web"))?;
/// harness.process(&(1, "app"))?;
/// harness.process(&(2, "app"))?;
/// assert_eq!(harness.process(&(1, "web"))?, ["+I[1, app, 1]", "+I[1, web, 2]"]);
/// # FunctionResult::Ok(())
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
/// use flink::functions::{
///     Collector, Context, FunctionResult, KeyedProcessFunction, ReducingState, ReducingStateDescriptor, RuntimeContext,
/// };
/// use flink::testing::function::FunctionHarness;
///
/// /// What each bidder has bid altogether.
/// #[derive(Default)]
/// struct Volume {
///     volume: ReducingState<i64>,
/// }
///
/// impl KeyedProcessFunction for Volume {
///     type In = (i64, i64);
///     type Out = (i64, i64);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         self.volume = context.reducing_state(&ReducingStateDescriptor::new("volume", |a: i64, b: i64| a + b))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, bid: (i64, i64), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         self.volume.add(context, &bid.1)?;
///         out.collect(&(bid.0, self.volume.get(context)?.unwrap_or(0)))
///     }
/// }
///
/// let harness = FunctionHarness::new(Volume::default).input("bidder BIGINT, price BIGINT").key_by(&["bidder"]);
/// let mut harness = harness.output("bidder BIGINT, volume BIGINT").open()?;
/// assert_eq!(harness.process(&(1, 10))?, ["+I[1, 10]"]);
/// assert_eq!(harness.process(&(2, 500))?, ["+I[2, 500]"]);
/// assert_eq!(harness.process(&(1, 5))?, ["+I[1, 15]"]);
/// # FunctionResult::Ok(())
/// ```
#[derive(Clone)]
pub struct ReducingStateDescriptor<T> {
    pub(super) base: Base,
    pub(super) folding: Folding,
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
        Self { base: Base::new(name), folding: Folding::reduce(reduce), marker: PhantomData }
    }

    fn built_in(name: &str, function: &'static str) -> Self {
        Self { base: Base::new(name), folding: Folding::BuiltIn(function), marker: PhantomData }
    }

    /// A state called `name` with the sum of what is added. `T` is a number; a sum that leaves its column type is an error.
    ///
    /// The built-in functions are not called for each value on RocksDB: what is added to a key on disk is put together with it later, without
    /// reading it first (but for sums of DOUBLE and FLOAT, and states that expire).
    pub fn sum(name: &str) -> Self {
        Self::built_in(name, "sum")
    }

    /// A state called `name` with the least value, as [`Self::sum`].
    pub fn min(name: &str) -> Self {
        Self::built_in(name, "min")
    }

    /// A state called `name` with the greatest value, as [`Self::sum`].
    pub fn max(name: &str) -> Self {
        Self::built_in(name, "max")
    }

    /// A state called `name` with the value that came first, as [`Self::sum`].
    pub fn first(name: &str) -> Self {
        Self::built_in(name, "first")
    }

    /// A state called `name` with the value that came last, as [`Self::sum`].
    pub fn last(name: &str) -> Self {
        Self::built_in(name, "last")
    }

    common!();
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
/// use flink::functions::{
///     AggregateFunction, AggregatingState, AggregatingStateDescriptor, Collector, Context, FunctionResult, KeyedProcessFunction,
///     RuntimeContext,
/// };
/// use flink::testing::function::FunctionHarness;
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
/// /// The mean price of each bidder.
/// #[derive(Default)]
/// struct Prices {
///     mean: AggregatingState<f64, f64>,
/// }
///
/// impl KeyedProcessFunction for Prices {
///     type In = (i64, f64);
///     type Out = (i64, Option<f64>);
///
///     fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
///         self.mean = context.aggregating_state(&AggregatingStateDescriptor::new("mean", Mean))?;
///         Ok(())
///     }
///
///     fn process_element(&mut self, bid: (i64, f64), context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
///         self.mean.add(context, &bid.1)?;
///         out.collect(&(bid.0, self.mean.get(context)?))
///     }
/// }
///
/// let harness = FunctionHarness::new(Prices::default).input("bidder BIGINT, price DOUBLE").key_by(&["bidder"]);
/// let mut harness = harness.output("bidder BIGINT, mean DOUBLE").open()?;
/// assert_eq!(harness.process(&(1, 10.0))?, ["+I[1, 10.0]"]);
/// assert_eq!(harness.process(&(1, 15.0))?, ["+I[1, 12.5]"]);
/// # FunctionResult::Ok(())
/// ```
#[derive(Clone)]
pub struct AggregatingStateDescriptor<In, Acc, Out> {
    pub(super) base: Base,
    pub(super) folding: Folding,
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
        Self { base: Base::new(name), folding: Folding::aggregate(function), marker: PhantomData }
    }

    common!();
}

/// The accumulators of built-in functions: `Acc` of a descriptor that has one. Nobody makes any.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub enum BuiltIn {}

impl<In: DeserializeOwned> AggregatingStateDescriptor<In, BuiltIn, i64> {
    /// A state called `name` with the number of values, as [`ReducingStateDescriptor::sum`].
    pub fn count(name: &str) -> Self {
        Self { base: Base::new(name), folding: Folding::BuiltIn("count"), marker: PhantomData }
    }
}

impl<In: DeserializeOwned> AggregatingStateDescriptor<In, BuiltIn, f64> {
    /// A state called `name` with the mean of what is added, as [`ReducingStateDescriptor::sum`]. The type that may be given is that of the
    /// values.
    pub fn avg(name: &str) -> Self {
        Self { base: Base::new(name), folding: Folding::BuiltIn("avg"), marker: PhantomData }
    }
}
