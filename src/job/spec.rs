//! What was written: the tables of a job file and of the command line, each value with its place. Nothing is understood yet.

use super::problem::{Origin, Place, Problem};
use super::text::Text;
use crate::types::limits::JOB_FILE;
use std::ops::Range;
use toml_edit::{Document, Item, Key, TableLike, Value};

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// All parts of the key below its table, with dots: `scan.startup.mode`.
    pub key: String,
    /// Where the key stands (its last part).
    pub key_place: Place,
    /// The value.
    pub value: Text,
}

/// One `[sources.<name>]`, `[transforms.<name>]` or `[sinks.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub name_place: Place,
    /// What it says, in the file's order.
    pub entries: Vec<Entry>,
}

impl TableSpec {
    /// The entry with this key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The text of `key`.
    pub fn text(&self, key: &str) -> Option<&Text> {
        self.get(key).map(|entry| &entry.value)
    }
}

/// A job file and its overrides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// `[sources.*]`
    pub sources: Vec<TableSpec>,
    /// `[transforms.*]`
    pub transforms: Vec<TableSpec>,
    /// `[sinks.*]`
    pub sinks: Vec<TableSpec>,
    /// Everything else: Flink's options. Later entries come from the command line and win.
    pub options: Vec<Entry>,
}

const KINDS: [&str; 3] = ["sources", "transforms", "sinks"];

/// Where values of `${NAME}` come from.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Spec {
    /// Reads a job file. `None`: it is no TOML or too large, and that is the only problem. Otherwise there may be many, and the Spec
    /// holds what could be read.
    pub fn parse(file: &str, environment: Environment<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
        if file.len() as u64 > JOB_FILE.0 {
            problems.push(Problem::nowhere(format!("the file is larger than {JOB_FILE}")));
            return None;
        }
        match Document::parse(file) {
            Ok(document) => {
                let mut spec = Self::default();
                spec.read_root(document.as_table(), &mut Reader { file, environment, problems });
                Some(spec)
            }
            Err(error) => {
                let place = Place::file(error.span().unwrap_or(0..0));
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                problems.push(Problem::at(&place, format!("this is not TOML: {message}")));
                None
            }
        }
    }

    fn read_root(&mut self, root: &dyn TableLike, reader: &mut Reader<'_, '_>) {
        for (name, item) in root.iter() {
            let key = root.key(name);
            match KINDS.iter().position(|kind| *kind == name) {
                Some(kind) => {
                    let tables = reader.tables(KINDS[kind], key, item);
                    self.tables_mut(kind).extend(tables);
                }
                None => reader.flatten(name, key, item, &mut self.options),
            }
        }
    }

    fn tables_mut(&mut self, kind: usize) -> &mut Vec<TableSpec> {
        match kind {
            0 => &mut self.sources,
            1 => &mut self.transforms,
            _ => &mut self.sinks,
        }
    }

    /// Applies `key=value` overrides in their order; a key alone means `true`, as for Flink. `shown`: `-D key=value` of each.
    pub fn apply(&mut self, shown: &[String], problems: &mut Vec<Problem>) {
        for (index, flag) in shown.iter().enumerate() {
            let prefix = FLAG.len();
            let text = flag.get(prefix..).unwrap_or_default();
            let (key, value) = text.split_once('=').unwrap_or((text, "true"));
            let key_place = Place { origin: Origin::Flag(index), range: prefix..prefix + key.len() };
            let value_start = (prefix + key.len() + 1).min(flag.len());
            let entry = Entry { key: key.trim().to_owned(), key_place, value: Text::flag(index, value, value_start) };
            if entry.key.is_empty() {
                problems.push(Problem::at(&entry.key_place, "an override has no key").help("write -D key=value"));
            } else {
                self.override_entry(entry, problems);
            }
        }
    }

    fn override_entry(&mut self, mut entry: Entry, problems: &mut Vec<Problem>) {
        let found = KINDS.iter().position(|kind| entry.key.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')));
        let Some(kind) = found else {
            replace(&mut self.options, entry);
            return;
        };
        let rest = entry.key[KINDS[kind].len() + 1..].to_owned();
        let tables = self.tables_mut(kind);
        let matching = tables.iter().position(|table| rest.strip_prefix(&table.name).is_some_and(|key| key.starts_with('.')));
        let Some(at) = matching else {
            let name = rest.split('.').next().unwrap_or_default();
            let problem = Problem::at(&entry.key_place, format!("there is no [{}.{name}] in the job file", KINDS[kind]));
            problems.push(problem.nearest(name, tables.iter().map(|table| table.name.as_str())));
            return;
        };
        rest[tables[at].name.len() + 1..].clone_into(&mut entry.key);
        replace(&mut tables[at].entries, entry);
    }
}

/// What stands before an override when it is shown.
pub const FLAG: &str = "-D ";

fn replace(entries: &mut Vec<Entry>, entry: Entry) {
    // An override of a table's part takes the place of what the table said there: `bad-records` of `bad-records.dead-letter`.
    let below = |key: &str, above: &str| key.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
    let is_list_or_table = |key: &str| key == "bad-records" || key.starts_with("bad-records.");
    entries.retain(|old| {
        old.key != entry.key && !(is_list_or_table(&old.key) && (below(&old.key, &entry.key) || below(&entry.key, &old.key)))
    });
    entries.push(entry);
}

struct Reader<'a, 'p> {
    file: &'a str,
    environment: Environment<'a>,
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_, '_> {
    fn tables(&mut self, kind: &str, key: Option<&Key>, item: &Item) -> Vec<TableSpec> {
        let Some(tables) = item.as_table_like() else {
            let place = place_of(key, item.span());
            self.problems.push(Problem::at(&place, format!("\"{kind}\" must be a table")).help(format!("write [{kind}.<name>]")));
            return Vec::new();
        };
        let mut specs = Vec::new();
        for (name, item) in tables.iter() {
            let name_place = place_of(tables.key(name), item.span());
            let Some(table) = item.as_table_like() else {
                let problem = Problem::at(&name_place, format!("\"{kind}.{name}\" must be a table"));
                self.problems.push(problem.help(format!("write [{kind}.<name>] with the options of each one below it")));
                continue;
            };
            if let Err(message) = check_name(name) {
                self.problems.push(Problem::at(&name_place, message));
            }
            let mut entries = Vec::new();
            for (key, item) in table.iter() {
                self.flatten(key, table.key(key), item, &mut entries);
            }
            specs.push(TableSpec { name: name.to_owned(), name_place, entries });
        }
        specs
    }

    fn flatten(&mut self, path: &str, key: Option<&Key>, item: &Item, into: &mut Vec<Entry>) {
        let key_place = place_of(key, item.span());
        if let Some(table) = item.as_table_like() {
            for (name, item) in table.iter() {
                self.flatten(&format!("{path}.{name}"), table.key(name), item, into);
            }
            return;
        }
        if let Some(text) = item.as_value().and_then(|value| self.text(value)) {
            let value = text.expand(self.environment, self.problems);
            into.push(Entry { key: path.to_owned(), key_place, value });
        } else {
            let range = item.span().unwrap_or_else(|| key_place.range.clone());
            let message = format!("{path}: expected a text, a number or true/false, found {}", article(item.type_name()));
            self.problems.push(Problem::at(&Place::file(range.clone()), message));
            into.push(Entry { key: path.to_owned(), key_place, value: Text::broken(range) });
        }
    }

    /// The text of a value that is one; lists of texts are joined by `;`, as Flink writes lists.
    fn text(&self, value: &Value) -> Option<Text> {
        let range = value.span().unwrap_or(0..0);
        let raw = self.file.get(range.clone()).unwrap_or_default();
        match value {
            Value::String(string) => Some(Text::toml_string(string.value(), raw, range)),
            Value::Integer(number) => Some(Text::toml_scalar(number.value().to_string(), range)),
            Value::Float(number) => Some(Text::toml_scalar(number.value().to_string(), range)),
            Value::Boolean(boolean) => Some(Text::toml_scalar(boolean.value().to_string(), range)),
            Value::Datetime(_) => Some(Text::toml_scalar(raw.to_owned(), range)),
            Value::Array(array) => {
                let items = array.iter().map(|item| item.as_str().map(str::to_owned).or_else(|| item.as_integer().map(|n| n.to_string())));
                let items = items.collect::<Option<Vec<_>>>()?;
                Some(Text::toml_scalar(items.join(";"), range))
            }
            Value::InlineTable(_) => None,
        }
    }
}

fn place_of(key: Option<&Key>, otherwise: Option<Range<usize>>) -> Place {
    Place::file(key.and_then(Key::span).or(otherwise).unwrap_or(0..0))
}

fn article(type_name: &str) -> String {
    let an = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if an { "an" } else { "a" })
}

/// Names become parts of uids and of paths in savepoints.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a name must not be empty".to_owned());
    }
    if name.len() > 128 {
        return Err("a name must not be longer than 128 bytes".to_owned());
    }
    match name.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '))) {
        Some(c) => Err(format!("\"{}\" has a character that names must not have: {c:?}", name.escape_debug())),
        None if name.starts_with('.') => Err(format!("\"{name}\": a name must not start with a dot")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: &str, flags: &[&str]) -> (Spec, Vec<String>) {
        let mut problems = Vec::new();
        let mut spec = Spec::parse(file, &|_| None, &mut problems).unwrap();
        let shown: Vec<String> = flags.iter().map(|flag| format!("{FLAG}{flag}")).collect();
        spec.apply(&shown, &mut problems);
        (spec, problems.into_iter().map(|problem| problem.message).collect())
    }

    fn options(spec: &Spec) -> Vec<(&str, &str)> {
        spec.options.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
    }

    #[test]
    fn options_are_flattened_however_toml_nests_them() {
        let file = "a.b = 1_000\n\"c.d\" = true\n[e.f]\ng = { h = \"x\", i.j = 0.5 }\nk = [\"a\", \"b\"]\n";
        let (spec, problems) = parse(file, &[]);
        assert_eq!(options(&spec), [("a.b", "1000"), ("c.d", "true"), ("e.f.g.h", "x"), ("e.f.g.i.j", "0.5"), ("e.f.k", "a;b")]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(&file[spec.options[2].key_place.range.clone()], "h");
    }

    #[test]
    fn overrides_replace_what_the_file_says_and_reach_into_tables() {
        let file = "[p]\nq = 1\n[sources.\"x.y\"]\npath = \"a\"\n[sinks.out]\nformat.z = 1\n";
        let (spec, problems) = parse(file, &["p.q=2", "new", "sources.x.y.path=b=c", "sinks.out.format.z=9"]);
        assert_eq!(options(&spec), [("p.q", "2"), ("new", "true")]);
        assert_eq!(spec.sources[0].text("path").unwrap().as_str(), "b=c");
        assert_eq!(spec.sinks[0].text("format.z").unwrap().as_str(), "9");
        assert_eq!(problems, Vec::<String>::new());
        let (_, problems) = parse(file, &["sources.nope.path=b", "=x"]);
        assert_eq!(problems, ["there is no [sources.nope] in the job file", "an override has no key"]);
    }

    #[test]
    fn what_is_no_table_or_no_text_is_a_problem() {
        let (_, problems) = parse("sources = 1\n[transforms]\na = 2\n[sinks.\"a/b\"]\nx = [[1]]\n[[list]]\ny = 1\n", &[]);
        assert_eq!(
            problems,
            [
                "\"sources\" must be a table",
                "\"transforms.a\" must be a table",
                "\"a/b\" has a character that names must not have: '/'",
                "x: expected a text, a number or true/false, found an array",
                "list: expected a text, a number or true/false, found an array of tables",
            ]
        );
    }
}
