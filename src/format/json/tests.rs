//! What the JSON decoder takes, refuses and coerces, and its agreement with another decoder.

use crate::format::{BadRecord, BadRecords, Decoder, FormatError, decoder_factory, encoder_factory};
use crate::types::{Batch, Column, Options, Schema, parse_type_prefix};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

/// Keeps bad records, with whether they were ignored.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Vec<(BadRecord, bool)>);

impl BadRecords for Kept {
    fn bad_record(&mut self, record: BadRecord) -> Result<(), FormatError> {
        self.0.push((record, false));
        Ok(())
    }

    fn ignored_record(&mut self, record: BadRecord) {
        self.0.push((record, true));
    }
}

/// `a INT, b STRING`
pub(crate) fn schema(mut text: &str) -> Schema {
    let mut columns = Vec::new();
    while let Some((name, rest)) = text.trim_start_matches([' ', ',']).split_once(' ') {
        let (data_type, length) = parse_type_prefix(rest).unwrap();
        columns.push(Column { name: name.to_owned(), data_type });
        text = &rest[length..];
    }
    Schema::new(columns)
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn decoder(format: &str, columns: &str, pairs: &[(&str, &str)]) -> Box<dyn Decoder> {
    let schema = schema(columns);
    let all: Vec<usize> = (0..schema.columns.len()).collect();
    let mut decoder = decoder_factory(format, &schema, &all, &options(pairs)).unwrap().decoder();
    decoder.start_file(0);
    decoder
}

/// Decodes all of `bytes`, handed over in pieces that end at `cuts`, in batches of at most `max_rows`.
pub(crate) fn decode_in_pieces(decoder: &mut dyn Decoder, bytes: &[u8], cuts: &[usize], max_rows: usize) -> (Vec<Batch>, Kept) {
    let (mut batches, mut bad) = (Vec::new(), Kept::default());
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let mut at = 0;
    for (number, end) in ends.iter().enumerate() {
        let last = number + 1 == ends.len();
        loop {
            let known = bad.0.len();
            let consumed = decoder.decode(&bytes[at..*end], last, max_rows, &mut bad).unwrap();
            for (record, _) in &mut bad.0[known..] {
                record.offset += at;
            }
            at += consumed;
            let batch = if decoder.rows() >= max_rows || last { decoder.flush().unwrap() } else { None };
            if batch.is_none() && consumed == 0 {
                break;
            }
            batches.extend(batch);
        }
    }
    assert_eq!(at, bytes.len());
    (batches, bad)
}

pub(crate) fn decode(format: &str, columns: &str, pairs: &[(&str, &str)], text: &str) -> (Vec<Batch>, Kept) {
    decode_in_pieces(&mut *decoder(format, columns, pairs), text.as_bytes(), &[], 1_000)
}

/// Each row as `a|b|c`, NULL as `-`.
pub(crate) fn rows(batches: &[Batch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("-");
    let row = |batch: &RecordBatch, row: usize| {
        let cell = |array| ArrayFormatter::try_new(array, &options).unwrap().value(row).to_string();
        batch.columns().iter().map(|array| cell(array.as_ref())).collect::<Vec<_>>().join("|")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|number| row(batch.columns(), number))).collect()
}

/// The rows of `text`, none of which may be bad.
fn good(columns: &str, pairs: &[(&str, &str)], text: &str) -> Vec<String> {
    let (batches, bad) = decode("json", columns, pairs, text);
    assert_eq!(bad.0, []);
    rows(&batches)
}

/// The one value of `{"v": json}`.
fn value(data_type: &str, json: &str) -> String {
    good(&format!("v {data_type}"), &[], &format!("{{\"v\":{json}}}\n")).remove(0)
}

/// Why `{"v": json}` is refused.
fn refusal(data_type: &str, json: &str) -> String {
    let (batches, bad) = decode("json", &format!("v {data_type}"), &[], &format!("{{\"v\":{json}}}\n"));
    assert_eq!(rows(&batches), Vec::<String>::new(), "{json} was taken as {data_type}");
    assert_eq!(bad.0.len(), 1);
    bad.0[0].0.to_string()
}

#[test]
fn keys_come_in_any_order_and_shape() {
    let text = "{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2}\n\n { \"a\" : 3 , \"c\" : [1,{\"d\":null}] , \"b\" : \"z\" } \r\n{\"a\":4}\n{}\n\
                {\"\\u0061\":5,\"b\":\"w\",\"a\":6}\n{\"a\":7,\"b\":\"x\"}";
    let text = &format!("{text}\n{{\"a\": 8,\"b\":  \"v\"}}\n{{\"a\":9,\"x\":  1}}\n{{\"a\":10,\"x\": 1}}\n{{\"a\":11,\"x\":1}}");
    assert_eq!(good("a INT, b STRING", &[], text), ["1|x", "2|y", "3|z", "4|-", "-|-", "6|w", "7|x", "8|v", "9|-", "10|-", "11|-"]);
}

#[test]
fn a_key_that_is_gone_is_null_even_right_after_a_bad_record() {
    let (batches, bad) =
        decode("json", "a INT, b INT", &[], "{\"a\":1,\"b\":1}\n{\"a\":2,\"x\":oops}\n{\"a\":3,\"x\":3}\n{\"a\":4,\"x\":4}\n");
    assert_eq!(rows(&batches), ["1|1", "3|-", "4|-"]);
    assert_eq!(bad.0.len(), 1);
}

#[test]
fn values_are_coerced_as_flink_coerces_them() {
    for (data_type, json, expected) in [
        ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
        ("BIGINT", "\" 12 \"", "12"),
        ("BIGINT", "1.9", "1"),
        ("BIGINT", "-1e3", "-1000"),
        ("INT", "\"+7\"", "7"),
        ("INT", "12345678", "12345678"),
        ("BIGINT", "1234567890123456789", "1234567890123456789"),
        ("SMALLINT", "-5", "-5"),
        ("TINYINT", "null", "-"),
        ("BOOLEAN", "true", "true"),
        ("BOOLEAN", "\"TRUE\"", "true"),
        ("BOOLEAN", "\"yes\"", "false"),
        ("BOOLEAN", "1", "false"),
        ("DOUBLE", "0.1", "0.1"),
        ("DOUBLE", "\"1e3\"", "1000.0"),
        ("DOUBLE", "123456789012345678901234567890", "1.2345678901234568e29"),
        ("DOUBLE", "\"-Infinity\"", "-inf"),
        ("FLOAT", "16777217", "16777216.0"),
        ("DECIMAL(10, 2)", "1.005", "1.01"),
        ("DECIMAL(10, 2)", "\"-1.005\"", "-1.01"),
        ("DECIMAL(4, 2)", "100", "-"),
        ("DECIMAL(38, 0)", "12345678901234567890123456789012345678.4", "12345678901234567890123456789012345678"),
        ("DECIMAL(10, 3)", "0.00000000000000000000000000000000000000000001", "0.000"),
        ("STRING", "12.50", "12.50"),
        ("STRING", "true", "true"),
        ("STRING", "{ \"a\" : [1, \"b\\/c\"] }", "{\"a\":[1,\"b/c\"]}"),
        ("STRING", "\"\\u00e9\\ud83d\\ude00\\n\\ud800x\"", "é😀\n?x"),
        ("STRING", "\"\"", ""),
        ("BYTES", "\"aGk=\"", "6869"),
        ("DATE", "\"2024-02-29\"", "2024-02-29"),
        ("DATE", "\"-0001-12-31\"", "-0001-12-31"),
        ("TIME", "\"23:59:59.9999\"", "23:59:59.999"),
        ("TIMESTAMP(3)", "\"2024-01-01 00:00:10.123\"", "2024-01-01T00:00:10.123"),
        ("TIMESTAMP(0)", "\"1969-12-31 23:59:59.9\"", "1969-12-31T23:59:59"),
        ("TIMESTAMP(9)", "\"2024-01-01 00:00:10.123456789\"", "2024-01-01T00:00:10.123456789"),
        ("TIMESTAMP(6)", "\"2024-01-01 00:00:10.123\"", "2024-01-01T00:00:10.123"),
        ("TIMESTAMP_LTZ(3)", "\"2024-01-01 00:00:10Z\"", "2024-01-01T00:00:10Z"),
        ("ARRAY<INT>", "[1, null,3 ]", "[1, -, 3]"),
        ("ARRAY<STRING>", "[]", "[]"),
        ("MAP<STRING, INT>", "{\"a\":1,\"b\":2,\"a\":3}", "{a: 3, b: 2}"),
        ("ROW<a INT, b ROW<c STRING>>", "{\"b\":{\"c\":\"x\"},\"a\":1}", "{a: 1, b: {c: x}}"),
        ("ROW<a INT NOT NULL, b STRING>", "null", "-"),
    ] {
        assert_eq!(value(data_type, json), expected, "{data_type} from {json}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    for (data_type, json, reason) in [
        ("BIGINT", "\"abc\"", "column v: expected BIGINT, found \"abc\""),
        ("BIGINT", "9223372036854775808", "column v: expected BIGINT, found 9223372036854775808"),
        ("BIGINT", "1e19", "column v: expected BIGINT, found 1e19"),
        ("BIGINT", "\"\"", "column v: expected BIGINT, found \"\""),
        ("BIGINT", "01", "column v: a number begins with 0: 01"),
        ("BIGINT", "12x", "expected , or }, found x"),
        ("BIGINT", "-", "column v: expected a digit, found }"),
        ("BIGINT", "[1]", "column v: expected BIGINT, found [1]"),
        ("BIGINT", "", "column v: expected BIGINT, found }"),
        ("BIGINT NOT NULL", "null", "column v: expected BIGINT NOT NULL, found null"),
        ("TINYINT", "128", "column v: expected TINYINT, found 128"),
        ("TINYINT", "1.5", "column v: expected TINYINT, found 1.5"),
        ("DOUBLE", "\"inf\"", "column v: expected DOUBLE, found \"inf\""),
        ("DOUBLE", "1.", "column v: expected a digit, found }"),
        ("TIMESTAMP(3)", "\"2024-02-30 00:00:00.000\"", "column v: expected TIMESTAMP(3), found \"2024-02-30 00:00:00.000\""),
        ("TIMESTAMP(3)", "\"2024-01-01 00:00:60.000\"", "column v: expected TIMESTAMP(3), found \"2024-01-01 00:00:60.000\""),
        ("TIMESTAMP(3)", "\"2024-01-01T00:00:00.000\"", "column v: expected TIMESTAMP(3), found \"2024-01-01T00:00:00.000\""),
        ("TIMESTAMP_LTZ(3)", "\"2024-01-01 00:00:00\"", "column v: expected TIMESTAMP_LTZ(3), found \"2024-01-01 00:00:00\""),
        ("TIMESTAMP(9)", "\"9999-01-01 00:00:00\"", "column v: expected TIMESTAMP(9), found \"9999-01-01 00:00:00\""),
        ("STRING", "\"a", "column v: expected the \" that closes the string, found the end of the line"),
        ("STRING", "\"\\x\"", "column v: \\x is no escape"),
        ("STRING", "nul", "column v: expected a value, found nul"),
        ("ARRAY<ROW<a INT>>", "[{\"a\":1},{\"a\":\"x\"}]", "column v[1].a: expected INT, found \"x\""),
        ("MAP<STRING, INT>", "{\"k\":\"x\"}", "column v['k']: expected INT, found \"x\""),
        ("ROW<a INT NOT NULL>", "{}", "column v.a: expected INT NOT NULL, but the field is missing"),
    ] {
        assert_eq!(refusal(data_type, json), reason, "{data_type} from {json}");
    }
}

/// As Flink 2.3.0 reads them.
#[test]
fn arrays_of_objects_are_rows_and_control_characters_stand_as_they_are() {
    let text = "[{\"a\":1},{\"b\":\"x\"}]\n[]\n {\"a\":2,\"b\":\"y\tz\"}\n[ {\"a\" : 3} , {} ] \r\n{\"a\":4}\n[{\"a\":5}] x\n[{\"a\":6}\n{\"a\":7}\n";
    let (batches, bad) = decode("json", "a INT, b STRING", &[], text);
    assert_eq!(rows(&batches), ["1|-", "-|x", "2|y\tz", "3|-", "-|-", "4|-", "7|-"]);
    let reasons: Vec<String> = bad.0.iter().map(|(record, _)| record.to_string()).collect();
    assert_eq!(reasons, ["expected the end of the line behind the array, found x", "expected , or ], found the end of the line"]);
}

#[test]
fn a_field_that_must_be_there_and_errors_that_are_ignored_exclude_each_other() {
    let both = options(&[("json.fail-on-missing-field", "true"), ("json.ignore-parse-errors", "true")]);
    let refused = decoder_factory("json", &schema("a INT"), &[0], &both).unwrap_err();
    assert!(refused.to_string().contains("cannot be true together with json.ignore-parse-errors"), "{refused}");
}

#[test]
fn a_record_that_is_no_object_is_bad_and_the_next_one_is_read() {
    let text = "[1]\n{\"v\":1,}\n{\"v\":1\n{\"v\":1}}\n{\"v\":{\"x\":[1,2}}}\nnull\n{\"v\":2}";
    let (batches, bad) = decode("json", "v STRING", &[], text);
    assert_eq!(rows(&batches), ["2"]);
    let reasons: Vec<String> = bad.0.iter().map(|(record, _)| record.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "column [0]: expected an object, found 1",
            "expected a key, found }",
            "expected , or }, found the end of the line",
            "expected the end of the line behind the object, found }",
            "column v: expected , or ], found }",
            "expected an object, found null",
        ]
    );
    assert_eq!((bad.0[2].0.offset, bad.0[2].0.raw.as_slice()), (13, b"{\"v\":1".as_slice()));
}

#[test]
fn invalid_utf8_and_too_deep_nesting_are_bad_records() {
    let mut decoder = decoder("json", "v STRING", &[]);
    let deep = format!("{{\"x\":{}1{}}}\n", "[".repeat(100), "]".repeat(100));
    let bytes = [b"{\"v\":\"a\xffb\"}\n{\"v\":\"\xc3\xa9\"}\n", deep.as_bytes()].concat();
    let (batches, bad) = decode_in_pieces(&mut *decoder, &bytes, &[], 10);
    assert_eq!(rows(&batches), ["é"]);
    assert_eq!(bad.0[0].0.to_string(), "column v: a string is not valid UTF-8");
    assert_eq!(bad.0[1].0.to_string(), "values nest deeper than 64 levels");
}

#[test]
fn missing_fields_fail_where_that_is_asked_for() {
    let strict = [("json.fail-on-missing-field", "true")];
    let (batches, bad) = decode("json", "a INT, b INT", &strict, "{\"a\":1}\n{\"a\":1,\"b\":null}\n");
    assert_eq!(rows(&batches), ["1|-"]);
    assert_eq!(bad.0[0].0.to_string(), "column b: expected INT, but the field is missing");
}

#[test]
fn parse_errors_that_are_ignored_make_fields_null_and_skip_records() {
    let lenient = [("json.ignore-parse-errors", "true")];
    let text = "{\"a\":\"x\",\"b\":1}\noops\n{\"a\":2,\"b\":[1,\"y\",{}]}\n{\"a\":{\"c\":1},\"b\":[]}\n";
    let (batches, bad) = decode("json", "a INT, b ARRAY<INT>", &lenient, text);
    assert_eq!(rows(&batches), ["-|-", "2|[1, -, -]", "-|[]"]);
    assert_eq!(bad.0.iter().map(|(record, ignored)| (record.raw.as_slice(), *ignored)).collect::<Vec<_>>(), [(b"oops".as_slice(), true)]);
}

#[test]
fn iso_timestamps_are_read_where_they_are_asked_for() {
    let iso = [("json.timestamp-format.standard", "ISO-8601")];
    let text = "{\"a\":\"2024-01-01T00:00:10.5\",\"b\":\"2024-01-01T00:00Z\"}\n{\"a\":\"2024-01-01T00:01:10.123\"}\n";
    assert_eq!(
        good("a TIMESTAMP(3), b TIMESTAMP_LTZ(3)", &iso, text),
        ["2024-01-01T00:00:10.500|2024-01-01T00:00:00Z", "2024-01-01T00:01:10.123|-"]
    );
}

#[test]
fn a_byte_order_mark_is_passed_over_at_the_start_of_a_file_alone() {
    let mut decoder = decoder("json", "v INT", &[]);
    let (batches, bad) = decode_in_pieces(&mut *decoder, b"\xef\xbb\xbf{\"v\":1}\n\xef\xbb\xbf{\"v\":2}\n", &[1, 2, 5], 10);
    assert_eq!((rows(&batches), bad.0.len()), (vec!["1".to_owned()], 1));
}

#[test]
fn maps_need_string_keys() {
    let schema = schema("m MAP<INT, INT>");
    let error = decoder_factory("json", &schema, &[0], &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "format: column m MAP<INT, INT>: the keys of a JSON object are strings, so a MAP needs a STRING key");
    assert!(decoder_factory("jsn", &schema, &[0], &Options::default()).unwrap_err().message.contains("json, csv, debezium-json"));
}

/// A line of JSON for `a BIGINT, b DOUBLE, c STRING, d BOOLEAN, e ARRAY<BIGINT>, f ROW<x BIGINT, y STRING>`, with keys in any
/// order, some missing, some unknown.
fn line() -> impl Strategy<Value = String> {
    let text = || any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let field = prop_oneof![
        any::<i64>().prop_map(|v| format!("\"a\":{v}")),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| format!("\"b\":{}", serde_json::to_string(&v).unwrap())),
        text().prop_map(|v| format!("\"c\": {v}")),
        any::<bool>().prop_map(|v| format!("\"d\" :{v}")),
        prop::collection::vec(any::<i64>(), 0..4).prop_map(|v| format!("\"e\":{}", serde_json::to_string(&v).unwrap())),
        (any::<i64>(), text()).prop_map(|(x, y)| format!("\"f\": {{\"y\":{y} , \"x\":{x}}}")),
        Just("\"f\":null".to_owned()),
        (text(), text()).prop_map(|(k, v)| format!("\"unknown\":{{{k}:[{v},1.5e3,{{}}]}}")),
    ];
    prop::collection::vec(field, 0..9).prop_map(|mut fields| {
        // One of each key: the other decoder adds up what comes twice.
        let key = |field: &String| field.as_bytes()[1];
        fields.sort_by_key(key);
        fields.dedup_by_key(|field| key(field));
        if fields.len() % 2 == 0 {
            fields.reverse();
        }
        format!("{{{}}}", fields.join(","))
    })
}

const COLUMNS: &str = "a BIGINT, b DOUBLE, c STRING, d BOOLEAN, e ARRAY<BIGINT>, f ROW<x BIGINT, y STRING>";

proptest! {
    #[test]
    fn any_json_reads_as_another_decoder_reads_it(lines in prop::collection::vec(line(), 0..20), cuts in prop::collection::vec(any::<usize>(), 0..8), max_rows in 1_usize..30) {
        let text = lines.join("\n");
        let arrow_schema = schema(COLUMNS).to_arrow();
        let mut other = arrow_json::ReaderBuilder::new(arrow_schema.clone()).with_batch_size(1_000).build_decoder().unwrap();
        other.decode(text.as_bytes()).unwrap();
        let expected = other.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(arrow_schema.clone()));
        let (batches, bad) = decode_in_pieces(&mut *decoder("json", COLUMNS, &[]), text.as_bytes(), &cuts, max_rows);
        prop_assert_eq!(bad.0, vec![]);
        prop_assert!(batches.iter().all(|batch| batch.num_rows() <= max_rows));
        let batch = Batch::concat(&arrow_schema, &batches).unwrap();
        prop_assert_eq!(batch.columns(), &expected);
    }

    #[test]
    fn no_bytes_panic_and_pieces_do_not_matter(bytes in noise(), cuts in prop::collection::vec(any::<usize>(), 0..8), lenient in any::<bool>()) {
        let columns = "a BIGINT, b DECIMAL(20, 3), c STRING, d TIMESTAMP(3), e ARRAY<INT>, f ROW<x INT NOT NULL, y MAP<STRING, DATE>>, g BYTES";
        let pairs = [("json.ignore-parse-errors", if lenient { "true" } else { "false" })];
        let whole = decode_in_pieces(&mut *decoder("json", columns, &pairs), &bytes, &[], 1_000);
        let pieces = decode_in_pieces(&mut *decoder("json", columns, &pairs), &bytes, &cuts, 1_000);
        prop_assert_eq!(rows(&whole.0), rows(&pieces.0));
        prop_assert_eq!(whole.1.0, pieces.1.0);
    }
}

/// Lines that are nearly JSON.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\n", "\\", "\\u", "d800", "null", "true", "-", "1", "0", ".5", "e9", " "]),
        6 => prop::sample::select(vec![
            "{\"a\":", "{\"a\":1", ",\"b\":", "\"c\":\"x\"", "\"d\":\"2024-01-01 00:00:10.123\"", "\"2024-01-01 00:00:1\"", ",\"e\":[1,2]", ",\"f\":{\"x\":1,",
            "\"y\":{\"k\":\"2024-01-01\"}}", ",\"g\":\"aGk=\"", "}\n", "{\"c\":\"", "123456789", "99999999999999999999",
        ])
        .prop_map(|text| text),
    ]
    .prop_map(|text| text.as_bytes().to_vec());
    let byte = any::<u8>().prop_map(|byte| vec![byte]);
    prop::collection::vec(prop_oneof![9 => piece, 1 => byte], 0..40).prop_map(|pieces| pieces.concat())
}

/// `batches` in `format`.
pub(crate) fn encode(format: &str, columns: &str, pairs: &[(&str, &str)], batches: &[Batch]) -> String {
    let mut encoder = encoder_factory(format, &schema(columns), &options(pairs)).unwrap().encoder();
    let mut out = Vec::new();
    for batch in batches {
        let middle = batch.num_rows() / 2;
        encoder.encode(batch, 0..middle, &mut out).unwrap();
        encoder.encode(batch, middle..batch.num_rows(), &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

/// What is written after `text` was read.
fn rewritten(columns: &str, pairs: &[(&str, &str)], text: &str) -> String {
    let (batches, bad) = decode("json", columns, &[], text);
    assert_eq!(bad.0, []);
    encode("json", columns, pairs, &batches)
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let columns = "a BIGINT, b STRING, c TIMESTAMP(3), d DOUBLE, e TIMESTAMP_LTZ(3), f ARRAY<INT>, g ROW<x INT, y MAP<STRING, BOOLEAN>>, h BYTES, i DECIMAL(10, 9), j TIME, k FLOAT";
    let text = "{\"a\":1,\"b\":\"a\\u001f\\\"\\\\/\\n\\u00e9\",\"c\":\"2024-01-01 00:00:10.120\",\"d\":1e10,\"e\":\"2024-01-01 00:00:00Z\",\"f\":[1,null],\
                \"g\":{\"y\":{\"k\":true}},\"h\":\"aGk=\",\"i\":0.000000027,\"j\":\"10:15:00\",\"k\":\"NaN\"}\n{}\n";
    assert_eq!(
        rewritten(columns, &[], text),
        "{\"a\":1,\"b\":\"a\\u001F\\\"\\\\/\\né\",\"c\":\"2024-01-01 00:00:10.12\",\"d\":1.0E10,\"e\":\"2024-01-01 00:00:00Z\",\"f\":[1,null],\
         \"g\":{\"x\":null,\"y\":{\"k\":true}},\"h\":\"aGk=\",\"i\":2.7E-8,\"j\":\"10:15:00\",\"k\":\"NaN\"}\n\
         {\"a\":null,\"b\":null,\"c\":null,\"d\":null,\"e\":null,\"f\":null,\"g\":null,\"h\":null,\"i\":null,\"j\":null,\"k\":null}\n"
    );
    let pairs = [
        ("json.timestamp-format.standard", "iso-8601"),
        ("json.encode.decimal-as-plain-number", "true"),
        ("json.encode.ignore-null-fields", "true"),
    ];
    assert_eq!(
        rewritten(
            "c TIMESTAMP(3), i DECIMAL(10, 9), g ROW<x INT, y INT>",
            &pairs,
            "{\"i\":0.000000027}\n{\"g\":{\"y\":1},\"c\":\"2024-01-01 00:00:10.120\"}\n"
        ),
        "{\"i\":0.000000027}\n{\"c\":\"2024-01-01T00:00:10.12\",\"g\":{\"y\":1}}\n"
    );
}

#[test]
fn the_declared_names_are_written_and_arrow_types_that_flink_does_not_have_are_cast() {
    use arrow::array::{ArrayRef, StringViewArray, UInt32Array};
    use std::sync::Arc;
    let columns: Vec<(&str, ArrayRef)> =
        vec![("x", Arc::new(StringViewArray::from(vec!["v"]))), ("y", Arc::new(UInt32Array::from(vec![7])))];
    let batch = Batch::append(RecordBatch::try_from_iter(columns).unwrap());
    assert_eq!(encode("json", "a STRING, b BIGINT", &[], &[batch]), "{\"a\":\"v\",\"b\":7}\n");
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same_rows(lines in prop::collection::vec(line(), 0..20)) {
        let (batches, _) = decode("json", COLUMNS, &[], &lines.join("\n"));
        let text = encode("json", COLUMNS, &[], &batches);
        let (again, bad) = decode("json", COLUMNS, &[], &text);
        prop_assert_eq!(bad.0, vec![]);
        prop_assert_eq!(batches, again);
        for line in text.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
    }
}
