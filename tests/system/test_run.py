# SPDX-License-Identifier: MIT
"""Whole pipelines: everything arrives, in order, however many processes there are, and whoever dies on the way."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from conftest import BUILD, ROOT, children, finish, kill_some, wait_for

COUNT = 200_000


def make_orders(path, count=COUNT):
    with open(path, "w") as file:
        for i in range(count):
            file.write(json.dumps({"id": i, "user": f"user{i % 1000}", "amount": round(i * 0.37, 2), "paid": i % 3 == 0,
                                   "city": "Zürich" if i % 7 == 0 else "Paris", "tags": ["a", {"b": None}]},
                                  ensure_ascii=False) + "\n")


def expected_orders(path):
    for line in open(path):
        record = json.loads(line)
        record["customer"] = record.pop("user")
        record["amount"] = record["amount"] * 1.2
        yield record


ORDERS = """
stages = {
  read = { source = "file"; path = "in.ndjson"; };
  vat  = { transform = "sql"; from = "read"; %s
           query = "SELECT id, user AS customer, amount * 1.2 AS amount, paid, city, tags FROM input"; };
  save = { sink = "file"; from = "vat"; %s path = "out.ndjson"; };
};
"""


def records(path):
    return [json.loads(line) for line in open(path)]


@pytest.mark.parametrize("options", ["", "processes = 3;", "threads = 3;", "processes = 2; threads = 2;"])
def test_all_there_in_order(place, options):
    make_orders(place.path / "in.ndjson")
    place.run(ORDERS % (options, ""))
    found = records(place.path / "out.ndjson")
    assert len(found) == COUNT
    for one, other in zip(expected_orders(place.path / "in.ndjson"), found):
        assert one == other


def test_any_order_is_the_same_multiset(place):
    make_orders(place.path / "in.ndjson", 50_000)
    place.run(ORDERS % ('processes = 3; order = "any";', 'order = "any";'))
    found = sorted(records(place.path / "out.ndjson"), key=lambda r: r["id"])
    assert found == list(expected_orders(place.path / "in.ndjson"))


@pytest.mark.parametrize("order", ["keep", "any"])
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_transforms_lose_nothing(place, order, seed):
    make_orders(place.path / "in.ndjson")
    place.write("p.conf", ORDERS % (f'processes = 3; queue = 2; restart = 1000; backoff = "5ms"; order = "{order}";',
                                    f'order = "{order}";'))
    process = place.start("run", "p.conf")
    kills = kill_some(process, {"vat"}, 50, seed)
    code, _, err = finish(process)
    assert code == 0, err
    assert kills >= 10, "the run was over too soon to mean anything"
    found = records(place.path / "out.ndjson")
    assert (found if order == "keep" else sorted(found, key=lambda r: r["id"])) == list(expected_orders(place.path / "in.ndjson"))


def test_killed_diamond_loses_nothing(place):
    make_orders(place.path / "in.ndjson", 100_000)
    place.write("p.conf", """
stages = {
  read  = { source = "file"; path = "in.ndjson"; };
  left  = { transform = "sql"; from = "read"; processes = 2; restart = 1000; backoff = "5ms"; queue = 2;
            query = "SELECT id, 'left' AS side FROM input WHERE id % 2 = 0"; };
  right = { transform = "sql"; from = "read"; restart = 1000; backoff = "5ms"; queue = 2;
            query = "SELECT id, 'right' AS side FROM input"; };
  save  = { sink = "file"; from = [ "left", "right" ]; path = "out.ndjson"; };
};""")
    process = place.start("run", "p.conf")
    kill_some(process, {"left", "right"}, 40, 3)
    code, _, err = finish(process)
    assert code == 0, err
    found = sorted((r["id"], r["side"]) for r in records(place.path / "out.ndjson"))
    assert found == sorted([(i, "left") for i in range(0, 100_000, 2)] + [(i, "right") for i in range(100_000)])


def test_killed_right_before_the_end(place):
    """The last transform dies when the source has nothing more to read."""
    for n in range(5):
        place.write("p.conf", """
stages = {
  read = { source = "sequence"; count = 40; };
  slow = { transform = "delay"; from = "read"; wait = "10ms"; processes = 2; backoff = "5ms"; };
  save = { sink = "file"; from = "slow"; path = "out.ndjson"; };
};""")
        process = place.start("run", "p.conf")
        wait_for(lambda: len(children(process.pid, {"slow"})) == 2, what="two processes")
        time.sleep(0.15 + 0.02 * n)
        for pid in children(process.pid, {"slow"}):
            os.kill(pid, signal.SIGKILL)
        code, _, err = finish(process)
        assert code == 0, err
        assert records(place.path / "out.ndjson") == list(range(40))


def test_several_files_stay_in_order(place):
    for n in range(5):
        place.write(f"f{n}.ndjson", "".join(f"{n * 1000 + i}\n" for i in range(1000)))
    place.write("f2.ndjson", "")
    place.run("""
stages = {
  read = { source = "file"; path = "f*.ndjson"; };
  work = { transform = "delay"; from = "read"; wait = "10us"; processes = 3; };
  save = { sink = "file"; from = "work"; path = "out.ndjson"; };
};""")
    assert records(place.path / "out.ndjson") == [n * 1000 + i for n in (0, 1, 3, 4) for i in range(1000)]


def test_partition_keeps_a_key_together_and_in_order(place):
    with open(place.path / "in.ndjson", "w") as file:
        for i in range(20_000):
            file.write(f'{{"key": {i % 37}, "n": {i}}}\n')
    place.run("""
stages = {
  read = { source = "file"; path = "in.ndjson"; };
  work = { transform = "sql"; from = "read"; query = "SELECT * FROM input"; processes = 2; };
  save = { sink = "file"; from = "work"; path = "out-{instance}.ndjson"; processes = 3; partition = "key"; };
};""")
    seen = {}
    total = 0
    for instance in range(3):
        last = {}
        for record in records(place.path / f"out-{instance}.ndjson"):
            key = record["key"]
            assert seen.setdefault(key, instance) == instance
            assert last.get(key, -1) < record["n"]
            last[key] = record["n"]
            total += 1
    assert total == 20_000
    assert len(set(seen.values())) == 3


def test_fan_out_gives_each_all(place):
    place.run("""
stages = {
  read = { source = "sequence"; count = 10000; };
  one  = { sink = "file"; from = "read"; path = "one.ndjson"; };
  two  = { transform = "delay"; from = "read"; wait = "1us"; };
  end  = { sink = "file"; from = "two"; path = "two.ndjson"; };
};""")
    assert records(place.path / "one.ndjson") == list(range(10000))
    assert records(place.path / "two.ndjson") == list(range(10000))


def test_five_waits_in_five_processes_take_one(place):
    begin = time.monotonic()
    place.run("""
stages = {
  read = { source = "inline"; records = ( 1, 2, 3, 4, 5 ); };
  slow = { transform = "delay"; from = "read"; wait = "1s"; processes = 5; };
  save = { sink = "file"; from = "slow"; path = "out.ndjson"; };
};""")
    assert records(place.path / "out.ndjson") == [1, 2, 3, 4, 5]
    assert time.monotonic() - begin < 4  # one after another would be 5; bench/ says how much it is


def test_stdin_is_passed_on_at_once(place):
    place.write("p.conf", """
stages = { read = { source = "file"; path = "-"; format = "lines"; };
           show = { sink = "stdout"; from = "read"; }; };""")
    process = place.start("run", "p.conf", "--quiet", stdin=subprocess.PIPE)
    process.stdin.write("first\n")
    process.stdin.flush()
    os.set_blocking(process.stdout.fileno(), False)
    assert wait_for(lambda: process.stdout.readline(), what="the first line") == '"first"\n'
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 10)
    assert code == 0, err


def test_lines_that_came_together_do_not_wait_for_the_next(place):
    """The stage behind wishes for one record at a time: those that are at hand are read without the pipe having more."""
    place.write("p.conf", """
stages = { read = { source = "file"; path = "-"; format = "lines"; };
           slow = { transform = "delay"; from = "read"; wait = "50ms"; };
           show = { sink = "stdout"; from = "slow"; }; };""")
    process = place.start("run", "p.conf", "--quiet", stdin=subprocess.PIPE)
    process.stdin.write("a\nb\nc\nd\ne\nhalf")
    process.stdin.flush()
    os.set_blocking(process.stdout.fileno(), False)
    came = []
    wait_for(lambda: came.append(process.stdout.readline()) or sum(map(len, came)) >= 5 * len('"a"\n'), what="all five")
    assert "".join(came) == "".join(f'"{x}"\n' for x in "abcde")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 10)
    assert code == 0, err


def test_two_runs_of_one_config_are_refused(place):
    place.write("p.conf", """
stages = { read = { source = "sequence"; }; slow = { transform = "delay"; from = "read"; wait = "1h"; };
           end = { sink = "null"; from = "slow"; }; };""")
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 3, what="three processes")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1
    assert f"in use by the supervisor with pid {process.pid}" in err
    process.kill()


def test_nothing_outlives_a_killed_supervisor(place):
    place.write("p.conf", """
stages = { read = { source = "sequence"; }; work = { transform = "cpu"; from = "read"; iterations = 1000; processes = 2; };
           end = { sink = "null"; from = "work"; }; };""")
    process = place.start("run", "p.conf")
    pids = wait_for(lambda: len(children(process.pid)) == 4 and list(children(process.pid)), what="four processes")
    process.kill()
    process.wait()

    def gone():
        return not any(pathlib.Path(f"/proc/{pid}/cmdline").exists() and
                       pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)
    wait_for(gone, 5, "the end of all children")


def test_sluiced_tells_systemd(place):
    import socket
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(place.path / "n"))
    notify.settimeout(20)
    place.env["NOTIFY_SOCKET"] = str(place.path / "n")
    place.write("p.conf", """
stages = { read = { source = "sequence"; }; work = { transform = "delay"; from = "read"; wait = "1ms"; };
           end = { sink = "null"; from = "work"; }; };""")
    process = place.start("--config", "p.conf", program="sluiced")
    while b"READY=1" not in notify.recv(4096):
        pass
    process.send_signal(signal.SIGTERM)
    while b"STOPPING=1" not in notify.recv(4096):
        pass
    code, _, err = finish(process, 20)
    assert code == 0, err


def test_a_disk_that_is_slow_at_the_end(place):
    """What says that the run has ended waits for the disk; whoever watches the supervisor sees that it lives."""
    import socket
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(place.path / "n"))
    notify.settimeout(20)
    place.write("in.ndjson", '{"n":1}\n')
    place.write("p.conf", """sync_interval = "1h"; stages = { read = { source = "file"; path = "in.ndjson"; follow = true; };
           save = { sink = "file"; from = "read"; path = "out.ndjson"; append = true; }; };""")
    process = place.start("run", "p.conf", stderr=open(place.path / "err.txt", "w"))
    wait_for(lambda: (place.path / "out.ndjson").exists() and (place.path / "out.ndjson").read_text(), what="a record")
    process.terminate()
    assert finish(process)[0] == 0
    with open(place.path / "in.ndjson", "a") as file:
        file.write('{"n":2}\n')
    # Stopped while it syncs: the point process is the one that has --point.
    place.env |= {"NOTIFY_SOCKET": str(place.path / "n"), "WATCHDOG_USEC": "1000000"}
    process = place.start("--config", "p.conf", program="sluiced")
    while b"READY=1" not in notify.recv(4096):
        pass
    wait_for(lambda: (place.path / "out.ndjson").read_text().count("\n") == 2, what="two records")
    process.terminate()

    def find_point():
        for pid in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                words = (pid / "cmdline").read_bytes().split(b"\0")
                if b"--point" in words and (pid / "stat").read_text().rsplit(")", 1)[1].split()[1] == str(process.pid):
                    os.kill(int(pid.name), signal.SIGSTOP)
                    return int(pid.name)
        return 0

    deadline = time.monotonic() + 20
    while not (point := find_point()) and process.poll() is None and time.monotonic() < deadline:
        pass
    assert point, "no process made a point"
    try:
        while notify.recv(4096) != b"STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000\nSTATUS=stopping: what was read is being settled":
            pass
        told = b""
        while told.count(b"WATCHDOG=1") < 3 or b"EXTEND_TIMEOUT_USEC" not in told:
            told += notify.recv(4096)
    finally:
        os.kill(point, signal.SIGCONT)
    assert finish(process, 20)[0] == 0


def test_a_folder_in_everybodys_tmp_must_be_ours(place):
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    place.write("p.conf", 'stages = { read = { source = "sequence"; count = 1; }; end = { sink = "null"; from = "read"; }; };')
    for variable in "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY":
        place.env.pop(variable, None)
    place.env["TMPDIR"] = str(place.path)
    (place.path / "sluice-0").mkdir(mode=0o700)
    os.chown(place.path / "sluice-0", 12345, 12345)
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and f"others may write to {place.path}/sluice-0: chmod 700 it" in err
    os.chown(place.path / "sluice-0", 0, 0)
    assert place.sluice("run", "p.conf")[0] == 0


def test_an_option_without_its_value(place):
    code, _, err = place.sluice("run", "p.conf", "--state")
    assert code == 2 and "--state needs a value" in err


def test_a_million_numbers(place):
    place.run("""
stages = { read = { source = "sequence"; count = 1000000; };
           work = { transform = "sql"; from = "read"; query = "SELECT sum(value) AS value FROM input"; };
           save = { sink = "file"; from = "work"; path = "sums.ndjson"; }; };""")
    assert sum(records(place.path / "sums.ndjson")) == sum(range(1000000))
