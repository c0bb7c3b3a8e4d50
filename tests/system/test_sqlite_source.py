# SPDX-License-Identifier: MIT
"""The source `sqlite`: every type, every row once, whoever dies, while another process writes, and only what is new."""
import json
import sqlite3
import threading

import pytest

from conftest import finish, kill_some, wait_for

HARDY = 'restart = 1000000; restart_within = "100ms"; backoff = "2ms";'


def write(place, *statements, rows=None, wal=True):
    database = sqlite3.connect(place.path / "in.db", timeout=30)
    if wal:
        database.execute("PRAGMA journal_mode = WAL")
    for statement in statements:
        database.execute(statement)
    if rows is not None:
        database.executemany(f"INSERT INTO orders VALUES ({', '.join('?' * len(rows[0]))})", rows)
    database.commit()
    database.close()


def pipeline(options, read="", save='sink = "file"; path = "out.ndjson";'):
    return f"""stages = {{
      read = {{ source = "sqlite"; path = "in.db"; {options} {read} }};
      save = {{ from = "read"; {save} }};
    }};"""


SAVE = f'sink = "sqlite"; path = "out.db"; table = "orders"; create = true; {HARDY}'


def output(place):
    return [json.loads(line) for line in open(place.path / "out.ndjson", encoding="utf-8")]


def ask(place, query):
    """Of the table that the sink writes; an empty list before there is one."""
    if not (place.path / "out.db").exists():
        return []
    database = sqlite3.connect(place.path / "out.db", timeout=30)
    try:
        return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        database.close()


@pytest.mark.parametrize("options", ['table = "my orders";', 'table = "my orders"; key = "ID";', 'query = "SELECT * FROM \\"my orders\\" -- all\\n;\\n";',
                                     'query = "SELECT * FROM \\"my orders\\""; key = "id";'])
@pytest.mark.parametrize("wal", [True, False])
def test_all_types(place, options, wal):
    write(place, 'CREATE TABLE "my orders" (id INTEGER PRIMARY KEY, i, r, t, n, "a b" TEXT)',
          "INSERT INTO \"my orders\" VALUES (-3, 9223372036854775807, 1e300, 'Zürich', NULL, 5), (7, -1, 0.5, '', NULL, 'x')", wal=wal)
    place.run(pipeline(options))
    assert output(place) == [{"id": -3, "i": 2**63 - 1, "r": 1e300, "t": "Zürich", "n": None, "a b": "5"},
                             {"id": 7, "i": -1, "r": 0.5, "t": "", "n": None, "a b": "x"}]
    assert not list(place.path.glob("in.db-journal"))


def test_blobs(place):
    write(place, "CREATE TABLE orders (id INTEGER PRIMARY KEY, raw)", rows=[(1, b"\0\xff"), (2, b"")])
    place.run(pipeline('table = "orders"; key = "id";', save=SAVE))
    assert ask(place, "SELECT id, raw FROM orders ORDER BY id") == [(1, b"\0\xff"), (2, b"")]


@pytest.mark.parametrize("column, key", [
    ("id INTEGER PRIMARY KEY", lambda n: n * 3 - 40000), ("id INT NOT NULL UNIQUE", lambda n: n - 10), ("id", lambda n: n // 7), ("id", lambda n: 5),
    ("id INT REFERENCES orders", lambda n: 1 if n > 100 else n), ("id", lambda n: -n)])
def test_keys_with_and_without_ties(place, column, key):
    """More than a page; of one key more than a page."""
    rows = [(n, key(n)) for n in range(45000)]
    write(place, f"CREATE TABLE orders (n, {column})", "CREATE INDEX by_key ON orders (id)", rows=rows)
    place.run(pipeline('table = "orders"; key = "id";'))
    records = output(place)
    assert sorted(record["n"] for record in records) == list(range(45000))
    assert [record["id"] for record in records] == sorted(row[1] for row in rows)


def test_a_sort_that_does_not_fit_into_memory(place):
    """Without an index, and large rows: SQLite puts what it sorts into files, which the sandbox allows it."""
    write(place, "CREATE TABLE orders (id INT, v)", rows=[(n * 7919 % 6007, "x" * 2000) for n in range(6000)])
    place.run(pipeline('table = "orders"; key = "id";'))
    assert [record["id"] for record in output(place)] == sorted(n * 7919 % 6007 for n in range(6000))


@pytest.mark.parametrize("options, status, reason", [
    ('table = "orders"; query = "SELECT 1";', 78, "write either `table` or `query`"),
    ("", 78, "write either `table` or `query`"),
    ('table = "orders"; follow = true;', 78, "`follow` wants a `key`"),
    ('path = "none.db"; table = "orders";', 1, "there is no database none.db"),
    ('path = "p.conf"; table = "orders";', 1, "file is not a database"),
    ('table = "missing";', 1, "has no table or view `missing`"),
    ('table = "orders"; key = "nr";', 1, "no such column: page.nr"),
    ('table = "orders"; key = "name";', 1, '`key` = "name" is no integer, but holds a text'),
    ('table = "orders"; key = "price";', 1, '`key` = "price" is no integer, but holds a float'),
    ('table = "orders"; key = "none";', 1, "there are rows whose `none` is NULL"),
    ('table = "orders"; key = "large";', 1, "is too large for a position"),
    ('query = "SELECT id, FROM orders";', 1, "syntax error"),
    ('query = "DELETE FROM orders";', 1, "syntax error"),
    ('query = "SELECT Total amount FROM orders";', 1,
     r'no such column: Total; there is a column that stands in quotes: \"Total amount\"'),
    ('query = "SELECT pric FROM orders";', 1, "no such column: pric; there is a column `price`"),
    ('query = "SELECT nowhere FROM orders";', 1, "no such column: nowhere; that is more"),
    ('query = "SELECT id, order FROM orders";', 1, r'if a field is called so, it stands in quotes: \"order\"'),
])
def test_what_cannot_work_is_said(place, options, status, reason):
    write(place, "CREATE TABLE orders (id INT, name, price, none, large, \"Total amount\")",
          rows=[(1, "a", 1, None, 2**63 - 1, 5), (2, "b", 1.5, 1, 1, 6)])
    config = pipeline(options, "restart = 0;")
    _, err = place.run(config.replace('path = "in.db"; ', "") if "path =" in options else config, status=status)
    assert reason in err


@pytest.mark.parametrize("column, options", [("id INTEGER PRIMARY KEY", 'key = "id";'), ("id INT", 'key = "id";'), ("id INT", "")])
def test_kill_storm(place, column, options):
    """From database to database, and both ends are killed; without a key, too, since the table stands still."""
    rows = [(n if "PRIMARY" in column else n // 3, "x" * (n % 50) + str(n)) for n in range(20000)]
    write(place, f"CREATE TABLE orders ({column}, v)", rows=rows)
    place.write("p.conf", pipeline(f'table = "orders"; {options}', f'rate = "15000/s"; {HARDY}', SAVE))
    process = place.start("run", "p.conf")
    kills = kill_some(process, {"read", "save"}, 20, 3)
    code, _, err = finish(process, 120)
    assert code == 0, err
    assert kills > 8 and "leak" not in err
    assert ask(place, "SELECT count(*), count(DISTINCT v) FROM orders") == [(20000, 20000)]


@pytest.mark.parametrize("wal", [True, False])
def test_follow_while_another_inserts(place, wal):
    """Also through a stop."""
    write(place, "CREATE TABLE orders (id INTEGER PRIMARY KEY, v)", rows=[(n, "a") for n in range(1, 101)], wal=wal)
    place.write("p.conf", pipeline('table = "orders"; key = "id"; follow = true; poll = "20ms";', save=SAVE))

    def insert(count):
        database = sqlite3.connect(place.path / "in.db", timeout=30)
        database.execute("PRAGMA synchronous = OFF")
        for _ in range(count):
            with database:
                database.execute("INSERT INTO orders (v) VALUES ('b')")
        database.close()

    for last in (100, 350):
        process = place.start("run", "p.conf")
        wait_for(lambda: ask(place, "SELECT count(*) FROM orders") == [(last,)])
        writers = [threading.Thread(target=insert, args=(100,)) for _ in range(2)]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        wait_for(lambda: ask(place, "SELECT count(*) FROM orders") == [(last + 200,)])
        process.terminate()
        code, _, err = finish(process)
        assert code == 0 and "leak" not in err, err
        insert(50)
    assert ask(place, "SELECT count(*), count(DISTINCT id), max(id) FROM orders") == [(550, 550, 550)]


def test_a_locked_database_is_waited_for(place):
    write(place, "CREATE TABLE orders (id INTEGER PRIMARY KEY)", rows=[(1,)], wal=False)
    database = sqlite3.connect(place.path / "in.db", isolation_level=None, check_same_thread=False)
    database.execute("BEGIN EXCLUSIVE")
    database.execute("INSERT INTO orders VALUES (2)")
    place.write("p.conf", pipeline('table = "orders"; key = "id";', save='sink = "stdout";'))
    process = place.start("run", "p.conf")
    release = threading.Timer(0.7, lambda: database.execute("COMMIT"))
    release.start()
    code, out, err = finish(process)
    release.join()
    assert code == 0 and out.split() == ['{"id":1}', '{"id":2}'], err


@pytest.mark.parametrize("key", ['key = "id";', ""])
def test_only_what_is_new(place, key):
    write(place, "CREATE TABLE orders (id INTEGER PRIMARY KEY)", rows=[(n,) for n in range(1, 1001)])
    place.write("p.conf", pipeline(f'table = "orders"; {key}', save=SAVE))
    for last in (1000, 1001, 1500):
        before = ask(place, "SELECT max(id) FROM orders")
        new = [(n,) for n in range((before[0][0] if before else 1000) + 1, last + 1)]
        if new:
            write(place, rows=new)
        code, _, err = place.sluice("run", "p.conf", "--resume")
        assert code == 0, err
        assert ask(place, "SELECT count(*), count(DISTINCT id) FROM orders") == [(last, last)]


def test_without_key_a_table_that_changed_is_not_gone_on_with(place):
    write(place, "CREATE TABLE orders (id INTEGER PRIMARY KEY, v)", rows=[(n, 1) for n in range(10)])
    place.write("p.conf", pipeline('table = "orders";', "restart = 0;", SAVE))
    assert place.sluice("run", "p.conf", "--resume")[0] == 0
    write(place, "UPDATE orders SET v = 2 WHERE id = 5", "INSERT INTO orders VALUES (10, 1)")
    code, _, err = place.sluice("run", "p.conf", "--resume")
    assert code == 1 and "the rows that were read before are not what they were" in err
    assert ask(place, "SELECT count(*) FROM orders") == [(10,)]
    assert place.sluice("run", "p.conf", "--from-start")[0] == 0
    assert ask(place, "SELECT count(*) FROM orders") == [(21,)]
