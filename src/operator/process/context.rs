//! What a function is given: at its start to make its states, with each row and each timer.

use super::descriptor::{
    AggregatingStateDescriptor, Base, ListStateDescriptor, MapStateDescriptor, ReducingStateDescriptor, ValueStateDescriptor,
};
use super::error::{FunctionError, FunctionResult};
use super::handle::{AggregatingState, ListState, MapState, ReducingState, ValueState};
use super::operator_handle::{BroadcastState, OperatorListState};
use super::values::{ColumnMap, from_datum, write_row};
use crate::operator::SubtaskPlace;
use crate::state::{
    Fold, KeyRef, KeyedState, OperatorState, OperatorStateDescriptor, StateDescriptor, StateHandle, TimeDomain, TimersHandle,
};
use crate::types::{Datum, EventTime, LogicalType, RowBuilder, Schema, WallTime};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// What a function may use in `open`.
pub struct RuntimeContext<'a> {
    pub(super) state: &'a mut KeyedState,
    pub(super) operator_state: &'a mut OperatorState,
    pub(super) key: Option<Schema>,
    pub(super) place: SubtaskPlace,
    /// Whether the function has a broadcast input.
    pub(super) broadcast: bool,
}

impl fmt::Debug for RuntimeContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeContext").field("place", &self.place).finish_non_exhaustive()
    }
}

impl RuntimeContext<'_> {
    /// The number of this subtask, from 0 on.
    pub const fn index_of_this_subtask(&self) -> usize {
        self.place.index
    }

    /// How many subtasks the function has.
    pub const fn number_of_parallel_subtasks(&self) -> usize {
        self.place.parallelism.get()
    }

    /// The value state of this descriptor. Errors if the name is taken, if the input has no key, or if what was restored does not
    /// fit.
    pub fn value_state<T: Serialize + DeserializeOwned>(&mut self, descriptor: &ValueStateDescriptor<T>) -> FunctionResult<ValueState<T>> {
        let value = descriptor.base.type_of::<T>()?;
        self.register(&descriptor.base, Fold::None, |name, key| StateDescriptor::value(name, key, value)).map(ValueState::new)
    }

    /// The list state of this descriptor. Errors as [`Self::value_state`].
    pub fn list_state<T: Serialize + DeserializeOwned>(&mut self, descriptor: &ListStateDescriptor<T>) -> FunctionResult<ListState<T>> {
        let element = descriptor.base.type_of::<T>()?;
        self.register(&descriptor.base, Fold::None, |name, key| StateDescriptor::list(name, key, element)).map(ListState::new)
    }

    /// The map state of this descriptor; a type that was given is that of the values. Errors as [`Self::value_state`].
    pub fn map_state<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned>(
        &mut self,
        descriptor: &MapStateDescriptor<K, V>,
    ) -> FunctionResult<MapState<K, V>> {
        let map_key = super::values::logical_type_of::<K>()?;
        let value = descriptor.base.type_of::<V>()?;
        self.register(&descriptor.base, Fold::None, |name, key| StateDescriptor::map(name, key, map_key, value)).map(MapState::new)
    }

    /// The reducing state of this descriptor. Errors as [`Self::value_state`].
    pub fn reducing_state<T: Serialize + DeserializeOwned>(
        &mut self,
        descriptor: &ReducingStateDescriptor<T>,
    ) -> FunctionResult<ReducingState<T>> {
        let (fold, value) = descriptor.folding.reducing::<T>(&descriptor.base)?;
        self.register(&descriptor.base, fold, |name, key| StateDescriptor::reducing(name, key, value)).map(ReducingState::new)
    }

    /// The aggregating state of this descriptor. Errors as [`Self::value_state`].
    pub fn aggregating_state<In: Serialize + DeserializeOwned, Acc: DeserializeOwned, Out: DeserializeOwned>(
        &mut self,
        descriptor: &AggregatingStateDescriptor<In, Acc, Out>,
    ) -> FunctionResult<AggregatingState<In, Out>> {
        let (fold, accumulator) = descriptor.folding.aggregating::<In, Acc>(&descriptor.base)?;
        let state = self.register(&descriptor.base, fold, |name, key| StateDescriptor::aggregating(name, key, accumulator));
        state.map(AggregatingState::new)
    }

    /// A list of this subtask's own, which belongs to no key. At another parallelism the lists of all subtasks are put one after the
    /// other and divided evenly. Errors if the name is taken, or if what was restored does not fit.
    pub fn operator_list_state<T: Serialize + DeserializeOwned>(
        &mut self,
        descriptor: &ListStateDescriptor<T>,
    ) -> FunctionResult<OperatorListState<T>> {
        let element = descriptor.base.type_of::<T>()?;
        self.operator_list(&descriptor.base, OperatorStateDescriptor::list(&descriptor.base.name, element)).map(OperatorListState::new)
    }

    /// A list of this subtask's own, which belongs to no key. After a restore every subtask has the lists of all, one after the other,
    /// and takes of it what it needs. Errors as [`Self::operator_list_state`].
    pub fn union_list_state<T: Serialize + DeserializeOwned>(
        &mut self,
        descriptor: &ListStateDescriptor<T>,
    ) -> FunctionResult<OperatorListState<T>> {
        let element = descriptor.base.type_of::<T>()?;
        self.operator_list(&descriptor.base, OperatorStateDescriptor::union_list(&descriptor.base.name, element))
            .map(OperatorListState::new)
    }

    /// The broadcast state of this descriptor: a map of which every subtask has a copy. A type that was given is that of the values.
    /// Errors as [`Self::operator_list_state`], and if the function has no broadcast input.
    pub fn broadcast_state<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned>(
        &mut self,
        descriptor: &MapStateDescriptor<K, V>,
    ) -> FunctionResult<BroadcastState<K, V>> {
        let name = &descriptor.base.name;
        if !self.broadcast {
            let message = "a broadcast state is written by a KeyedBroadcastProcessFunction or a BroadcastProcessFunction alone";
            return Err(FunctionError::new(format!("state {name}: {message}")));
        }
        lives_for_ever(&descriptor.base)?;
        let map_key: LogicalType = super::values::logical_type_of::<K>().map_err(|e| FunctionError::new(format!("state {name}: {e}")))?;
        let value = descriptor.base.type_of::<V>()?;
        let handle = self.operator_state.register_broadcast(OperatorStateDescriptor::broadcast(name, map_key, value))?;
        Ok(BroadcastState::new(handle))
    }

    fn operator_list(&mut self, base: &Base, descriptor: OperatorStateDescriptor) -> FunctionResult<crate::state::OperatorListHandle> {
        lives_for_ever(base)?;
        Ok(self.operator_state.register_list(descriptor)?)
    }

    fn register(
        &mut self,
        base: &Base,
        fold: Fold,
        descriptor: impl FnOnce(&str, &Schema) -> StateDescriptor,
    ) -> FunctionResult<StateHandle> {
        let Some(key) = &self.key else {
            return Err(FunctionError::new(format!("state {}: the input has no key; give the transform a `key-by`", base.name)));
        };
        Ok(self.state.register(descriptor(&base.name, key).with_ttl(base.ttl), fold)?)
    }
}

/// As in Flink, entries of keyed state alone expire.
fn lives_for_ever(base: &Base) -> FunctionResult {
    if base.ttl.is_some() {
        return Err(FunctionError::new(format!("state {}: operator state has no time to live: only keyed state has", base.name)));
    }
    Ok(())
}

/// What a function may use with a row or a timer.
pub struct Context<'a> {
    pub(super) state: &'a mut KeyedState,
    pub(super) operator_state: &'a mut OperatorState,
    pub(super) timers: Option<TimersHandle>,
    pub(super) key: Option<KeyRef>,
    pub(super) timestamp: Option<i64>,
    pub(super) domain: Option<TimeDomain>,
    pub(super) now: WallTime,
    pub(super) watermark: EventTime,
    pub(super) side: &'a mut [RowBuilder],
    pub(super) names: &'a [String],
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("timestamp", &self.timestamp).finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// The same for a shorter time.
    pub(super) fn again(&mut self) -> Context<'_> {
        Context { state: self.state, operator_state: self.operator_state, side: self.side, ..*self }
    }

    #[inline]
    pub(super) fn key(&self) -> FunctionResult<KeyRef> {
        self.key.ok_or_else(no_key)
    }

    /// The event time of the row, or the timestamp of the timer, in milliseconds since 1970; none if the input has no rowtime.
    pub const fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// What the timer that fires waited for; none with a row.
    pub const fn time_domain(&self) -> Option<TimeDomain> {
        self.domain
    }

    /// The key: of one column its value, of several a tuple of them.
    pub fn current_key<K: DeserializeOwned>(&mut self) -> FunctionResult<K> {
        let key = self.key()?;
        let mut values = self.state.key_of(key)?;
        let key = match values.len() {
            1 => values.remove(0),
            _ => Datum::Row(values.into()),
        };
        Ok(from_datum(&key)?)
    }

    /// Wall-clock time in milliseconds since 1970.
    pub const fn current_processing_time(&self) -> i64 {
        self.now.0
    }

    /// The watermark in milliseconds since 1970; `i64::MIN` before the first one.
    pub const fn current_watermark(&self) -> i64 {
        self.watermark.0
    }

    /// Sets a timer of the key: `on_timer` is called when the watermark reaches `timestamp`. Setting it again changes nothing.
    pub fn register_event_time_timer(&mut self, timestamp: i64) -> FunctionResult {
        let (timers, key) = self.timers()?;
        Ok(self.state.register_timer(timers, TimeDomain::EventTime, key, timestamp)?)
    }

    /// Sets a timer of the key: `on_timer` is called when the clock has passed `timestamp`. Setting it again changes nothing.
    pub fn register_processing_time_timer(&mut self, timestamp: i64) -> FunctionResult {
        let (timers, key) = self.timers()?;
        Ok(self.state.register_timer(timers, TimeDomain::ProcessingTime, key, timestamp)?)
    }

    /// Takes a timer of the key back, if it is set.
    pub fn delete_event_time_timer(&mut self, timestamp: i64) -> FunctionResult {
        let (timers, key) = self.timers()?;
        Ok(self.state.delete_timer(timers, TimeDomain::EventTime, key, timestamp)?)
    }

    /// Takes a timer of the key back, if it is set.
    pub fn delete_processing_time_timer(&mut self, timestamp: i64) -> FunctionResult {
        let (timers, key) = self.timers()?;
        Ok(self.state.delete_timer(timers, TimeDomain::ProcessingTime, key, timestamp)?)
    }

    fn timers(&self) -> FunctionResult<(TimersHandle, KeyRef)> {
        let key = self.key()?;
        self.timers.map(|timers| (timers, key)).ok_or_else(no_key)
    }

    /// Emits a row to the output of this tag.
    pub fn output<T: Serialize>(&mut self, tag: &mut OutputTag<T>, value: &T) -> FunctionResult {
        if tag.port.is_none() {
            tag.port = self.names.iter().position(|name| *name == tag.name);
        }
        match tag.port.and_then(|port| self.side.get_mut(port)) {
            Some(rows) => Ok(write_row(value, rows, &mut tag.columns)?),
            None => Err(FunctionError::new(format!("there is no output \"{}\": {}", tag.name, self.names.join(", ")))),
        }
    }
}

#[cold]
fn no_key() -> FunctionError {
    FunctionError::new("state and timers need a key: give the transform a `key-by`")
}

/// Names a side output of a function.
pub struct OutputTag<T> {
    name: String,
    port: Option<usize>,
    columns: ColumnMap,
    marker: PhantomData<fn(T)>,
}

impl<T: Serialize> OutputTag<T> {
    /// The output called `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), port: None, columns: ColumnMap::default(), marker: PhantomData }
    }
}

impl<T> fmt::Debug for OutputTag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputTag").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Takes the rows that a function emits to its main output.
pub struct Collector<'a, T> {
    pub(super) rows: &'a mut RowBuilder,
    pub(super) columns: &'a mut ColumnMap,
    pub(super) marker: PhantomData<fn(T)>,
}

impl<T: Serialize> Collector<'_, T> {
    /// Emits a row. Errors, naming the column, if it does not fit the columns of the transform's `output`.
    #[inline]
    pub fn collect(&mut self, value: &T) -> FunctionResult {
        Ok(write_row(value, self.rows, self.columns)?)
    }
}

impl<T> fmt::Debug for Collector<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}
