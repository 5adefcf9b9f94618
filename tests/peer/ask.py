#!/usr/bin/env python3
"""Asks a real Flink 2.3.0 the questions of this directory and writes its answers to answers-2.3.0.json.

usage: ask.py [new] [expressions|queries|writes]...      (all of them without arguments; the others' answers stay)

With `new`, expressions that have an answer keep it.

Needs Java 17 and the Flink that bench/peer/setup.sh makes (FLINK_PEER_DIR, default ~/.cache/flink-peer); no cluster is started. Takes some minutes."""
import json, os, pathlib, subprocess, sys, tempfile, tomllib

HERE = pathlib.Path(__file__).resolve().parent
PEER = pathlib.Path(os.environ.get("FLINK_PEER_DIR") or pathlib.Path.home() / ".cache/flink-peer")
ANSWERS = HERE / "answers-2.3.0.json"
SCHEMA = """b BOOLEAN, ti TINYINT, si SMALLINT, i INT, l BIGINT, f FLOAT, d DOUBLE, p DECIMAL(10, 2), q DECIMAL(38, 10), v VARCHAR(10), s STRING, \
y BYTES, dt DATE, tm TIME, t0 TIMESTAMP(0), t3 TIMESTAMP(3), t6 TIMESTAMP(6), t9 TIMESTAMP(9), lz TIMESTAMP_LTZ(3), z INT NOT NULL, \
num STRING, ds STRING, ts STRING"""


def table(name, schema, path, options):
    settings = {"connector": "filesystem", "path": str(path), **options}
    settings = ", ".join("'%s' = '%s'" % (k, str(v).replace("'", "''")) for k, v in settings.items())
    return f"CREATE TABLE {name} ({schema}) WITH ({settings})"


def questions(wanted, scratch):
    asked = {}
    if "expressions" in wanted:
        lines = (line.rstrip("\n") for line in open(HERE / "expressions.txt", encoding="utf-8"))
        asked["expressions"] = [{"sql": line} for line in lines if line and not line.startswith("#")]
        asked["schema"] = SCHEMA
        asked["source"] = table("src", SCHEMA, HERE / "rows.json", {"format": "json"})
    if "queries" in wanted:
        asked["queries"] = []
        cases = tomllib.load(open(HERE / "queries.toml", "rb"))
        for name, case in cases["query"].items():
            tables = case.get("tables") or ([case["from"]] if "from" in case else ["bids"])
            ddl = []
            for t in tables:
                given = cases["table"].get(t) or case
                path = scratch / f"{len(asked['queries'])}-{t}"
                path.write_text(given["input"], encoding="utf-8")
                ddl.append(table(t, given["schema"], path, {"format": given["format"], **given.get("options", {})}))
            asked["queries"].append({"name": name, "mode": case.get("mode", "STREAMING"), "settings": case.get("settings", {}), "ddl": ddl, "sql": case["sql"],
                                     "inputs": {t: {k: v for k, v in (cases["table"].get(t) or case).items() if k in ("schema", "format", "options", "input")} for t in tables}})
    if "writes" in wanted:
        asked["writes"] = []
        cases = tomllib.load(open(HERE / "writes.toml", "rb"))
        path = scratch / "values"
        path.write_text(cases["input"], encoding="utf-8")
        asked["write-input"] = {"schema": cases["schema"], "input": cases["input"]}
        for name, case in cases["write"].items():
            source = table("src", cases["schema"], path, {"format": "json"})
            sink = f"CREATE TABLE written WITH ('connector' = 'filesystem', 'path' = 'file://@DIR@', 'format' = '{case['format']}'"
            sink += "".join(f", '{k}' = '%s'" % str(v).replace("'", "''") for k, v in case.get("options", {}).items()) + ") AS "
            asked["writes"].append({"name": name, "format": case["format"], "options": case.get("options", {}), "query": case["sql"], "settings": {}, "ddl": [source], "sql": sink + case["sql"]})
    return asked


def ask(asked, scratch):
    jars = ":".join(str(jar) for jar in sorted((PEER / "flink/lib").glob("*.jar")))
    (scratch / "in.json").write_text(json.dumps(asked), encoding="utf-8")
    (scratch / "log4j2.properties").write_text("rootLogger.level = OFF\n")
    subprocess.run(["javac", "-nowarn", "-cp", jars, "-d", scratch, HERE / "Peer.java"], check=True)
    opens = [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in ("java.lang", "java.util", "java.time", "java.net", "java.nio", "java.math", "java.text")]
    java = ["java", "-Xmx1500m", "-XX:TieredStopAtLevel=1", f"-Dlog4j.configurationFile={scratch}/log4j2.properties", "-Duser.timezone=UTC", *opens]
    subprocess.run([*java, "-cp", f"{scratch}:{jars}", "Peer", scratch / "in.json", scratch / "out.json"], check=True)
    return json.loads((scratch / "out.json").read_text(encoding="utf-8"))


def main():
    wanted = [word for word in sys.argv[1:] if word != "new"] or ["expressions", "queries", "writes"]
    answers = json.loads(ANSWERS.read_text(encoding="utf-8")) if ANSWERS.exists() else {}
    known = {case["sql"]: case for case in answers.get("expressions", [])} if "new" in sys.argv else {}
    with tempfile.TemporaryDirectory() as scratch:
        asked = questions(wanted, pathlib.Path(scratch))
        all_expressions = asked.get("expressions", [])
        if all_expressions:
            asked["expressions"] = [case for case in all_expressions if case["sql"] not in known]
        answered = ask(asked, pathlib.Path(scratch))
    if all_expressions:
        known.update((case["sql"], case) for case in answered["expressions"])
        answered["expressions"] = [known[case["sql"]] for case in all_expressions]
    answered.pop("source", None)
    for part in ("queries", "writes"):
        for case in answered.get(part, []):
            case.pop("ddl")
            if part == "writes":
                case["sql"] = case.pop("query")
    answers.update(answered)
    with open(ANSWERS, "w", encoding="utf-8") as out:  # one case a line, so that differences can be read
        parts = []
        for key in sorted(answers):
            value = answers[key]
            if isinstance(value, list):
                parts.append(f'"{key}": [\n' + ",\n".join(json.dumps(case, ensure_ascii=False, sort_keys=True) for case in value) + "\n]")
            else:
                parts.append(f'"{key}": ' + json.dumps(value, ensure_ascii=False))
        out.write("{\n" + ",\n".join(parts) + "\n}\n")
    for part in wanted:
        cases = answers[part]
        print(part, len(cases), "refused", sum("refused" in c for c in cases), "failed", sum("failed" in c for c in cases))


if __name__ == "__main__":
    main()
