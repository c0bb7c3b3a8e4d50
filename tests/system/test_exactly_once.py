# SPDX-License-Identifier: MIT
"""Exactly once in files: transforms and sinks are killed at random, and the file is what it would have been without."""
import contextlib
import csv
import gzip
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import time

import msgpack
import pytest

from conftest import children, finish, kill_some, wait_for

COUNT = 60_000


def feed(place, count=COUNT):
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(count):
            file.write(json.dumps({"id": n, "name": f"name {n}", "price": n / 4}) + "\n")


def expected(count=COUNT):
    return [{"id": n, "name": f"name {n}", "price": n / 4} for n in range(count)]


def read(path, name):
    if name.endswith(".gz"):
        text = gzip.open(path).read()
    elif name.endswith(".zst"):
        text = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    else:
        text = path.read_bytes()
    name = name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".ndjson"):
        return [json.loads(line) for line in text.decode().splitlines()]
    if name.endswith(".json"):
        return json.loads(text)
    if name.endswith(".msgpack"):
        return list(msgpack.Unpacker(io.BytesIO(text), raw=False))
    return [{"id": int(row["id"]), "name": row["name"], "price": float(row["price"])} for row in csv.DictReader(text.decode().splitlines())]


def config(name, work="", save=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; transform = "delay"; wait = "0s"; rate = "40000/s"; restart = 1000; backoff = "5ms"; queue = 2; {work} }};
      save = {{ sink = "file"; from = "work"; path = "{name}"; restart = 1000; backoff = "5ms"; queue = 2; {save} }};
    }};"""


def run_and_kill(place, victims, kills=25):
    seed = random.randrange(1_000_000)
    print("seed", seed)
    process = place.start("run", "p.conf")
    done = kill_some(process, victims, kills, seed)
    code, _, err = finish(process)
    assert code == 0, err
    assert "leak" not in err
    assert done >= 5, "the run was over too soon to mean anything"


@pytest.mark.parametrize("name", ["out.ndjson", "out.json", "out.csv", "out.msgpack", "out.ndjson.gz", "out.csv.zst"])
def test_every_format(place, name):
    feed(place)
    place.write("p.conf", config(name))
    run_and_kill(place, {"save"})
    assert read(place.path / name, name) == expected()
    assert not (place.path / f".{name}.part").exists()


@pytest.mark.parametrize("victims", [{"work"}, {"work", "save"}], ids=lambda names: "+".join(sorted(names)))
@pytest.mark.parametrize("order", ["keep", "any"])
def test_transforms_and_sink(place, order, victims):
    feed(place)
    place.write("p.conf", config("out.ndjson", f'processes = 2; order = "{order}";', f'order = "{order}";'))
    run_and_kill(place, victims)
    found = read(place.path / "out.ndjson", "out.ndjson")
    assert (found if order == "keep" else sorted(found, key=lambda record: record["id"])) == expected()


@pytest.mark.parametrize("name", ["out.ndjson", "out.csv"])
def test_append(place, name):
    """What was there stays, what was written after the last commit of a dead process is cut off."""
    feed(place, 30_000)
    place.write("p.conf", config(name, save="append = true;"))
    for _ in range(2):
        run_and_kill(place, {"save"}, 10)
    assert read(place.path / name, name) == expected(30_000) * 2


def test_diamond(place):
    """Two branches of one source meet again, and go to two sinks of different speed."""
    feed(place, 30_000)
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      one  = { from = "read"; transform = "delay"; wait = "0s"; rate = "15000/s"; processes = 2; restart = 1000; backoff = "5ms"; };
      two  = { from = "read"; transform = "cpu"; iterations = 1000; restart = 1000; backoff = "5ms"; };
      both = { sink = "file"; from = [ "one", "two" ]; path = "both.ndjson"; restart = 1000; backoff = "5ms"; };
      fast = { sink = "file"; from = "one"; path = "fast.ndjson"; restart = 1000; backoff = "5ms"; };
    };""")
    run_and_kill(place, {"one", "two", "both", "fast"})
    assert read(place.path / "fast.ndjson", "fast.ndjson") == expected(30_000)
    both = sorted(read(place.path / "both.ndjson", "both.ndjson"), key=lambda record: record["id"])
    assert both == sorted(expected(30_000) * 2, key=lambda record: record["id"])


def test_instances_have_files_of_their_own(place):
    feed(place, 30_000)
    place.write("p.conf", config("out.{instance}.ndjson", save='processes = 2; order = "any";'))
    run_and_kill(place, {"save"}, 10)
    found = [record for n in (0, 1) for record in read(place.path / f"out.{n}.ndjson", ".ndjson")]
    assert sorted(found, key=lambda record: record["id"]) == expected(30_000)


@pytest.mark.parametrize("victims", [{"work"}, {"work", "save"}], ids=lambda names: "+".join(sorted(names)))
def test_a_batch_given_to_both_instances(place, victims):
    """What a dead transform had sent to one sink, a living one sends to the other; both are slow, so both have it at the same time."""
    feed(place)
    place.write("p.conf", config("out.{instance}.ndjson", 'processes = 2; order = "any";', 'processes = 2; order = "any"; rate = "20000/s";'))
    run_and_kill(place, victims, 40)
    found = [record for n in (0, 1) for record in read(place.path / f"out.{n}.ndjson", ".ndjson")]
    assert sorted(found, key=lambda record: record["id"]) == expected()


def test_a_file_that_was_moved_away_is_not_begun_anew(place):
    feed(place, 2000)
    place.write("p.conf", config("out.ndjson").replace('wait = "0s";', 'wait = "2ms";').replace("restart = 1000", "restart = 3"))
    process = place.start("run", "p.conf")
    part = place.path / ".out.ndjson.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0, what="the first record")
    time.sleep(0.1)
    part.rename(place.path / "elsewhere")
    os.kill(next(iter(children(process.pid, {"save"}))), signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1
    assert "is not the file that was written so far" in err
    assert not (place.path / "out.ndjson").exists()


def test_nothing_is_left_of_it(place):
    """The names of batches are forgotten: but for the last ones, with the next run."""
    feed(place, 1000)
    place.run(config("out.ndjson"))
    with sqlite3.connect(next(place.path.rglob("committed.save.db"))) as database:
        assert database.execute("SELECT count(*) FROM batches").fetchone() < (10,)
    database.close()


@pytest.mark.parametrize("work, save", [('rate = "400/s";', ""), ("", 'rate = "400/s"; queue = 1;')], ids=["it is slow", "its sink is slow"])
def test_one_process_sees_the_order_whoever_dies_above_it(place, work, save):
    """What a dead process had sent and was not begun comes again: nothing behind it is begun before, however full all is."""
    place.write("in.ndjson", "".join(json.dumps({"id": n}) + "\n" for n in range(600)))
    place.write("p.conf", f"""stages = {{
      read  = {{ source = "file"; path = "in.ndjson"; }};
      split = {{ transform = "sql"; from = "read"; query = "SELECT id FROM input"; processes = 3; order = "keep"; restart = 1000; backoff = "1ms"; }};
      work  = {{ transform = "exec"; from = "split"; command = [ "tee", "-a", "seen" ]; order = "keep"; {work} }};
      save  = {{ sink = "file"; from = "work"; path = "out.ndjson"; order = "keep"; {save} }};
    }};""")
    process = place.start("run", "p.conf")
    for kill in range(6):
        wait_for(lambda: process.poll() is not None or ((place.path / "seen").exists() and
                 (place.path / "seen").stat().st_size > 400 * (kill + 1)), what="progress")
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(sorted(children(process.pid, {"split"}))[0], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 0, err
    seen = [json.loads(line)["id"] for line in (place.path / "seen").read_text().splitlines()]
    assert list(dict.fromkeys(seen)) == list(range(600))
    assert [json.loads(line)["id"] for line in (place.path / "out.ndjson").read_text().splitlines()] == list(range(600))
