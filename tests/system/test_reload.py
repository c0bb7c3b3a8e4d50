"""A reload changes what runs, in the middle of its work, and loses and doubles nothing; what cannot be leaves everything as it was."""
import contextlib
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import time

import pytest
from conftest import children, finish, wait_for

RECORDS = 120000


def config(query="SELECT id, v FROM input", processes=1, more="", top="", db_from="f"):
    return f"""{top} stages = {{
        read = {{ source = "file"; path = "in.ndjson"; rate = "40000/s"; }};
        f = {{ transform = "sql"; from = "read"; query = "{query}"; processes = {processes}; }};
        {more}
        save = {{ sink = "file"; from = "f"; path = "out.ndjson"; }};
        db = {{ sink = "sqlite"; from = "{db_from}"; path = "out.db"; table = "t"; create = true; extra = "ignore"; }}; }};"""


def feed(place, count=RECORDS):
    with open(place.path / "in.ndjson", "w") as file:
        file.writelines('{"id":%d,"v":"x%d"}\n' % (i, i % 97) for i in range(count))


def start(place, text):
    place.write("p.conf", text)
    process = place.start("run", "p.conf", "--runtime", "rt", stderr=open(place.path / "err.txt", "w"))
    wait_for(lambda: (place.path / ".out.ndjson.part").exists() and len(children(process.pid)) >= 4, what="the start")
    return process


def reload(place):
    return place.sluice("reload", "p.conf", "--runtime", "rt")


def err(place):
    return (place.path / "err.txt").read_text()


def ids(place):
    return [json.loads(line)["id"] for line in open(place.path / "out.ndjson")]


def rows(place):
    return sorted(row[0] for row in sqlite3.connect(place.path / "out.db").execute("SELECT id FROM t"))


def test_ten_reloads_under_load(place):
    """A query, a number of processes, a stage more, a stage less: each record is in both sinks once, in order in the file."""
    feed(place, 400000)
    process = start(place, config())
    extra = 'g = { transform = "sql"; from = "f"; query = "SELECT id, v FROM input"; };'
    for text in [config(processes=3), config("SELECT id, v || '' AS v FROM input"), config(more=extra, db_from="g"),
                 config(processes=2, more=extra, db_from="g"), config(), config(processes=4), config("SELECT id, upper(v) AS v FROM input"),
                 config(more=extra, db_from="g"), config(processes=2), config()]:
        time.sleep(0.1)
        assert process.poll() is None, "it has ended before all reloads"
        place.write("p.conf", text)
        code, out, said = reload(place)
        assert code == 0 and "reloaded" in out, (out, said, err(place))
    assert process.wait(60) == 0, err(place)
    assert ids(place) == list(range(400000))
    assert rows(place) == list(range(400000))
    assert err(place).count("reloaded") >= 10


def test_sighup_reloads(place):
    feed(place)
    process = start(place, config())
    place.write("p.conf", config(processes=3))
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(children(process.pid, {"f"})) == 3, what="three processes")
    assert process.wait(60) == 0, err(place)
    assert ids(place) == list(range(RECORDS))


def test_many_sighups_are_one_reload_or_several(place):
    """Those that come while one is under way are refused and disturb nothing."""
    feed(place, 60000)
    process = start(place, config())
    for processes in range(2, 6):
        place.write("p.conf", config(processes=processes))
        for _ in range(10):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.003)
    assert process.wait(60) == 0, err(place)
    assert "a reload is under way already" in err(place)
    assert ids(place) == list(range(60000))


def test_the_new_query_holds_from_the_reload_on(place):
    feed(place)
    process = start(place, config())
    time.sleep(0.3)
    place.write("p.conf", config("SELECT id, 'new' AS v FROM input"))
    assert reload(place)[0] == 0
    assert process.wait(60) == 0, err(place)
    values = [json.loads(line)["v"] == "new" for line in open(place.path / "out.ndjson")]
    assert len(values) == RECORDS and not values[0] and values[-1]
    assert values == sorted(values)


@pytest.mark.parametrize("text, reason", [
    ("stages = { read = ", "is wrong"),
    (config(top='name = "other";'), "that is another pipeline"),
])
def test_a_bad_file_changes_nothing(place, text, reason):
    feed(place)
    process = start(place, config())
    pids = children(process.pid)
    place.write("p.conf", text)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded" in err(place), what="the refusal")
    assert reason in err(place)
    assert children(process.pid) == pids
    assert process.wait(60) == 0, err(place)
    assert ids(place) == list(range(RECORDS))


def test_the_command_shows_what_is_wrong(place):
    feed(place)
    process = start(place, config())
    place.write("p.conf", config().replace("sqlite", "sqlit"))
    code, _, said = reload(place)
    assert code == 78
    assert 'p.conf:' in said and '"sqlite"' in said
    place.write("p.conf", config())
    code, _, said = reload(place)
    assert code == 1 and "nothing has changed" in said
    assert process.wait(60) == 0, err(place)


def test_a_drain_that_does_not_end_changes_nothing(place):
    feed(place, 9)
    text = """drain_timeout = "500ms"; stages = { read = { source = "file"; path = "in.ndjson"; };
        still = { transform = "delay"; from = "read"; wait = "%s"; };
        save = { sink = "file"; from = "still"; path = "out.ndjson"; }; };"""
    place.write("p.conf", text % "300ms")
    process = place.start("run", "p.conf", "--runtime", "rt", stderr=open(place.path / "err.txt", "w"))
    wait_for(lambda: len(children(process.pid)) == 3, what="the start")
    time.sleep(0.5)
    pids = children(process.pid)
    place.write("p.conf", text % "1ms")
    code, _, said = reload(place)
    assert code == 1 and "drain_timeout" in said and "goes on as it was" in said, said
    assert children(process.pid) == pids
    assert process.wait(60) == 0, err(place)
    assert ids(place) == list(range(9))


def test_a_stop_ends_a_reload(place):
    """Nobody is told that the pipeline goes on as it was; who asked for the reload gets an answer at once."""
    feed(place, 20)
    text = """drain_timeout = "2s"; stages = { read = { source = "file"; path = "in.ndjson"; };
        still = { transform = "delay"; from = "read"; wait = "%s"; };
        save = { sink = "file"; from = "still"; path = "out.ndjson"; }; };"""
    place.write("p.conf", text % "60s")
    place.env["NOTIFY_SOCKET"] = str(place.path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(place.env["NOTIFY_SOCKET"])
        notify.setblocking(False)
        process = place.start("run", "p.conf", "--runtime", "rt", stderr=open(place.path / "err.txt", "w"))
        while b"READY=1" not in (wait_for(lambda: select.select([notify], [], [], 0)[0]) and notify.recv(4096)):
            pass
        place.write("p.conf", text % "1ms")
        asking = place.start("reload", "p.conf", "--runtime", "rt")
        wait_for(lambda: "reloading" in err(place))
        time.sleep(1)
        process.terminate()
        begin = time.monotonic()
        code, _, said = finish(asking)
        assert code == 1 and "the pipeline is being stopped" in said, said
        assert time.monotonic() - begin < 1
        # Later than the reload would have been given up.
        assert finish(process)[0] == 1
        assert "goes on as it was" not in err(place), err(place)
        told = []
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(notify.recv(4096).decode())
    stopping = next(i for i, words in enumerate(told) if "STOPPING=1" in words)
    assert not any("READY=1" in words for words in told[stopping:]), told


def test_a_source_that_cannot_go_on(place):
    place.write("p.conf", 'stages = { read = { source = "exec"; command = ["sleep", "5"]; }; n = { sink = "null"; from = "read"; }; };')
    process = place.start("run", "p.conf", "--runtime", "rt")
    wait_for(lambda: len(children(process.pid)) == 2, what="the start")
    time.sleep(0.2)
    place.write("p.conf", 'stages = { read = { source = "exec"; command = ["sleep", "6"]; }; n = { sink = "null"; from = "read"; }; };')
    code, _, said = reload(place)
    assert code == 1 and "cannot go on where it stood" in said
    process.send_signal(signal.SIGINT)
    finish(process, 20)


def test_kills_during_reloads(place):
    feed(place)
    hardy = 'restart = 1000; backoff = "2ms"; restart_within = "100ms";'
    base = config().replace('rate =', hardy + " rate =").replace('query =', hardy + ' query =').replace(
        'path = "out', hardy + ' path = "out')
    process = start(place, base)
    for turn in range(6):
        place.write("p.conf", base.replace("processes = 1", f"processes = {2 + turn % 2}"))
        process.send_signal(signal.SIGHUP)
        for _ in range(4):
            for pid in list(children(process.pid))[turn % 3::3]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.03)
        time.sleep(0.1)
    try:
        assert process.wait(60) == 0, err(place)
    except subprocess.TimeoutExpired:
        pytest.fail(place.sluice("status", "p.conf", "--runtime", "rt")[1] + err(place))
    assert (place.path / "out.ndjson").exists(), err(place)
    assert ids(place) == list(range(RECORDS))
    assert rows(place) == list(range(RECORDS))


def test_drain_timeout_stops_hard_and_the_next_start_goes_on(place):
    feed(place, 9)
    place.write("p.conf", """drain_timeout = "300ms"; stages = { read = { source = "file"; path = "in.ndjson"; };
        slow = { transform = "delay"; from = "read"; wait = "300ms"; };
        save = { sink = "file"; from = "slow"; path = "out.ndjson"; }; };""")
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 3, what="the start")
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    code, _, said = finish(process, 20)
    assert code == 1 and "drain_timeout" in said and "goes on from there" in said
    code, _, said = place.sluice("run", "p.conf")
    assert code == 0, said
    assert ids(place) == list(range(9))


def test_a_source_that_waits_for_more_is_no_hindrance(place):
    """Two cuts of it are under way: the first waits, and the second would be begun when the pause has ended the first."""
    feed(place, 100)
    text = """drain_timeout = "5s"; stages = {
        read = { source = "file"; path = "in.ndjson"; follow = true; };
        save = { sink = "file"; from = "read"; path = "out.ndjson"; }; };"""
    place.write("p.conf", text)
    process = place.start("run", "p.conf", "--runtime", "rt", stderr=open(place.path / "err.txt", "w"))
    for n in range(3):
        wait_for(lambda: (place.path / ".out.ndjson.part").exists() and (place.path / ".out.ndjson.part").read_bytes().count(b"\n") == 100 + n,
                 what="all in the file")
        place.write("p.conf", text.replace("follow = true;", f'follow = true; retain = "{n + 1}MiB";'))
        code, out, error = reload(place)
        assert code == 0, out + error
        with open(place.path / "in.ndjson", "a") as file:
            file.write('{"id":%d}\n' % (100 + n))
    wait_for(lambda: (place.path / ".out.ndjson.part").read_bytes().count(b"\n") == 103, what="what came last")
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0
