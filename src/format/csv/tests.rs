//! What the CSV format takes, refuses and writes.

use crate::format::json::tests::{Kept, decode, decode_in_pieces, decoder, encode, options, rows, schema};
use crate::format::{decoder_factory, encoder_factory};
use proptest::prelude::*;

/// The rows of `text`, none of which may be bad.
fn good(columns: &str, pairs: &[(&str, &str)], text: &str) -> Vec<String> {
    let (batches, bad) = decode("csv", columns, pairs, text);
    assert_eq!(bad.0, []);
    rows(&batches)
}

fn reasons(bad: &Kept) -> Vec<String> {
    bad.0.iter().map(|(record, _)| record.to_string()).collect()
}

#[test]
fn fields_are_read_by_position_quoted_or_not() {
    let columns = "a BIGINT, b STRING, c TIMESTAMP(3), d DOUBLE, e BOOLEAN";
    let text = "1,x,2024-01-01 00:00:10.123,1.5,true\r\n\n\
                \" 2 \",\"a \"\"b\"\",\nc\" ,\"2024-01-01 00:00:10.5\",1e3, TRUE \n\
                ,,,,\n\
                -12345678901,é\u{1F600},1969-12-31 23:59:59.999,-0.25,no";
    assert_eq!(
        good(columns, &[], text),
        [
            "1|x|2024-01-01T00:00:10.123|1.5|true",
            "2|a \"b\",\nc|2024-01-01T00:00:10.500|1000.0|true",
            "-||-|-|-",
            "-12345678901|é\u{1F600}|1969-12-31T23:59:59.999|-0.25|false",
        ]
    );
}

#[test]
fn other_characters_may_delimit_quote_escape_and_mean_null() {
    let pairs = [
        ("csv.field-delimiter", ";"),
        ("csv.quote-character", "'"),
        ("csv.escape-character", "*"),
        ("csv.array-element-delimiter", ":"),
        ("csv.null-literal", "null"),
    ];
    let columns = "a STRING, b INT, c ARRAY<STRING>, d ROW<x STRING, y INT>";
    let text = "123*'4**;       12          ;a:null:c;1:2\n'a;b*'c''d';null;'x:y';null\n;1;z;'hello world':3\n*n;1;a;b:4\r\n";
    let (batches, bad) = decode("csv", columns, &pairs, text);
    assert_eq!(rows(&batches), ["123'4*|12|[a, -, c]|{x: 1, y: 2}", "a;b'c'd|-|[x, y]|-", "\n|1|[a]|{x: b, y: 4}"]);
    assert_eq!(reasons(&bad), ["expected the delimiter or the end of the line behind a quote, found :"]);
    assert_eq!(encode("csv", columns, &pairs, &batches), "'123''4**';12;'a:null:c';'1:2'\n'a;b''c''d';null;'x:y';null\n'\n';1;a;'b:4'\n");
}

#[test]
fn tabs_are_written_as_java_writes_them_and_quotes_can_be_switched_off() {
    let pairs = [("csv.field-delimiter", "\\t"), ("csv.disable-quote-character", "true")];
    assert_eq!(good("a STRING, b INT", &pairs, "\"x\t1\ny\"\t2\n"), ["\"x|1", "y\"|2"]);
    let factory = |pairs: &[(&str, &str)]| decoder_factory("csv", &schema("a STRING"), &[0], &options(pairs));
    assert!(factory(&pairs).unwrap().splittable());
    assert!(!factory(&[]).unwrap().splittable());
    assert!(!factory(&[pairs[1], ("csv.header", "true")]).unwrap().splittable());
    assert_eq!(
        factory(&[("csv.field-delimiter", "ab")]).unwrap_err().to_string(),
        "csv.field-delimiter: expected one ASCII character, found \"ab\""
    );
    assert!(factory(&[("csv.field-delimiter", "\\u007c")]).is_ok());
    assert!(factory(&[("csv.field-delimiter", "\\u00é")]).is_err());
    let map = encoder_factory("csv", &schema("m MAP<STRING, INT>"), &options(&[])).unwrap_err();
    assert!(map.message.contains("column m MAP<STRING, INT>: CSV has no form for MAP"));
}

#[test]
fn a_header_says_which_field_goes_to_which_column() {
    let pairs = [("csv.header", "true")];
    let text = "b,extra,\"a\"\r\nx,9,1\ny,9,2\n";
    assert_eq!(good("a INT, b STRING", &pairs, text), ["1|x", "2|y"]);
    let (batches, bad) = decode("csv", "a INT, c STRING", &pairs, "b,a\nx,1\n");
    assert_eq!(rows(&batches), ["1|-"]);
    assert_eq!(reasons(&bad), ["column c: the header does not name it; it names b, a"]);
    let mut resumed = decoder("csv", "a INT, b STRING", &pairs);
    resumed.start_file(10);
    assert!(!resumed.read_header(b"\xef\xbb\xbfb,\"a", false));
    assert!(resumed.read_header(b"\xef\xbb\xbfb,\"a\"\nx,1\n", false));
    let (batches, bad) = decode_in_pieces(&mut *resumed, b"y,2\n", &[], 10);
    assert_eq!((rows(&batches), bad.0), (vec!["2|y".to_owned()], vec![]));
    let schema = schema("a INT, b STRING, c INT");
    let mut projected = decoder_factory("csv", &schema, &[2, 1], &options(&[])).unwrap().decoder();
    let (batches, _) = decode_in_pieces(&mut *projected, b"oops,x,3\n", &[], 10);
    assert_eq!(rows(&batches), ["3|x"]);
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    let columns = "a INT, b TIMESTAMP(3) NOT NULL, c STRING";
    let ok = "1,2024-01-01 00:00:00,x\n";
    let text =
        format!("x,2024-01-01 00:00:00,x\n1,,x\n1,2024-01-01 00:00:00\n1,2024-01-01 00:00:00,x,y\n{ok}#,2024-01-01 00:00:00,\"x\n{ok}");
    let (batches, bad) = decode("csv", columns, &[], &text);
    assert_eq!(rows(&batches).len(), 2);
    assert_eq!(
        reasons(&bad),
        [
            "column a: expected INT, found \"x\"",
            "column b: expected TIMESTAMP(3) NOT NULL, found \"\"",
            "expected 3 fields, found 2",
            "expected 3 fields, found 4",
            "a quote is not closed",
        ]
    );
    assert_eq!(bad.0[4].0.raw, b"#,2024-01-01 00:00:00,\"x");
    let mut strings = decoder("csv", "a STRING", &[]);
    let (batches, bad) = decode_in_pieces(&mut *strings, b"a\xff\n\nb\n", &[], 10);
    assert_eq!((rows(&batches), bad.0.len()), (vec![String::new(), "b".to_owned()], 1));
}

/// As Flink 2.3.0 reads them.
#[test]
fn an_empty_field_is_an_empty_value_where_the_type_has_one_and_else_null() {
    let columns = "a STRING, b BYTES, c ARRAY<STRING>, d INT";
    let (batches, bad) = decode("csv", columns, &[], "\"\",,,\n");
    let mut shown = Vec::new();
    crate::format::print::write_rows(&batches[0], 0..1, "", &mut shown).unwrap();
    assert_eq!((String::from_utf8(shown).unwrap().as_str(), bad.0.len()), ("+I[, [], [], null]\n", 0));
    assert_eq!(good("a DATE, b TIME", &[], "2020-2-9,13:45:06.789\n"), ["2020-02-09|13:45:06"]);
    let (_, bad) = decode("csv", "a DATE", &[], "2020-2-30\n20-02-09\n2020-02-9-1\n2020--1\n");
    assert_eq!(bad.0.len(), 4);
}

#[test]
fn parse_errors_that_are_ignored_make_fields_null_and_skip_records() {
    let pairs = [("csv.ignore-parse-errors", "true"), ("csv.allow-comments", "true")];
    let (batches, bad) = decode("csv", "a INT, b INT, c STRING", &pairs, "# a comment\nx,1,y\n1\n1,2,3,4\n1,2,z\n");
    assert_eq!(rows(&batches), ["-|1|y", "1|-|-", "1|2|z"]);
    assert!(matches!(bad.0.as_slice(), [(_, true)]));
}

#[test]
fn rows_are_written_and_quoted_as_flink_writes_them() {
    let columns = "a BIGINT, b STRING, c TIMESTAMP(3), d TIMESTAMP_LTZ(3), e DECIMAL(38, 25), f DATE, g TIME, h BYTES, i DOUBLE";
    let text = "{\"a\":1,\"b\":\"This is a test.\",\"c\":\"2018-10-12 12:12:12.123\",\"d\":\"1970-01-01 00:02:03Z\",\
                \"e\":1234.0000000000000000000000001,\"f\":\"2018-10-12\",\"g\":\"12:12:12\",\"h\":\"awML\",\"i\":1e10}\n\
                {\"b\":\"abc-def\",\"e\":0.0000001}\n{\"b\":\"0123456789012345678901234\"}\n{\"b\":\"012345678901234567890123\"}\n";
    let (batches, _) = decode("json", columns, &[], text);
    assert_eq!(
        encode("csv", columns, &[("csv.header", "true")], &batches),
        "a,b,c,d,e,f,g,h,i\n\
         1,\"This is a test.\",\"2018-10-12 12:12:12.123\",\"1970-01-01 00:02:03Z\",1234.0000000000000000000000001,2018-10-12,12:12:12,awML,1.0E10\n\
         ,abc-def,,,1E-7,,,,\n\
         ,\"0123456789012345678901234\",,,,,,,\n\
         ,012345678901234567890123,,,,,,,\n"
    );
    let plain = [("csv.write-bigdecimal-in-scientific-notation", "false")];
    assert!(encode("csv", columns, &plain, &batches).contains(",0.0000001000000000000000000,"));
}

const COLUMNS: &str = "a BIGINT, b DOUBLE, c STRING NOT NULL, d BOOLEAN, e TIMESTAMP(6), f DECIMAL(20, 5), g BYTES, h DATE";

fn row() -> impl Strategy<Value = String> {
    let optional = |text: BoxedStrategy<String>| prop_oneof![1 => Just(String::new()), 4 => text];
    let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    let timestamp = (0_i64..4_000_000_000_000_000).prop_map(|micros| {
        let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
        time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
    });
    (
        optional(any::<i64>().prop_map(|v| v.to_string()).boxed()),
        optional(any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| format!("{v:?}")).boxed()),
        prop_oneof![any::<String>().prop_map(quoted), "[a-z ]{0,30}".prop_map(|text| text)],
        optional(any::<bool>().prop_map(|v| v.to_string()).boxed()),
        optional(timestamp.boxed()),
        optional((-(10_i64.pow(15))..10_i64.pow(15)).prop_map(|v| format!("{}.{:05}", v / 100_000, v.abs() % 100_000)).boxed()),
        optional("([A-Za-z0-9+/]{4}){1,9}".prop_map(|text| text).boxed()),
        optional((0_i64..60_000).prop_map(|days| (chrono::NaiveDate::default() + chrono::TimeDelta::days(days)).to_string()).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].join(","))
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same_rows(lines in prop::collection::vec(row(), 0..20), cuts in prop::collection::vec(any::<usize>(), 0..8), max_rows in 1_usize..30) {
        let text = lines.join("\n");
        let (batches, bad) = decode_in_pieces(&mut *decoder("csv", COLUMNS, &[]), text.as_bytes(), &cuts, max_rows);
        prop_assert_eq!(bad.0, vec![]);
        prop_assert_eq!(rows(&batches).len(), lines.len());
        for pairs in [vec![], vec![("csv.escape-character", "\\"), ("csv.field-delimiter", "|"), ("csv.header", "true")]] {
            let written = encode("csv", COLUMNS, &pairs, &batches);
            let (again, bad) = decode("csv", COLUMNS, &pairs, &written);
            prop_assert_eq!(bad.0, vec![]);
            prop_assert_eq!(rows(&again), rows(&batches));
        }
    }

    #[test]
    fn no_bytes_panic_and_pieces_do_not_matter(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "\"", "\"\"", ",", "\n", "\r\n", "\r", "\\", "\\n", "1", "-", "x", "é", "2024-01-01 00:00:10.123", ";", "#", "\u{feff}", " ", "9223372036854775808",
        ]), 0..60),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        escape in any::<bool>(),
        lenient in any::<bool>(),
    ) {
        let columns = "a BIGINT, b STRING, c TIMESTAMP(3), d ARRAY<INT>, e ROW<x INT NOT NULL, y STRING>";
        let mut pairs = vec![("csv.ignore-parse-errors", if lenient { "true" } else { "false" }), ("csv.allow-comments", "true")];
        if escape {
            pairs.push(("csv.escape-character", "\\"));
        }
        let text = pieces.concat();
        let whole = decode_in_pieces(&mut *decoder("csv", columns, &pairs), text.as_bytes(), &[], 1_000);
        let pieces = decode_in_pieces(&mut *decoder("csv", columns, &pairs), text.as_bytes(), &cuts, 1_000);
        prop_assert_eq!(rows(&whole.0), rows(&pieces.0));
        prop_assert_eq!(whole.1.0, pieces.1.0);
    }
}
