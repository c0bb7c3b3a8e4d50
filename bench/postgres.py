# SPDX-License-Identifier: MIT
"""1 000 000 rows, CSV -> PostgreSQL and PostgreSQL -> CSV, beside psql's \\copy; a server of its own, as it comes."""
import os
import pathlib
import subprocess
import sys
import time

from common import PLACE, done, measure, sluice, table

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests/system"))
import pg  # noqa: E402

ROWS = 1_000_000
COLUMNS = "id int, customer text, amount numeric, paid boolean, city text, created timestamptz, note text"


def write_input():
    with open(PLACE / "in.csv", "w", encoding="utf-8") as file:
        file.write("id,customer,amount,paid,city,created,note\n")
        for i in range(ROWS):
            file.write(f"{i},user{i % 1000},{i * 37 // 100}.{i * 37 % 100:02d},{'t' if i % 3 == 0 else 'f'},{'Zürich' if i % 7 == 0 else 'Paris'},"
                       f"2024-02-29 {i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}+00,\"line \"\"{i}\"\", x\"\n")


def write_configs(connection):
    # Each round finds an empty table.
    (PLACE / "in.conf").write_text(f"""stages = {{
      read = {{ source = "file"; path = "in.csv"; }};
      save = {{ sink = "postgres"; from = "read"; connection = "{connection}"; table = "orders"; }};
    }};""")
    (PLACE / "out.conf").write_text(f"""stages = {{
      read = {{ source = "postgres"; connection = "{connection}"; table = "source"; key = "id"; }};
      save = {{ sink = "file"; from = "read"; path = "out.csv"; }};
    }};""")
    (PLACE / "query.conf").write_text(f"""stages = {{
      read = {{ source = "postgres"; connection = "{connection}"; table = "source"; }};
      save = {{ sink = "file"; from = "read"; path = "query.csv"; }};
    }};""")


def main():
    server = pg.Server()
    try:
        write_input()
        write_configs(server.connection)
        psql = [pg.PROGRAMS[-1] / "psql", "-X", "-q", server.connection, "-c"]
        # Before each that loads: the table as new, for both in the same way.
        clean = f"{psql[0]} -X -q '{server.connection}' -c 'DROP TABLE IF EXISTS orders' -c 'CREATE TABLE orders ({COLUMNS})' -c CHECKPOINT && exec "
        load = {"psql \\copy from": (["sh", "-c", clean + f"{psql[0]} -X -q '{server.connection}' -c \"\\\\copy orders FROM in.csv CSV HEADER\""], None),
                "sluice, CSV to table": (["sh", "-c", clean + " ".join(str(word) for word in sluice("in.conf"))], None)}
        found = measure(3, load)
        table(found, "psql \\copy from")
        assert server.ask("SELECT count(*), count(DISTINCT id) AS ids, sum(amount)::text FROM orders") == [
            [ROWS, ROWS, f"{sum(i * 37 for i in range(ROWS)) / 100:.2f}"]]
        server.psql("CREATE TABLE source AS TABLE orders; ALTER TABLE source ADD PRIMARY KEY (id); VACUUM ANALYZE source;")
        read = {"psql \\copy to": (psql + ["\\copy (SELECT * FROM source ORDER BY id) TO psql.csv CSV HEADER"], None),
                "sluice, by key": (sluice("out.conf"), None),
                "sluice, one query": (sluice("query.conf"), None)}
        table(measure(3, read), "psql \\copy to")
        for name in "out.csv", "query.csv":
            assert sum(1 for _ in open(PLACE / name, encoding="utf-8")) == ROWS + 1, name
        print("  every row is there, once")
    finally:
        server.close()
        done()


begin = time.monotonic()
assert pg.PROGRAMS, "install postgresql"
os.chdir(PLACE)
main()
print(f"  all of it in {time.monotonic() - begin:.0f} s")
