//! `[restore]` of a job file: which operators and states of a savepoint have another name in the job now, and which are left behind.
//! Applied to the manifest before anything else looks at it: from then on the savepoint has the job's names.

use crate::checkpoint::manifest::{Manifest, OperatorEntry};
use crate::types::{ByteSize, OperatorUid, nearest};
use std::collections::{BTreeMap, BTreeSet};

/// The rules of one job. Names on the left side are the savepoint's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreRules {
    /// `operators`: an operator's uid, or what stands before a `/` in uids (a transform's name), and what stands there now.
    pub operators: Vec<(String, String)>,
    /// `states`: `<uid>/<state>` and the state's name now.
    pub states: Vec<(String, String)>,
    /// `drop`: an operator (as in `operators`) or a state (as in `states`) that is left behind.
    pub drop: Vec<String>,
}

/// What a rule did with one state that is left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DroppedState {
    pub(super) uid: OperatorUid,
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) bytes: ByteSize,
}

/// A manifest under the job's names.
#[derive(Debug)]
pub(super) struct Renamed {
    pub(super) manifest: Manifest,
    /// Where a state that has another name now comes from: (uid, state) now → (uid, state) in the savepoint.
    pub(super) origins: BTreeMap<(OperatorUid, String), (OperatorUid, String)>,
    pub(super) dropped: Vec<DroppedState>,
    /// The uids that rules lead to, as they are now.
    pub(super) targets: Vec<OperatorUid>,
    pub(super) problems: Vec<String>,
}

/// What the manifests of a job with rules say of them: a rule that stands there was carried out before.
const KEY: &str = "restore.";

impl RestoreRules {
    /// True if nothing is renamed or dropped.
    pub fn is_empty(&self) -> bool {
        self.operators.is_empty() && self.states.is_empty() && self.drop.is_empty()
    }

    /// The rules as the options of a manifest: a restore from that checkpoint does not apply them a second time.
    pub fn as_options(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let operators = self.operators.iter().map(|(old, new)| (format!("{KEY}operators.{old}"), new.clone()));
        let states = self.states.iter().map(|(old, new)| (format!("{KEY}states.{old}"), new.clone()));
        let drop = self.drop.iter().map(|name| (format!("{KEY}drop.{name}"), "true".to_owned()));
        operators.chain(states).chain(drop)
    }

    /// The rules that were not carried out before the checkpoint of `manifest` was taken.
    fn outstanding(&self, manifest: &Manifest) -> Self {
        let done = |key: String, value: &str| manifest.options.get(&key).is_some_and(|applied| applied == value);
        let renames = |kind: &str, rules: &[(String, String)]| -> Vec<(String, String)> {
            rules.iter().filter(|(old, new)| !done(format!("{KEY}{kind}.{old}"), new)).cloned().collect()
        };
        Self {
            operators: renames("operators", &self.operators),
            states: renames("states", &self.states),
            drop: self.drop.iter().filter(|name| !done(format!("{KEY}drop.{name}"), "true")).cloned().collect(),
        }
    }

    /// The manifest under the job's names. Rules that fit nothing, or that make two things one, are problems.
    pub(super) fn apply(&self, manifest: &Manifest) -> Renamed {
        let rules = self.outstanding(manifest);
        let mut renaming =
            Renaming { rules: &rules, used: BTreeSet::new(), origins: BTreeMap::new(), dropped: Vec::new(), targets: Vec::new() };
        let operators: Vec<OperatorEntry> = manifest.operators.iter().filter_map(|operator| renaming.operator(operator)).collect();
        let mut problems = rules.unused(&renaming.used, manifest);
        problems.extend(collisions(&operators));
        let Renaming { origins, dropped, targets, .. } = renaming;
        Renamed { manifest: Manifest { operators, ..manifest.clone() }, origins, dropped, targets, problems }
    }

    /// Rules that name nothing in the savepoint.
    fn unused(&self, used: &BTreeSet<String>, manifest: &Manifest) -> Vec<String> {
        let uids: Vec<&str> = manifest.operators.iter().map(|o| o.uid.as_str()).collect();
        let operators: BTreeSet<&str> = uids.iter().flat_map(|uid| prefixes(uid)).collect();
        let states: BTreeSet<String> = manifest.operators.iter().flat_map(state_paths).collect();
        let all: BTreeSet<&str> = operators.iter().copied().chain(states.iter().map(String::as_str)).collect();
        let missing = |table: &str, what: &str, name: &str, known: &BTreeSet<&str>| {
            let hint = nearest(name, known.iter().copied()).map_or_else(
                || format!("; it has {}", known.iter().copied().take(8).collect::<Vec<_>>().join(", ")),
                |near| format!("; did you mean \"{near}\"?"),
            );
            format!("[restore] {table}: the savepoint has no {what} \"{name}\"{hint}")
        };
        let states: BTreeSet<&str> = states.iter().map(String::as_str).collect();
        let mut problems = Vec::new();
        for (old, _) in self.operators.iter().filter(|(old, _)| !used.contains(old)) {
            problems.push(missing("operators", "operator", old, &operators));
        }
        for (old, _) in self.states.iter().filter(|(old, _)| !used.contains(old)) {
            problems.push(missing("states", "state", old, &states));
        }
        for name in self.drop.iter().filter(|name| !used.contains(*name)) {
            problems.push(missing("drop", "operator or state", name, &all));
        }
        problems
    }
}

struct Renaming<'a> {
    rules: &'a RestoreRules,
    /// Left sides that fitted something.
    used: BTreeSet<String>,
    origins: BTreeMap<(OperatorUid, String), (OperatorUid, String)>,
    dropped: Vec<DroppedState>,
    targets: Vec<OperatorUid>,
}

impl Renaming<'_> {
    /// The operator as the job knows it; `None` if it is left behind as a whole.
    fn operator(&mut self, saved: &OperatorEntry) -> Option<OperatorEntry> {
        let old = saved.uid.as_str();
        if let Some(rule) = self.rules.drop.iter().find(|rule| rest_of(old, rule).is_some()) {
            self.used.insert(rule.clone());
            for state in &saved.keyed_states {
                self.drop(&saved.uid, &state.descriptor.name, saved.rows_of(state), saved.bytes_of(state));
            }
            for state in &saved.operator_states {
                self.drop(&saved.uid, &state.name, state.rows(), state.bytes());
            }
            return None;
        }
        let mut now = saved.clone();
        // The longest left side decides: a rule for one operator wins over one for its whole transform.
        let fitting = self.rules.operators.iter().filter_map(|(from, to)| Some((from, to, rest_of(old, from)?)));
        let fitting: Vec<_> = fitting.collect();
        self.used.extend(fitting.iter().map(|(from, _, _)| (*from).clone()));
        if let Some((_, to, rest)) = fitting.into_iter().max_by_key(|(from, _, _)| from.len()) {
            now.uid = OperatorUid::new(format!("{to}{rest}"));
            self.targets.push(now.uid.clone());
        }
        let mut names = BTreeMap::new();
        now.keyed_states.retain_mut(|state| {
            let (rows, bytes, old) = (saved.rows_of(state), saved.bytes_of(state), state.descriptor.name.clone());
            let kept = self.state((&saved.uid, &now.uid), &mut state.descriptor.name, rows, bytes);
            names.extend(kept.then(|| (old, state.descriptor.name.clone())));
            kept
        });
        for store in &mut now.stores {
            store.rename(&names);
        }
        now.operator_states.retain_mut(|state| {
            let (rows, bytes) = (state.rows(), state.bytes());
            self.state((&saved.uid, &now.uid), &mut state.name, rows, bytes)
        });
        Some(now)
    }

    /// Gives a state its name; `false` if it is left behind.
    fn state(&mut self, (old, now): (&OperatorUid, &OperatorUid), name: &mut String, rows: u64, bytes: ByteSize) -> bool {
        let path = format!("{old}/{name}");
        if self.rules.drop.contains(&path) {
            self.drop(old, name, rows, bytes);
            self.used.insert(path);
            return false;
        }
        let saved = name.clone();
        if let Some((_, new)) = self.rules.states.iter().find(|(from, _)| *from == path) {
            name.clone_from(new);
            self.used.insert(path);
        }
        if *name != saved || old != now {
            self.origins.insert((now.clone(), name.clone()), (old.clone(), saved));
        }
        true
    }

    fn drop(&mut self, uid: &OperatorUid, name: &str, rows: u64, bytes: ByteSize) {
        self.dropped.push(DroppedState { uid: uid.clone(), name: name.to_owned(), rows, bytes });
    }
}

/// Two operators or two states that would have one name.
fn collisions(operators: &[OperatorEntry]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut uids = BTreeSet::new();
    for operator in operators {
        if !uids.insert(&operator.uid) {
            problems.push(format!(
                "[restore] operators: two operators of the savepoint would be called \"{}\"; drop one of them, or give it another name",
                operator.uid
            ));
        }
        let mut names = BTreeSet::new();
        let keyed = operator.keyed_states.iter().map(|s| ("keyed", &s.descriptor.name));
        for (kind, name) in keyed.chain(operator.operator_states.iter().map(|s| ("operator", &s.name))) {
            if !names.insert((kind, name)) {
                problems.push(format!(
                    "[restore] states: two states of operator {} would be called \"{name}\"; drop one of them, or give it another name",
                    operator.uid
                ));
            }
        }
    }
    problems
}

/// What stands behind `rule` in `uid`: nothing, or `/…`; `None` if the rule is about something else.
fn rest_of<'u>(uid: &'u str, rule: &str) -> Option<&'u str> {
    uid.strip_prefix(rule).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `totals/group-aggregate-1` → `totals`, `totals/group-aggregate-1`: everything that a rule may call it by.
pub(super) fn prefixes(uid: &str) -> impl Iterator<Item = &str> {
    uid.match_indices('/').map(|(at, _)| &uid[..at]).chain([uid])
}

fn state_paths(operator: &OperatorEntry) -> impl Iterator<Item = String> + '_ {
    let keyed = operator.keyed_states.iter().map(|s| s.descriptor.name.as_str());
    keyed.chain(operator.operator_states.iter().map(|s| s.name.as_str())).map(|name| format!("{}/{name}", operator.uid))
}
