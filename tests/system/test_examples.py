# SPDX-License-Identifier: MIT
"""Every worked example of etc/pipelines, against what plain Python makes of the same input."""
import csv
import datetime
import gzip
import json
import re
import shutil
import socket
import sqlite3
import subprocess

import pytest

import pg
from conftest import ROOT, children, finish, wait_for
from test_http import free_port, serve

EXAMPLES = ROOT / "etc/pipelines"


def run_example(place, name):
    shutil.copy(EXAMPLES / f"{name}.conf", place.path)
    code, _, err = place.sluice("run", f"{name}.conf")
    assert code == 0, err


def test_queue_demo(place):
    run_example(place, "queue-demo")
    assert (place.path / "data.json").read_text() == "[0.4, 0.8, 1.2000000000000002, 0.6000000000000001, 1.0, 1.4000000000000001, 1.8]\n"
    assert json.loads((place.path / "data.json").read_text()) == [n * 0.2 for n in (2, 4, 6, 3, 5, 7, 9)]


def test_unicode(place):
    run_example(place, "unicode")
    expected = [["code", "name", "digit"]]
    for line in open("/usr/share/unicode/UnicodeData.txt"):
        field = line.rstrip("\n").split(";")
        if field[2] == "Nd":
            expected.append([field[0], field[1], str(int(field[6]))])
    assert len(expected) > 500
    assert list(csv.reader(open(place.path / "digits.csv"))) == expected


def test_categories(place):
    run_example(place, "categories")
    expected = {}
    rows = [line.split(";")[:3] for line in open("/usr/share/unicode/UnicodeData.txt")]
    for code, name, category in rows:
        expected.setdefault(f"{category}.csv", [["code", "category", "name"]]).append([code, category, name])
    assert {path.name: list(csv.reader(open(path))) for path in (place.path / "categories").iterdir()} == expected
    assert len(expected) > 20
    assert open(place.path / "categories.txt").read() == "".join(f"{code:0>6} {category} {name:90}\n" for code, name, category in rows)


def test_countries(place):
    run_example(place, "countries")
    countries = json.load(open("/usr/share/iso-codes/json/iso_3166-1.json"))["3166-1"]
    expected = [{"code": c["alpha_2"], "name": c["name"], "number": int(c["numeric"])} for c in countries]
    assert [json.loads(line) for line in open(place.path / "countries.ndjson")] == expected


def test_timezones(place):
    run_example(place, "timezones")
    rows = [line.rstrip("\n").split("\t", 2) for line in open("/usr/share/zoneinfo/zone1970.tab") if not line.startswith("#")]
    expected = [{"countries": c, "position": p, "zone": z.rstrip("\n")} for c, p, z in rows]
    assert [json.loads(line) for line in gzip.open(place.path / "zones.ndjson.gz", "rt")] == expected
    several = [[z, c] for c, p, z in rows if "," in c]
    assert list(csv.reader(open(place.path / "shared-zones.csv")))[1:] == several


def test_zone_names_and_sqlite(place):
    """Each reads what the one before has made."""
    for name in "countries", "zone-names", "sqlite":
        run_example(place, name)
    names = {c["alpha_2"]: c["name"] for c in json.load(open("/usr/share/iso-codes/json/iso_3166-1.json"))["3166-1"]}
    rows = [line.rstrip("\n").split("\t") for line in open("/usr/share/zoneinfo/zone1970.tab") if not line.startswith("#")]
    expected = [[row[2], names[code], row[2].split("/")[0]] for row in rows for code in row[0].split(",")]
    assert len(expected) > 300
    assert [row[1:] for row in csv.reader(open(place.path / "zones.csv"))][1:] == expected


def test_pictures(place):
    for folder in "pictures", "thumbnails":
        (place.path / folder).mkdir()
    expected = {}
    for width, height in (320, 240), (200, 400), (100, 50), (1600, 40):
        name = f"{width} x {height}.png"
        subprocess.run(["convert", "-size", f"{width}x{height}", "gradient:red-blue", f"pictures/{name}"], cwd=place.path, check=True)
        scale = min(1, 160 / max(width, height))
        expected[name] = {"width": round(width * scale), "height": round(height * scale)}
    run_example(place, "pictures")
    found = [json.loads(line) for line in open(place.path / "thumbnails.ndjson")]
    assert {record["value"]: record["size"] for record in found} == expected
    assert {path.name for path in (place.path / "thumbnails").iterdir()} == set(expected)


def test_pictures_one_of_them_broken(place):
    for folder in "pictures", "thumbnails":
        (place.path / folder).mkdir()
    subprocess.run(["convert", "-size", "320x240", "plasma:", "pictures/good.png"], cwd=place.path, check=True)
    (place.path / "pictures/bad.png").write_text("no picture")
    shutil.copy(EXAMPLES / "pictures.conf", place.path)
    code, _, err = place.sluice("run", "pictures.conf")
    assert code == 3, err
    assert "refused: convert ended with exit status 1: convert" in err
    assert [json.loads(line)["value"] for line in open(place.path / "thumbnails.ndjson")] == ["good.png"]


def test_bulk(place):
    """The server answers as Elasticsearch does."""
    index = {}

    def answer(request):
        assert request.raw == "/countries/_bulk" and request.headers["Content-Type"] == "application/x-ndjson"
        given = [json.loads(line) for line in gzip.decompress(request.body).splitlines()]
        index.update({action["index"]["_id"]: record for action, record in zip(given[::2], given[1::2])})
        return {"took": 1, "errors": False, "items": [{"index": {**action["index"], "status": 201}} for action in given[::2]]}

    with serve(answer) as server:
        place.env["BULK_URL"] = server.url
        run_example(place, "bulk")
    countries = json.load(open("/usr/share/iso-codes/json/iso_3166-1.json"))["3166-1"]
    assert index == {c["alpha_2"]: {"code": c["alpha_2"], "name": c["name"], "number": int(c["numeric"])} for c in countries}


@pytest.fixture(scope="module")
def database():
    it = pg.Server("fsync = off")
    yield it
    it.close()


@pytest.fixture
def server(database, place):
    """With the tables that the examples' heads speak of."""
    database.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE customers (id bigint PRIMARY KEY, name text);"
                  " INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace')")
    for name in "prices", "orders":
        head = "\n".join(line[2:] for line in (EXAMPLES / f"{name}.conf").read_text().splitlines() if line.startswith("//"))
        database.psql(re.search(rf"CREATE TABLE {name} \(.*?\);", head, re.S)[0])
    place.env["PG_CONNECTION"] = database.connection
    return database


needs_server = pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")


@needs_server
def test_prices(place, server):
    """Twice: the second list changes rows and adds some, and the suppliers' names are those of now."""
    def run(articles, price, name):
        place.write("suppliers.csv", "id,name,country\n" + "".join(f"{n},{name} {n},AT\n" for n in range(9)))
        place.write("prices.csv", "article,price,supplier\n" + "".join(f"a{n},{price + n:.2f},{n % 9}\n" for n in articles))
        run_example(place, "prices")
        return {f"a{n}": [f"a{n}", f"{price + n:.2f}", f"{name} {n % 9}", "AT"] for n in articles}
    expected = run(range(500), 0.5, "Smith") | run(range(250, 750), 1.25, "Smith & Co")
    assert {row[0]: row for row in server.ask("SELECT article, price::text, supplier, country FROM prices")} == expected


@needs_server
def test_orders(place, server):
    """Three pages; an order that is asked for again is changed, and what is wrong is kept with all that is wrong."""
    orders = [{"id": n, "ordered": f"2024-02-29T12:00:{n:02}+01:00", "customer": 1 + n % 2, "amount": n / 4, "status": "new"} for n in range(30)]
    wrong = [{"id": 77, "ordered": "yesterday", "customer": 1, "amount": -1, "status": "lost", "more": 1}, {**orders[0], "id": 78, "customer": 3}]

    def answer(request):
        page = int(request.query.get("page", 0))
        return {"orders": (orders + wrong)[page * 16:page * 16 + 16], "next": f"/orders.json?page={page + 1}" if page < 2 else None}
    shutil.copy(EXAMPLES / "orders.conf", place.path)
    with serve(answer) as web:
        place.env["ORDERS_URL"] = f"{web.url}/orders.json"
        for status in "new", "paid":
            for order in orders:
                order["status"] = status
            code, _, err = place.sluice("run", "orders.conf")
            assert code == 3, err
            assert server.ask("SELECT id, extract(epoch FROM ordered)::int, customer, amount::float8, status FROM orders ORDER BY id") == [
                [o["id"], 1709204400 + o["id"], o["customer"], o["amount"], o["status"]] for o in orders]
    letters = [json.loads(line) for line in place.sluice("dead", "export", "orders.conf")[1].splitlines()]
    assert sorted((letter["stage"], letter["record"]["id"]) for letter in letters) == [("save", 78)] * 2 + [("valid", 77)] * 2
    reason = next(letter["reason"] for letter in letters if letter["stage"] == "valid")
    assert all(word in reason for word in ('"ordered" is "yesterday"', '"amount" is -1', '"status" is "lost"', '"more" is not known')), reason


@needs_server
def test_archive(place, server):
    """Only what is new, by a number that grows; and nothing when nothing is."""
    shutil.copy(EXAMPLES / "archive.conf", place.path)
    expected = []
    for begin, end in (0, 300), (300, 310), (310, 310):
        server.psql(f"INSERT INTO orders (id, ordered, customer, amount, status) SELECT 1000 - n, '2024-02-29T23:30:00Z'::timestamptz + n * interval '1 h', 1, n * 0.29,"
                    f" 'new' FROM generate_series({begin}, {end - 1}) AS n")
        code, _, err = place.sluice("run", "--resume", "archive.conf")
        assert code == 0 and re.search(rf"^save +{end - begin} ", err, re.M), err
        expected += [(n + 1, 1000 - n, str(datetime.datetime(2024, 2, 29, 23, 30) + datetime.timedelta(hours=n))[:10], 1, n * 29, "new") for n in range(begin, end)]
        with sqlite3.connect(f"file:{place.path}/archive.db?mode=ro", uri=True) as archive:
            found = archive.execute("SELECT nr, id, day, customer, cents, status FROM orders ORDER BY nr").fetchall()
        assert found == expected


def test_syslog(place):
    """As logger(1) sends: RFC 5424 over UDP, and counted octets over TCP."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place.env["SYSLOG_PORT"] = str(port)
    shutil.copy(EXAMPLES / "syslog.conf", place.path)
    process = place.start("run", "syslog.conf")

    def log(severity, text, *how):
        subprocess.run(["logger", "--server", "127.0.0.1", "--port", str(port), "--tag", "demo", "--id=17", "--priority", f"user.{severity}",
                        *how, text], check=True)

    def lines():
        file = place.path / "warnings.ndjson"
        return file.read_text().splitlines() if file.exists() else []
    wait_for(lambda: len(children(process.pid)) == 4)
    log("warning", "over UDP", "--udp")
    wait_for(lambda: len(lines()) == 1)
    log("info", "not worth it", "--tcp")
    log("err", "over TCP", "--tcp", "--octet-count")
    log("crit", "in the old way", "--tcp", "--rfc3164")
    wait_for(lambda: len(lines()) == 3)
    process.terminate()
    assert finish(process)[0] == 0
    records = [json.loads(line) for line in lines()]
    assert [(r["severity"], r["message"]) for r in records] == [(4, "over UDP"), (3, "over TCP"), (2, "in the old way")]
    assert {r["host"] for r in records} == {socket.gethostname().split(".")[0]} or {r["host"] for r in records} == {socket.gethostname()}
    assert all(r["app"] == "demo" and r["timestamp"] for r in records)


def test_log_minutes(place):
    """Over one connection each: lines, and messages behind their lengths."""
    port = free_port()
    place.env["LOG_ADDRESS"] = f"tcp://127.0.0.1:{port}"
    shutil.copy(EXAMPLES / "log-minutes.conf", place.path)
    process = place.start("run", "log-minutes.conf")
    minutes = {}
    lines = []
    for n in range(3000):
        at, app, status, ms = f"2024-03-01T12:{n // 60:02}:{n % 60:02}Z", ("shop", "api", "pay")[n % 7 % 3], (200, 404, 500)[n % 5 % 3], n % 50
        say = minutes.setdefault((at[:16], app), [0, 0, 0])
        minutes[at[:16], app] = [say[0] + 1, say[1] + (status == 500), max(say[2], ms)]
        # The same line may be sent twice, and not each is about a request.
        lines += [f"<14>1 {at} web{n % 3} {app} {n % 3} - - GET /p/{n} {status} {ms}ms"] * (1 + (n % 5 == 0))
        if n % 10 == 0:
            lines.append(f"<14>1 {at} web{n % 3} {app} {n % 3} - - starting worker {n}")
    lines.append("<14>1 2024-03-01T14:00:00Z web1 end 1 - - GET / 200 1ms")
    wait_for(lambda: children(process.pid, {"read~in"}) and not subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], stderr=subprocess.DEVNULL).returncode)
    half = len(lines) // 2
    for part in "\n".join(lines[:half]) + "\n", "".join(f"{len(line)} {line}" for line in lines[half:]):
        with socket.create_connection(("127.0.0.1", port)) as it:
            it.sendall(part.encode())
            it.shutdown(socket.SHUT_WR)
            assert it.recv(1) == b""

    def output():
        file = place.path / "minutes.ndjson"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    wait_for(lambda: len(output()) >= len(minutes), what="the minutes")
    process.terminate()
    assert finish(process)[0] == 0
    assert {(r["window_start"][:16], r["app"]): [r["requests"], r["failed"], r["slowest_ms"]] for r in output()} == minutes
    assert len(output()) == len(minutes)


def test_every_example_has_a_test():
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    tested |= {part for name in tested for part in name.split("-and-")}
    # Those that want a machine's own services run in a booted one.
    tested |= set(re.findall(r"pipelines/([\w-]+)\.conf", (ROOT / "tests/system/test_systemd.py").read_text()))
    for path in EXAMPLES.glob("*.conf"):
        assert path.stem in tested, f"{path.name} is run by no test"
