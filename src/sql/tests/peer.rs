//! Expressions against the answers that a real Flink 2.3.0 gave to them: `tests/peer` has the questions, the answers, and the
//! program that asked.

use super::SqlError;
use crate::format::print::write_rows;
use crate::format::{FailOnBadRecord, decoder_factory};
use crate::sql::analyze_expression;
use crate::types::{Batch, Column, LogicalType, Options, Schema, WallTime, parse_type_prefix};
use arrow::array::RecordBatch;
use serde_json::Value;
use std::collections::BTreeSet;

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/peer/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// `a INT, b STRING`
fn schema(mut text: &str) -> Schema {
    let mut columns = Vec::new();
    while let Some((name, rest)) = text.trim_start_matches([' ', ',']).split_once(' ') {
        let (data_type, length) = parse_type_prefix(rest).unwrap();
        columns.push(Column { name: name.to_owned(), data_type });
        text = &rest[length..];
    }
    Schema::new(columns)
}

/// The rows that the expressions are about.
fn rows(schema: &Schema) -> Batch {
    let all: Vec<usize> = (0..schema.columns.len()).collect();
    let mut decoder = decoder_factory("json", schema, &all, &Options::default()).unwrap().decoder();
    let text = file("rows.json");
    decoder.start_file(0);
    assert_eq!(decoder.decode(text.as_bytes(), true, 1_000, &mut FailOnBadRecord).unwrap(), text.len());
    decoder.flush().unwrap().unwrap()
}

/// What comes of an expression.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// One value a row, and their type.
    Values(String, Vec<String>),
    /// The rows cannot be evaluated.
    Failed(String),
    /// It is no valid expression.
    Refused(String),
    /// Valid in Flink, said to be missing here.
    Missing,
}

fn ours(text: &str, schema: &Schema, rows: &Batch) -> Outcome {
    let analyzed = match analyze_expression(text, schema) {
        Ok(analyzed) => analyzed,
        Err(SqlError { message, .. }) if message.contains("not supported") || message.contains("there is no function") => {
            return Outcome::Missing;
        }
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let array = match analyzed.compiled.evaluate_at(rows.columns(), WallTime(1_600_000_000_123)) {
        Ok(array) => array,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let kind = analyzed.data_type.kind.clone();
    let column = Column { name: "x".to_owned(), data_type: LogicalType::nullable(kind) };
    let result = RecordBatch::try_new(Schema::new(vec![column]).to_arrow(), vec![array]).unwrap();
    let mut shown = Vec::new();
    if write_rows(&Batch::append(result), 0..rows.num_rows(), "", &mut shown).is_err() {
        // An INTERVAL by itself: no sink takes it.
        return Outcome::Missing;
    }
    let shown = String::from_utf8(shown).unwrap();
    let values = shown.split_terminator("]\n").map(|row| row.strip_prefix("+I[").unwrap_or(row).to_owned());
    Outcome::Values(analyzed.data_type.to_string(), values.collect())
}

fn flinks(answer: &Value) -> Outcome {
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    if let Some(reason) = text("refused") {
        return Outcome::Refused(reason);
    }
    if let Some(reason) = text("failed") {
        return Outcome::Failed(reason);
    }
    let value = |value: &Value| value.as_str().unwrap().to_owned();
    Outcome::Values(text("type").unwrap(), answer["values"].as_array().unwrap().iter().map(value).collect())
}

/// Whether NULL may come is not compared, nor the lengths of texts and bytes: they are not enforced, and functions here give STRING.
fn plain(data_type: &str) -> String {
    let text = data_type.trim_end_matches(" NOT NULL").replace(" WITH LOCAL TIME ZONE", "").replace("TIMESTAMP_LTZ", "TIMESTAMP");
    match text.split('(').next() {
        Some("CHAR" | "VARCHAR") => "STRING".to_owned(),
        Some("BINARY" | "VARBINARY") => "BYTES".to_owned(),
        _ => text,
    }
}

fn equal(flinks: &Outcome, ours: &Outcome) -> bool {
    match (flinks, ours) {
        (Outcome::Values(type_a, a), Outcome::Values(type_b, b)) => plain(type_a) == plain(type_b) && a == b,
        // What can be seen at the start is refused there.
        (_, Outcome::Missing)
        | (Outcome::Failed(_) | Outcome::Refused(_), Outcome::Refused(_))
        | (Outcome::Failed(_), Outcome::Failed(_)) => true,
        _ => false,
    }
}

#[test]
fn expressions_give_what_flink_gave_except_where_it_is_said_why_not() {
    let answers: Value = serde_json::from_str(&file("answers-2.3.0.json")).unwrap();
    let schema = schema(answers["schema"].as_str().unwrap());
    let rows = rows(&schema);
    let differences = file("differences.txt");
    let known: BTreeSet<&str> = differences.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (mut wrong, mut mended, mut compared) = (Vec::new(), Vec::new(), 0);
    for answer in answers["expressions"].as_array().unwrap() {
        let sql = answer["sql"].as_str().unwrap();
        let (flinks, ours) = (flinks(answer), ours(sql, &schema, &rows));
        compared += usize::from(ours != Outcome::Missing);
        match (equal(&flinks, &ours), known.contains(sql)) {
            (true, true) => mended.push(sql),
            (false, false) => wrong.push(format!("{sql}\n  Flink {flinks:?}\n  ours  {ours:?}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(mended.is_empty(), "no longer different, so no longer in differences.txt: {mended:?}");
    assert!(compared > 1_000, "only {compared} were compared");
}
