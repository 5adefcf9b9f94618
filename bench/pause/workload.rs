//! What is in the state while checkpoints are taken: sums, distinct values, or a function's own states, one key or many.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use flink::functions::{
    Collector, Context, FunctionResult, Functions, KeyedProcessFunction, ListState, ListStateDescriptor, MapState, MapStateDescriptor,
    RuntimeContext, ValueState, ValueStateDescriptor,
};
use flink::operator::OperatorFactory;
use flink::operator::aggregate::{AggregateCall, AggregateFunction, AggregateSpec, GroupAggregateFactory};
use flink::operator::process::{ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec};
use flink::types::{
    Batch, ChangelogMode, Column, KeyGroupRange, LogicalType, MaxParallelism, Schema, TypeKind, hash_keys, key_group_of, limits,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// COUNT(*), SUM, MAX by a BIGINT key.
    Sums,
    /// The same by a key of 30 letters.
    Texts,
    /// COUNT(DISTINCT), up to sixteen values.
    Distinct,
    /// MAX of a text.
    Latest,
    /// A value that counts.
    Value,
    /// A list that grows to sixteen elements and is cleared.
    List,
    /// A map of up to sixteen entries.
    Map,
    /// With each row the key's timer is deleted, and one set that is later than all others: sessions.
    Timers,
}

const ALL: [(&str, Workload); 8] = [
    ("sums", Workload::Sums),
    ("texts", Workload::Texts),
    ("distinct", Workload::Distinct),
    ("latest", Workload::Latest),
    ("value", Workload::Value),
    ("list", Workload::List),
    ("map", Workload::Map),
    ("timers", Workload::Timers),
];

impl Workload {
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|(known, _)| *known == name).map(|(_, workload)| workload)
    }

    fn by_text(self) -> bool {
        self == Self::Texts
    }

    fn schema(self) -> Schema {
        let key = if self.by_text() { TypeKind::String } else { TypeKind::BigInt };
        let column = |name: &str, kind| Column { name: name.to_owned(), data_type: LogicalType::not_null(kind) };
        let text = column("text", TypeKind::String);
        let mut columns = vec![column("auction", key), column("price", TypeKind::BigInt)];
        columns.extend((self == Self::Latest).then_some(text));
        Schema::new(columns)
    }

    /// The operator that keeps it.
    pub(crate) fn factory(self) -> Box<dyn OperatorFactory> {
        match self {
            Self::Sums | Self::Texts | Self::Distinct | Self::Latest => Box::new(GroupAggregateFactory::new(self.aggregates())),
            Self::Value | Self::List | Self::Map | Self::Timers => {
                let functions = Functions::new().register("keep", move || Keep { what: self, ..Keep::default() });
                let input = ProcessInput { schema: self.schema(), key_by: vec![0], rowtime: None, broadcast: false };
                let output = ProcessOutput { name: String::new(), schema: self.schema() };
                let spec = ProcessSpec { inputs: vec![input], outputs: vec![output] };
                Box::new(ProcessOperatorFactory::new(spec, functions.get("keep").unwrap()))
            }
        }
    }

    fn aggregates(self) -> AggregateSpec {
        let call = |function, distinct, argument: Option<usize>, name: &str| {
            let kind = if argument == Some(2) { TypeKind::String } else { TypeKind::BigInt };
            let output = Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) };
            AggregateCall { function, distinct, argument, filter: None, output }
        };
        let aggregates = match self {
            Self::Distinct => vec![call(AggregateFunction::Count, true, Some(1), "prices")],
            Self::Latest => vec![call(AggregateFunction::Max, false, Some(2), "latest")],
            _ => vec![
                call(AggregateFunction::CountStar, false, None, "bids"),
                call(AggregateFunction::Sum, false, Some(1), "total"),
                call(AggregateFunction::Max, false, Some(1), "highest"),
            ],
        };
        AggregateSpec {
            input: self.schema(),
            group_by: vec![0],
            aggregates,
            input_mode: ChangelogMode::AppendOnly,
            emit_update_before: false,
            mini_batch: false,
            state_ttl: None,
            batch_mode: false,
        }
    }
}

/// Rows of this subtask's keys, which are those of `0..keys` that belong to `range`.
pub(crate) struct Rows {
    own: Vec<i64>,
    state: u64,
    workload: Workload,
}

impl Rows {
    pub(crate) fn new(workload: Workload, keys: i64, range: KeyGroupRange, max: MaxParallelism) -> Self {
        let rows = Self { own: Vec::new(), state: 0x2545_F491_4F6C_DD1D, workload };
        let all: Vec<i64> = (0..keys).collect();
        let mut own = Vec::new();
        for some in all.chunks(1 << 20) {
            let mut hashes = Vec::new();
            hash_keys(&[rows.keys(some)], some.len(), &mut hashes).unwrap();
            own.extend(some.iter().zip(hashes).filter(|(_, hash)| range.contains(key_group_of(*hash, max))).map(|(key, _)| *key));
        }
        Self { own, ..rows }
    }

    fn keys(&self, keys: &[i64]) -> ArrayRef {
        if self.workload.by_text() {
            Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("auction-{key:022}"))))
        } else {
            Arc::new(Int64Array::from(keys.to_vec()))
        }
    }

    fn batch(&self, keys: &[i64]) -> Batch {
        let prices = Int64Array::from_iter_values((self.state as i64 % 7_000..).zip(keys).map(|(price, key)| (price ^ key) % 10_000));
        let prices = if self.workload == Workload::Distinct { prices.unary(|price| price % 16) } else { prices };
        let mut columns: Vec<ArrayRef> = vec![self.keys(keys), Arc::new(prices)];
        if self.workload == Workload::Latest {
            let texts = (self.state % 7_000..).zip(keys).map(|(number, _)| format!("a text of some letters, number {number}"));
            columns.push(Arc::new(StringArray::from_iter_values(texts)));
        }
        Batch::append(RecordBatch::try_new(self.workload.schema().to_arrow(), columns).unwrap())
    }

    /// Each key once.
    pub(crate) fn every_key(&self) -> impl Iterator<Item = Batch> + '_ {
        self.own.chunks(limits::BATCH_ROWS).map(|keys| self.batch(keys))
    }

    /// A batch of random keys (xorshift).
    pub(crate) fn random(&mut self) -> Batch {
        let mut keys = Vec::with_capacity(limits::BATCH_ROWS);
        for _ in 0..limits::BATCH_ROWS {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            keys.push(self.own[(self.state % self.own.len() as u64) as usize]);
        }
        self.batch(&keys)
    }
}

#[derive(Deserialize)]
struct Bid {
    price: i64,
}

#[derive(Serialize)]
struct Nothing {}

/// Keeps prices in the state that is to be measured, and emits nothing.
struct Keep {
    what: Workload,
    value: ValueState<i64>,
    list: ListState<i64>,
    map: MapState<i64, i64>,
    time: i64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { what: Workload::Value, value: ValueState::default(), list: ListState::default(), map: MapState::default(), time: 0 }
    }
}

impl KeyedProcessFunction for Keep {
    type In = Bid;
    type Out = Nothing;

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        match self.what {
            Workload::List => self.list = context.list_state(&ListStateDescriptor::new("prices"))?,
            Workload::Map => self.map = context.map_state(&MapStateDescriptor::new("by kind"))?,
            _ => self.value = context.value_state(&ValueStateDescriptor::new("count"))?,
        }
        Ok(())
    }

    fn process_element(&mut self, bid: Bid, context: &mut Context<'_>, _out: &mut Collector<'_, Nothing>) -> FunctionResult {
        match self.what {
            Workload::List => {
                if self.list.get(context)?.len() == 16 {
                    self.list.clear(context)?;
                }
                self.list.add(context, &bid.price)
            }
            Workload::Map => self.map.put(context, &(bid.price % 16), &bid.price),
            Workload::Timers => {
                if let Some(last) = self.value.value(context)? {
                    context.delete_event_time_timer(last)?;
                }
                // Some rows have the same time.
                self.time += 1;
                self.value.update(context, &(self.time / 16))?;
                context.register_event_time_timer(self.time / 16)
            }
            _ => {
                let count = self.value.value(context)?.unwrap_or(0);
                self.value.update(context, &(count + 1))
            }
        }
    }
}
