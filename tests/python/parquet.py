"""DuckDB reads the events of a Parquet file, which must be those of the lines of JSON: parquet.py FILE.parquet FILE.ndjson"""

import json
import sys
from datetime import datetime

import duckdb

table, lines = sys.argv[1:]
with duckdb.connect() as database:
    rows = database.sql("SELECT * FROM read_parquet($file) ORDER BY position", params={"file": table})
    names = rows.columns
    rows = [dict(zip(names, row)) for row in rows.fetchall()]
with open(lines) as file:
    events = sorted((json.loads(line) for line in file), key=lambda event: event["position"])

assert events and len(rows) == len(events), (len(rows), len(events))
for row, event in zip(rows, events):
    for name in ("time", "recordedtime"):
        event[name] = datetime.fromisoformat(event[name])
    topic, partition = row.pop("topic"), row.pop("partition")
    assert event["position"] == f"{topic}/{partition}@{row.pop('offset')}", event
    row["data"] = json.loads(row["data"])
    assert {name: cell for name, cell in row.items() if cell is not None} == event, (row, event)
