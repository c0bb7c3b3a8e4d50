# SPDX-License-Identifier: MIT
"""The sink `postgres`, with a real server: rows as they should be, each exactly once, whoever dies, the server too."""
import json
import random
import subprocess
import threading
import time

import pytest

import pg
import power
import storm
from conftest import Place, children, finish, kill_some, wait_for

pytestmark = pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")
HARDY = 'restart = 1000000; restart_within = "100ms"; backoff = "2ms";'


@pytest.fixture(scope="module")
def shared_server():
    it = pg.Server("fsync = off")
    yield it
    it.close()


@pytest.fixture
def server(shared_server):
    shared_server.psql("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public;")
    return shared_server


@pytest.fixture
def own_server():
    """One to be killed."""
    it = pg.Server()
    yield it
    it.close()


def feed(place, records):
    (place.path / "in.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))


def pipeline(server, options, work="", read=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; {read} }};
      work = {{ from = "read"; transform = "delay"; wait = "0s"; {work} }};
      save = {{ sink = "postgres"; from = "work"; connection = "{server.connection}"; table = "orders"; {options} }};
    }};"""


def letters(place):
    code, out, err = place.sluice("dead", "export", "p.conf")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_it_is_a_module_that_the_build_folder_has(place):
    _, out, err = place.sluice("describe", "postgres")
    assert "connection: string, required" in out and err == ""


def test_a_table_is_made_of_the_first_batch(place, server):
    feed(place, [{"id": 1, "name": "Zürich", "price": 1.5, "paid": True, "tags": ["a", {"b": None}], "none": None, "big": 2**63},
                 {"name": None, "id": -2, "price": 7}])
    place.run(pipeline(server, 'create = true; key = "id";'))
    assert server.ask("SELECT id, name, price, paid, tags, none, big::text FROM orders ORDER BY id") == [
        [-2, None, 7, None, None, None, None], [1, "Zürich", 1.5, True, ["a", {"b": None}], None, str(2**63)]]
    assert server.psql("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute"
                       " WHERE attrelid = 'orders'::regclass AND attnum > 0").strip() == (
        "id bigint, name text, price double precision, paid boolean, tags jsonb, none text, big numeric")
    assert server.ask("SELECT count(*) < 10 FROM sluice_committed") == [[True]]


def test_all_types(place, server):
    server.psql("""CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE TABLE orders (n int, b bool, i2 int2, i8 int8, f4 float4, f8 float8, num numeric(30,10), t text, v varchar(5), raw bytea,
        tz timestamptz, ts timestamp, d date, j json, jb jsonb, ints int[], grid int[][], texts text[], jbs jsonb[], raws bytea[], u uuid,
        iv interval, dom positive, ip inet)""")
    feed(place, [
        {"n": 1, "b": True, "i2": -5, "i8": 2**63 - 1, "f4": 0.1, "f8": 1e300, "num": "12345678901234567890.0123456789", "t": "tab\t nl\n cr\r \\ \\N é😀",
         "v": "12345", "raw": "a\\x\n", "tz": "2024-02-29T12:00:00.123456+02:00", "ts": "2024-02-29T12:00:00", "d": "2024-02-29",
         "j": {"a": [1, None, "x\\\"y\n"]}, "jb": "text", "ints": [1, None, -3], "grid": [[1, 2], [3, 4]], "texts": ["a,b", "c\"d\\e", "", "NULL", None, "{}"],
         "jbs": [{"k": "v\""}, 1, "s"], "raws": ["ab"], "u": "123e4567-e89b-12d3-a456-426614174000", "iv": "P1DT2H", "dom": 7, "ip": "10.0.0.0/8"},
        {"n": 2, "ints": [], "texts": "{x,y}", "f8": -0.0, "num": 3, "t": ""},
        {"n": 3}])
    place.run(pipeline(server, ""))
    assert server.ask("SELECT * FROM orders WHERE n = 1")[0] == [
        1, True, -5, 2**63 - 1, 0.1, 1e300, pytest.approx(12345678901234567890.0123456789), "tab\t nl\n cr\r \\ \\N é😀", "12345", "\\x615c780a",
        "2024-02-29T10:00:00.123456+00:00", "2024-02-29T12:00:00", "2024-02-29", {"a": [1, None, "x\\\"y\n"]}, "text", [1, None, -3],
        [[1, 2], [3, 4]], ["a,b", "c\"d\\e", "", "NULL", None, "{}"], [{"k": "v\""}, 1, "s"], ["\\x6162"], "123e4567-e89b-12d3-a456-426614174000",
        "1 day 02:00:00", 7, "10.0.0.0/8"]
    assert server.ask("SELECT num::text FROM orders WHERE n = 1") == [["12345678901234567890.0123456789"]]
    assert server.ask("SELECT ints, texts, f8::text, num::text, t, u FROM orders WHERE n = 2") == [[[], ["x", "y"], "-0", "3.0000000000", "", None]]
    assert server.ask("SELECT count(*) FROM orders WHERE n = 3 AND t IS NULL AND jb IS NULL") == [[1]]


def test_csv_with_empty_fields_and_json_text(place, server):
    server.psql("CREATE TABLE orders (id int, amount numeric, extra jsonb)")
    (place.path / "in.csv").write_text('id,amount,extra\n1,,"{""a"":1}"\n2,2.50,\n')
    place.run(pipeline(server, 'empty = "null"; json = "text";').replace("in.ndjson", "in.csv"))
    assert server.ask("SELECT id, amount::text, extra FROM orders ORDER BY id") == [[1, None, {"a": 1}], [2, "2.50", None]]


def test_names_that_need_quotes(place, server):
    server.psql('CREATE SCHEMA "My shop"; CREATE TABLE "My shop"."order" ("value" int, "Two words" text DEFAULT \'kept\')')
    place.run(f"""stages = {{
      read = {{ source = "sequence"; count = 3; }};
      save = {{ sink = "postgres"; from = "read"; connection = "{server.connection}"; table = "\\"My shop\\".order"; }};
    }};""")
    assert server.ask('SELECT value, "Two words" FROM "My shop"."order" ORDER BY 1') == [[0, "kept"], [1, "kept"], [2, "kept"]]


def test_columns_that_a_record_lacks(place, server):
    """Defaults hold, and an upsert leaves alone what is not named."""
    server.psql("CREATE TABLE orders (id int PRIMARY KEY, serial int GENERATED ALWAYS AS IDENTITY, state text DEFAULT 'new', note text,"
                " twice int GENERATED ALWAYS AS (id * 2) STORED)")
    feed(place, [{"id": 1}, {"id": 2, "state": "old"}, {"id": 3, "state": None, "note": "x"}, {"id": 4}])
    place.run(pipeline(server, ""))
    assert server.ask("SELECT id, serial, state, note, twice FROM orders ORDER BY id") == [
        [1, 1, "new", None, 2], [2, 2, "old", None, 4], [3, 3, None, "x", 6], [4, 4, "new", None, 8]]
    feed(place, [{"id": 3, "state": "changed"}, {"id": 5, "note": "five"}, {"id": 3, "note": "y"}, {"id": 3, "note": "z"}])
    place.run(pipeline(server, 'mode = "upsert"; key = "id";'))
    assert server.ask("SELECT id, state, note FROM orders WHERE id IN (3, 5) ORDER BY id") == [[3, "changed", "z"], [5, "new", "five"]]


def test_upsert_ignore_insert_delete(place, server):
    server.psql("CREATE TABLE orders (id int, part int, name text, PRIMARY KEY (id, part)); INSERT INTO orders VALUES (1, 1, 'old'), (9, 1, 'gone')")
    records = [{"id": 1, "part": 1, "name": "new"}, {"id": 2, "part": 1, "name": "two"}, {"id": 2, "part": 1, "name": "two again"}]
    feed(place, records)
    place.run(pipeline(server, 'mode = "ignore";'))
    assert server.ask("SELECT id, name FROM orders ORDER BY id") == [[1, "old"], [2, "two"], [9, "gone"]]
    _, err = place.run(pipeline(server, ""), status=3)
    assert err.count('duplicate key value violates unique constraint "orders_pkey": Key (id, part)=') == 3 and "given up: 3" in err
    place.run(pipeline(server, 'mode = "upsert"; key = [ "id", "part" ];'))
    assert server.ask("SELECT id, name FROM orders ORDER BY id") == [[1, "new"], [2, "two again"], [9, "gone"]]
    feed(place, [{"id": 9, "part": 1, "reason": "sold"}, {"id": 9, "part": 2}, {"id": 2}, {"id": 1, "part": None}])
    _, err = place.run(pipeline(server, 'mode = "delete"; key = [ "id", "part" ];'), status=3)
    assert err.count("a row is known by `part`, and this record has none") == 2
    assert server.ask("SELECT id, name FROM orders ORDER BY id") == [[1, "new"], [2, "two again"]]


@pytest.mark.parametrize("mode", ["insert", "upsert"])
def test_rows_that_are_refused_are_dead_letters_and_the_rest_goes_in(place, server, mode):
    server.psql("""CREATE TABLE customers (id int PRIMARY KEY); INSERT INTO customers SELECT generate_series(0, 99);
        CREATE TABLE orders (id int PRIMARY KEY, amount int CHECK (amount > 0), customer int REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
        name varchar(8))""")
    records = [{"id": n, "amount": n + 1, "customer": n % 100, "name": f"n{n}"} for n in range(10000)]
    records[3]["amount"] = -1
    records[500]["amount"] = "many"
    records[501]["name"] = "much too long"
    records[502]["name"] = "nul \0"
    records[7777]["customer"] = 12345
    records[9998] = {"id": None, "amount": 1}
    records[9999]["unknown"] = 1
    feed(place, records)
    place.run(pipeline(server, f'mode = "{mode}"; key = "id";' if mode == "upsert" else ""), status=3)
    bad = {3, 500, 501, 502, 7777, 9998, 9999}
    assert server.ask("SELECT id FROM orders ORDER BY id") == [[n] for n in range(10000) if n not in bad]
    found = {letter["record"]["id"]: letter["reason"] for letter in letters(place)}
    assert 'violates check constraint "orders_amount_check": Failing row contains (3, -1, 3, n3).' in found[3]
    assert found[500].startswith('invalid input syntax for type integer: "many", column amount: "many"')
    assert "value too long for type character varying(8)" in found[501]
    assert 'invalid byte sequence for encoding "UTF8": 0x00' in found[502]
    assert 'violates foreign key constraint "orders_customer_fkey": Key (customer)=(12345) is not present' in found[7777]
    assert ("null value in column" if mode == "insert" else "a row is known by `id`") in found[None]
    assert "has no column `unknown`: add it, or write extra = \"ignore\"" in found[9999]
    assert len(found) == 7


def test_every_row_is_refused(place, server):
    server.psql("CREATE TABLE orders (id int CHECK (id < 0))")
    feed(place, [{"id": n} for n in range(2000)])
    _, err = place.run(pipeline(server, ""), status=3)
    assert "given up: 2000" in err.replace(" ", " ").replace("2 000", "2000")
    assert server.ask("SELECT count(*) FROM orders") == [[0]]


@pytest.mark.parametrize("prepare, options, status, reason", [
    ("", "", 1, "has no table orders that this user may see: create it, or write create = true; that"),
    ("CREATE TABLE orders (id int)", 'mode = "upsert"; key = "id";', 1,
     "the table orders has no primary key or unique index of just (id), by which mode = \"upsert\" knows a row: "
     "CREATE UNIQUE INDEX ON orders (id), or name other columns in `key`; that"),
    ("CREATE TABLE orders (id int, b int, n int, UNIQUE (id, b), PRIMARY KEY (n)); CREATE UNIQUE INDEX ON orders (id) WHERE b > 0",
     'mode = "upsert"; key = "id";', 1, "name other columns in `key`; it has one of (n), (b, id)"),
    ("CREATE TABLE orders (id int)", 'mode = "delete"; key = "nr";', 1, "the table orders has no column `nr`: see `key`"),
    ("", 'mode = "delete";', 78, 'write key = [ "id" ];'),
    ("", 'key = "id";', 78, "`key` is for mode = \"upsert\" or \"delete\""),
    ("", 'connection = "host=a b";', 78, "`connection` is not understood: missing \"=\" after \"b\""),
    ("", 'connection = "host=/nowhere";', 1, "cannot connect to PostgreSQL: connection to server on socket \"/nowhere/"),
    ("", 'connection = "host=%s user=nobody dbname=x";', 1, 'cannot connect to PostgreSQL: role "nobody" does not exist: see `connection`'),
])
def test_what_cannot_work_is_said(place, server, prepare, options, status, reason):
    server.psql(prepare + ";")
    feed(place, [{"id": 1}])
    config = pipeline(server, options % server.home if "%s" in options else options)
    if "connection" in options:
        config = config.replace(f'connection = "{server.connection}";', "")
    _, err = place.run(config.replace("mode =", "restart = 0; mode =") if status == 1 else config, status=status)
    assert reason in err


@pytest.mark.parametrize("prepare, key", [
    ("CREATE TABLE orders (id int, b int, UNIQUE (b, id))", '[ "id", "b" ]'),
    ("CREATE TABLE orders (id int, b int) PARTITION BY LIST (b); CREATE TABLE one PARTITION OF orders DEFAULT; CREATE UNIQUE INDEX ON orders (id, b)", '[ "id", "b" ]'),
    ("CREATE TABLE stored (id int PRIMARY KEY, b int); CREATE VIEW orders AS SELECT * FROM stored", '"id"'),
    ('CREATE TABLE orders ("id" int, b int, "odd, name" int, UNIQUE ("odd, name"))', '"odd, name"')])
def test_what_upsert_knows_a_row_by(place, server, prepare, key):
    """Columns in any order, of a table in parts, or of what stands behind a view."""
    server.psql(prepare + ";")
    feed(place, [{"id": 1, "b": 2, "odd, name": 3}, {"id": 1, "b": 2, "odd, name": 3}])
    place.run(pipeline(server, f'mode = "upsert"; extra = "ignore"; key = {key};'))
    assert server.ask("SELECT id, b FROM orders") == [[1, 2]]


def test_who_may_not_is_told_what_is_needed(place, server):
    """The table of committed names, which must be made, or may not be read; a password that is wrong, or not there."""
    server.psql("CREATE ROLE weak LOGIN PASSWORD 'right'; GRANT USAGE ON SCHEMA public TO weak;"
                "CREATE TABLE orders (id int); GRANT ALL ON orders TO weak;")
    feed(place, [{"id": 1}])
    config = pipeline(server, "restart = 0;").replace("user=test", "user=weak")
    _, err = place.run(config, status=1)
    assert "user weak may not use the table sluice_committed" in err
    assert "create it for this user, as its page says, or GRANT CREATE ON SCHEMA public TO weak" in err
    place.run('name = "before";' + pipeline(server, ""))
    _, err = place.run(config, status=1)
    assert ": GRANT SELECT, INSERT, UPDATE, DELETE ON sluice_committed TO weak" in err
    server.psql("GRANT SELECT, INSERT, UPDATE, DELETE ON sluice_committed TO weak")
    place.run(config)
    assert server.ask("SELECT id FROM orders") == [[1], [1]]


def test_a_password(place, own_server):
    own_server.psql("CREATE ROLE guarded LOGIN PASSWORD 'right'; CREATE TABLE orders (id int); GRANT ALL ON SCHEMA public TO guarded; GRANT ALL ON orders TO guarded;")
    rules = own_server.data / "pg_hba.conf"
    rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
    own_server.psql("SELECT pg_reload_conf()")
    feed(place, [{"id": 1}])
    config = pipeline(own_server, "restart = 0;")

    def refused(user):
        code, _, err = place.sluice("run", "--from-start", str(place.write("p.conf", config.replace("user=test", user))))
        return code == 1 and err

    err = wait_for(lambda: refused("user=guarded"), what="the new rules")
    assert "no password supplied; write password=${credential:NAME} into `connection`, or a line into ~/.pgpass" in err
    err = refused("user=guarded password=wrong")
    assert 'password authentication failed for user "guarded": see `connection`' in err and "sandbox" not in err
    assert place.sluice("run", "--from-start", str(place.write("p.conf", config.replace("user=test", "user=guarded password=right"))))[0] == 0
    assert own_server.ask("SELECT id FROM orders") == [[1]]


def check(server, records):
    assert server.ask("SELECT count(*), count(DISTINCT id) AS ids, coalesce(sum(id), 0) FROM orders") == [[records, records, records * (records - 1) // 2]]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_storm(place, server, seed):
    """Processes of every stage are killed; rows are there once, and those that are refused are counted once."""
    records = 30000
    feed(place, [{"id": n, "v": "x" * (n % 50)} for n in range(records)])
    place.write("p.conf", pipeline(server, f"create = true; processes = 2; {HARDY}", f"processes = 2; {HARDY}", f'rate = "20000/s"; {HARDY}'))
    process = place.start("run", "p.conf")
    kills = kill_some(process, {"read", "work", "save"}, 40, seed)
    code, _, err = finish(process, 120)
    assert code == 0, err
    assert kills > 10 and "leak" not in err
    check(server, records)


def test_kill_storm_with_rows_that_are_refused(place, server):
    server.psql("CREATE TABLE orders (id int CHECK (id % 100 <> 7), v text)")
    feed(place, [{"id": n, "v": "x" * (n % 50)} for n in range(20000)])
    place.write("p.conf", pipeline(server, f"processes = 2; {HARDY}", f"processes = 2; {HARDY}", f'rate = "20000/s"; {HARDY}'))
    process = place.start("run", "p.conf")
    kill_some(process, {"work", "save"}, 20, 5)
    code, _, err = finish(process, 120)
    assert code == 3, err
    assert "leak" not in err
    assert server.ask("SELECT count(*), count(DISTINCT id) AS ids FROM orders") == [[19800, 19800]]
    assert sorted(letter["record"]["id"] for letter in letters(place)) == list(range(7, 20000, 100))


def test_the_supervisor_dies_too(place, server):
    chance = random.Random(4)
    feed(place, [{"id": n} for n in range(20000)])
    place.write("p.conf", pipeline(server, f"create = true; {HARDY}", HARDY, f'rate = "8000/s"; {HARDY}'))
    for _ in range(6):
        process = place.start("run", "p.conf")
        time.sleep(chance.uniform(0.15, 0.4))
        process.kill()
        process.communicate()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    check(server, 20000)


def test_the_server_is_killed_and_comes_back(place, own_server):
    """Nothing is lost or doubled, nobody's deaths are counted, and it is said once."""
    feed(place, [{"id": n} for n in range(30000)])
    place.write("p.conf", pipeline(own_server, "create = true; restart = 1;", read='rate = "8000/s";'))
    process = place.start("run", "p.conf")
    for kill in (own_server.kill, own_server.stop, own_server.kill):
        before = own_server.psql("SELECT count(*) FROM pg_class WHERE relname = 'orders'") and 0
        wait_for(lambda: "1" in own_server.psql("SELECT count(*) FROM pg_class WHERE relname = 'orders'"))
        before = own_server.ask("SELECT count(*) FROM orders")[0][0]
        wait_for(lambda: own_server.ask("SELECT count(*) FROM orders")[0][0] > before, what="rows come")
        kill()
        time.sleep(1.5)
        assert process.poll() is None
        own_server.start_again()
    code, _, err = finish(process, 120)
    assert code == 0, err
    check(own_server, 30000)
    assert 1 <= err.count("it is tried again every second until it can be reached") <= 3, err


def test_the_server_is_away_for_longer(place, own_server):
    """Through two stops of the pipeline: what was read waits."""
    feed(place, [{"id": n} for n in range(5000)])
    place.write("p.conf", pipeline(own_server, "create = true; restart = 0;", read='rate = "2000/s";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: "1" in own_server.psql("SELECT count(*) FROM pg_class WHERE relname = 'orders'"))
    own_server.kill()
    time.sleep(2.5)  # two attempts and more
    assert process.poll() is None
    process.kill()
    process.communicate()
    own_server.start_again()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    check(own_server, 5000)


def test_power_cuts(server):
    """The machine of the pipeline loses what was not synced; the server, elsewhere, knows more than it: rows are there once all the same."""
    disk = power.Disk()
    place = Place(disk.folder / "place")
    try:
        place.path.mkdir()
        storm.write_input(place, 20000)
        place.write("p.conf", f"""sync_interval = "100ms"; stages = {{
          read = {{ source = "file"; path = "in-*.ndjson"; rate = "8000/s"; {HARDY} }};
          save = {{ sink = "postgres"; from = "read"; connection = "{server.connection}"; table = "orders"; create = true; processes = 2; {HARDY} }};
        }};""")
        subprocess.run(["sync", "-f", disk.folder], check=True)
        done, _ = power.run_with_cuts(place, disk, 5, random.Random(6))
        assert done > 1
        check(server, 20000)
    finally:
        place.close()
        disk.close()


def test_it_waits_for_who_has_locked_the_table(place, server):
    server.psql("CREATE TABLE orders (id int)")
    feed(place, [{"id": n} for n in range(100)])
    holder = threading.Thread(target=server.psql, args=("BEGIN; LOCK TABLE orders; SELECT pg_sleep(2); COMMIT;",))
    holder.start()
    wait_for(lambda: server.ask("SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass AND mode = 'AccessExclusiveLock'"))
    begin = time.monotonic()
    place.run(pipeline(server, 'stall_timeout = "1s";'))
    holder.join()
    assert time.monotonic() - begin > 0.5
    check(server, 100)


def test_two_pipelines_of_one_name(place, server):
    """What another one of that name noted elsewhere is left to it."""
    feed(place, [{"id": n} for n in range(100)])
    server.psql("""CREATE TABLE sluice_committed (sink text, home text, run numeric(20), origin numeric(20), path numeric(20), start numeric(20),
        stop numeric(20), dead bigint DEFAULT 0, PRIMARY KEY (sink, run, origin, path, start));
        INSERT INTO sluice_committed VALUES ('p/save', 'elsewhere:/x', 1, 2, 3, 4, 5)""")
    for _ in range(3):
        place.run(pipeline(server, "create = true;"))
    assert server.ask("SELECT count(*) FROM sluice_committed WHERE home LIKE 'elsewhere%'") == [[1]]
    assert server.ask("SELECT count(DISTINCT run) FROM sluice_committed") == [[2]]


def test_threads_have_a_connection_each(place, server):
    feed(place, [{"id": n} for n in range(20000)])
    place.write("p.conf", pipeline(server, f"create = true; threads = 3; processes = 2; {HARDY}"))
    process = place.start("run", "p.conf")
    kill_some(process, {"save"}, 4, 9)
    code, _, err = finish(process)
    assert code == 0, err
    check(server, 20000)


def test_no_process_is_left_behind_by_a_stop(place, server):
    feed(place, [{"id": n} for n in range(100000)])
    place.write("p.conf", pipeline(server, "create = true;", read='rate = "5000/s";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 3)
    wait_for(lambda: server.ask("SELECT count(*) FROM pg_class WHERE relname = 'orders'") == [[1]])
    process.terminate()
    finish(process)
    wait_for(lambda: server.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice'") == [[0]])
    count, most = server.ask("SELECT count(*), max(id) FROM orders")[0]
    assert count == most + 1
