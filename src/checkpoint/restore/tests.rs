//! What a restore would do: states by uid and name, renamed, dropped, converted, refused.

use super::*;
use crate::checkpoint::{FileEntry, JobEntry, KeyedStateEntry, OperatorEntry, OperatorStateEntry, SnapshotKind};
use crate::state::StateKind;
use crate::types::{CheckpointId, Column, JobId, WallTime};
use std::collections::BTreeMap;

fn schema(columns: &[(&str, &str)]) -> Schema {
    let column = |(name, t): &(&str, &str)| Column { name: (*name).to_owned(), data_type: t.parse().unwrap() };
    Schema::new(columns.iter().map(column).collect())
}

fn descriptor(name: &str, value: &str) -> StateDescriptor {
    let (key, value) = (schema(&[("k", "STRING")]), schema(&[("v", value)]));
    StateDescriptor { name: name.to_owned(), kind: StateKind::Value, key, value, ttl: None }
}

fn files(path: &str) -> Vec<FileEntry> {
    vec![FileEntry { path: path.to_owned(), rows: Some(9), bytes: None, xxh3: None }]
}

/// `bids` with splits, `totals` with a keyed state, `idle` with a state that no subtask had rows for.
fn manifest() -> Manifest {
    let operator = |uid: &str| OperatorEntry {
        uid: OperatorUid::new(uid),
        kind: String::new(),
        parallelism: Parallelism::ONE,
        keyed_states: Vec::new(),
        operator_states: Vec::new(),
        stores: Vec::new(),
    };
    let splits = OperatorStateEntry { name: "splits".to_owned(), kind: None, columns: schema(&[("path", "STRING")]), files: files("s") };
    let bids = OperatorEntry { operator_states: vec![splits], ..operator("bids") };
    let count = KeyedStateEntry { descriptor: descriptor("count", "BIGINT"), files: files("c") };
    let totals = OperatorEntry { keyed_states: vec![count], ..operator("totals") };
    let empty = KeyedStateEntry { descriptor: descriptor("empty", "BIGINT"), files: Vec::new() };
    let idle = OperatorEntry { keyed_states: vec![empty], ..operator("idle") };
    Manifest {
        format_version: 1,
        kind: SnapshotKind::Savepoint,
        job: JobEntry { name: "j".to_owned(), id: JobId::from_u128(1) },
        checkpoint_id: CheckpointId::new(3),
        time: WallTime(0),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        options: BTreeMap::new(),
        operators: vec![bids, totals, idle],
    }
}

fn job(keyed: Vec<StateDescriptor>, splits: Option<Schema>) -> Vec<OperatorStates> {
    let operator = |uid: &str| OperatorStates {
        uid: OperatorUid::new(uid),
        keyed: Vec::new(),
        operator_states: Vec::new(),
        parallelism: Parallelism::new(4).unwrap(),
        retracts: false,
    };
    let splits = vec![OperatorStateSpec { name: "splits".to_owned(), columns: splits, in_flight: None, registered: None }];
    vec![
        OperatorStates { operator_states: splits, ..operator("bids") },
        OperatorStates { keyed: keyed.into_iter().map(Arc::new).collect(), ..operator("totals") },
    ]
}

fn plan_with(job: &[OperatorStates], max: Option<usize>, allow: bool, rules: &RestoreRules) -> RestorePlan {
    let max_parallelism = max.and_then(MaxParallelism::new);
    plan_restore(&manifest(), job, RestoreRequest { path: "/sav/s", max_parallelism, allow_non_restored: allow, rules })
}

fn plan(job: &[OperatorStates], max: Option<usize>, allow: bool) -> RestorePlan {
    plan_with(job, max, allow, &RestoreRules::default())
}

fn outcomes(plan: &RestorePlan) -> Vec<(&str, &Outcome, u64)> {
    plan.states.iter().map(|s| (s.name.as_str(), &s.outcome, s.rows)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect()
}

#[test]
fn states_are_restored_by_uid_and_name_and_new_ones_start_empty() {
    let job = job(vec![descriptor("count", "BIGINT"), descriptor("fresh", "INT")], Some(schema(&[("path", "STRING")])));
    let plan = plan(&job, None, false).accepted().unwrap();
    assert_eq!(outcomes(&plan), [("splits", &Outcome::Restored, 9), ("count", &Outcome::Restored, 9), ("fresh", &Outcome::New, 0)]);
    assert_eq!(plan.max_parallelism.get(), 128);
}

#[test]
fn an_operator_that_the_job_lacks_is_refused_unless_that_is_allowed() {
    let job = &job(Vec::new(), None)[..1];
    let refused = plan(job, None, false);
    let expected = "Failed to rollback to checkpoint/savepoint /sav/s. Cannot map checkpoint/savepoint state for operator totals to the \
                    new program, because the operator is not available in the new program. If you want to allow to skip this, you can \
                    set the --allowNonRestoredState option on the CLI.";
    assert_eq!(refused.problems, [expected], "nothing is said of `idle`, which has no rows");
    assert_eq!(refused.accepted().unwrap_err().to_string(), expected);
    let allowed = plan(job, None, true).accepted().unwrap();
    assert_eq!(outcomes(&allowed)[1], ("count", &Outcome::Dropped(DropReason::Flag), 9));
}

#[test]
fn a_state_that_a_surviving_operator_lacks_is_refused_unless_that_is_allowed() {
    let job = job(vec![descriptor("renamed", "BIGINT")], None);
    let refused = plan(&job, None, false);
    assert!(refused.problems[0].contains("state count of operator totals"), "{:?}", refused.problems);
    let allowed = plan(&job, None, true).accepted().unwrap();
    assert_eq!(outcomes(&allowed)[1..], [("renamed", &Outcome::New, 0), ("count", &Outcome::Dropped(DropReason::Flag), 9)]);
}

#[test]
fn types_between_which_there_is_no_way_are_refused_with_both_of_them() {
    for allow in [false, true] {
        let job = job(vec![descriptor("count", "STRING")], Some(schema(&[("path", "BIGINT")])));
        let problems = plan(&job, None, allow).problems;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("State splits of operator bids") && problems[0].contains("path STRING"), "{problems:?}");
        assert!(problems[1].contains("State count of operator totals") && problems[1].contains("BIGINT"), "{problems:?}");
    }
}

#[test]
fn a_state_whose_type_was_widened_is_restored_and_says_so() {
    let mut now = descriptor("count", "BIGINT");
    now.value = schema(&[("v", "BIGINT"), ("added", "STRING")]);
    let plan = plan(&job(vec![now], None), None, false).accepted().unwrap();
    assert!(matches!(&plan.states[1].outcome, Outcome::Converted(how) if how.contains("added")), "{plan:?}");
}

#[test]
fn max_parallelism_is_the_savepoints_unless_it_is_set_or_too_small_and_then_key_groups_are_computed_anew() {
    let mut job = job(vec![descriptor("count", "BIGINT")], None);
    for (max, expected) in [(None, 128), (Some(128), 128)] {
        let plan = plan(&job, max, false).accepted().unwrap();
        assert_eq!((plan.max_parallelism.get(), &plan.states[1].outcome), (expected, &Outcome::Restored));
        assert!(plan.moved.is_empty());
    }
    let set = plan(&job, Some(256), false).accepted().unwrap();
    assert_eq!((set.saved_max_parallelism.get(), set.max_parallelism.get()), (128, 256));
    let expected = "key groups are computed anew from the keys (max parallelism 128 to 256)";
    assert_eq!(set.states[1].outcome, Outcome::Converted(expected.to_owned()));
    assert!(set.moved.contains_key(&(OperatorUid::new("totals"), "count".to_owned())));
    assert_eq!(set.states[0].outcome, Outcome::Restored, "operators without keyed state do not mind");
    job[1].parallelism = Parallelism::new(129).unwrap();
    assert_eq!(plan(&job, None, false).accepted().unwrap().max_parallelism.get(), 256, "Flink's default for 129 subtasks");
}

#[test]
fn a_key_that_hashes_in_another_way_is_converted() {
    let mut now = descriptor("count", "BIGINT");
    now.key = schema(&[("k", "STRING")]);
    assert!(plan(&job(vec![now], None), None, false).accepted().unwrap().moved.is_empty());
    let mut saved = manifest();
    saved.operators[1].keyed_states[0].descriptor.key = schema(&[("k", "DECIMAL(10, 2)")]);
    let mut now = descriptor("count", "BIGINT");
    now.key = schema(&[("k", "DECIMAL(12, 3)")]);
    let rules = RestoreRules::default();
    let request = RestoreRequest { path: "/s", max_parallelism: None, allow_non_restored: false, rules: &rules };
    let plan = plan_restore(&saved, &job(vec![now], None), request).accepted().unwrap();
    let expected = "k widens from DECIMAL(10, 2) to DECIMAL(12, 3), key groups are computed anew from the keys";
    assert_eq!(plan.states[1].outcome, Outcome::Converted(expected.to_owned()));
    assert_eq!(plan.moved.len(), 1);
}

/// The job of [`job`] in which `totals` is called `sums/aggregate`.
fn renamed(keyed: Vec<StateDescriptor>) -> Vec<OperatorStates> {
    let mut job = job(keyed, None);
    job[1].uid = OperatorUid::new("sums");
    job
}

#[test]
fn a_renamed_operator_keeps_its_state() {
    let job = renamed(vec![descriptor("count", "BIGINT")]);
    let refused = plan(&job, None, false);
    let Outcome::Unclaimed(remedy) = &refused.states.last().unwrap().outcome else { panic!("{refused:?}") };
    assert!(remedy.contains("[restore] operators = { \"totals\" = \"sums\" } keeps it"), "{remedy}");
    let rules = RestoreRules { operators: pairs(&[("totals", "sums")]), ..RestoreRules::default() };
    let plan = plan_with(&job, None, false, &rules).accepted().unwrap();
    assert_eq!(outcomes(&plan)[1..], [("count", &Outcome::Restored, 9)]);
    assert_eq!(plan.states[1].renamed_from, Some((OperatorUid::new("totals"), "count".to_owned())));
    assert_eq!(
        plan.manifest.operator(&OperatorUid::new("sums")).unwrap().keyed_states[0].files,
        files("c"),
        "the files stay where they are"
    );
}

#[test]
fn a_transforms_name_renames_all_its_operators_and_the_longest_name_wins() {
    let mut saved = manifest();
    saved.operators[1].uid = OperatorUid::new("totals/aggregate-1");
    let rules = RestoreRules { operators: pairs(&[("totals", "sums"), ("total", "no")]), ..RestoreRules::default() };
    assert_eq!(rules.apply(&saved).manifest.operators[1].uid.as_str(), "sums/aggregate-1");
    let rules = RestoreRules { operators: pairs(&[("totals", "sums"), ("totals/aggregate-1", "x/y")]), ..RestoreRules::default() };
    let applied = rules.apply(&saved);
    assert_eq!(applied.manifest.operators[1].uid.as_str(), "x/y");
    assert!(applied.problems.is_empty(), "{:?}", applied.problems);
}

#[test]
fn a_renamed_state_keeps_its_rows() {
    let job = job(vec![descriptor("n", "BIGINT")], None);
    let refused = plan(&job, None, false);
    let Outcome::Unclaimed(remedy) = &refused.states.last().unwrap().outcome else { panic!("{refused:?}") };
    assert!(remedy.contains("[restore] states = { \"totals/count\" = \"n\" } keeps it"), "{remedy}");
    let rules = RestoreRules { states: pairs(&[("totals/count", "n")]), ..RestoreRules::default() };
    let plan = plan_with(&job, None, false, &rules).accepted().unwrap();
    assert_eq!(outcomes(&plan)[1..], [("n", &Outcome::Restored, 9)]);
}

#[test]
fn what_is_dropped_by_name_is_left_behind_and_nothing_else() {
    let everything = job(vec![descriptor("count", "STRING")], None);
    let drop = |names: &[&str]| RestoreRules { drop: names.iter().map(|n| (*n).to_owned()).collect(), ..RestoreRules::default() };
    let plan = plan_with(&everything, None, false, &drop(&["totals/count"])).accepted().unwrap();
    let dropped = Outcome::Dropped(DropReason::Rule);
    assert_eq!(outcomes(&plan), [("splits", &Outcome::Restored, 9), ("count", &Outcome::New, 0), ("count", &dropped, 9)]);
    let only_bids = &everything[..1];
    assert!(plan_with(only_bids, None, false, &drop(&["totals"])).problems.is_empty());
    let problems = plan_with(&everything[1..], None, false, &drop(&["totals"])).problems;
    assert!(problems.len() == 1 && problems[0].contains("operator bids"), "{problems:?}");
}

#[test]
fn names_that_the_savepoint_or_the_job_lacks_are_problems_with_the_nearest_name() {
    let job = renamed(vec![descriptor("count", "BIGINT")]);
    for (rules, expected) in [
        (
            RestoreRules { operators: pairs(&[("totls", "sums")]), ..RestoreRules::default() },
            "[restore] operators: the savepoint has no operator \"totls\"; did you mean \"totals\"?",
        ),
        (
            RestoreRules { operators: pairs(&[("totals", "sumz")]), ..RestoreRules::default() },
            "[restore] operators: the job has no operator \"sumz\"; did you mean \"sums\"?",
        ),
        (
            RestoreRules { states: pairs(&[("totals/cout", "count")]), ..RestoreRules::default() },
            "[restore] states: the savepoint has no state \"totals/cout\"; did you mean \"totals/count\"?",
        ),
        (
            RestoreRules { states: pairs(&[("totals/count", "cunt")]), ..RestoreRules::default() },
            "[restore] states: the job has no state \"cunt\"; did you mean \"count\"?",
        ),
        (
            RestoreRules { drop: vec!["nothing-like-it".to_owned()], ..RestoreRules::default() },
            "[restore] drop: the savepoint has no operator or state \"nothing-like-it\"; it has bids, bids/splits, idle, idle/empty, totals, \
             totals/count",
        ),
        (
            RestoreRules { operators: pairs(&[("totals", "bids")]), ..RestoreRules::default() },
            "[restore] operators: two operators of the savepoint would be called \"bids\"; drop one of them, or give it another name",
        ),
    ] {
        let problems = plan_with(&job, None, true, &rules).problems;
        assert!(problems.iter().any(|p| p == expected), "{problems:?} has no {expected}");
    }
}

#[test]
fn a_rule_that_was_carried_out_before_the_checkpoint_is_not_carried_out_again() {
    let rules = RestoreRules {
        operators: pairs(&[("totals", "idle"), ("idle", "totals")]),
        states: pairs(&[("bids/splits", "splits")]),
        drop: vec!["gone".to_owned()],
    };
    let mut saved = manifest();
    let swapped = rules.apply(&saved);
    assert_eq!(swapped.manifest.operators[1].uid.as_str(), "idle");
    assert_eq!(swapped.problems.len(), 1, "`gone` is not there: {:?}", swapped.problems);
    saved.options.extend(rules.as_options());
    let again = rules.apply(&saved);
    assert_eq!((again.manifest.operators, again.problems), (saved.operators, Vec::new()));
}

#[test]
fn an_aggregate_is_added_unless_rows_may_be_taken_back_that_it_has_never_seen() {
    let groups =
        |aggregates: &[(&str, &str)]| StateDescriptor { kind: StateKind::Groups, value: schema(aggregates), ..descriptor("count", "INT") };
    let mut saved = manifest();
    saved.operators[1].keyed_states[0].descriptor = groups(&[("records", "BIGINT NOT NULL")]);
    let mut job = job(vec![groups(&[("records", "BIGINT NOT NULL"), ("SUM(x)", "ROW<s BIGINT NOT NULL> NOT NULL")])], None);
    let rules = RestoreRules::default();
    let request = RestoreRequest { path: "/s", max_parallelism: None, allow_non_restored: false, rules: &rules };
    let plan = plan_restore(&saved, &job, request).accepted().unwrap();
    let expected = "SUM(x) is new and counts the rows from now on";
    assert_eq!(plan.states[1].outcome, Outcome::Converted(expected.to_owned()));
    job[1].retracts = true;
    let refused = plan_restore(&saved, &job, request);
    assert!(matches!(&refused.states[1].outcome, Outcome::Incompatible(why) if why.contains("take back rows")), "{refused:?}");
}

#[test]
fn rows_on_their_way_are_restored_at_another_parallelism_unless_they_belong_to_a_subtask() {
    let columns = schema(&[("subtask", "INT NOT NULL"), ("kind", "TINYINT NOT NULL")]);
    let in_flight = |files| OperatorStateEntry { name: "in-flight-0".to_owned(), kind: None, columns: columns.clone(), files };
    let mut job = job(vec![descriptor("count", "BIGINT")], None);
    let rules = RestoreRules::default();
    let request = RestoreRequest { path: "/s", max_parallelism: None, allow_non_restored: false, rules: &rules };
    for (moves, parallelism, restored) in
        [(InFlight::Anywhere, 1, true), (InFlight::Anywhere, 4, true), (InFlight::SameSubtask, 1, true), (InFlight::SameSubtask, 4, false)]
    {
        let spec =
            OperatorStateSpec { name: "in-flight-0".to_owned(), columns: Some(columns.clone()), in_flight: Some(moves), registered: None };
        job[1].operator_states = vec![spec];
        job[1].parallelism = Parallelism::new(parallelism).unwrap();
        let mut saved = manifest();
        assert!(plan_restore(&saved, &job, request).states.iter().all(|s| s.name != "in-flight-0"), "nothing was on its way");
        saved.operators[1].operator_states = vec![in_flight(files("f"))];
        assert_eq!(plan_restore(&saved, &job, request).problems.is_empty(), restored, "{moves:?} at {parallelism}");
        saved.operators[1].operator_states = vec![in_flight(Vec::new())];
        assert!(plan_restore(&saved, &job, request).problems.is_empty(), "no rows, no problem");
    }
}

#[test]
fn operator_states_of_functions_are_converted_like_keyed_ones_and_refused_with_reasons() {
    use crate::state::{OperatorStateDescriptor, OperatorStateKind};
    use crate::types::{LogicalType, TypeKind};
    let rules =
        |kind: TypeKind| OperatorStateDescriptor::broadcast("rules", LogicalType::nullable(TypeKind::Int), LogicalType::nullable(kind));
    let mut saved = manifest();
    let entry = OperatorStateEntry {
        name: "rules".to_owned(),
        kind: Some(OperatorStateKind::Broadcast),
        columns: rules(TypeKind::Int).columns,
        files: files("r"),
    };
    saved.operators[1].operator_states = vec![entry];
    let outcome = |spec: Vec<OperatorStateSpec>, allow: bool| {
        let mut job = job(vec![descriptor("count", "BIGINT")], None);
        job[1].operator_states = spec;
        let rules = RestoreRules::default();
        let plan =
            plan_restore(&saved, &job, RestoreRequest { path: "/s", max_parallelism: None, allow_non_restored: allow, rules: &rules });
        let state = plan.states.iter().find(|s| s.name != "splits" && s.name != "count").unwrap().clone();
        (state.outcome, plan.problems)
    };
    assert_eq!(outcome(vec![OperatorStateSpec::of(rules(TypeKind::Int))], false), (Outcome::Restored, Vec::new()));
    let widened = outcome(vec![OperatorStateSpec::of(rules(TypeKind::BigInt))], false);
    assert_eq!(widened, (Outcome::Converted("value widens from INT to BIGINT".to_owned()), Vec::new()));
    let (text, problems) = outcome(vec![OperatorStateSpec::of(rules(TypeKind::String))], true);
    assert!(matches!(&text, Outcome::Incompatible(why) if why.contains("value was INT and is STRING")), "{text:?}");
    assert!(problems[0].contains("State rules of operator totals is incompatible"), "{problems:?}");
    let list = OperatorStateDescriptor::list("rules", LogicalType::nullable(TypeKind::Int));
    let (kind, _) = outcome(vec![OperatorStateSpec::of(list)], false);
    assert!(matches!(&kind, Outcome::Incompatible(why) if why.contains("saved as broadcast state and is operator-list state")), "{kind:?}");
    let (gone, problems) = outcome(Vec::new(), false);
    assert!(matches!(&gone, Outcome::Unclaimed(how) if how.contains("drop = [\"totals/rules\"]")), "{gone:?}");
    assert!(problems[0].contains("state rules of operator totals"), "{problems:?}");
    let named = OperatorStateDescriptor { name: "limits".to_owned(), ..rules(TypeKind::BigInt) };
    let mut renamed = job(vec![descriptor("count", "BIGINT")], None);
    renamed[1].operator_states = vec![OperatorStateSpec::of(named)];
    let none = RestoreRules::default();
    let request = RestoreRequest { path: "/s", max_parallelism: None, allow_non_restored: false, rules: &none };
    let lost = plan_restore(&saved, &renamed, request).states.into_iter().find(|s| s.name == "rules").unwrap();
    assert!(
        matches!(&lost.outcome, Outcome::Unclaimed(how) if how.contains("states = { \"totals/rules\" = \"limits\" } keeps it")),
        "{lost:?}"
    );
    let rule = RestoreRules { states: pairs(&[("totals/rules", "limits")]), ..RestoreRules::default() };
    let kept = plan_restore(&saved, &renamed, RestoreRequest { rules: &rule, ..request });
    assert!(kept.problems.is_empty() && kept.states.iter().any(|s| s.name == "limits" && s.renamed_from.is_some()), "{kept:?}");
    assert_eq!(outcome(Vec::new(), true), (Outcome::Dropped(DropReason::Flag), Vec::new()));
    let new = OperatorStateSpec::of(OperatorStateDescriptor::list("fresh", LogicalType::nullable(TypeKind::Int)));
    assert_eq!(outcome(vec![new], true).0, Outcome::New);
}
