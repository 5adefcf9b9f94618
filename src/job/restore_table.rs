//! `[restore]`: names of a savepoint's operators and states → names of the job's, as they were written. Whether the savepoint has them
//! is seen when it is opened.

use super::problem::Problem;
use super::spec::Entry;
use crate::checkpoint::RestoreRules;

const TABLE: &str = "restore";
const KEYS: [&str; 3] = ["operators", "states", "drop"];

/// True if an option stands in this table.
pub(super) fn is_about(key: &str) -> bool {
    key.strip_prefix(TABLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Reads the table. What means nothing is a problem.
pub(super) fn read(entries: &[Entry], problems: &mut Vec<Problem>) -> RestoreRules {
    let mut rules = RestoreRules::default();
    for entry in entries.iter().filter(|entry| is_about(&entry.key) && !entry.value.is_broken()) {
        let rest = entry.key[TABLE.len()..].strip_prefix('.').unwrap_or_default();
        let (key, name) = rest.split_once('.').map_or((rest, None), |(key, name)| (key, Some(name)));
        match (key, name) {
            ("operators", Some(old)) => rename(&mut rules.operators, old, entry, problems),
            ("states", Some(old)) if !old.contains('/') => {
                let problem = Problem::at(&entry.key_place, format!("restore.states: \"{old}\" names no operator"));
                problems.push(problem.help("write \"<operator>/<state>\" = \"<state>\""));
            }
            ("states", Some(old)) => rename(&mut rules.states, old, entry, problems),
            ("drop", None) => drop(&mut rules, entry, problems),
            _ => problems.push(misplaced(rest, key, entry)),
        }
    }
    let dropped = |old: &str| rules.drop.iter().any(|name| name == old);
    for (old, new) in rules.operators.iter().chain(&rules.states).filter(|(old, _)| dropped(old)) {
        problems.push(Problem::nowhere(format!("[restore] renames \"{old}\" to \"{new}\" and drops it, too; do one of them")));
    }
    rules
}

fn rename(rules: &mut Vec<(String, String)>, old: &str, entry: &Entry, problems: &mut Vec<Problem>) {
    let new = entry.value.as_str().trim();
    if new.is_empty() || old.trim().is_empty() {
        problems.push(Problem::at(entry.value.place(), format!("{}: a name is empty", entry.key)));
    } else {
        rules.push((old.to_owned(), new.to_owned()));
    }
}

/// Texts of a list are joined by `;`, as Flink writes lists.
fn drop(rules: &mut RestoreRules, entry: &Entry, problems: &mut Vec<Problem>) {
    for name in entry.value.as_str().split(';').map(str::trim) {
        if name.is_empty() {
            problems.push(Problem::at(entry.value.place(), "restore.drop: a name is empty"));
        } else if rules.drop.iter().any(|other| other == name) {
            problems.push(Problem::at(entry.value.place(), format!("restore.drop: \"{name}\" stands there twice")));
        } else {
            rules.drop.push(name.to_owned());
        }
    }
}

fn misplaced(rest: &str, key: &str, entry: &Entry) -> Problem {
    let problem = match key {
        "operators" | "states" => Problem::at(&entry.key_place, format!("restore.{key} must be a table")),
        "drop" => Problem::at(&entry.key_place, "restore.drop must be a list of names"),
        "" => Problem::at(&entry.key_place, "\"restore\" must be a table"),
        _ => return Problem::at(&entry.key_place, format!("unknown key \"{rest}\" in [restore]")).nearest(key, KEYS),
    };
    problem.help(match key {
        "operators" => "write restore.operators = { \"old\" = \"new\" }",
        "states" => "write restore.states = { \"operator/old\" = \"new\" }",
        "drop" => "write restore.drop = [\"operator\", \"operator/state\"]",
        _ => "write [restore] with operators, states or drop below it",
    })
}

#[cfg(test)]
mod tests {
    use super::super::spec::Spec;
    use super::*;

    fn load(file: &str, flags: &[&str]) -> (RestoreRules, Vec<String>) {
        let mut problems = Vec::new();
        let mut spec = Spec::parse(file, &|_| None, &mut problems).unwrap();
        spec.apply(&flags.iter().map(|flag| format!("-D {flag}")).collect::<Vec<_>>(), &mut problems);
        let rules = read(&spec.options, &mut problems);
        (rules, problems.into_iter().map(|problem| problem.message).collect())
    }

    fn pair(old: &str, new: &str) -> (String, String) {
        (old.to_owned(), new.to_owned())
    }

    #[test]
    fn operators_and_states_are_renamed_and_dropped_by_name() {
        let file = "[restore]\noperators = { \"totals\" = \"sums\", \"a.b/c-1\" = \"d\" }\ndrop = [\"bids/splits\", \"old\"]\n\
                    [restore.states]\n\"bursts/count\" = \"n\"\n";
        let (rules, problems) = load(file, &[]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(rules.operators, [pair("totals", "sums"), pair("a.b/c-1", "d")]);
        assert_eq!(rules.states, [pair("bursts/count", "n")]);
        assert_eq!(rules.drop, ["bids/splits", "old"]);
        let (rules, problems) = load(file, &["restore.operators.totals=t", "restore.drop=x;y"]);
        assert_eq!(problems, Vec::<String>::new());
        assert!(rules.operators.contains(&pair("totals", "t")) && rules.operators.len() == 2);
        assert_eq!(rules.drop, ["x", "y"]);
        assert!(load("", &[]).0.is_empty());
    }

    #[test]
    fn what_means_nothing_is_a_problem() {
        for (file, message) in [
            ("restore = 1", "\"restore\" must be a table"),
            ("restore.drop = { a = \"b\" }", "restore.drop must be a list of names"),
            ("restore.operators = \"a\"", "restore.operators must be a table"),
            ("restore.states = { \"count\" = \"n\" }", "restore.states: \"count\" names no operator"),
            ("restore.operators = { \"a\" = \"\" }", "restore.operators.a: a name is empty"),
            ("restore.dropp = [\"a\"]", "unknown key \"dropp\" in [restore]"),
            ("restore.drop = [\"a\", \"a\"]", "restore.drop: \"a\" stands there twice"),
            ("restore.drop = [\"a\", \"\"]", "restore.drop: a name is empty"),
            (
                "restore = { drop = [\"a\"], operators = { a = \"b\" } }",
                "[restore] renames \"a\" to \"b\" and drops it, too; do one of them",
            ),
        ] {
            assert_eq!(load(file, &[]).1, [message], "{file}");
        }
    }
}
