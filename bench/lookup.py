#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A million records joined with a table of ten thousand rows: `lookup`, beside `sql` (the table is in the query), beside Python, and beside no join at all; and `lua`."""
import json
import random

from common import PLACE, done, measure, sluice

COUNT, ROWS = 1_000_000, 10_000

PYTHON = """
import csv, json, sys
table = {row.pop("id"): row for row in csv.DictReader(open("table.csv"))}
for line in open("in.ndjson", "rb"):
    record = json.loads(line)
    row = table.get(str(record["item"]))
    if row:
        record.update(row)
    sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\\n")
"""


def config(name, work):
    (PLACE / f"{name}.conf").write_text(f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ {work} from = "read"; }};
      save = {{ sink = "file"; path = "{name}.ndjson"; from = "work"; }};
    }};""")
    return sluice(f"{name}.conf"), None


def main():
    chance = random.Random(1)
    rows = [{"id": n, "name": f"article {n}", "price": n / 4} for n in range(ROWS)]
    with open(PLACE / "in.ndjson", "w", encoding="utf-8") as file:
        for n in range(COUNT):
            file.write(json.dumps({"n": n, "item": chance.randrange(ROWS), "text": "x" * 60, "amount": n % 7}) + "\n")
    with open(PLACE / "table.csv", "w", encoding="utf-8") as file:
        file.write("id,name,price\n" + "".join(f"{row['id']},{row['name']},{row['price']}\n" for row in rows))
    (PLACE / "table.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (PLACE / "join.py").write_text(PYTHON)
    values = ", ".join(f"({row['id']}, '{row['name']}', {row['price']})" for row in rows[:200])
    found = measure(2, {
        "no join": config("none", 'transform = "sql"; query = "SELECT * FROM input";'),
        "lookup, ndjson": config("ndjson", 'transform = "lookup"; path = "table.ndjson"; key = { item = "id"; };'),
        "lookup, csv": config("csv", 'transform = "lookup"; path = "table.csv"; key = { item = "id"; };'),
        "sql, 200 rows in the query": config(
            "sql", f'transform = "sql"; query = "WITH t (id, name, price) AS (VALUES {values}) SELECT input.*, t.name AS name, t.price AS price FROM input LEFT JOIN t ON t.id = input.item";'),
        "lua, a field more": config("lua", 'transform = "lua"; script = "function transform(r) r.price = r.amount / 4; return r end";'),
        "Python": (["/usr/bin/python3", "join.py"], PLACE / "python.ndjson"),
    })
    for name in ("ndjson", "csv"):
        with open(PLACE / f"{name}.ndjson", encoding="utf-8") as ours, open(PLACE / "python.ndjson", encoding="utf-8") as theirs:
            assert sum(1 for a, b in zip(ours, theirs, strict=True) if json.loads(a)["name"] == json.loads(b)["name"]) == COUNT
    for name, (wall, cpu) in found.items():
        print(f"{name:<28} {wall:6.2f} s  {COUNT / wall / 1e6:5.2f} M records/s  {cpu:6.2f} s of processor")


try:
    main()
finally:
    done()
