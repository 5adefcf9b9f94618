//! `docs/job-toml.md` has every option: its tables are what the option tables say.

use super::super::options::{JOB_OPTIONS, JobOption, Support};
use crate::types::{OptionKind, OptionSpec};
use crate::{connector, format};
use std::fmt::Write as _;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/job-toml.md");

fn values(kind: OptionKind) -> String {
    match kind {
        OptionKind::Bool => "true, false".to_owned(),
        OptionKind::Int(i64::MIN, i64::MAX) => "a whole number".to_owned(),
        OptionKind::Int(low, high) if high >= i64::from(i32::MAX) => format!("a whole number from {low}"),
        OptionKind::Int(low, high) => format!("{low} to {high}"),
        OptionKind::Float => "a number".to_owned(),
        OptionKind::Duration => "a duration".to_owned(),
        OptionKind::Size => "a size".to_owned(),
        OptionKind::Word(words) => words.join(", "),
        OptionKind::Text => "a text".to_owned(),
    }
}

fn row(spec: &OptionSpec, remark: &str) -> String {
    let default = match (spec.required, spec.default) {
        (true, _) => "required".to_owned(),
        (false, Some("")) => "empty".to_owned(),
        (false, Some(default)) => format!("`{}`", default.replace('|', "\\|")),
        (false, None) => "none".to_owned(),
    };
    format!("| `{}` | {} | {default} | {}{remark} |\n", spec.key, values(spec.kind).replace('|', "\\|"), spec.doc.replace('|', "\\|"))
}

const HEAD: &str = "| key | values | default | meaning |\n| --- | --- | --- | --- |\n";

fn job_table(options: &[JobOption]) -> String {
    options.iter().fold(HEAD.to_owned(), |mut table, option| {
        let mut remark = match option.support {
            Support::Full => String::new(),
            Support::DefaultOnly("") => " Not supported yet: only the default is accepted.".to_owned(),
            Support::DefaultOnly(instead) => format!(" Not supported here: {instead}."),
            Support::NoEffect => " Accepted without effect.".to_owned(),
        };
        if !option.older.is_empty() {
            let names: Vec<String> = option.older.iter().map(|name| format!("`{name}`")).collect();
            let _ = write!(remark, " Formerly {}.", names.join(", "));
        }
        table.push_str(&row(&option.spec, &remark));
        table
    })
}

fn named_tables(names: &[&str], options: impl Fn(&str) -> Option<&'static [OptionSpec]>) -> String {
    let tables = names.iter().map(|name| {
        let options = options(name).unwrap();
        // The same option for fields of rows, at any depth.
        let (deeper, flat): (Vec<&OptionSpec>, Vec<&OptionSpec>) = options.iter().partition(|spec| spec.key.contains("*.*"));
        let rows: String = flat.into_iter().map(|spec| row(spec, "")).collect();
        let note = if deeper.is_empty() { "" } else { "\nFields of a ROW are reached by their path: `fields.<column>.<field>.…`.\n" };
        if rows.is_empty() { format!("### `{name}`\n\nNo options.\n") } else { format!("### `{name}`\n\n{HEAD}{rows}{note}") }
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn generated(name: &str) -> String {
    let job = |at: usize| job_table(JOB_OPTIONS[at]);
    match name {
        "pipeline" => job(0),
        "checkpointing" => job(1),
        "state" => job(2),
        "rocksdb" => job(3),
        "restart" => job(4),
        "table" => job(5),
        "recovery" => job(6),
        "script" => job(7),
        "s3" => job(8),
        "sources" => named_tables(connector::SOURCE_CONNECTORS, connector::source_options),
        "sinks" => named_tables(connector::SINK_CONNECTORS, connector::sink_options),
        "formats" => named_tables(format::NAMES, format::options),
        other => panic!("{other} is no table of options"),
    }
}

/// The page with its tables as they should be, and how many there are.
fn complete(page: &str) -> (String, usize) {
    let (mut out, mut rest, mut tables) = (String::new(), page, 0);
    while let Some((before, behind)) = rest.split_once("<!-- options: ") {
        let (name, behind) = behind.split_once(" -->").unwrap();
        let (_, behind) = behind.split_once("<!-- end -->").unwrap();
        let _ = write!(out, "{before}<!-- options: {name} -->\n\n{}\n<!-- end -->", generated(name));
        (rest, tables) = (behind, tables + 1);
    }
    out.push_str(rest);
    (out, tables)
}

/// With `UPDATE=1` in the environment the page is written instead.
#[test]
fn the_reference_has_every_option_as_the_tables_say() {
    let page = std::fs::read_to_string(REFERENCE).unwrap();
    let (expected, tables) = complete(&page);
    assert_eq!(tables, 12);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(REFERENCE, &expected).unwrap();
        return;
    }
    assert!(page == expected, "docs/job-toml.md is behind the option tables: UPDATE=1 cargo test --release --lib job::tests::reference");
}
