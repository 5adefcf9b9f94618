//! Values, types and failures of expressions.

use super::{evaluate, first, type_of};

fn check(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let found = first(text);
            (found != *expected).then(|| format!("{text}: expected {expected}, found {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn check_types(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let found = type_of(text);
            (found != *expected).then(|| format!("{text}: expected {expected}, found {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn arithmetic_is_that_of_java() {
    check(&[
        ("i + 1", "8"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("i / 2", "3"),
        ("-i % 4", "-3"),
        ("MOD(i, 4)", "3"),
        ("2147483647 + 1", "-2147483648"),
        ("9223372036854775807 + 1", "-9223372036854775808"),
        ("-2147483648 / -1", "-2147483648"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("i * 1000000000", "-1589934592"),
        ("l * 1.5", "150.0"),
        ("1.0 / 3", "0.333333333333"),
        ("d / 0", "Infinity"),
        ("-d / 0", "-Infinity"),
        ("d - d", "0.0"),
        ("0 / d", "0.0"),
        ("(d - d) / 0", "NaN"),
        ("l * 0.908", "90.800"),
        ("p * 2", "24.68"),
        ("p + p", "24.68"),
        ("p - 0.345", "11.995"),
        ("p / 3", "4.1133333333333"),
        ("p % 5", "2.34"),
        ("i + d", "9.5"),
        ("+i", "7"),
        ("- (i)", "-7"),
        ("CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0)) + 1", "NULL"),
        ("1e3 + 1", "1001.0"),
        ("10 - 2 - 3", "5"),
        ("2 + 3 * 4", "14"),
        ("NULL + 1", "NULL"),
    ]);
    // Flink refuses these too.
    for text in ["'3' + 4", "i = '7'", "d % 2", "9223372036854775808", "1E400", "s || i"] {
        assert!(evaluate(text).is_err(), "{text}");
    }
    assert_eq!(evaluate("i / z").unwrap_err(), "Compute error: / by zero");
    assert_eq!(evaluate("i % z").unwrap_err(), "Compute error: / by zero");
    assert_eq!(evaluate("p / (p - p)").unwrap_err(), "Compute error: Division by zero");
}

#[test]
fn a_condition_guards_what_stands_behind_it() {
    check(&[
        ("z <> 0 AND i / z > 1", "FALSE"),
        ("z = 0 OR i / z > 1", "TRUE"),
        ("CASE WHEN z = 0 THEN -1 ELSE i / z END", "-1"),
        ("IF(z = 0, 0, 10 / z)", "0"),
        ("COALESCE(i, 10 / z)", "ERROR Compute error: / by zero"),
        ("COALESCE(z, 10 / z)", "0"),
    ]);
}

#[test]
fn types_follow_flinks_rules() {
    check_types(&[
        ("1", "INT NOT NULL"),
        ("2147483648", "BIGINT NOT NULL"),
        ("0.908", "DECIMAL(4, 3) NOT NULL"),
        (".5", "DECIMAL(1, 1) NOT NULL"),
        ("5.", "INT NOT NULL"),
        ("1.50", "DECIMAL(3, 2) NOT NULL"),
        ("1e3", "DOUBLE NOT NULL"),
        ("'abc'", "CHAR(3) NOT NULL"),
        ("TRUE", "BOOLEAN NOT NULL"),
        ("i + i", "INT"),
        ("z + 1", "INT NOT NULL"),
        ("i + l", "BIGINT"),
        ("i / 2", "INT"),
        ("l * 0.908", "DECIMAL(24, 3)"),
        ("i * 0.5", "DECIMAL(13, 1)"),
        ("MOD(l, i)", "INT"),
        ("p + 1", "DECIMAL(13, 2)"),
        ("p + p", "DECIMAL(11, 2)"),
        ("p * p", "DECIMAL(21, 4)"),
        ("p / p", "DECIMAL(23, 13)"),
        ("p % 5", "DECIMAL(10, 2)"),
        ("p + d", "DOUBLE"),
        ("i + d", "DOUBLE"),
        ("CAST(1 AS FLOAT) + i", "FLOAT"),
        ("CAST(1 AS FLOAT) + p", "DOUBLE"),
        ("i = l", "BOOLEAN"),
        ("z = 1", "BOOLEAN NOT NULL"),
        ("i IS NULL", "BOOLEAN NOT NULL"),
        ("CASE WHEN b THEN 1 ELSE 2.5 END", "DECIMAL(11, 1) NOT NULL"),
        ("CASE WHEN b THEN 'a' ELSE 'bcd' END", "VARCHAR(3) NOT NULL"),
        ("CASE WHEN b THEN 'a' END", "CHAR(1)"),
        ("COALESCE(i, 0)", "INT NOT NULL"),
        ("COALESCE(i, l)", "BIGINT"),
        ("NULLIF(z, 0)", "INT"),
        ("ABS(i)", "INT"),
        ("CEIL(p)", "DECIMAL(10, 0)"),
        ("ROUND(p, 1)", "DECIMAL(10, 1)"),
        ("ROUND(d, 1)", "DOUBLE"),
        ("FLOOR(d)", "DOUBLE"),
        ("POWER(i, 2)", "DOUBLE"),
        ("UPPER(s)", "STRING"),
        ("CHAR_LENGTH(s)", "INT"),
        ("s || 'x'", "STRING"),
        ("YEAR(t)", "BIGINT"),
        ("EXTRACT(DAY FROM t)", "BIGINT"),
        ("DATE_FORMAT(t, 'yyyy')", "STRING"),
        ("t - INTERVAL '4' SECOND", "TIMESTAMP(3)"),
        ("day + INTERVAL '1' DAY", "DATE"),
        ("TIMESTAMPDIFF(HOUR, t, t)", "INT"),
        ("TO_TIMESTAMP(s)", "TIMESTAMP(3)"),
        ("TO_DATE(s)", "DATE"),
        ("TIMESTAMP '2020-01-01 00:00:00.123'", "TIMESTAMP(3) NOT NULL"),
        ("TIMESTAMP '2020-01-01 00:00:00'", "TIMESTAMP(0) NOT NULL"),
        ("DATE '2020-01-01'", "DATE NOT NULL"),
        ("PROCTIME()", "TIMESTAMP_LTZ(3) NOT NULL"),
        ("CURRENT_DATE", "DATE NOT NULL"),
        ("CAST(i AS STRING)", "STRING"),
        ("CAST(z AS VARCHAR(5))", "VARCHAR(5) NOT NULL"),
        ("TRY_CAST('1' AS INT)", "INT NOT NULL"),
        ("TRY_CAST(s AS INT)", "INT"),
        ("CAST(s AS DECIMAL(5, 1))", "DECIMAL(5, 1)"),
    ]);
}

#[test]
fn comparisons_and_logic_have_three_values() {
    check(&[
        ("i = 7", "TRUE"),
        ("i <> 7.0", "FALSE"),
        ("i < l", "TRUE"),
        ("p = 12.34", "TRUE"),
        ("p > 12", "TRUE"),
        ("d >= 2.5", "TRUE"),
        ("s = 'Hello'", "TRUE"),
        ("s < 'World'", "TRUE"),
        ("b", "TRUE"),
        ("NOT b", "FALSE"),
        ("b = FALSE", "FALSE"),
        ("NULL = NULL", "NULL"),
        ("i = NULL", "NULL"),
        ("FALSE AND NULL", "FALSE"),
        ("TRUE AND NULL", "NULL"),
        ("TRUE OR NULL", "TRUE"),
        ("(1 = 2) IS FALSE", "TRUE"),
        ("CAST(NULL AS BOOLEAN) IS UNKNOWN", "TRUE"),
        ("CAST(NULL AS BOOLEAN) IS NOT TRUE", "TRUE"),
        ("NULL IS NOT DISTINCT FROM NULL", "TRUE"),
        ("i IS DISTINCT FROM 8", "TRUE"),
        ("i IS NOT DISTINCT FROM 7", "TRUE"),
        ("i BETWEEN 5 AND 7", "TRUE"),
        ("i NOT BETWEEN 5 AND 6", "TRUE"),
        ("i IN (1, 7, 9)", "TRUE"),
        ("i NOT IN (1, 7)", "FALSE"),
        ("i IN (1, NULL)", "NULL"),
        ("s IN ('x', 'Hello')", "TRUE"),
        ("i IN (7.0, 8.5)", "TRUE"),
        ("d IN (2.5, 3)", "TRUE"),
        ("3 IN (1, 2)", "FALSE"),
        ("t > TIMESTAMP '2020-02-29 00:00:00'", "TRUE"),
        ("t = '2020-02-29 13:45:06.789'", "TRUE"),
        ("day = DATE '2020-02-29'", "TRUE"),
        ("(d - d) / 0 = (d - d) / 0", "FALSE"),
        ("0e0 = -0e0", "TRUE"),
        ("GREATEST(1, i, 3)", "7"),
        ("LEAST(1.5, i)", "1.5"),
        ("GREATEST(1, NULL)", "NULL"),
        ("CASE i WHEN 7 THEN 'seven' WHEN 8 THEN 'eight' END", "seven"),
        ("CASE WHEN i > 10 THEN 'a' END", "NULL"),
        ("COALESCE(NULL, NULL, i)", "7"),
        ("IFNULL(NULL, 5)", "5"),
        ("NULLIF(i, 7)", "NULL"),
        ("IF(b, 'yes', 'no')", "yes"),
    ]);
    let (values, _) = evaluate("i > 3 OR b").unwrap();
    assert_eq!(values, ["TRUE", "NULL"]);
    let (values, _) = evaluate("COALESCE(s, 'none')").unwrap();
    assert_eq!(values, ["Hello", "none"]);
    let (values, _) = evaluate("GREATEST(i, 3)").unwrap();
    assert_eq!(values, ["7", "NULL"]);
}

#[test]
fn casts_give_flinks_values_and_texts() {
    check(&[
        ("CAST(TRUE AS STRING)", "TRUE"),
        ("CAST(b AS INT)", "1"),
        ("CAST(0 AS BOOLEAN)", "FALSE"),
        ("CAST(i AS BOOLEAN)", "TRUE"),
        ("CAST(1.0E10 AS STRING)", "1.0E10"),
        ("CAST(d AS STRING)", "2.5"),
        ("CAST(CAST(0.1 AS FLOAT) AS STRING)", "0.1"),
        ("CAST(p AS STRING)", "12.34"),
        ("CAST(t AS STRING)", "2020-02-29 13:45:06.789"),
        ("CAST(day AS STRING)", "2020-02-29"),
        ("CAST(TIME '01:02:03' AS STRING)", "01:02:03"),
        ("CAST(X'4142' AS STRING)", "AB"),
        ("CAST(12345 AS VARCHAR(3))", "123"),
        ("CAST('ab' AS CHAR(4)) || '|'", "ab  |"),
        ("CAST('12' AS INT)", "12"),
        ("CAST(' -12 ' AS INT)", "-12"),
        ("CAST('1.9' AS INT)", "1"),
        ("CAST('1.25' AS DECIMAL(5, 1))", "1.3"),
        ("CAST('1e2' AS DOUBLE)", "100.0"),
        ("CAST('yes' AS BOOLEAN)", "TRUE"),
        ("CAST('2020-1-2' AS DATE)", "2020-01-02"),
        ("CAST('2020-01-02 03:04:05.6789' AS TIMESTAMP(3))", "2020-01-02 03:04:05.678"),
        ("CAST(t AS TIMESTAMP(0))", "2020-02-29 13:45:06"),
        ("CAST(t AS TIMESTAMP(6))", "2020-02-29 13:45:06.789000"),
        ("CAST(t AS DATE)", "2020-02-29"),
        ("CAST(day AS TIMESTAMP(3))", "2020-02-29 00:00:00.000"),
        ("CAST(t AS TIME)", "13:45:06"),
        ("CAST(2.9 AS INT)", "2"),
        ("CAST(-2.9e0 AS INT)", "-2"),
        ("CAST(1e20 AS INT)", "2147483647"),
        ("CAST(3000000000 AS INT)", "-1294967296"),
        ("CAST(300 AS TINYINT)", "44"),
        ("CAST(l AS SMALLINT)", "100"),
        ("CAST(p AS INT)", "12"),
        ("CAST(p AS DOUBLE)", "12.34"),
        ("CAST(p AS DECIMAL(4, 1))", "12.3"),
        ("CAST(p AS DECIMAL(2, 1))", "NULL"),
        ("CAST(2.5e0 AS DECIMAL(5, 2))", "2.50"),
        ("CAST(i AS DECIMAL(5, 2))", "7.00"),
        ("CAST(i AS BIGINT)", "7"),
        ("CAST(NULL AS INT)", "NULL"),
        ("TRY_CAST('abc' AS INT)", "NULL"),
        ("TRY_CAST('99999999999' AS INT)", "NULL"),
        ("TRY_CAST('x' AS DATE)", "NULL"),
        ("TRY_CAST('maybe' AS BOOLEAN)", "NULL"),
        ("CAST(1 AS VARCHAR)", "1"),
        ("CAST(TIMESTAMP '2020-01-01 00:00:00' AS TIMESTAMP_LTZ(3))", "2020-01-01 00:00:00.000"),
    ]);
    for (text, message) in [
        ("CAST('abc' AS INT)", "Compute error: For input string: 'abc'. Invalid character found."),
        ("CAST(s AS BIGINT)", "Compute error: For input string: 'Hello'. Invalid character found."),
        ("CAST('99999999999' AS INT)", "Compute error: For input string: '99999999999'. Overflow."),
        ("CAST(s AS BOOLEAN)", "Compute error: Cannot parse 'Hello' as BOOLEAN."),
        ("CAST(s AS DATE)", "Compute error: Cannot parse 'Hello' as DATE."),
        ("CAST(s AS TIMESTAMP(3))", "Compute error: Cannot parse 'Hello' as TIMESTAMP(3)."),
    ] {
        assert_eq!(evaluate(text).unwrap_err(), message, "{text}");
    }
    for text in ["CAST(i AS TIMESTAMP(3))", "CAST(t AS BIGINT)", "CAST(day AS TIME)", "CAST(s AS ARRAY<INT>)", "CAST(b AS DATE)"] {
        assert!(evaluate(text).unwrap_err().contains("cannot be cast"), "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn text_functions_give_flinks_results() {
    check(&[
        ("UPPER(s)", "HELLO"),
        ("LOWER('ÄB')", "äb"),
        ("UPPER('straße')", "STRASSE"),
        ("CHAR_LENGTH('äöü')", "3"),
        ("CHARACTER_LENGTH(s)", "5"),
        ("SUBSTRING(s, 2)", "ello"),
        ("SUBSTRING(s, 2, 3)", "ell"),
        ("SUBSTR(s, -3, 2)", "ll"),
        ("SUBSTRING(s, -9)", ""),
        ("SUBSTRING(s, 0, 2)", "He"),
        ("SUBSTRING(s, 9)", ""),
        ("SUBSTRING(s FROM 2 FOR 2)", "el"),
        ("SUBSTRING(s, 2, -1)", "NULL"),
        ("SUBSTRING('äöü', 2, 1)", "ö"),
        ("TRIM('  x ')", "x"),
        ("TRIM(BOTH 'xy' FROM 'xyaxy')", "a"),
        ("TRIM(LEADING 'H' FROM s)", "ello"),
        ("TRIM(TRAILING 'o' FROM s)", "Hell"),
        ("LTRIM('  x ')", "x "),
        ("RTRIM('  x ')", "  x"),
        ("BTRIM('  x ')", "x"),
        ("CONCAT('a', s, 'b')", "aHellob"),
        ("CONCAT('a', CAST(NULL AS STRING))", "NULL"),
        ("CONCAT_WS('-', 'a', CAST(NULL AS STRING), 'b')", "a-b"),
        ("s || '!' || CAST(i AS STRING)", "Hello!7"),
        ("REPLACE(s, 'l', 'LL')", "HeLLLLo"),
        ("TRANSLATE(s, 'lo', 'L')", "HeLL"),
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar"),
        ("REGEXP_EXTRACT('foothebar', 'the')", "the"),
        ("REGEXP_EXTRACT(s, 'x')", "NULL"),
        ("REGEXP_EXTRACT('https://www.nexmark.com/a/b/item.htm?query=1&channel_id=42', '(&|^)channel_id=([^&]*)', 2)", "42"),
        ("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fb"),
        ("REGEXP_REPLACE('ab', '(a)(b)', '$2$1\\$')", "$2$1\\$"),
        ("REGEXP(s, 'l+')", "TRUE"),
        ("REGEXP(s, '^\\d+$')", "FALSE"),
        ("s LIKE 'H%'", "TRUE"),
        ("s LIKE '_ello'", "TRUE"),
        ("s NOT LIKE '%z%'", "TRUE"),
        ("'50%' LIKE '50!%' ESCAPE '!'", "TRUE"),
        ("'a\\b' LIKE 'a\\b'", "TRUE"),
        ("'a.b' LIKE 'a_b'", "TRUE"),
        ("'axb' LIKE 'a.b'", "FALSE"),
        ("s LIKE s", "TRUE"),
        ("s SIMILAR TO '(H|J)e.*'", "TRUE"),
        ("s SIMILAR TO '(H|J)e%'", "TRUE"),
        ("POSITION('l' IN s)", "3"),
        ("LOCATE('l', s, 4)", "4"),
        ("LOCATE('z', s)", "0"),
        ("INSTR(s, 'lo')", "4"),
        ("LPAD('hi', 4, '?')", "??hi"),
        ("LPAD('hi', 1, '?')", "h"),
        ("RPAD('hi', 5, 'ab')", "hiaba"),
        ("LPAD('hi', -1, '?')", "NULL"),
        ("REPEAT('ab', 3)", "ababab"),
        ("REPEAT('ab', -1)", ""),
        ("REVERSE(s)", "olleH"),
        ("LEFT(s, 2)", "He"),
        ("RIGHT(s, 2)", "lo"),
        ("LEFT(s, -1)", ""),
        ("SPLIT_INDEX('a,b,,d', ',', 1)", "b"),
        ("SPLIT_INDEX('a,b,,d', ',', 2)", ""),
        ("SPLIT_INDEX('a,b', ',', 5)", "NULL"),
        ("SPLIT_INDEX('https://www.nexmark.com/x/y/z', '/', 3)", "x"),
        ("SPLIT_INDEX('a,b', 44, 1)", "b"),
        ("INITCAP('hello wORLD')", "Hello World"),
        ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6)", "xxxxxxxxx"),
        ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2)", "xxxxxxxxxst"),
        ("STARTSWITH(s, 'He')", "TRUE"),
        ("ENDSWITH(s, 'He')", "FALSE"),
        ("ASCII('abc')", "97"),
        ("CHR(97)", "a"),
        ("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
        ("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("SHA1(REPEAT('a', 120))", "f34c1488385346a55709ba056ddd08280dd4c6d6"),
        ("SHA256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("SHA2('abc', 224)", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        ("TO_BASE64('hello world')", "aGVsbG8gd29ybGQ="),
        ("FROM_BASE64('aGVsbG8gd29ybGQ=')", "hello world"),
    ]);
    for text in ["REGEXP(s, '(')", "s LIKE '!x' ESCAPE '!'", "UPPER(i)", "SUBSTRING(s)", "LPAD(s, 'x', 'y')"] {
        assert!(evaluate(text).is_err(), "{text}");
    }
}

#[test]
fn functions_on_numbers_give_flinks_results() {
    check(&[
        ("ABS(-i)", "7"),
        ("ABS(-1.5)", "1.5"),
        ("ABS(-p)", "12.34"),
        ("CEIL(2.1)", "3"),
        ("CEIL(d)", "3.0"),
        ("CEILING(-d)", "-2.0"),
        ("FLOOR(-2.1)", "-3"),
        ("FLOOR(p)", "12"),
        ("FLOOR(i)", "7"),
        ("ROUND(d)", "3.0"),
        ("ROUND(2.675e0, 2)", "2.68"),
        ("ROUND(p, 1)", "12.3"),
        ("ROUND(-2.5)", "-3"),
        ("ROUND(1234, -2)", "1200"),
        ("ROUND(1250.0, -2)", "1300"),
        ("TRUNCATE(42.345, 2)", "42.34"),
        ("TRUNCATE(-d)", "-2.0"),
        ("POWER(2, 10)", "1024.0"),
        ("SQRT(4)", "2.0"),
        ("LN(1)", "0.0"),
        ("LOG10(100)", "2.0"),
        ("LOG2(8)", "3.0"),
        ("LOG(2, 8)", "3.0"),
        ("EXP(0)", "1.0"),
        ("SIGN(-i)", "-1"),
        ("SIGN(p)", "1.00"),
        ("SIGN(-d)", "-1.0"),
        ("SIN(0)", "0.0"),
        ("COS(0)", "1.0"),
        ("PI()", "3.141592653589793"),
        ("DEGREES(PI())", "180.0"),
        ("MOD(-7, 3)", "-1"),
    ]);
    assert!(evaluate("RAND()").unwrap_err().contains("restore"));
    assert!(evaluate("UUID()").unwrap_err().contains("restore"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn functions_on_time_give_flinks_results() {
    check(&[
        ("EXTRACT(YEAR FROM t)", "2020"),
        ("EXTRACT(QUARTER FROM t)", "1"),
        ("EXTRACT(DOW FROM t)", "7"),
        ("EXTRACT(DOY FROM t)", "60"),
        ("EXTRACT(EPOCH FROM t)", "1582983906"),
        ("EXTRACT(MILLISECOND FROM t)", "789"),
        ("EXTRACT(CENTURY FROM t)", "21"),
        ("YEAR(day)", "2020"),
        ("QUARTER(t)", "1"),
        ("MONTH(t)", "2"),
        ("WEEK(t)", "9"),
        ("DAYOFYEAR(t)", "60"),
        ("DAYOFMONTH(t)", "29"),
        ("DAYOFWEEK(t)", "7"),
        ("HOUR(t)", "13"),
        ("MINUTE(t)", "45"),
        ("SECOND(t)", "6"),
        ("HOUR(TIME '05:06:07')", "5"),
        ("DATE_FORMAT(t, 'yyyy-MM-dd HH:mm')", "2020-02-29 13:45"),
        ("DATE_FORMAT('2020-02-29 13:45:06', 'MM/dd')", "02/29"),
        ("DATE_FORMAT(t, 'HH:mm:ss.SSS')", "13:45:06.789"),
        ("TO_TIMESTAMP('2020-02-29 13:45:06')", "2020-02-29 13:45:06.000"),
        ("TO_TIMESTAMP('29.02.2020 13:45', 'dd.MM.yyyy HH:mm')", "2020-02-29 13:45:00.000"),
        ("TO_TIMESTAMP('nonsense')", "NULL"),
        ("TO_TIMESTAMP_LTZ(1582983906, 0)", "2020-02-29 13:45:06.000"),
        ("TO_TIMESTAMP_LTZ(1582983906789)", "2020-02-29 13:45:06.789"),
        ("TO_DATE('2020-02-29')", "2020-02-29"),
        ("TO_DATE('29.02.2020', 'dd.MM.yyyy')", "2020-02-29"),
        ("UNIX_TIMESTAMP('2020-02-29 13:45:06')", "1582983906"),
        ("UNIX_TIMESTAMP('2020-02-29', 'yyyy-MM-dd')", "1582934400"),
        ("UNIX_TIMESTAMP('x')", "-9223372036854775808"),
        ("FROM_UNIXTIME(1582983906)", "2020-02-29 13:45:06"),
        ("FROM_UNIXTIME(1582983906, 'yyyyMMdd')", "20200229"),
        ("TIMESTAMPADD(HOUR, 12, t)", "2020-03-01 01:45:06.789"),
        ("TIMESTAMPADD(MONTH, 12, t)", "2021-02-28 13:45:06.789"),
        ("TIMESTAMPADD(DAY, 1, day)", "2020-03-01"),
        ("TIMESTAMPDIFF(DAY, DATE '2020-01-01', t)", "59"),
        ("TIMESTAMPDIFF(MONTH, DATE '2020-01-31', DATE '2020-02-29')", "1"),
        ("TIMESTAMPDIFF(HOUR, t, TIMESTAMP '2020-02-29 00:00:00')", "-13"),
        ("t - INTERVAL '4' SECOND", "2020-02-29 13:45:02.789"),
        ("t + INTERVAL '1' MONTH", "2020-03-29 13:45:06.789"),
        ("t + INTERVAL '1 02:03' DAY TO MINUTE", "2020-03-01 15:48:06.789"),
        ("t - INTERVAL '0.5' SECOND", "2020-02-29 13:45:06.289"),
        ("INTERVAL '1' HOUR + t", "2020-02-29 14:45:06.789"),
        ("t + i * INTERVAL '1' MINUTE", "2020-02-29 13:52:06.789"),
        ("day + INTERVAL '1' YEAR", "2021-02-28"),
        ("day - INTERVAL '1' DAY", "2020-02-28"),
        ("FLOOR(t TO HOUR)", "2020-02-29 13:00:00.000"),
        ("CEIL(t TO HOUR)", "2020-02-29 14:00:00.000"),
        ("FLOOR(t TO MONTH)", "2020-02-01 00:00:00.000"),
        ("CEIL(t TO YEAR)", "2021-01-01 00:00:00.000"),
        ("FLOOR(t TO DAY)", "2020-02-29 00:00:00.000"),
        ("FLOOR(t TO WEEK)", "2020-02-23 00:00:00.000"),
        ("NOW()", "2020-09-13 12:26:40.123"),
        ("CURRENT_TIMESTAMP", "2020-09-13 12:26:40.123"),
        ("PROCTIME()", "2020-09-13 12:26:40.123"),
        ("CURRENT_DATE", "2020-09-13"),
        ("LOCALTIMESTAMP", "2020-09-13 12:26:40.123"),
    ]);
    for text in [
        "t + 1",
        "t + t",
        "INTERVAL '4' FORTNIGHT",
        "INTERVAL 'x' SECOND",
        "INTERVAL '4'",
        "t + INTERVAL '100' DAY",
        "day < t",
        "EXTRACT(YEAR FROM s)",
        "DATE_FORMAT(day, 'yyyy')",
        "EXTRACT(DAY FROM TIME '01:02:03')",
        "TIME '13:45'",
        "TIMESTAMP '2020-02-29T13:45:06'",
        "day + INTERVAL '1' HOUR",
        "EXTRACT(FOO FROM t)",
        "TIMESTAMPADD(FOO, 1, t)",
        "DATE_FORMAT(t, 'yyyy VV')",
        "DATE '2020-02-30'",
        "YEAR(i)",
    ] {
        assert!(evaluate(text).is_err(), "{text}");
    }
}
