//! Functions with a broadcast input and with operator state, in their operator, without a runtime.

use super::*;
use crate::operator::OperatorFactory;
use crate::state::{KeyedState, OperatorState};
use crate::testing::function::FunctionHarness;
use crate::testing::operator::{OperatorHarness, rows_of};
use crate::types::{Batch, Column, KeyGroupRange, LogicalType, MaxParallelism, Parallelism, TypeKind};

/// Joins bids with rules, whichever come first; a timer says how many rules there are; a list counts rows of both inputs.
#[derive(Default)]
struct Alerts {
    rules: BroadcastState<String, i64>,
    bids: ListState<i64>,
    seen: OperatorListState<i64>,
}

impl KeyedBroadcastProcessFunction for Alerts {
    type In = (i64, i64, Option<i64>);
    type Broadcast = (String, Option<i64>);
    type Out = (String, i64, i64);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        self.rules = context.broadcast_state(&MapStateDescriptor::new("rules"))?;
        self.bids = context.list_state(&ListStateDescriptor::new("bids"))?;
        self.seen = context.operator_list_state(&ListStateDescriptor::new("seen"))?;
        Ok(())
    }

    fn process_element(&mut self, bid: Self::In, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        self.seen.add(context, &bid.1)?;
        self.bids.add(context, &bid.1)?;
        if let Some(timestamp) = context.timestamp() {
            context.register_event_time_timer(timestamp)?;
        }
        for (rule, least) in self.rules.entries(context)?.into_iter().filter(|(_, least)| bid.1 >= *least) {
            out.collect(&(rule, bid.0, bid.1 - least))?;
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        (rule, least): Self::Broadcast,
        context: &mut KeyedBroadcastContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult {
        let Some(least) = least else {
            return if rule == "*" { self.rules.clear(context) } else { self.rules.remove(context, &rule) };
        };
        self.seen.add(context, &-least)?;
        self.rules.put_all(context, &[(rule.clone(), least)])?;
        context.apply_to_keyed_state(&self.bids, |bidder: i64, bids, context| {
            assert_eq!(context.current_key::<i64>()?, bidder);
            let high = bids.get(context)?.into_iter().filter(|bid| *bid >= least);
            high.into_iter().try_for_each(|bid| out.collect(&(rule.clone(), bidder, bid - least)))
        })
    }

    fn on_timer(&mut self, timestamp: i64, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        let bidder = context.current_key()?;
        self.bids.clear(context)?;
        out.collect(&("rules".to_owned(), bidder, timestamp * 100 + self.rules.entries(context)?.len() as i64))
    }

    fn end_of_input(&mut self, context: &mut Context<'_>, out: &mut Collector<'_, Self::Out>) -> FunctionResult {
        assert!(self.bids.get(context).is_err(), "there is no key any more");
        let sum = self.seen.get(context)?.iter().sum();
        out.collect(&("seen".to_owned(), self.seen.len(context)? as i64, sum))
    }
}

fn alerts() -> crate::testing::function::HarnessBuilder {
    let harness = FunctionHarness::new(Alerts::default).input("bidder BIGINT, price BIGINT, ts TIMESTAMP(3)").key_by(&["bidder"]);
    harness.rowtime("ts").broadcast("rule STRING, least BIGINT").output("what STRING, bidder BIGINT, n BIGINT")
}

#[test]
fn a_row_of_the_broadcast_input_writes_broadcast_state_and_sees_the_state_of_all_keys() {
    let mut harness = alerts().open().unwrap();
    for (bidder, price) in [(1, 10), (2, 20), (1, 30), (3, 5)] {
        assert!(harness.process(&(bidder, price, None::<i64>)).unwrap().is_empty());
    }
    let mut found = harness.process_broadcast(&("high", 10)).unwrap();
    found.sort();
    assert_eq!(found, ["+I[high, 1, 0]", "+I[high, 1, 20]", "+I[high, 2, 10]"]);
    assert_eq!(harness.process(&(3, 15, Some(7))).unwrap(), ["+I[high, 3, 5]"]);
    harness.process_broadcast(&("low", 100)).unwrap();
    assert_eq!(harness.watermark(7).unwrap(), ["+I[rules, 3, 702]"], "a timer reads broadcast state");
    assert_eq!(harness.process_broadcast(&("all", 0)).unwrap().len(), 3, "a key that holds nothing any more is passed over");
    harness.process_broadcast(&("all", None::<i64>)).unwrap();
    let mut harness = harness.restore().unwrap();
    assert_eq!(harness.process(&(3, 15, None::<i64>)).unwrap(), ["+I[high, 3, 5]"], "what was removed stays so after a restore");
    harness.process_broadcast(&("*", None::<i64>)).unwrap();
    assert!(harness.process(&(3, 500, None::<i64>)).unwrap().is_empty());
    assert_eq!(harness.end_of_input().unwrap(), ["+I[seen, 10, 485]"]);
}

#[test]
fn the_states_of_both_kinds_are_known_without_running_the_function_and_are_those_that_are_saved() {
    let factory = factory();
    assert_eq!(factory.describe(), "KeyedBroadcastProcess(keyBy=[bidder], function=[alerts])");
    let planned = factory.operator_states();
    let names: Vec<String> = planned.iter().map(|state| format!("{} {}", state.name, state.kind)).collect();
    assert_eq!(names, ["rules broadcast", "seen operator-list"]);
    assert_eq!(factory.states().iter().map(|state| state.name.clone()).collect::<Vec<_>>(), ["bids", "timers"]);
    let harness = OperatorHarness::new(&factory).unwrap();
    let saved: Vec<_> = harness.operator_snapshot().iter().map(|state| state.descriptor.as_ref().clone()).collect();
    assert_eq!(saved, planned);
}

fn columns(columns: &[(&str, TypeKind)]) -> Schema {
    let column = |(name, kind): &(&str, TypeKind)| Column { name: (*name).to_owned(), data_type: LogicalType::nullable(kind.clone()) };
    Schema::new(columns.iter().map(column).collect())
}

fn bids() -> Schema {
    columns(&[("bidder", TypeKind::BigInt), ("price", TypeKind::BigInt), ("ts", TypeKind::Timestamp(3))])
}

fn rules() -> Schema {
    columns(&[("rule", TypeKind::String), ("least", TypeKind::BigInt)])
}

fn factory() -> ProcessOperatorFactory {
    let inputs = vec![
        ProcessInput { schema: bids(), key_by: vec![0], rowtime: None, broadcast: false },
        ProcessInput { schema: rules(), key_by: Vec::new(), rowtime: None, broadcast: true },
    ];
    let schema = columns(&[("what", TypeKind::String), ("bidder", TypeKind::BigInt), ("n", TypeKind::BigInt)]);
    let outputs = vec![ProcessOutput { name: String::new(), schema }];
    let functions = Functions::new().register("alerts", Alerts::default);
    ProcessOperatorFactory::new(ProcessSpec { inputs, outputs }, functions.get("alerts").unwrap())
}

/// All subtasks of the function, with what they are restored from.
fn subtasks(count: usize, from: Option<Vec<OperatorHarness>>) -> Vec<OperatorHarness> {
    let parallelism = Parallelism::new(count).unwrap();
    let max_parallelism = MaxParallelism::new(128).unwrap();
    let (mut keyed, mut operator) = (Vec::new(), Vec::new());
    if let Some(mut from) = from {
        for harness in &mut from {
            keyed.extend(OperatorHarness::read(harness.snapshot().unwrap()).unwrap());
        }
        operator = OperatorHarness::read_operator(from.iter().map(OperatorHarness::operator_snapshot).collect()).unwrap();
        // What several subtasks saved of one state is one state.
        let (bids, timers): (Vec<_>, Vec<_>) = keyed.into_iter().partition(|state| state.descriptor.name == "bids");
        keyed = [bids, timers]
            .map(|parts| crate::state::RestoredState {
                descriptor: std::sync::Arc::clone(&parts[0].descriptor),
                batches: parts.into_iter().flat_map(|part| part.batches).collect(),
            })
            .to_vec();
    }
    let harness = |subtask| {
        let key_groups = KeyGroupRange::of_subtask(max_parallelism, parallelism, subtask);
        let state = KeyedState::new(key_groups, max_parallelism, keyed.clone());
        OperatorHarness::with_states(&factory(), state, OperatorState::new(subtask, parallelism, operator.clone())).unwrap()
    };
    (0..count).map(harness).collect()
}

/// Gives a bid to the subtask of its bidder.
fn bid(subtasks: &mut [OperatorHarness], bidder: i64, price: i64) -> Vec<String> {
    let row = Batch::append(row_of(&(bidder, price, None::<i64>), &bids()).unwrap());
    let mut hashes = Vec::new();
    crate::types::hash_keys(&[row.column(0).clone()], 1, &mut hashes).unwrap();
    let max = MaxParallelism::new(128).unwrap();
    let group = crate::types::key_group_of(hashes[0], max);
    let owner = crate::types::subtask_of(group, max, Parallelism::new(subtasks.len()).unwrap());
    rows_of(&subtasks[owner].process_on(0, row).unwrap(), 0).unwrap()
}

/// Gives a rule to all subtasks.
fn rule(subtasks: &mut [OperatorHarness], rule: &str, least: i64) -> Vec<String> {
    let row = Batch::append(row_of(&(rule, Some(least)), &rules()).unwrap());
    let emitted = subtasks.iter_mut().flat_map(|subtask| rows_of(&subtask.process_on(1, row.clone()).unwrap(), 0).unwrap());
    let mut emitted: Vec<String> = emitted.collect();
    emitted.sort();
    emitted
}

#[test]
fn rules_and_lists_survive_every_change_of_parallelism() {
    let mut all = subtasks(2, None);
    rule(&mut all, "high", 100);
    for bidder in 0..20 {
        assert!(bid(&mut all, bidder, bidder).is_empty());
    }
    for count in [5, 1, 3] {
        all = subtasks(count, Some(all));
        for bidder in 0..20 {
            assert_eq!(bid(&mut all, bidder, 100), [format!("+I[high, {bidder}, 0]")], "at {count}: every subtask knows the rule");
        }
    }
    assert_eq!(rule(&mut all, "top", 19), rule(&mut subtasks(7, Some(subtasks(3, Some(all)))), "top", 19));
}

#[test]
fn a_list_is_counted_once_whatever_becomes_of_the_subtasks() {
    let mut all = subtasks(3, None);
    for bidder in 0..50 {
        bid(&mut all, bidder, 1);
    }
    for count in [4, 2, 7, 1] {
        all = subtasks(count, Some(all));
    }
    let row = rows_of(&all[0].end_of_input().unwrap(), 0).unwrap();
    assert_eq!(row, ["+I[seen, 50, 50]"]);
}

/// Asks for a state that it may not have.
struct Wrong(fn(&mut RuntimeContext<'_>) -> FunctionResult);

impl ProcessFunction for Wrong {
    type In = (i64,);
    type Out = (i64,);

    fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
        (self.0)(context)
    }

    fn process_element(&mut self, _row: (i64,), _context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
        Ok(())
    }
}

#[test]
fn states_that_cannot_be_are_refused_with_the_reason() {
    type Open = fn(&mut RuntimeContext<'_>) -> FunctionResult;
    let cases: &[(Open, &str)] = &[
        (
            |context| context.broadcast_state(&MapStateDescriptor::<i64, i64>::new("r")).map(|_| ()),
            "state r: a broadcast state is written by a KeyedBroadcastProcessFunction or a BroadcastProcessFunction alone",
        ),
        (
            |context| {
                let ttl = StateTtlConfig::new_builder(std::time::Duration::from_secs(1)).build();
                context.operator_list_state(&ListStateDescriptor::<i64>::new("l").enable_time_to_live(ttl)).map(|_| ())
            },
            "state l: operator state has no time to live: only keyed state has",
        ),
        (
            |context| {
                context.union_list_state(&ListStateDescriptor::<i64>::new("l"))?;
                context.operator_list_state(&ListStateDescriptor::<i64>::new("l")).map(|_| ())
            },
            "state: operator state l is registered twice",
        ),
        (
            |context| context.operator_list_state(&ListStateDescriptor::<()>::new("l")).map(|_| ()),
            "state l: the column type of (): () holds nothing",
        ),
        (
            |context| context.operator_list_state(&ListStateDescriptor::<i64>::new("l").with_type("BIGNT")).map(|_| ()),
            "state l: \"BIGNT\": \"BIGNT\" is no type",
        ),
        (|context| context.value_state(&ValueStateDescriptor::<i64>::new("v")).map(|_| ()), "state v: the input has no key"),
        (|context| OperatorListState::<i64>::default().add(context, &1), "state: this operator has registered no such operator list state"),
    ];
    for (open, expected) in cases {
        let open = *open;
        let harness = FunctionHarness::new(move || Wrong(open)).input("n BIGINT").output("n BIGINT");
        let error = harness.open().unwrap_err().to_string();
        let told = error.strip_prefix("function \"function\": ").unwrap_or(&error);
        assert!(told.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn a_value_that_does_not_fit_its_operator_state_is_an_error_that_names_the_state() {
    struct Texts(OperatorListState<Option<i64>>);
    impl ProcessFunction for Texts {
        type In = (Option<i64>,);
        type Out = (i64,);

        fn open(&mut self, context: &mut RuntimeContext<'_>) -> FunctionResult {
            self.0 = context.operator_list_state(&ListStateDescriptor::new("numbers"))?;
            Ok(())
        }

        fn process_element(&mut self, row: Self::In, context: &mut Context<'_>, _out: &mut Collector<'_, (i64,)>) -> FunctionResult {
            self.0.add(context, &row.0)
        }
    }
    let harness = FunctionHarness::new(|| Texts(OperatorListState::default())).input("n BIGINT").output("n BIGINT");
    let mut harness = harness.open().unwrap();
    harness.process(&(1,)).unwrap();
    let error = harness.process(&(None::<i64>,)).unwrap_err().to_string();
    assert_eq!(error, "function \"function\": state numbers: a list takes no NULL");
}

#[test]
fn a_function_is_told_if_its_inputs_are_not_those_of_its_trait() {
    let without = FunctionHarness::new(Alerts::default).input("bidder BIGINT, price BIGINT, ts TIMESTAMP(3)").key_by(&["bidder"]);
    let error = without.output("what STRING, bidder BIGINT, n BIGINT").open().unwrap_err().to_string();
    assert!(error.contains("it is a KeyedBroadcastProcessFunction, which has 1 broadcast inputs, and is given 0"), "{error}");
    let error = alerts().key_by(&[]).open().unwrap_err().to_string();
    assert!(error.contains("it is a KeyedBroadcastProcessFunction, and its input has no key"), "{error}");
    let plain = FunctionHarness::new(|| Wrong(|_| Ok(()))).input("n BIGINT").broadcast("n BIGINT").output("n BIGINT");
    assert!(plain.open().unwrap_err().to_string().contains("it is a ProcessFunction, which has 0 broadcast inputs, and is given 1"));
    let column = alerts().key_by(&["bider"]).open().unwrap_err().to_string();
    assert_eq!(column, "the input has no column \"bider\"");
    assert!(
        FunctionHarness::new(|| Wrong(|_| Ok(()))).input("n BIGNT").output("n BIGINT").open().unwrap_err().to_string().contains("BIGNT")
    );
}
