"""Adds 1000 to a column of a savepoint's file, or to a field of it, as a user of DuckDB or pandas would.

edit.py TOOL FILE COLUMN [FIELD]
"""

import os
import sys


def with_duckdb(file, new, column, field):
    import duckdb

    value = f'"{column}" + 1000' if field is None else f'struct_update("{column}", "{field}" := "{column}"."{field}" + 1000)'
    changed = f'SELECT * REPLACE ({value} AS "{column}") FROM read_parquet(\'{file}\', hive_partitioning = false) ORDER BY key_group'
    duckdb.sql(f"COPY ({changed}) TO '{new}' (FORMAT parquet)")


def with_pandas(file, new, column, field):
    import pandas

    rows = pandas.read_parquet(file)
    if field is None:
        rows[column] += 1000
    else:
        rows[column] = [{**value, field: value[field] + 1000} for value in rows[column]]
    rows.to_parquet(new, index=False)


tool, file, column, *field = sys.argv[1:]
new = file + ".new"
{"duckdb": with_duckdb, "pandas": with_pandas}[tool](file, new, column, field[0] if field else None)
os.replace(new, file)
