# SPDX-License-Identifier: MIT
"""Every worked example of etc/pipelines, against what plain Python makes of the same input."""
import csv
import gzip
import json
import re
import shutil
import socket
import subprocess

import pytest

import pg
from conftest import ROOT, children, finish, wait_for
from test_http import serve

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
    expected = [[row[2], names[code]] for row in rows for code in row[0].split(",")]
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


@pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")
def test_postgres(place):
    """Twice: the second time a row is mended."""
    rows = [line.rstrip("\n").split("\t", 2) for line in open("/usr/share/zoneinfo/zone1970.tab") if not line.startswith("#")]
    server = pg.Server("fsync = off")
    try:
        place.env["PG_CONNECTION"] = server.connection
        run_example(place, "postgres")
        server.psql("UPDATE zones SET countries = 'XX' WHERE zone LIKE 'Europe/%'")
        run_example(place, "postgres")
        assert sorted(map(tuple, server.ask("SELECT countries, position, zone FROM zones"))) == sorted(map(tuple, rows))
    finally:
        server.close()


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
    minutes = {}
    with open(place.path / "app.log", "w") as file:
        for n in range(3000):
            at, level = f"2026-03-01T12:{n // 60:02}:{n % 60:02}Z", ("info", "warning", "error")[n % 7 % 3]
            say = minutes.setdefault((at[:16], level), [0, None])
            say[0] += 1
            say[1] = f"message {n % 50}"
            # The same line may be sent twice.
            for _ in range(1 + (n % 5 == 0)):
                file.write(f"{at} web-{n % 3} {level} message {n % 50}\n")
    run_example(place, "log-minutes")
    found = [json.loads(line) for line in open(place.path / "minutes.ndjson")]
    assert {(r["window_start"][:16], r["level"]): [r["lines"], r["last"]] for r in found} == minutes
    assert len(found) == len(minutes)


def test_every_example_has_a_test():
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    tested |= {part for name in tested for part in name.split("-and-")}
    # Those that want a machine's own services run in a booted one.
    tested |= set(re.findall(r"pipelines/([\w-]+)\.conf", (ROOT / "tests/system/test_systemd.py").read_text()))
    for path in EXAMPLES.glob("*.conf"):
        assert path.stem in tested, f"{path.name} is run by no test"
