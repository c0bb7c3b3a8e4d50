# SPDX-License-Identifier: MIT
"""The sink `sqlite`: rows as they should be, and each exactly once, whoever dies."""
import json
import random
import sqlite3
import threading
import time

import pytest

from conftest import finish, kill_some


def feed(place, records):
    (place.path / "in.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))


def pipeline(options, work=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; transform = "delay"; wait = "0s"; {work} }};
      save = {{ sink = "sqlite"; from = "work"; path = "out.db"; table = "orders"; {options} }};
    }};"""


def ask(place, query, *values):
    database = sqlite3.connect(place.path / "out.db")
    try:
        return database.execute(query, values).fetchall()
    finally:
        database.close()


def change(place, *statements):
    database = sqlite3.connect(place.path / "out.db")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_a_table_is_made_of_the_first_record(place):
    feed(place, [{"id": 1, "name": "Zürich", "price": 1.5, "paid": True, "tags": ["a", {"b": None}], "none": None},
                 {"name": None, "id": -2, "price": 7}])
    place.run(pipeline('create = true; key = "id";'))
    assert ask(place, "SELECT id, name, price, paid, tags, none FROM orders ORDER BY id") == [
        (-2, None, 7.0, None, None, None), (1, "Zürich", 1.5, 1, '["a",{"b":null}]', None)]
    assert ask(place, "SELECT name, type, pk FROM pragma_table_info('orders')") == [
        ("id", "INTEGER", 1), ("name", "TEXT", 0), ("price", "REAL", 0), ("paid", "INTEGER", 0), ("tags", "TEXT", 0), ("none", "", 0)]
    assert ask(place, "SELECT count(*) < 10 FROM sluice_committed") == [(1,)]
    assert ask(place, "PRAGMA journal_mode") == [("wal",)]


def test_names_with_quotes_and_bare_values(place):
    place.run("""stages = {
      read = { source = "sequence"; count = 3; };
      save = { sink = "sqlite"; from = "read"; path = "out.db"; table = "a \\"b"; create = true; };
    };""")
    assert ask(place, 'SELECT value FROM "a ""b" ORDER BY value') == [(0,), (1,), (2,)]


def test_upsert_ignore_insert(place):
    change(place, "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, extra TEXT DEFAULT 'kept')", "INSERT INTO orders VALUES (1, 'old', 'x')")
    feed(place, [{"id": 1, "name": "new"}, {"id": 2, "name": "two"}, {"id": 2, "name": "two again"}])
    place.run(pipeline('mode = "ignore";'))
    assert ask(place, "SELECT id, name FROM orders ORDER BY id") == [(1, "old"), (2, "two")]
    _, err = place.run(pipeline(""), status=3)
    assert err.count("UNIQUE constraint failed: orders.id") == 3 and "given up: 3" in err
    place.run(pipeline('mode = "upsert"; key = "id";'))
    assert ask(place, "SELECT id, name FROM orders ORDER BY id") == [(1, "new"), (2, "two again")]


def test_a_row_that_is_refused_is_a_dead_letter_and_the_rest_goes_in(place):
    change(place, "CREATE TABLE orders (id INTEGER, amount INTEGER CHECK (amount > 0)) STRICT")
    feed(place, [{"id": n, "amount": -1 if n == 3 else "many" if n == 5 else n + 1} for n in range(10)])
    place.run(pipeline(""), status=3)
    assert ask(place, "SELECT id FROM orders ORDER BY id") == [(n,) for n in range(10) if n not in (3, 5)]
    code, out, _ = place.sluice("dead", "export", "p.conf")
    found = [json.loads(line) for line in out.splitlines()]
    assert {letter["record"]["id"]: letter["reason"] for letter in found} == {
        3: "CHECK constraint failed: amount > 0", 5: "cannot store TEXT value in INTEGER column orders.amount"}


def test_a_name_with_a_zero_byte_is_no_column(place):
    """What stands before the zero is one."""
    change(place, "CREATE TABLE orders (id INTEGER, name TEXT)")
    feed(place, [{"id": 1, "name": "a"}, *({"id\0" + n * "x": 2} for n in range(30)), {"name": "b", "id": 3}])
    place.run(pipeline(""), status=3)
    assert ask(place, "SELECT id, name FROM orders ORDER BY rowid") == [(1, "a"), (3, "b")]


def test_a_table_that_rolls_everything_back(place):
    """Nothing is in it twice, or without its name: the run says so and ends."""
    change(place, "CREATE TABLE orders (id INTEGER NOT NULL ON CONFLICT ROLLBACK)")
    feed(place, [{"id": n if n != 50 else None} for n in range(100)])
    place.write("p.conf", pipeline('restart = 2; backoff = "5ms";'))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and "let it say ABORT instead of ROLLBACK" in err, err
    assert ask(place, "SELECT count(*) - count(DISTINCT id), coalesce(max(id) < 50, 1) FROM orders") == [(0, 1)]


def test_fields_that_are_no_columns(place):
    change(place, "CREATE TABLE orders (id INTEGER)")
    feed(place, [{"id": 1}, {"id": 2, "color": "red"}])
    _, err = place.run(pipeline(""), status=3)
    assert "the table `orders` has no column `color`: add it, or write extra = \"ignore\": " in err
    place.run(pipeline('extra = "ignore";'))
    assert ask(place, "SELECT id FROM orders ORDER BY id") == [(1,), (1,), (2,)]


@pytest.mark.parametrize("prepare, options, status, reason", [
    ([], "", 1, "out.db has no table `orders`: create it, or write create = true;"),
    (["CREATE TABLE orders (id INTEGER)"], 'mode = "upsert"; key = "id";', 1, "constraint: mode = \"upsert\" knows a row by `key`, so make a unique index of just those columns, or name others"),
    ([], 'mode = "upsert";', 78, 'write key = [ "id" ];'),
    ([], 'key = "id";', 78, "`key` is for mode = \"upsert\""),
])
def test_what_cannot_work_is_said(place, prepare, options, status, reason):
    change(place, *prepare)
    feed(place, [{"id": 1}])
    _, err = place.run(pipeline(options + " restart = 0;" if status == 1 else options), status=status)
    assert reason in err


def test_a_file_that_is_no_database(place):
    (place.path / "out.db").write_text("this is no database" * 100)
    feed(place, [{"id": 1}])
    _, err = place.run(pipeline("create = true; restart = 0;"), status=1)
    assert "out.db: file is not a database" in err


def test_it_waits_for_another_writer(place):
    change(place, "CREATE TABLE orders (id INTEGER)")
    feed(place, [{"id": n} for n in range(100)])
    database = sqlite3.connect(place.path / "out.db", isolation_level=None, check_same_thread=False)
    database.execute("BEGIN IMMEDIATE")
    threading.Timer(1.0, lambda: database.execute("ROLLBACK")).start()
    begin = time.monotonic()
    place.run(pipeline(""))
    assert time.monotonic() - begin > 0.9
    assert ask(place, "SELECT count(*) FROM orders") == [(100,)]


COUNT = 60_000


@pytest.mark.parametrize("victims", [{"work"}, {"save"}, {"work", "save"}], ids=lambda names: "+".join(sorted(names)))
@pytest.mark.parametrize("order", ["keep", "any"])
def test_exactly_once(place, order, victims):
    """Transforms and the sink are killed at random: every row is there once, every refused one is a letter once."""
    change(place, "CREATE TABLE orders (id INTEGER, note TEXT CHECK (note <> 'bad'))")
    feed(place, [{"id": n, "note": "bad" if n % 1000 == 7 else f"note {n}"} for n in range(COUNT)])
    seed = random.randrange(1_000_000)
    print("seed", seed)
    place.write("p.conf", pipeline(f'restart = 1000; backoff = "5ms"; queue = 2; order = "{order}";',
                                   f'processes = 2; queue = 2; rate = "40000/s"; restart = 1000; backoff = "5ms"; order = "{order}";'))
    process = place.start("run", "p.conf")
    kills = kill_some(process, victims, 25, seed)
    code, _, err = finish(process)
    assert code == 3, err
    assert "leak" not in err and kills >= 5
    good = [n for n in range(COUNT) if n % 1000 != 7]
    assert ask(place, "SELECT count(*), count(DISTINCT id) FROM orders") == [(len(good), len(good))]
    assert f"given up: {COUNT // 1000}" in err
    assert ask(place, "SELECT count(*) < 100 FROM sluice_committed") == [(1,)]
    _, out, _ = place.sluice("dead", "export", "p.conf")
    assert sorted(json.loads(line)["record"]["id"] for line in out.splitlines()) == list(range(7, COUNT, 1000))


def test_fan_out_and_partition(place):
    """Two sinks of different tables in one file, and one of several processes."""
    feed(place, [{"id": n, "customer": n % 17} for n in range(5000)])
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      one  = { sink = "sqlite"; from = "read"; path = "out.db"; table = "one"; create = true; restart = 1000; backoff = "5ms"; };
      many = { sink = "sqlite"; from = "read"; path = "out.db"; table = "many"; create = true; processes = 2; partition = "customer";
               restart = 1000; backoff = "5ms"; };
    };""")
    process = place.start("run", "p.conf")
    kill_some(process, {"one", "many"}, 6, 3)
    code, _, err = finish(process)
    assert code == 0, err
    for table in "one", "many":
        assert ask(place, f"SELECT count(*), count(DISTINCT id) FROM {table}") == [(5000, 5000)]
