//! `[transforms.x.state]`: one entry a state, `count = { kind = "value", type = "BIGINT", default = 0, ttl = "1 h" }`.

use super::super::problem::Problem;
use super::super::spec::{Entry, TableSpec};
use super::super::text::Text;
use crate::script::{AGGREGATES, REDUCES, ScriptFold, ScriptState, parse_default};
use crate::state::{StateKind, StateTtl, TtlTime, TtlUpdate, TtlVisibility};
use crate::types::{LogicalType, parse_duration};
use std::collections::BTreeMap;

/// The keys of a state.
const KEYS: &[&str] = &["kind", "type", "key", "default", "reduce", "aggregate", "ttl", "ttl-time", "ttl-update", "ttl-visibility"];

const KINDS: &[&str] = &["value", "list", "map", "reducing", "aggregating"];

/// Reads the states of a transform in the file's order; those that are wrong are missing.
pub(super) fn read_states(spec: &TableSpec, problems: &mut Vec<Problem>) -> Vec<ScriptState> {
    let mut order = Vec::new();
    let mut states: BTreeMap<&str, Vec<(&str, &Entry)>> = BTreeMap::new();
    for entry in &spec.entries {
        let Some(rest) = entry.key.strip_prefix("state.") else { continue };
        let Some((name, key)) = rest.rsplit_once('.') else {
            let problem = Problem::at(&entry.key_place, format!("state \"{rest}\" must be a table"));
            problems.push(problem.help(format!("write {rest} = {{ kind = \"value\", type = \"BIGINT\" }}")));
            continue;
        };
        if !states.contains_key(name) {
            order.push(name);
        }
        states.entry(name).or_default().push((key, entry));
    }
    let read = |name: &&str| Reader { name, entries: &states[*name], problems }.read();
    order.iter().filter_map(read).collect()
}

struct Reader<'a, 'p> {
    name: &'a str,
    entries: &'a [(&'a str, &'a Entry)],
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_, '_> {
    fn read(mut self) -> Option<ScriptState> {
        let before = self.problems.len();
        self.check_name();
        self.check_keys();
        let kind = self.kind();
        let data_type = self.data_type("type", kind == Some(StateKind::Map));
        let map_key = if kind == Some(StateKind::Map) { self.data_type("key", true) } else { None };
        let ttl = self.ttl();
        let fold = kind.map(|kind| self.fold(kind));
        let default = self.default(kind, data_type.as_ref());
        if self.problems.len() > before {
            return None;
        }
        let (name, kind, fold) = (self.name.to_owned(), kind?, fold??);
        let state = ScriptState { name, kind, data_type: data_type?, map_key, default, fold, ttl };
        if let Err(message) = state.check_fold() {
            let place = self.text("reduce").or_else(|| self.text("aggregate")).map_or(&self.entries.first()?.1.key_place, Text::place);
            let problem = Problem::at(place, format!("state \"{}\": {message}", self.name));
            self.problems.push(problem);
            return None;
        }
        Some(state)
    }

    fn text(&self, key: &str) -> Option<&Text> {
        self.entries.iter().find(|(known, _)| *known == key).map(|(_, entry)| &entry.value)
    }

    /// Adds a problem at the value of `key`; `None` for the state as a whole.
    fn problem(&mut self, key: Option<&str>, message: &str, hint: Option<String>) {
        let message = format!("state \"{}\": {message}", self.name);
        let problem = match (key.and_then(|key| self.text(key)), self.entries.first()) {
            (Some(text), _) => Problem::at(text.place(), text.mask(&message)),
            (None, Some((_, entry))) => Problem::at(&entry.key_place, message),
            (None, None) => Problem::nowhere(message),
        };
        self.problems.push(match hint {
            Some(hint) => problem.help(hint),
            None => problem,
        });
    }

    fn check_name(&mut self) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !self.name.chars().all(is_name) || self.name.starts_with(|c: char| c.is_ascii_digit()) {
            self.problem(None, "a state's name has letters, digits and underscores, as names in Lua", None);
        } else if self.name == crate::state::TIMERS {
            self.problem(None, "under this name timers are saved: choose another one", None);
        }
    }

    fn check_keys(&mut self) {
        for (key, entry) in self.entries.iter().filter(|(key, _)| !KEYS.contains(key)) {
            let problem = Problem::at(&entry.key_place, format!("unknown option \"{key}\" of state \"{}\"", self.name));
            self.problems.push(problem.nearest(key, KEYS.iter().copied()));
        }
    }

    fn kind(&mut self) -> Option<StateKind> {
        let Some(text) = self.text("kind").cloned() else {
            self.problem(None, "it has no \"kind\"", Some(format!("the kinds are {}", KINDS.join(", "))));
            return None;
        };
        let kind = match text.as_str() {
            "value" => StateKind::Value,
            "list" => StateKind::List,
            "map" => StateKind::Map,
            "reducing" => StateKind::Reducing,
            "aggregating" => StateKind::Aggregating,
            other => {
                if !text.is_broken() {
                    let message = text.mask(&format!("state \"{}\": there is no kind \"{other}\"", self.name));
                    let problem = Problem::at(text.place(), message).help(format!("the kinds are {}", KINDS.join(", ")));
                    self.problems.push(problem.nearest(other, KINDS.iter().copied()));
                }
                return None;
            }
        };
        let misplaced = |key: &str| match key {
            "key" => kind != StateKind::Map,
            "default" => kind != StateKind::Value,
            "reduce" => kind != StateKind::Reducing,
            "aggregate" => kind != StateKind::Aggregating,
            _ => false,
        };
        for (key, entry) in self.entries.iter().filter(|(key, _)| misplaced(key)) {
            let message = format!("state \"{}\": \"{key}\" has no meaning for a state of kind {}", self.name, text.as_str());
            self.problems.push(Problem::at(&entry.key_place, message));
        }
        Some(kind)
    }

    fn data_type(&mut self, key: &str, of_map: bool) -> Option<LogicalType> {
        let Some(text) = self.text(key).cloned() else {
            let example = if of_map { "key = \"STRING\", type = \"BIGINT\"" } else { "type = \"BIGINT\"" };
            self.problem(None, &format!("it has no \"{key}\""), Some(format!("write {example}")));
            return None;
        };
        if text.is_broken() {
            return None;
        }
        match text.as_str().parse::<LogicalType>() {
            Ok(data_type) => Some(LogicalType::nullable(data_type.kind)),
            Err(error) => {
                let at = error.at.min(text.as_str().len());
                let place = text.place_of(at..text.as_str().len());
                let message = text.mask(&format!("state \"{}\": {}", self.name, error.message));
                let word = text.as_str()[at..].split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned();
                self.problems.push(Problem::at(&place, message).nearest(&word, crate::types::TYPE_NAMES.iter().copied()));
                None
            }
        }
    }

    fn fold(&mut self, kind: StateKind) -> Option<ScriptFold> {
        let (key, known) = match kind {
            StateKind::Reducing => ("reduce", REDUCES),
            StateKind::Aggregating => ("aggregate", AGGREGATES),
            _ => return Some(ScriptFold::None),
        };
        let Some(text) = self.text(key).cloned() else {
            let hint = format!("write {key} = \"{}\", or the name of what the script defines", known.join("\", \""));
            self.problem(None, &format!("it has no \"{key}\""), Some(hint));
            return None;
        };
        let name = text.as_str();
        Some(match known.iter().find(|known| **known == name) {
            Some(known) => ScriptFold::BuiltIn(known),
            None => ScriptFold::Lua(name.to_owned()),
        })
    }

    fn default(&mut self, kind: Option<StateKind>, data_type: Option<&LogicalType>) -> Option<crate::script::DefaultValue> {
        let text = self.text("default").cloned().filter(|text| kind == Some(StateKind::Value) && !text.is_broken())?;
        match parse_default(text.as_str(), data_type?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(Some("default"), &format!("default: {message}"), None);
                None
            }
        }
    }

    fn ttl(&mut self) -> Option<StateTtl> {
        let update =
            self.word("ttl-update", &[("OnCreateAndWrite", TtlUpdate::OnCreateAndWrite), ("OnReadAndWrite", TtlUpdate::OnReadAndWrite)]);
        let visibility = self.word(
            "ttl-visibility",
            &[
                ("NeverReturnExpired", TtlVisibility::NeverReturnExpired),
                ("ReturnExpiredIfNotCleanedUp", TtlVisibility::ReturnExpiredIfNotCleanedUp),
            ],
        );
        let time = self.word("ttl-time", &[("processing", TtlTime::Processing), ("event", TtlTime::Event)]);
        let Some(text) = self.text("ttl").cloned() else {
            if let Some((key, entry)) = self.entries.iter().find(|(key, _)| key.starts_with("ttl-")) {
                let problem = Problem::at(&entry.key_place, format!("state \"{}\": \"{key}\" without \"ttl\"", self.name));
                self.problems.push(problem.help("write ttl = \"1 h\""));
            }
            return None;
        };
        match parse_duration(text.as_str()) {
            Ok(ttl) if !ttl.is_zero() => {
                let mut found = StateTtl::new(ttl);
                found.update = update.unwrap_or(found.update);
                found.visibility = visibility.unwrap_or(found.visibility);
                found.time = time.unwrap_or(found.time);
                Some(found)
            }
            Ok(_) => {
                self.problem(Some("ttl"), "a ttl is longer than nothing; without one, entries stay", None);
                None
            }
            Err(error) => {
                if !text.is_broken() {
                    self.problem(Some("ttl"), &format!("ttl: {error}"), None);
                }
                None
            }
        }
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?.clone();
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.as_str()));
        if found.is_none() && !text.is_broken() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message =
                text.mask(&format!("state \"{}\": {key}: expected {}, found \"{}\"", self.name, names.join(" or "), text.as_str()));
            self.problems.push(Problem::at(text.place(), message).nearest(text.as_str(), names));
        }
        found.map(|(_, value)| *value)
    }
}
