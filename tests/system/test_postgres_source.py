# SPDX-License-Identifier: MIT
"""The source `postgres`, with a real server: every type, every row once, whoever dies, the server too; and from table to table."""
import json
import time

import pytest

import pg
from conftest import finish, kill_some, wait_for
from test_postgres_sink import HARDY, own_server, server, shared_server  # noqa: F401 (fixtures)

pytestmark = pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")


def pipeline(server, options, read=""):
    return f"""stages = {{
      read = {{ source = "postgres"; connection = "{server.connection}"; {options} {read} }};
      save = {{ sink = "file"; from = "read"; path = "out.ndjson"; }};
    }};"""


def output(place):
    return [json.loads(line) for line in open(place.path / "out.ndjson", encoding="utf-8")]


TYPES = """CREATE TABLE orders (id int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, num numeric, t text, v varchar(9), raw bytea,
    tz timestamptz, ts timestamp, d date, j json, jb jsonb, ints int[], grid int[][], texts text[], jbs jsonb[], raws bytea[], tss timestamp[], u uuid)"""
ROW = r"""INSERT INTO orders VALUES (1, true, -5, 9223372036854775807, 0.1, 1e300, 12345678901234567890.0123456789, E'tab\t nl\n cr\r \\ \\N é😀 \b\f\x0b',
    '12345', '\x00ff5c0a', '2024-02-29 12:00:00.5+02', '2024-02-29 12:00:00', '2024-02-29', '{"a":[1,null,"x\\\"y\n"]}', '"text"',
    '{1,NULL,-3}', '{{1,2},{3,4}}', ARRAY['a,b', E'c"d\\e', '', 'NULL', NULL, '{}', 'x y'], ARRAY['{"k": "v\""}', '1']::jsonb[],
    ARRAY['\x6162'::bytea], ARRAY['2024-02-29 12:00:00'::timestamp], '123e4567-e89b-12d3-a456-426614174000'),
    (2), (3, false, 32767, -9223372036854775808, 'NaN', -0.0, 'NaN', '', '', '', 'infinity', '0044-03-15 12:00:00 BC', '-infinity', 'null', '[]',
    '[0:1]={7,8}', '{}', '{}', '{}', '{}', '{}', NULL)"""


def test_all_types(place, server):  # noqa: F811
    server.psql(f"{TYPES}; {ROW.replace('(2)', '(2' + ', NULL' * 21 + ')')};")
    config = pipeline(server, 'table = "orders"; key = "id";')
    # JSON has no NaN: from table to table all of it comes, but a null of JSON is NULL, and arrays begin at 1.
    server.psql("CREATE TABLE copy (LIKE orders)")
    copy = config.replace('sink = "file"', f'sink = "postgres"; connection = "{server.connection}"; table = "copy"').replace('path = "out.ndjson";', "")
    place.run(copy)
    server.psql("UPDATE orders SET j = NULL, ints = '{7,8}' WHERE id = 3")
    assert server.psql("TABLE orders ORDER BY id") == server.psql("TABLE copy ORDER BY id")
    server.psql("UPDATE orders SET f4 = 0, raw = NULL, raws = NULL")
    place.run(config)
    first, empty, odd = output(place)
    assert first == {
        "id": 1, "b": True, "i2": -5, "i8": 2**63 - 1, "f4": 0, "f8": 1e300, "num": "12345678901234567890.0123456789",
        "t": "tab\t nl\n cr\r \\ \\N é😀 \b\f\v", "v": "12345", "raw": None, "tz": "2024-02-29T10:00:00.5Z", "ts": "2024-02-29T12:00:00",
        "d": "2024-02-29", "j": {"a": [1, None, "x\\\"y\n"]}, "jb": "text", "ints": [1, None, -3], "grid": [[1, 2], [3, 4]],
        "texts": ["a,b", 'c"d\\e', "", "NULL", None, "{}", "x y"], "jbs": [{"k": 'v"'}, 1], "raws": None, "tss": ["2024-02-29T12:00:00"],
        "u": "123e4567-e89b-12d3-a456-426614174000"}
    assert set(empty.values()) == {2, None, 0}
    assert odd["tz"] == "infinity" and odd["ts"] == "0044-03-15 12:00:00 BC" and odd["d"] == "-infinity" and odd["i8"] == -2**63
    assert odd["j"] is None and odd["jb"] == [] and odd["ints"] == [7, 8] and odd["grid"] == [] and odd["num"] == "NaN" and odd["t"] == ""


def test_numeric_as_float_and_a_query_without_key(place, server):  # noqa: F811
    place.run(pipeline(server, "query = \"SELECT n, n / 4.0 AS part FROM generate_series(1, 30000) AS n ORDER BY n DESC -- all\"; numeric = \"float\";"))
    assert output(place) == [{"n": n, "part": n / 4} for n in range(30000, 0, -1)]


@pytest.mark.parametrize("key, type_, value", [
    ("id", "int2 PRIMARY KEY", "n % 32000 - 16000"), ("id", "int8", "n / 7 - 100"), ("id", "int8", "1"), ("id", "int8 UNIQUE NOT NULL", "n * 10000000007"),
    ("at", "timestamptz", "'1999-12-31'::timestamptz + n / 3 * interval '0.000001 s'"), ("at", "timestamp", "'1969-12-31 23:59:59.99'::timestamp + n * interval '1 ms'"),
    ("Two words", "int4", "-n")])
def test_keys_with_and_without_ties(place, server, key, type_, value):  # noqa: F811
    server.psql(f'CREATE TABLE orders (n int, "{key}" {type_}); INSERT INTO orders SELECT n, {value} FROM generate_series(1, 25000) AS n;')
    place.run(pipeline(server, f'table = "orders"; key = "{key}";'))
    assert sorted(record["n"] for record in output(place)) == list(range(1, 25001))
    expected = server.ask(f'SELECT n FROM orders ORDER BY "{key}", n')
    if "PRIMARY" in type_ or "UNIQUE" in type_:
        assert [[record["n"]] for record in output(place)] == expected


@pytest.mark.parametrize("options, status, reason", [
    ('table = "orders"; query = "SELECT 1";', 78, "write either `table` or `query`"),
    ("", 78, "write either `table` or `query`"),
    ('table = "orders"; follow = true;', 78, "`follow` wants a `key`"),
    ('table = "missing";', 1, "has no table missing that this user may see"),
    ('table = "orders"; key = "name";', 1, '`key` = "name" is no integer and no timestamp'),
    ('table = "orders"; key = "nr";', 1, "column \"nr\" does not exist"),
    ('table = "orders"; key = "none";', 1, "there are rows whose `none` is NULL"),
    ('table = "orders"; key = "large";', 1, "is too large for a position"),
    ('query = "SELEC";', 1, "syntax error"),
    ('query = "SELECT 1 / (id - 2) FROM orders";', 1, "division by zero"),
])
def test_what_cannot_work_is_said(place, server, options, status, reason):  # noqa: F811
    server.psql("CREATE TABLE orders (id int, name text, none int, large int8); INSERT INTO orders VALUES (1, 'a', NULL, 9223372036854775807), (2, 'b', 1, 1)")
    _, err = place.run(pipeline(server, options, "restart = 0;"), status=status)
    assert reason in err


@pytest.mark.parametrize("unique", [True, False])
def test_kill_storm(place, server, unique):  # noqa: F811
    """From table to table, and both ends are killed."""
    server.psql(f"CREATE TABLE source (id int {'PRIMARY KEY' if unique else ''}, v text); CREATE TABLE orders (id int, v text);"
                f" INSERT INTO source SELECT {'n' if unique else 'n / 3'}, repeat('x', n % 50) || n FROM generate_series(1, 30000) AS n")
    place.write("p.conf", f"""stages = {{
      read = {{ source = "postgres"; connection = "{server.connection}"; table = "source"; key = "id"; rate = "15000/s"; {HARDY} }};
      save = {{ sink = "postgres"; from = "read"; connection = "{server.connection}"; table = "orders"; {HARDY} }};
    }};""")
    process = place.start("run", "p.conf")
    kills = kill_some(process, {"read", "save"}, 30, 3)
    code, _, err = finish(process, 120)
    assert code == 0, err
    assert kills > 8 and "leak" not in err
    assert server.ask("SELECT count(*), count(DISTINCT v) AS vs FROM orders") == [[30000, 30000]]


def test_the_server_is_killed_and_comes_back(place, own_server):  # noqa: F811
    own_server.psql("CREATE TABLE source (id int PRIMARY KEY, v text); CREATE TABLE orders (id int);"
                    " INSERT INTO source SELECT n, repeat('x', 100) FROM generate_series(1, 60000) AS n")
    place.write("p.conf", f"""stages = {{
      read = {{ source = "postgres"; connection = "{own_server.connection}"; table = "source"; key = "id"; rate = "12000/s"; restart = 1; }};
      save = {{ sink = "postgres"; from = "read"; connection = "{own_server.connection}"; table = "orders"; extra = "ignore"; restart = 1; }};
    }};""")
    process = place.start("run", "p.conf")
    for kill in (own_server.kill, own_server.stop):
        before = own_server.ask("SELECT count(*) FROM orders")[0][0]
        wait_for(lambda: own_server.ask("SELECT count(*) FROM orders")[0][0] > before, what="rows come")
        kill()
        time.sleep(1.5)
        assert process.poll() is None
        own_server.start_again()
    code, _, err = finish(process, 120)
    assert code == 0, err
    assert own_server.ask("SELECT count(*), count(DISTINCT id) AS ids FROM orders") == [[60000, 60000]]


def test_follow(place, server):  # noqa: F811
    """New rows come, through a stop of the pipeline."""
    server.psql("CREATE TABLE source (id serial PRIMARY KEY, v text); INSERT INTO source (v) SELECT 'a' FROM generate_series(1, 100)")
    place.write("p.conf", f"""stages = {{
      read = {{ source = "postgres"; connection = "{server.connection}"; table = "source"; key = "id"; follow = true; poll = "50ms"; }};
      save = {{ sink = "postgres"; from = "read"; connection = "{server.connection}"; table = "orders"; create = true; }};
    }};""")

    def count():
        if server.ask("SELECT count(*) FROM pg_class WHERE relname = 'orders'") == [[0]]:
            return 0
        return server.ask("SELECT count(*) FROM orders")[0][0]
    for expected in (100, 150, 200):
        process = place.start("run", "p.conf")
        wait_for(lambda: count() == expected)
        server.psql("INSERT INTO source (v) SELECT 'b' FROM generate_series(1, 25)")
        wait_for(lambda: count() == expected + 25)
        process.terminate()
        code, _, err = finish(process)
        assert code == 0 and "leak" not in err, err
        server.psql("INSERT INTO source (v) SELECT 'c' FROM generate_series(1, 25)")
    assert server.ask("SELECT count(DISTINCT id) FROM orders") == [[225]]


def test_only_what_is_new(place, server):  # noqa: F811
    server.psql("CREATE TABLE source (id int PRIMARY KEY); INSERT INTO source SELECT generate_series(1, 1000)")
    place.write("p.conf", f"""stages = {{
      read = {{ source = "postgres"; connection = "{server.connection}"; table = "source"; key = "id"; }};
      save = {{ sink = "postgres"; from = "read"; connection = "{server.connection}"; table = "orders"; create = true; }};
    }};""")
    for last in (1000, 1001, 1500):
        server.psql(f"INSERT INTO source SELECT generate_series((SELECT max(id) FROM source) + 1, {last})")
        code, _, err = place.sluice("run", "p.conf", "--resume")
        assert code == 0, err
        assert server.ask("SELECT count(*), count(DISTINCT id) AS ids FROM orders") == [[last, last]]
