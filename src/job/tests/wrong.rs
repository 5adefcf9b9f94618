//! Wrong job files, each with everything that is said about it.

use super::wrong;

/// The parts of a right job around a changed one: a source `s`, a transform `t`, a sink `out`.
fn job(source: &str, sink: &str, rest: &str) -> String {
    format!("[sources.s]\n{source}\n[sinks.out]\n{sink}\n{rest}")
}

const SOURCE: &str = "connector = \"filesystem\"\npath = \"in\"\nformat = \"json\"\nschema = \"a BIGINT, b STRING\"";
const SINK: &str = "input = \"s\"\nconnector = \"print\"";

/// Wrong files and all that is said about them.
#[expect(clippy::too_many_lines, reason = "a table")]
fn wrong_files() -> Vec<(String, &'static str)> {
    let source = |lines: &str| job(lines, SINK, "");
    let sink = |lines: &str| job(SOURCE, lines, "");
    let rest = |lines: &str| job(SOURCE, SINK, lines);
    let schema = |columns: &str| source(&SOURCE.replace("a BIGINT, b STRING", columns));
    vec![
        (
            "a = ".to_owned(),
            r"error: this is not TOML: string values must be quoted, expected literal string
 --> job.toml:1:5
  |
1 | a =
  |     ^",
        ),
        (
            "[sources.s".to_owned(),
            r"error: this is not TOML: unclosed table, expected `]`
 --> job.toml:1:11
  |
1 | [sources.s
  |           ^",
        ),
        (
            String::new(),
            r#"error: the job has no sink
help: write [sinks.<name>] with input = "<source or transform>""#,
        ),
        (
            source("path = \"in\""),
            r#"error: source "s" has no "connector"
 --> job.toml:1:10
  |
1 | [sources.s]
  |          ^
help: the connectors for sources are filesystem, datagen, stdin

error: source "s" has no "schema"
 --> job.toml:1:10
  |
1 | [sources.s]
  |          ^
help: write the columns as in CREATE TABLE: schema = "id BIGINT, name STRING""#,
        ),
        (
            source(&SOURCE.replace("filesystem", "filesytem")),
            r#"error: unknown connector "filesytem"
 --> job.toml:2:13
  |
2 | connector = "filesytem"
  |             ^^^^^^^^^^^
help: did you mean "filesystem"?"#,
        ),
        (
            source(&SOURCE.replace("path", "pth")),
            r#"error: source "s" needs the option "path"
 --> job.toml:1:10
  |
1 | [sources.s]
  |          ^
help: A file, a directory (read with all below it, names that begin with . or _ left out) or a pattern with *, ?, [a-z] and **; relative to the job's directory; file: URLs too. .gz, .zst and .deflate files are unpacked.

error: unknown option "pth" of source "s"
 --> job.toml:3:1
  |
3 | pth = "in"
  | ^^^
help: did you mean "path"?"#,
        ),
        (
            source(&SOURCE.replace("\"json\"", "\"jsn\"")),
            r#"error: format: expected one of json, csv, debezium-json, found "jsn"
 --> job.toml:4:10
  |
4 | format = "jsn"
  |          ^^^^^
help: did you mean "json"?"#,
        ),
        (
            source(&format!("{SOURCE}\njson.ignore-parse-error = true")),
            r#"error: unknown option "json.ignore-parse-error" of source "s"
 --> job.toml:6:6
  |
6 | json.ignore-parse-error = true
  |      ^^^^^^^^^^^^^^^^^^
help: did you mean "json.ignore-parse-errors"?"#,
        ),
        (
            source(&format!("{SOURCE}\njson.ignore-parse-errors = \"perhaps\"")),
            r#"error: json.ignore-parse-errors: expected true or false, found "perhaps"
 --> job.toml:6:28
  |
6 | json.ignore-parse-errors = "perhaps"
  |                            ^^^^^^^^^"#,
        ),
        (
            source(&format!("{SOURCE}\nbad-records = \"skp\"")),
            r#"error: bad-records: expected fail, skip or a dead-letter path, found "skp"
 --> job.toml:6:15
  |
6 | bad-records = "skp"
  |               ^^^^^
help: did you mean "skip"?"#,
        ),
        (
            source(&format!("{SOURCE}\nbad-records = {{ dead-letter = \"s3://b/c\" }}")),
            r#"error: bad-records: s3: holds checkpoints and savepoints alone; use a path or a file: URL
 --> job.toml:6:31
  |
6 | bad-records = { dead-letter = "s3://b/c" }
  |                               ^^^^^^^^^^"#,
        ),
        (
            source(&format!("{SOURCE}\nbad-records = {{ letters = \"x\" }}")),
            r#"error: unknown option "bad-records.letters" of source "s"
 --> job.toml:6:17
  |
6 | bad-records = { letters = "x" }
  |                 ^^^^^^^
help: did you mean "bad-records.dead-letter"?"#,
        ),
        (
            source(&format!("{SOURCE}\nuid = \"a/b\"")),
            r#"error: a uid must not be empty, start with a dot, or have / or \ in it
 --> job.toml:6:7
  |
6 | uid = "a/b"
  |       ^^^^^"#,
        ),
        (
            source("connector = \"datagen\"\nschema = \"a INT\"\nfields.a.knd = \"random\""),
            r#"error: unknown option "fields.a.knd" of source "s"
 --> job.toml:4:10
  |
4 | fields.a.knd = "random"
  |          ^^^
help: did you mean "fields.a.kind"?"#,
        ),
        (
            schema("a BIGNT, b STRING"),
            r#"error: column a: "BIGNT" is no type
 --> job.toml:5:13
  |
5 | schema = "a BIGNT, b STRING"
  |             ^^^^^
help: did you mean "BIGINT"?"#,
        ),
        (
            schema("a BIGINT b STRING"),
            r#"error: expected a comma, found "b"
 --> job.toml:5:20
  |
5 | schema = "a BIGINT b STRING"
  |                    ^"#,
        ),
        (
            schema("a BIGINT, a STRING"),
            r#"error: column a is declared twice
 --> job.toml:5:21
  |
5 | schema = "a BIGINT, a STRING"
  |                     ^"#,
        ),
        (
            schema("a BIGINT, WATERMARK FOR b AS b"),
            r#"error: watermark: there is no column "b"
 --> job.toml:5:35
  |
5 | schema = "a BIGINT, WATERMARK FOR b AS b"
  |                                   ^"#,
        ),
        (
            schema("a BIGINT, PRIMARY KEY (a)"),
            r#"error: a primary key cannot be enforced here: whoever writes the data must keep it unique
 --> job.toml:5:21
  |
5 | schema = "a BIGINT, PRIMARY KEY (a)"
  |                     ^^^^^^^^^^^^^^^
help: write PRIMARY KEY … NOT ENFORCED, as in Flink"#,
        ),
        (
            schema("a INT, o BIGINT METADATA FROM 'offset'"),
            r#"error: column o: there is no metadata "offset"
 --> job.toml:5:18
  |
5 | schema = "a INT, o BIGINT METADATA FROM 'offset'"
  |                  ^
help: filesystem has file.path, file.name, file.size, file.modification-time"#,
        ),
        (
            schema("a INT, bytes INT METADATA FROM 'file.size'"),
            r#"error: column bytes: metadata "file.size" is BIGINT NOT NULL, not INT
 --> job.toml:5:18
  |
5 | schema = "a INT, bytes INT METADATA FROM 'file.size'"
  |                  ^^^^^
help: declare the column with that type, and CAST it in the query"#,
        ),
        (
            schema("p AS 1"),
            r#"error: a source needs at least one column that is neither computed nor metadata
 --> job.toml:5:10
  |
5 | schema = "p AS 1"
  |          ^^^^^^^^"#,
        ),
        (
            schema("a BIGINT, c AS a + d, e AS b"),
            r#"error: there is no column "d"
 --> job.toml:5:30
  |
5 | schema = "a BIGINT, c AS a + d, e AS b"
  |                              ^

error: there is no column "b"
 --> job.toml:5:38
  |
5 | schema = "a BIGINT, c AS a + d, e AS b"
  |                                      ^"#,
        ),
        (
            schema("a BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS tz - INTERVAL '1' SECOND"),
            r#"error: there is no column "tz"
 --> job.toml:5:58
  |
5 | schema = "a BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS tz - INTERVAL '1' SECOND"
  |                                                          ^^"#,
        ),
        (
            schema("a STRING, WATERMARK FOR t AS t, t AS UPPER(a)"),
            r#"error: watermark: column "t" is STRING, expected TIMESTAMP(p) or TIMESTAMP_LTZ(p) with p ≤ 3
 --> job.toml:5:35
  |
5 | schema = "a STRING, WATERMARK FOR t AS t, t AS UPPER(a)"
  |                                   ^"#,
        ),
        (
            source(&SOURCE.replace("\"a BIGINT, b STRING\"", "\"\"\"\n  a BIGINT,\n  b STRNG,\n  c INT\n\"\"\"")),
            r#"error: column b: "STRNG" is no type
 --> job.toml:7:5
  |
7 |   b STRNG,
  |     ^^^^^
help: did you mean "STRING"?"#,
        ),
        (
            source(&SOURCE.replace("\"in\"", "\"${NOPE}\"")),
            r#"error: path: this option is required
 --> job.toml:3:8
  |
3 | path = "${NOPE}"
  |        ^^^^^^^^^

error: the environment variable NOPE is not set
 --> job.toml:3:9
  |
3 | path = "${NOPE}"
  |         ^^^^^^^
help: set it, or give a default: "${NOPE:-default}""#,
        ),
        (
            source(&SOURCE.replace("\"in\"", "[[1]]")),
            r"error: path: expected a text, a number or true/false, found an array
 --> job.toml:3:8
  |
3 | path = [[1]]
  |        ^^^^^

error: path: this option is required
 --> job.toml:3:8
  |
3 | path = [[1]]
  |        ^^^^^",
        ),
        (
            sink("connector = \"print\""),
            r#"error: sink "out" has no "input"
 --> job.toml:6:8
  |
6 | [sinks.out]
  |        ^^^
help: name the source or transform whose rows it takes"#,
        ),
        (
            sink("input = \"t\"\nconnector = \"print\""),
            r#"error: there is no source or transform called "t"
 --> job.toml:7:9
  |
7 | input = "t"
  |         ^^^"#,
        ),
        (
            sink("input = \"s\""),
            r#"error: sink "out" has no "connector"
 --> job.toml:6:8
  |
6 | [sinks.out]
  |        ^^^
help: the connectors for sinks are filesystem, print, stdout, blackhole, jdbc"#,
        ),
        (
            sink("input = \"s\"\nconnector = \"kafka\""),
            r#"error: unknown connector "kafka"
 --> job.toml:8:13
  |
8 | connector = "kafka"
  |             ^^^^^^^
help: the connectors for sinks are filesystem, print, stdout, blackhole, jdbc"#,
        ),
        (
            sink("input = \"s\"\nconnector = \"jdbc\"\nurl = \"jdbc:sqlite:x.db\""),
            r#"error: sink "out" needs the option "table-name"
 --> job.toml:6:8
  |
6 | [sinks.out]
  |        ^^^
help: The table. It is created, with the sink's columns and key, if it is missing."#,
        ),
        (
            sink("input = \"s\"\nconnector = \"jdbc\"\nurl = \"jdbc:postgresql://h/d\"\ntable-name = \"t\""),
            r#"error: url: "jdbc:postgresql://h/d": the databases that are supported are jdbc:sqlite:<file>
 --> job.toml:9:7
  |
9 | url = "jdbc:postgresql://h/d"
  |       ^^^^^^^^^^^^^^^^^^^^^^^"#,
        ),
        (
            sink(&format!("{SINK}\nschema = \"a BIGINT\"")),
            r#"error: sink "out" declares 1 column, but "s" has 2
 --> job.toml:9:10
  |
9 | schema = "a BIGINT"
  |          ^^^^^^^^^^
help: the input's columns are a BIGINT, b STRING"#,
        ),
        (
            sink(&format!("{SINK}\nschema = \"a INT, b STRING\"")),
            r#"error: column 1 of sink "out" is a INT, but "s" has a BIGINT there
 --> job.toml:9:11
  |
9 | schema = "a INT, b STRING"
  |           ^
help: CAST(a AS INT) in the query, or declare a BIGINT"#,
        ),
        (
            sink(&format!("{SINK}\nschema = \"b STRING, a BIGINT\"")),
            r#"error: column 1 of sink "out" is b STRING, but "s" has a BIGINT there
 --> job.toml:9:11
  |
9 | schema = "b STRING, a BIGINT"
  |           ^
help: columns are matched by position, as in Flink: select "b" there

error: column 2 of sink "out" is a BIGINT, but "s" has b STRING there
 --> job.toml:9:21
  |
9 | schema = "b STRING, a BIGINT"
  |                     ^
help: columns are matched by position, as in Flink: select "a" there"#,
        ),
        (
            sink(&format!("{SINK}\nsink.parallelism = 0")),
            r"error: sink.parallelism: 0 is not between 1 and 32768
 --> job.toml:9:20
  |
9 | sink.parallelism = 0
  |                    ^",
        ),
        (
            job(
                "connector = \"filesystem\"\npath = \"in\"\nformat = \"debezium-json\"\nschema = \"a BIGINT\"",
                "input = \"s\"\nconnector = \"filesystem\"\npath = \"out\"\nformat = \"json\"",
                "",
            ),
            r#"error: sink "out" (filesystem(json)) takes new rows alone, but "s" updates and deletes rows that it has emitted
 --> job.toml:7:9
  |
7 | input = "s"
  |         ^^^
help: use a sink with a key (jdbc with a PRIMARY KEY), format = "debezium-json", or execution.runtime-mode = "BATCH""#,
        ),
        (
            rest("[transforms.s]\nsql = \"SELECT a FROM s\""),
            r#"error: there is a source and a transform called "s"
 --> job.toml:9:13
  |
9 | [transforms.s]
  |             ^
help: queries could not tell them apart: rename one of them

error: the transform "s" reads itself
 --> job.toml:9:13
  |
9 | [transforms.s]
  |             ^"#,
        ),
        (
            rest("[transforms.t]\nsql = \"\"\"\n  SELECT a,\n         c\n  FROM s\"\"\"\n[sinks.o]\ninput = \"t\"\nconnector = \"print\""),
            r#"error: there is no column "c" in "s"
 --> job.toml:12:10
   |
12 |          c
   |          ^"#,
        ),
        (
            rest("[transforms.t]\nsql = \"SELECT a FROM ss\"\n[sinks.o]\ninput = \"t\"\nconnector = \"print\""),
            r#"error: there is no table "ss"
 --> job.toml:10:22
   |
10 | sql = "SELECT a FROM ss"
   |                      ^^
help: did you mean "s"?"#,
        ),
        (
            rest("[transforms.t]\nsql = \"SELECT a FORM s\"\n[sinks.o]\ninput = \"t\"\nconnector = \"print\""),
            r#"error: unexpected s behind the query
 --> job.toml:10:22
   |
10 | sql = "SELECT a FORM s"
   |                      ^"#,
        ),
        (
            rest(
                "[transforms.t]\nsql = \"SELECT b, COUNT(*) AS n FROM s GROUP BY b\"\n[sinks.o]\ninput = \"t\"\nconnector = \"filesystem\"\npath = \"o\"\nformat = \"json\"",
            ),
            r#"error: sink "o" (filesystem(json)) takes new rows alone, but "t" updates and deletes rows that it has emitted
 --> job.toml:12:9
   |
12 | input = "t"
   |         ^^^
help: use a sink with a key (jdbc with a PRIMARY KEY), format = "debezium-json", or execution.runtime-mode = "BATCH""#,
        ),
        (
            rest(
                "[transforms.t]\nsql = \"SELECT b, COUNT(*) AS n FROM s GROUP BY b\"\n[sinks.o]\ninput = \"t\"\nconnector = \"jdbc\"\nurl = \"jdbc:sqlite:o.db\"\ntable-name = \"o\"\nschema = \"b STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED\"",
            ),
            r#"error: sink "o" updates rows by the key (n), but the key of "t" is (b)
 --> job.toml:12:9
   |
12 | input = "t"
   |         ^^^
help: the key of the sink and that of its input must have the same columns"#,
        ),
        (
            rest("[transforms.t]\nscript = \"t.lua\"\ninput = \"s\"\noutput = \"a BIGINT\""),
            r#"warning: nothing reads the transform "t": it does not run
 --> job.toml:9:13
  |
9 | [transforms.t]
  |             ^
help: read it in another transform or a sink

error: cannot read t.lua: /work/t.lua is not there
 --> job.toml:10:10
   |
10 | script = "t.lua"
   |          ^^^^^^^"#,
        ),
        (
            rest("[transforms.t]\nsqll = \"SELECT * FROM s\""),
            r#"error: transform "t" has no "sql"
 --> job.toml:9:13
  |
9 | [transforms.t]
  |             ^
help: write sql = "SELECT …", or input, output and a function (script, lua, function)

error: unknown option "sqll" of transform "t"
 --> job.toml:10:1
   |
10 | sqll = "SELECT * FROM s"
   | ^^^^
help: did you mean "sql"?"#,
        ),
        (
            rest("[transforms.t]\nsql = \"SELECT * FROM u\"\n[transforms.u]\nsql = \"SELECT * FROM t\""),
            r"error: transforms read one another in a cycle: t → u → t
 --> job.toml:9:13
  |
9 | [transforms.t]
  |             ^",
        ),
        (
            rest("[transforms.t]\nsql = \"SELECT * FROM t\""),
            r#"warning: nothing reads the transform "t": it does not run
 --> job.toml:9:13
  |
9 | [transforms.t]
  |             ^
help: read it in another transform or a sink

error: the transform "t" reads itself
 --> job.toml:9:13
  |
9 | [transforms.t]
  |             ^"#,
        ),
        (
            rest("[sources.unused]\nconnector = \"datagen\"\nschema = \"a INT\""),
            r#"error: nothing reads the source "unused"
 --> job.toml:9:10
  |
9 | [sources.unused]
  |          ^^^^^^
help: remove it, or read it in a transform or a sink"#,
        ),
        (
            rest("[sinks.out2]\nuid = \"s\"\ninput = \"s\"\nconnector = \"print\""),
            r#"error: "s" and "out2" have the same uid "s": their state could not be told apart
 --> job.toml:10:7
   |
10 | uid = "s"
   |       ^^^
help: give one of them another uid = "…""#,
        ),
        (
            rest("[source.s]\npath = \"x\""),
            r#"error: unknown option "source.s.path"
 --> job.toml:10:1
   |
10 | path = "x"
   | ^^^^
help: did you mean "sources.s.path"?"#,
        ),
        (
            rest("[execution]\nruntime-mod = \"BATCH\""),
            r#"error: unknown option "execution.runtime-mod"
 --> job.toml:10:1
   |
10 | runtime-mod = "BATCH"
   | ^^^^^^^^^^^
help: did you mean "execution.runtime-mode"?"#,
        ),
        (
            rest("[execution.checkpointing]\ninterval = \"10 parsecs\"\nmode = \"ONCE\"\n[parallelism]\ndefault = 0"),
            r#"error: execution.checkpointing.interval: "parsecs" is no unit of time; the units are ns, us, ms, s, min, h, d
 --> job.toml:10:12
   |
10 | interval = "10 parsecs"
   |            ^^^^^^^^^^^^

error: execution.checkpointing.mode: expected one of EXACTLY_ONCE, AT_LEAST_ONCE, found "ONCE"
 --> job.toml:11:8
   |
11 | mode = "ONCE"
   |        ^^^^^^

error: parallelism.default: at least 1 subtask is needed
 --> job.toml:13:11
   |
13 | default = 0
   |           ^"#,
        ),
        (
            job(
                "connector = \"datagen\"\nschema = \"a INT\"",
                SINK,
                "[execution]\nruntime-mode = \"BATCH\"\n[sinks.\"a/b\"]\ninput = \"s\"\nconnector = \"print\"",
            ),
            r#"error: the source "s" never ends, and execution.runtime-mode = BATCH needs sources that do
 --> job.toml:1:10
  |
1 | [sources.s]
  |          ^
help: use execution.runtime-mode = "STREAMING"

error: "a/b" has a character that names must not have: '/'
 --> job.toml:9:8
  |
9 | [sinks."a/b"]
  |        ^^^^^"#,
        ),
    ]
}

#[test]
fn a_wrong_file_says_all_that_is_wrong_and_where() {
    for (file, expected) in wrong_files() {
        assert_eq!(wrong(&file), expected, "{file}");
    }
}
