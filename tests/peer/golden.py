#!/usr/bin/env python3
"""Runs the golden jobs (tests/jobs) on a real Flink 2.3.0 and compares what they write with their expected rows.

usage: golden.py [JOB]...

A job.toml is translated into Flink's SQL: sources become tables, transforms views, each sink a CREATE TABLE … AS SELECT. What has no counterpart
there is left out (bad-records) or replaced: the tables of jdbc sinks, which a Flink without the JDBC connector cannot write, by changelogs in files.
Needs what ask.py needs."""
import collections, decimal, json, pathlib, sys, tempfile, tomllib
import ask

JOBS = ask.HERE.parent / "jobs"
OURS = {"connector", "path", "schema", "format", "uid", "bad-records", "input", "url", "table-name", "source"}
# Why a job cannot be compared.
LEFT_OUT = {
    "generated": "datagen makes other rows there",
    "dead-letters": "Flink has no dead letters",
    "packed": "Flink does not unpack zstd",
    "projection": "Flink reads no header line",
}


def flat(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value).lower() if isinstance(value, bool) else value


def translate(folder):
    job = tomllib.loads((folder / "job.toml").read_text())
    batch = job.get("execution", {}).get("runtime-mode") == "BATCH"
    ddl, updating = [], False
    for name, source in job["sources"].items():
        options = {k: v for k, v in flat(source) if k.split(".")[0] not in OURS}
        updating |= source["format"].startswith("debezium")
        ddl.append(ask.table(f"`{name}`", source["schema"], folder / source["path"], {"format": source["format"], **options}))
    for name, transform in job.get("transforms", {}).items():
        ddl.append(f"CREATE TEMPORARY VIEW `{name}` AS {transform['sql']}")
    for name, sink in job["sinks"].items():
        options = {k: v for k, v in flat(sink) if k.split(".")[0] not in OURS and not k.startswith("sink.")}
        format = sink.get("format", "debezium-json")
        options = "".join(f", '{k}' = '{v}'" for k, v in options.items())
        settings = {} if batch else {"execution.checkpointing.interval": "1 s"}
        sql = f"CREATE TABLE written WITH ('connector' = 'filesystem', 'path' = 'file://@DIR@', 'format' = '{format}'{options}) AS SELECT * FROM `{sink['input']}`"
        yield {"name": f"{folder.name}/{name}", "mode": "BATCH" if batch else "STREAMING", "settings": settings, "ddl": ddl, "sql": sql}


def plain(value):
    """The same for a number and its text, for a flag and its number, for a moment with and without zeros behind its seconds."""
    if isinstance(value, dict):
        return tuple((k, plain(v)) for k, v in sorted(value.items()))
    if isinstance(value, list):
        return tuple(plain(v) for v in value)
    try:
        return format(decimal.Decimal(str(int(value) if isinstance(value, bool) else value)).normalize(), "f")
    except decimal.InvalidOperation:
        text = str(value)
        return text.rstrip("0").rstrip(".") if text[10:11] == " " and "." in text else text


def rows(lines):
    """How often each row is there, after all changes of a changelog."""
    counts = collections.Counter()
    for line in lines:
        try:
            record = json.loads(line, parse_float=decimal.Decimal)
        except json.JSONDecodeError:
            record = line
        if isinstance(record, dict) and record.keys() == {"before", "after", "op"}:
            for part, change in (("before", -1), ("after", 1)):
                if record[part] is not None:
                    counts[plain(record[part])] += change
        else:
            counts[plain(record)] += 1
    return +counts


def main():
    names = sys.argv[1:] or sorted(p.name for p in JOBS.iterdir() if p.is_dir())
    cases = []
    for name in names:
        if name in LEFT_OUT:
            print(f"{name}: left out: {LEFT_OUT[name]}")
        else:
            cases += translate(JOBS / name)
    with tempfile.TemporaryDirectory() as scratch:
        answers = ask.ask({"writes": cases}, pathlib.Path(scratch))["writes"]
    different = 0
    for answer in answers:
        job, sink = answer["name"].split("/")
        expected = rows((JOBS / job / "expected" / f"{sink}.txt").read_text().splitlines())
        found = rows(answer.get("text", "").splitlines())
        same = "failed" not in answer and expected == found
        different += not same
        print(f"{answer['name']}: {'same' if same else 'DIFFERENT'}, {sum(found.values())} rows", answer.get("failed", ""))
        for what, rest in (("missing", expected - found), ("too many", found - expected)):
            for row in list(rest)[:3]:
                print(f"  {what}: {row}")
    sys.exit(different > 0)


main()
