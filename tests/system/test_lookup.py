# SPDX-License-Identifier: MIT
"""The transform `lookup`: rows from files, SQLite and PostgreSQL, keys of all kinds, and tables that change while it runs."""
import json
import os
import sqlite3
import threading

import pytest

import pg
from conftest import children, finish, kill_some, wait_for
from test_postgres_sink import own_server, server, shared_server  # noqa: F401 (fixtures)

needs_server = pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")
ROWS = [{"id": 1, "name": "apple", "price": 0.5}, {"id": 2.0, "name": "Birne", "price": 2}, {"id": "3", "name": None, "price": 3}]


def pipeline(options, source='source = "file"; path = "in.ndjson";', save='sink = "file"; path = "out.ndjson";'):
    return f"""stages = {{
      read = {{ {source} }};
      work = {{ transform = "lookup"; from = "read"; {options} }};
      save = {{ from = "work"; {save} }};
    }};"""


def write(place, name, records):
    """As a whole: another file takes the name."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    place.write(f"{name}.new", text).rename(place.path / name)


def output(place):
    return [json.loads(line) for line in open(place.path / "out.ndjson", encoding="utf-8")]


def join(place, options, records, status=0):
    write(place, "in.ndjson", records)
    _, err = place.run(pipeline(options), status=status)
    return output(place) if status in (0, 3) else err


def make_database(place, *statements):
    database = sqlite3.connect(place.path / "t.db")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_keys_of_all_kinds(place):
    """1 equals 1.0; a number equals the text that says it only where that is asked for."""
    write(place, "t.ndjson", ROWS)
    records = [{"id": key} for key in (1, 1.0, "1", 2, 3, "3", True, None, [1], 2**63, 1.5)] + [{}]
    options = 'path = "t.ndjson"; on = "id"; take = "name";'
    found = [record.get("name", "-") for record in join(place, options, records)]
    assert found == ["apple", "apple", "-", "Birne", "-", None, "-", "-", "-", "-", "-", "-"]
    found = [record.get("name", "-") for record in join(place, options + "loose = true;", records)]
    assert found == ["apple", "apple", "apple", "Birne", None, None, "-", "-", "-", "-", "-", "-"]


def test_csv_is_text(place):
    place.write("t.csv", "code;n;x\n007;1.5;bond\n7;0.1;seven\ntrue;18446744073709551615;yes\n")
    options = 'path = "t.csv"; delimiter = ";"; key = { c = "code"; }; take = "x";'
    assert [record.get("x") for record in join(place, options, [{"c": "007"}, {"c": 7}, {"c": 7.0}, {"c": "7"}, {"c": True}])] == [
        "bond", "seven", "seven", "seven", "yes"]
    options = options.replace('c = "code"', 'c = "n"')
    assert [record.get("x") for record in join(place, options, [{"c": 1.5}, {"c": 0.1}, {"c": 2**64 - 1}, {"c": "0.10"}])] == [
        "bond", "seven", "yes", None]


def test_names(place):
    """Two columns of a key, all others taken or some, renamed, prefixed; a field of the same name is replaced; nested values stay."""
    place.write("t.json", json.dumps([{"a": 1, "b": "x", "v": {"k": [1]}, "w": 2}, {"a": 1, "b": "y", "v": None, "w": 3}]))
    records = [{"A": 1, "b": "y", "w": 0, "z": 9}, {"A": 1, "b": "x", "v": 0}, {"A": 2, "b": "x"}]
    options = 'path = "t.json"; on = "b"; key = { A = "a"; };'
    assert join(place, options, records) == [
        {"A": 1, "b": "y", "z": 9, "v": None, "w": 3}, {"A": 1, "b": "x", "v": {"k": [1]}, "w": 2}, {"A": 2, "b": "x"}]
    options += 'take = [ "w", "v" ]; rename = { v = "V"; }; prefix = "t_"; missing = "null";'
    assert [list(record.items()) for record in join(place, options, records)] == [
        [("A", 1), ("b", "y"), ("w", 0), ("z", 9), ("t_w", 3), ("V", None)], [("A", 1), ("b", "x"), ("v", 0), ("t_w", 2), ("V", {"k": [1]})],
        [("A", 2), ("b", "x"), ("t_w", None), ("V", None)]]


@pytest.mark.parametrize("missing, status, count", [("keep", 0, 3), ("drop", 0, 1), ("dead-letter", 3, 1)])
def test_missing(place, missing, status, count):
    write(place, "t.ndjson", ROWS)
    assert len(join(place, f'path = "t.ndjson"; on = "id"; missing = "{missing}";', [{"id": 5}, {"id": 1}, {"ID": 1}], status)) == count
    _, out, _ = place.sluice("dead", "export", "p.conf")
    reasons = [json.loads(line)["reason"] for line in out.splitlines()]
    assert reasons == (["the table t.ndjson has no row for id = 5", "the table t.ndjson has no row for id = nothing"] if status == 3 else [])


@pytest.mark.parametrize("duplicates, price", [("first", 1), ("last", 3)])
def test_duplicates(place, duplicates, price):
    write(place, "t.ndjson", [{"id": 1, "price": 1}, {"id": 2, "price": 2}, {"id": 1.0, "price": 3}])
    assert join(place, f'path = "t.ndjson"; on = "id"; duplicates = "{duplicates}";', [{"id": 1}]) == [{"id": 1, "price": price}]


@pytest.mark.parametrize("source", ['table = "my prices";', "query = \"SELECT id, name FROM 'my prices' WHERE id > 0\";"])
def test_sqlite(place, source):
    make_database(place, 'CREATE TABLE "my prices" (id, name)', "INSERT INTO \"my prices\" VALUES (1, 'apple'), ('2', NULL), (NULL, 'none')")
    assert join(place, f'path = "t.db"; {source} on = "id";', [{"id": 1.0}, {"id": "2"}, {"id": 2}, {"id": None}]) == [
        {"id": 1.0, "name": "apple"}, {"id": "2", "name": None}, {"id": 2}, {"id": None}]


@needs_server
def test_postgres(place, server):  # noqa: F811
    server.psql("CREATE TABLE prices (id int, price numeric, at timestamptz, j jsonb);"
                " INSERT INTO prices SELECT n, n / 4.0, '2024-02-29T12:00:00Z', '[1]' FROM generate_series(1, 5000) AS n")
    found = join(place, f'connection = "{server.connection}"; query = "SELECT id, price, at, j FROM prices"; on = "id"; take = [ "price", "j" ];',
                 [{"id": n} for n in range(4990, 5010)])
    assert [float(record["price"]) for record in found[:11]] == [n / 4 for n in range(4990, 5001)] and found[11] == {"id": 5001}
    assert found[0]["j"] == [1] and isinstance(found[0]["price"], str)
    assert len(join(place, f'connection = "{server.connection}"; table = "prices"; on = "id";', [{"id": 1}])[0]) == 4


@pytest.mark.parametrize("options, status, reason", [
    ('on = "id";', 78, "write where the table is: `path`"),
    ('path = "t.ndjson"; connection = "dbname=x"; on = "id";', 78, "write where the table is: `path`"),
    ('connection = "dbname=x"; on = "id";', 78, "`connection` wants a `table`"),
    ('connection = "nonsense"; table = "t"; on = "id";', 78, "`connection` is not understood"),
    ('path = "t.ndjson"; table = "t"; query = "SELECT 1"; on = "id";', 78, "write either `table` or `query`"),
    ('path = "t.ndjson";', 78, 'write by what the row is found: on = "id"'),
    ('path = "t"; on = "id";', 78, "`path` does not say its format"),
    ('path = "t.log"; format = "lines"; on = "id";', 78, "they have no columns"),
    ('path = "t.ndjson"; on = "id"; missing = "null";', 78, 'missing = "null" wants `take`'),
    ('path = "t.ndjson"; on = "id"; take = "name"; rename = { price = "p"; };', 78, '`rename` names "price", which `take` does not'),
    ('path = "none.csv"; on = "id";', 1, "the table none.csv: it cannot be opened: No such file"),
    ('path = "t.ndjson"; on = "nr";', 1, "the table t.ndjson: no row has the column `nr`"),
    ('path = "t.ndjson"; on = "id"; take = "weight";', 1, "no row has the column `weight`"),
    ('path = "bad.ndjson"; on = "id";', 1, "the table bad.ndjson: line 2: "),
    ('path = "twice.ndjson"; on = "id";', 1, 'row 2 has the key of a row before it (id = 1.0): write duplicates = "first"'),
    ('path = "bare.ndjson"; on = "id";', 1, "row 1 is no map, but of kind integer"),
    ('path = "large.ndjson"; on = "id"; table_max = "4KiB";', 1, "it is larger than `table_max`"),
    ('path = "t.db"; table = "none"; on = "id";', 1, "no such table: none"),
    ('path = "t.ndjson"; table = "t"; on = "id";', 1, "file is not a database"),
])
def test_what_cannot_work_is_said(place, options, status, reason):
    write(place, "t.ndjson", ROWS)
    place.write("bad.ndjson", '{"id": 1}\n{"id": \n')
    place.write("twice.ndjson", '{"id": 1}\n{"id": 1.0}\n')
    place.write("bare.ndjson", "5\n")
    write(place, "large.ndjson", [{"id": n, "x": "y" * 100} for n in range(100)])
    make_database(place, "CREATE TABLE t (id)")
    assert reason in join(place, options + "restart = 0;", [{"id": 1}], status)


class Flow:
    """A pipeline that runs on, whose input grows; what came of the last record."""

    def __init__(self, place, options):
        self.place, self.n, self.seen = place, 0, 0
        place.write("in.ndjson", "")
        place.write("p.conf", pipeline(options, source='source = "file"; path = "in.ndjson"; follow = true;', save='sink = "file"; path = "out.ndjson"; append = true;'))
        place.write("out.ndjson", "")
        self.process = place.start("run", "p.conf")

    def ask(self, key):
        self.n += 1
        with open(self.place.path / "in.ndjson", "a", encoding="utf-8") as file:
            file.write(json.dumps({"n": self.n, "id": key}) + "\n")
        record = wait_for(lambda: (self.output() or [{}])[-1].get("n") == self.n and self.output()[-1])
        return record.get("price")

    def output(self):
        text = (self.place.path / "out.ndjson").read_text()
        return [json.loads(line) for line in text.splitlines()] if text.endswith("\n") else []

    def until(self, key, price):
        wait_for(lambda: self.ask(key) == price, what=f"the price {price}")

    def end(self):
        self.process.terminate()
        code, _, err = finish(self.process)
        assert code == 0 and "leak" not in err, err
        assert sorted(record["n"] for record in self.output()) == list(range(1, self.n + 1))
        return err


@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_that_changes(place, threads):
    """Replaced, written in place, broken, gone, whole again: what was whole last is what counts."""
    write(place, "t.ndjson", [{"id": 1, "price": 1}])
    flow = Flow(place, f'path = "t.ndjson"; on = "id"; reload = "20ms"; threads = {threads};')
    assert flow.ask(1) == 1
    write(place, "t.ndjson", [{"id": 1, "price": 2}])
    flow.until(1, 2)
    place.write("t.ndjson", '{"id": 1, "price": 3}\n{"id": 2, "price": 4}\n')
    flow.until(2, 4)
    place.write("bad", '{"id": 1, "price": 5}\n{"id":').rename(place.path / "t.ndjson")
    for _ in range(10):
        assert flow.ask(1) == 3
    os.unlink(place.path / "t.ndjson")
    for _ in range(10):
        assert flow.ask(1) == 3
    write(place, "t.ndjson", [{"id": 1, "price": 6}])
    flow.until(1, 6)
    flow.ask(1)
    err = flow.end()
    assert "the table t.ndjson was read again: 2 rows" in err
    assert "the table t.ndjson cannot be read again, and stays as it was: " in err


@pytest.mark.parametrize("form", ["file", "database"])
def test_kill_storm_while_the_table_changes(place, form):
    """Every record comes out once, in order, with a row as it was at some time, and never with an older one than the record before it."""
    version, is_over = 0, threading.Event()

    def change():
        nonlocal version
        version += 1
        if form == "file":
            write(place, "t.ndjson", [{"id": n, "price": version, "half": version} for n in range(50)])
        else:
            make_database(place, f"UPDATE t SET price = {version}, half = {version}")

    def change_on():
        while not is_over.wait(0.01):
            change()

    make_database(place, "PRAGMA journal_mode = WAL", "CREATE TABLE t (id INTEGER PRIMARY KEY, price, half)",
                  *[f"INSERT INTO t VALUES ({n}, 0, 0)" for n in range(50)])
    change()
    table = 'path = "t.ndjson";' if form == "file" else 'path = "t.db"; table = "t";'
    write(place, "in.ndjson", [{"n": n, "id": n % 50} for n in range(6000)])
    place.write("p.conf", pipeline(table + 'on = "id"; reload = "5ms"; missing = "dead-letter"; rate = "4000/s"; restart = 1000; backoff = "1ms";'))
    process = place.start("run", "p.conf")
    changer = threading.Thread(target=change_on)
    changer.start()
    try:
        kills = kill_some(process, {"work"}, 15, 7)
        code, _, err = finish(process, 120)
    finally:
        is_over.set()
        changer.join()
    assert code == 0 and "leak" not in err, err
    assert kills > 5
    records = output(place)
    assert [record["n"] for record in records] == list(range(6000))
    prices = [record["price"] for record in records]
    assert prices == sorted(prices) and prices == [record["half"] for record in records]
    assert 1 <= prices[0] < prices[-1] <= version


def test_a_database_that_changes(place):
    make_database(place, "PRAGMA journal_mode = WAL", "CREATE TABLE t (id INTEGER PRIMARY KEY, price)", "INSERT INTO t VALUES (1, 1)")
    flow = Flow(place, 'path = "t.db"; table = "t"; on = "id"; reload = "20ms";')
    assert flow.ask(1) == 1
    make_database(place, "UPDATE t SET price = 2")
    flow.until(1, 2)
    make_database(place, "ALTER TABLE t RENAME TO u")
    for _ in range(10):
        assert flow.ask(1) == 2
    make_database(place, "ALTER TABLE u RENAME TO t", "UPDATE t SET price = 3")
    flow.until(1, 3)
    flow.end()


@needs_server
def test_the_server_is_killed_and_comes_back(place, own_server):  # noqa: F811
    own_server.psql("CREATE TABLE t (id int PRIMARY KEY, price int); INSERT INTO t VALUES (1, 1)")
    flow = Flow(place, f'connection = "{own_server.connection}"; table = "t"; on = "id"; reload = "50ms";')
    assert flow.ask(1) == 1
    own_server.psql("UPDATE t SET price = 2")
    flow.until(1, 2)
    own_server.kill()
    for _ in range(20):
        assert flow.ask(1) == 2
    own_server.start_again()
    own_server.psql("UPDATE t SET price = 3")
    flow.until(1, 3)
    assert "stays as it was: cannot connect to PostgreSQL" in flow.end()


@needs_server
def test_a_server_that_is_away_at_first(place, own_server):  # noqa: F811
    """It is waited for by way of new processes, which nobody counts, and no record is lost."""
    own_server.psql("CREATE TABLE t (id int PRIMARY KEY, price int); INSERT INTO t VALUES (1, 1)")
    flow = Flow(place, f'connection = "{own_server.connection}"; table = "t"; on = "id"; restart = 1;')
    assert flow.ask(1) == 1
    own_server.kill()
    victim = next(pid for pid, name in children(flow.process.pid).items() if name == "work.0")
    os.kill(victim, 9)
    wait_for(lambda: any(name == "work.0" and pid != victim for pid, name in children(flow.process.pid).items()))
    own_server.start_again()
    assert flow.ask(1) == 1
    flow.end()
