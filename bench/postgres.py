# SPDX-License-Identifier: MIT
"""
1 000 000 rows, CSV -> PostgreSQL and PostgreSQL -> CSV, beside psql's \\copy; a server of its own, as it comes. Then both again with --kills N (100) kill -9
of their stage processes on the way, at random.
"""
import argparse
import os
import pathlib
import random
import subprocess
import sys
import time

from common import BUILD, ENV, PLACE, done, measure, sluice, table

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests/system"))
import pg  # noqa: E402
from conftest import kill_some  # noqa: E402

ROWS = 1_000_000
COLUMNS = "id int, customer text, amount numeric, paid boolean, city text, created timestamptz, note text"


def write_input():
    with open(PLACE / "in.csv", "w", encoding="utf-8") as file:
        file.write("id,customer,amount,paid,city,created,note\n")
        for i in range(ROWS):
            file.write(f"{i},user{i % 1000},{i * 37 // 100}.{i * 37 % 100:02d},{'t' if i % 3 == 0 else 'f'},{'Zürich' if i % 7 == 0 else 'Paris'},"
                       f"2024-02-29 {i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}+00,\"line \"\"{i}\"\", x\"\n")


def write_configs(connection):
    dies = 'restart = 10000; backoff = "1ms";'
    for name, more in ("", ""), ("-killed", dies):
        # Each round finds an empty table.
        (PLACE / f"in{name}.conf").write_text(f"""stages = {{
          read = {{ source = "file"; path = "in.csv"; {more} }};
          save = {{ sink = "postgres"; from = "read"; connection = "{connection}"; table = "orders"; {more} }};
        }};""")
        (PLACE / f"out{name}.conf").write_text(f"""stages = {{
          read = {{ source = "postgres"; connection = "{connection}"; table = "source"; key = "id"; {more} }};
          save = {{ sink = "file"; from = "read"; path = "out{name}.csv"; {more} }};
        }};""")
    (PLACE / "query.conf").write_text(f"""stages = {{
      read = {{ source = "postgres"; connection = "{connection}"; table = "source"; }};
      save = {{ sink = "file"; from = "read"; path = "query.csv"; }};
    }};""")


def kill_on_the_way(config, kills):
    seed = random.randrange(1_000_000)
    begin = time.monotonic()
    process = subprocess.Popen([BUILD / "sluice", "run", "--quiet", config], cwd=PLACE, env=ENV, stderr=subprocess.PIPE, text=True)
    done_kills = kill_some(process, {"read", "save"}, kills, seed)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    print(f"  {config}: {done_kills} kills (seed {seed}), {time.monotonic() - begin:.2f} s")


def check_table(server):
    assert server.ask("SELECT count(*), count(DISTINCT id) AS ids, sum(amount)::text FROM orders") == [
        [ROWS, ROWS, f"{sum(i * 37 for i in range(ROWS)) / 100:.2f}"]]


def check_file(name):
    with open(PLACE / name, encoding="utf-8") as file:
        next(file)
        assert [int(line.split(",", 1)[0]) for line in file] == list(range(ROWS)), name


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    kills = options.parse_args().kills
    server = pg.Server()

    def empty():
        server.psql(f"DROP TABLE IF EXISTS orders; CREATE TABLE orders ({COLUMNS});")
        server.psql("CHECKPOINT")
    try:
        write_input()
        write_configs(server.connection)
        psql = [pg.PROGRAMS[-1] / "psql", "-X", "-q", server.connection, "-c"]
        load = {"psql \\copy from": (psql + ["\\copy orders FROM in.csv CSV HEADER"], None),
                "sluice, CSV to table": (sluice("in.conf"), None)}
        table(measure(3, load, empty), "psql \\copy from")
        check_table(server)
        server.psql("CREATE TABLE source AS TABLE orders; ALTER TABLE source ADD PRIMARY KEY (id); VACUUM ANALYZE source;")
        read = {"psql \\copy to": (psql + ["\\copy (SELECT * FROM source ORDER BY id) TO psql.csv CSV HEADER"], None),
                "sluice, by key": (sluice("out.conf"), None),
                "sluice, one query": (sluice("query.conf"), None)}
        table(measure(3, read), "psql \\copy to")
        check_file("out.csv")
        assert sum(1 for _ in open(PLACE / "query.csv", encoding="utf-8")) == ROWS + 1
        empty()
        kill_on_the_way("in-killed.conf", kills)
        check_table(server)
        kill_on_the_way("out-killed.conf", kills)
        check_file("out-killed.csv")
        print("  every row is there, once")
    finally:
        server.close()
        done()


begin = time.monotonic()
assert pg.PROGRAMS, "install postgresql"
os.chdir(PLACE)
main()
print(f"  all of it in {time.monotonic() - begin:.0f} s")
