//! Expressions by table: what they give, which type they have, and how they fail. Expected values are Flink's.

mod expressions;
mod peer;
mod plans;
mod properties;

use super::{SqlError, TableDeclaration, TransformRequest, analyze_expression};
use crate::expr::cast::text_of;
use crate::types::{ChangelogMode, Column, LogicalType, Schema, WallTime};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Columns as DDL writes them.
fn schema(columns: &[(&str, &str)]) -> Schema {
    let column = |(name, text): &(&str, &str)| Column { name: (*name).to_owned(), data_type: text.parse::<LogicalType>().unwrap() };
    Schema::new(columns.iter().map(column).collect())
}

/// Two rows: the values that the tests calculate with, and NULLs.
fn sample() -> (Schema, RecordBatch) {
    let schema = schema(&[
        ("i", "INT"),
        ("l", "BIGINT"),
        ("d", "DOUBLE"),
        ("s", "STRING"),
        ("b", "BOOLEAN"),
        ("p", "DECIMAL(10, 2)"),
        ("t", "TIMESTAMP(3)"),
        ("day", "DATE"),
        ("z", "INT NOT NULL"),
    ]);
    let values = [
        ScalarValue::Int32(Some(7)),
        ScalarValue::Int64(Some(100)),
        ScalarValue::Float64(Some(2.5)),
        ScalarValue::Utf8(Some("Hello".to_owned())),
        ScalarValue::Boolean(Some(true)),
        ScalarValue::Decimal128(Some(1234), 10, 2),
        // 2020-02-29 13:45:06.789
        ScalarValue::TimestampMillisecond(Some(1_582_983_906_789), None),
        ScalarValue::Date32(Some(18_321)),
        ScalarValue::Int32(Some(0)),
    ];
    let columns = values.iter().enumerate().map(|(i, value)| {
        let second = if i == 8 { value.clone() } else { ScalarValue::try_from(&value.data_type()).unwrap() };
        ScalarValue::iter_to_array([value.clone(), second]).unwrap()
    });
    let batch = RecordBatch::try_new(schema.to_arrow(), columns.collect()).unwrap();
    (schema, batch)
}

/// The values of an expression over the sample, as CAST to STRING shows them; the second row has NULLs.
fn evaluate(text: &str) -> Result<(Vec<String>, LogicalType), String> {
    let (schema, batch) = sample();
    let analyzed = analyze_expression(text, &schema).map_err(|e: SqlError| e.to_string())?;
    let now = WallTime(1_600_000_000_123);
    let array = analyzed.compiled.evaluate_at(&batch, now).map_err(|e| e.to_string())?;
    let arrow = analyzed.data_type.to_arrow();
    assert!(*array.data_type() == arrow || arrow == DataType::Null, "{text}: {} is not {arrow}", array.data_type());
    if !analyzed.data_type.nullable {
        assert_eq!(array.null_count(), 0, "{text} gave NULL although it is {}", analyzed.data_type);
    }
    let shown = (0..array.len()).map(|row| text_of(&analyzed.data_type.kind, &array, row).unwrap_or_else(|| "NULL".to_owned()));
    Ok((shown.collect(), analyzed.data_type))
}

fn first(text: &str) -> String {
    evaluate(text).map_or_else(|e| format!("ERROR {e}"), |(values, _)| values[0].clone())
}

fn type_of(text: &str) -> String {
    analyze_expression(text, &sample().0).map_or_else(|e| format!("ERROR {e}"), |analyzed| analyzed.data_type.to_string())
}

/// Tables for queries.
fn tables() -> BTreeMap<String, TableDeclaration> {
    let bids = TableDeclaration {
        schema: schema(&[("auction", "BIGINT"), ("bidder", "BIGINT"), ("price", "BIGINT"), ("channel", "STRING"), ("ts", "TIMESTAMP(3)")]),
        mode: ChangelogMode::AppendOnly,
        unique_key: None,
        time_attribute: Some(4),
    };
    let totals = TableDeclaration {
        schema: schema(&[("auction", "BIGINT"), ("bids", "BIGINT NOT NULL"), ("volume", "BIGINT")]),
        mode: ChangelogMode::Retract,
        unique_key: Some(vec![0]),
        time_attribute: None,
    };
    let upserts = TableDeclaration { mode: ChangelogMode::Upsert, ..totals.clone() };
    BTreeMap::from([("bids".to_owned(), bids), ("totals".to_owned(), totals), ("upserts".to_owned(), upserts)])
}

fn request<'a>(sql: &'a str, tables: &'a BTreeMap<String, TableDeclaration>) -> TransformRequest<'a> {
    TransformRequest { name: "test", sql, tables, options: super::PlanOptions::default() }
}

/// The place of an error as the text that it points at.
fn pointed(sql: &str, error: &SqlError) -> String {
    error.offset.clone().map_or_else(String::new, |range| sql[range].to_owned())
}

#[test]
fn a_watermark_is_known_to_grow_with_its_column() {
    let (schema, _) = sample();
    let watermark = analyze_expression("t - INTERVAL '4' SECOND", &schema).unwrap();
    assert!(watermark.compiled.is_column_with_offset(6) && !watermark.compiled.is_column_with_offset(0));
    assert_eq!(watermark.used_columns.into_iter().collect::<Vec<_>>(), [6]);
    assert!(!analyze_expression("t - i * INTERVAL '4' SECOND", &schema).unwrap().compiled.is_column_with_offset(6));
}

#[test]
fn the_sample_is_what_the_tables_expect() {
    assert_eq!(sample().1.num_rows(), 2);
    let _: Arc<arrow::datatypes::Schema> = sample().0.to_arrow();
}
