//! Rust values through state, rows and outputs.

use super::*;
use crate::types::{Batch, Column, Datum, LogicalType, RowBuilder, Schema, TypeKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Color {
    Red,
    Green,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    tiny: i8,
    word: u32,
    long: i64,
    ratio: f32,
    name: String,
    letter: char,
    color: Color,
    point: Option<Point>,
    points: Vec<Point>,
    counts: BTreeMap<String, Option<i64>>,
    pair: (i64, String),
}

fn everything() -> Everything {
    Everything {
        flag: true,
        tiny: -3,
        word: u32::MAX,
        long: i64::MIN,
        ratio: 0.5,
        name: "Zürich".to_owned(),
        letter: 'ß',
        color: Color::Green,
        point: Some(Point { x: 1, y: None }),
        points: vec![Point { x: 2, y: Some(0.25) }, Point { x: 3, y: None }],
        counts: [("a".to_owned(), Some(1)), ("b".to_owned(), None)].into(),
        pair: (7, "seven".to_owned()),
    }
}

fn type_text<T: DeserializeOwned>() -> String {
    logical_type_of::<T>().unwrap().to_string()
}

/// The schema whose columns are the fields of `T`.
fn schema_of<T: DeserializeOwned>() -> Schema {
    let TypeKind::Row(fields) = logical_type_of::<T>().unwrap().kind else { panic!("no struct") };
    Schema::new(fields.into_iter().map(|(name, data_type)| Column { name, data_type }).collect())
}

#[test]
fn the_type_of_a_column_follows_from_the_rust_type() {
    assert_eq!(type_text::<u8>(), "SMALLINT NOT NULL");
    assert_eq!(type_text::<Option<Vec<i32>>>(), "ARRAY<INT NOT NULL>");
    assert_eq!(type_text::<HashMap<String, Option<f64>>>(), "MAP<STRING NOT NULL, DOUBLE> NOT NULL");
    assert_eq!(type_text::<Point>(), "ROW<`x` INT NOT NULL, `y` DOUBLE> NOT NULL");
    assert_eq!(type_text::<(i64, bool)>(), "ROW<`f0` BIGINT NOT NULL, `f1` BOOLEAN NOT NULL> NOT NULL");
    assert_eq!(type_text::<Color>(), "STRING NOT NULL");
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "its type alone is looked at")]
struct Endless {
    next: Option<Box<Endless>>,
}

#[test]
fn a_type_that_no_column_has_is_refused_by_name() {
    let error = logical_type_of::<Endless>().unwrap_err().to_string();
    assert!(error.contains("Endless: it contains itself; give it by `with_type`"), "{error}");
    assert!(logical_type_of::<serde_json::Value>().unwrap_err().to_string().contains("it reads values of any type"));
}

fn through_state<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    assert_eq!(from_datum::<T>(&to_datum(&value).unwrap()).unwrap(), value);
}

#[test]
fn values_come_back_from_state() {
    through_state(everything());
    through_state(Some(5_u64));
    through_state(None::<i64>);
    through_state(12_345_678_901_234_567_890_i128);
    assert!(to_datum(&u64::MAX).unwrap_err().to_string().contains("is beyond BIGINT"));
    assert!(from_datum::<i8>(&Datum::Long(200)).is_err());
    assert!(from_datum::<i64>(&Datum::Null).is_err());
}

#[test]
fn a_hash_map_is_saved_in_the_order_of_its_keys() {
    let map: HashMap<i64, i64> = (0..50).map(|k| (k, k)).collect();
    let Datum::Map(entries) = to_datum(&map).unwrap() else { panic!("a map") };
    assert!(entries.is_sorted());
}

fn batch_of<T: Serialize + DeserializeOwned>(schema: &Schema, rows: &[T]) -> Batch {
    let (mut builder, mut map) = (RowBuilder::new(schema), ColumnMap::default());
    for row in rows {
        write_row(row, &mut builder, &mut map).unwrap();
    }
    Batch::append(builder.finish().unwrap())
}

#[test]
fn structs_go_through_columns_by_name_whatever_their_order() {
    let mut schema = schema_of::<Everything>();
    schema.columns.reverse();
    let rows = vec![everything(), Everything { point: None, points: vec![], ..everything() }];
    let batch = batch_of(&schema, &rows);
    let reader = RowReader::new(&batch).unwrap();
    let mut map = FieldMap::default();
    assert_eq!([reader.read::<Everything>(0, &mut map).unwrap(), reader.read(1, &mut map).unwrap()].as_slice(), rows);
    // Another struct, with one column of these, one that may be missing, and one that must not.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        long: i64,
        other: Option<i64>,
        #[serde(default)]
        more: i64,
    }
    assert_eq!(reader.read::<Part>(0, &mut map).unwrap(), Part { long: i64::MIN, other: None, more: 0 });
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it cannot be read")]
    struct Missing {
        nowhere: i64,
    }
    assert!(reader.read::<Missing>(0, &mut map).unwrap_err().to_string().contains("missing field `nowhere`"));
}

#[test]
fn tuples_go_through_columns_in_order_and_errors_name_the_column() {
    let column = |name: &str, kind| Column { name: name.to_owned(), data_type: LogicalType::nullable(kind) };
    let schema = Schema::new(vec![column("a", TypeKind::TinyInt), column("b", TypeKind::String)]);
    let batch = batch_of(&schema, &[(1_i64, Some("x".to_owned())), (2, None)]);
    let reader = RowReader::new(&batch).unwrap();
    let mut map = FieldMap::default();
    assert_eq!(reader.read::<(i8, Option<String>)>(1, &mut map).unwrap(), (2, None));
    let error = reader.read::<(i8, String)>(1, &mut map).unwrap_err().to_string();
    assert!(error.starts_with("column b: invalid type"), "{error}");
    let mut builder = RowBuilder::new(&schema);
    let error = write_row(&(300, "x"), &mut builder, &mut ColumnMap::default()).unwrap_err().to_string();
    assert_eq!(error, "column a: 300 does not fit into TINYINT");
    #[derive(Serialize)]
    struct Unknown {
        c: i64,
    }
    let error = write_row(&Unknown { c: 1 }, &mut RowBuilder::new(&schema), &mut ColumnMap::default()).unwrap_err().to_string();
    assert_eq!(error, "the output has no column c; it has a, b");
}
