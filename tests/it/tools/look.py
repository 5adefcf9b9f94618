"""Reads the files of one state of a savepoint as a user of DuckDB or pandas would, and compares them with `flink state export`.

look.py TOOL EXPORTED COLUMNS FILE...
    TOOL: duckdb or pandas. EXPORTED: the rows as JSON, one object a line. COLUMNS: a JSON object, column -> SQL type.
"""

import datetime
import decimal
import json
import sys


def rows_of_duckdb(files):
    import duckdb

    found = duckdb.sql(f"SELECT * FROM read_parquet({files!r}, hive_partitioning = false)")
    return found.columns, [dict(zip(found.columns, row)) for row in found.fetchall()]


def rows_of_pandas(files):
    import pandas

    frame = pandas.concat([pandas.read_parquet(file, dtype_backend="pyarrow") for file in files], ignore_index=True)
    return list(frame.columns), frame.astype(object).to_dict("records")


def number(value):
    """Any number as text: 1.50, 1.5 and 1.5e0 are one."""
    return format(decimal.Decimal(str(value)).normalize(), "f")


def plain(value):
    """A value as JSON has it, whatever the tool returns for it."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, dict):
        return {key_text(key): plain(of) for key, of in value.items()}
    if isinstance(value, datetime.datetime):
        return moment(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        pairs = all(isinstance(item, tuple) and len(item) == 2 for item in value)
        return {key_text(key): plain(of) for key, of in value} if value and pairs else [plain(item) for item in value]
    return None if value != value else number(value)


def key_text(key):
    found = plain(key)
    return found if isinstance(found, str) else str(found)


def moment(value):
    value = value if value.tzinfo is None else value.astimezone(datetime.timezone.utc)
    return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def expected(value, sql_type):
    """What was exported, in the same form."""
    if value is not None and sql_type.startswith("TIMESTAMP"):
        text = value.replace("T", " ").rstrip("Z")
        seconds, _, fraction = text.partition(".")
        return f"{seconds}.{fraction:0<3}"
    return plain(value)


def main():
    tool, exported, columns, *files = sys.argv[1:]
    columns = json.loads(columns)
    names, found = {"duckdb": rows_of_duckdb, "pandas": rows_of_pandas}[tool](files)
    assert list(names) == list(columns), f"{names} != {list(columns)}"
    found = [{name: plain(row[name]) for name in columns} for row in found]
    with open(exported) as lines:
        wanted = [json.loads(line, parse_float=decimal.Decimal) for line in lines]
    wanted = [{name: expected(row[name], columns[name]) for name in columns} for row in wanted]
    def order(row):
        return json.dumps(row, sort_keys=True, default=str)

    found.sort(key=order)
    wanted.sort(key=order)
    assert len(found) == len(wanted) and found, f"{len(found)} rows, {len(wanted)} were exported"
    for row, other in zip(found, wanted):
        assert order(row) == order(other), f"{order(row)} != {order(other)}"
    print(len(found))


main()
