# SPDX-License-Identifier: MIT
"""The source `journal`, over files that systemd-journal-remote made: beside what journalctl says, each entry once, whoever dies; test_systemd.py has
a journald that writes, rotates and removes."""
import json
import os
import pathlib
import signal
import threading
import time

import msgpack
import pytest

from conftest import children, finish, kill_some, wait_for
from journal_files import REMOTE, START, append, entry, journalctl, numbered

pytestmark = pytest.mark.skipif(not REMOTE.exists(), reason="no systemd-journal-remote here: install it")


@pytest.fixture
def folder(place):
    path = place.path / "journal"
    path.mkdir()
    return path


def pipeline(folder, options="", sink='path = "out.ndjson";', restart=1000):
    return f"""stages = {{ read = {{ source = "journal"; path = "{folder}"; restart = {restart}; {options} }};
                         save = {{ sink = "file"; from = "read"; restart = {restart}; {sink} }}; }};"""


def output(place, name="out.ndjson"):
    file = next((path for path in (place.path / name, place.path / f".{name}.part") if path.exists()), None)
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file else []


def numbers(place):
    return [int(record["N"]) for record in output(place)]


# --- records -----------------------------------------------------------------------------------------


def as_bytes(value):
    """The value, or the sorted values, of a field: journalctl writes what cannot be printed as a list of its bytes."""
    if isinstance(value, list) and not all(isinstance(one, int) for one in value):
        return sorted(as_bytes(one) for one in value)
    return bytes(value) if isinstance(value, (list, bytes)) else str(value).encode()


def test_entries_as_journalctl_has_them(place, folder):
    """All fields, in every kind of value."""
    append(folder / "a.journal", [
        entry(0, ("MESSAGE", "plain"), ("PRIORITY", 6), ("_UID", 0)),
        entry(1, ("MESSAGE", "zwei\nZeilen, größer"), ("TAG", "a"), ("OTHER", ""), ("TAG", "b"), ("TAG", "é")),
        entry(2, ("MESSAGE", b"\xff\x00binary\n"), ("LONG", "x" * 100000)),
        entry(3, ("MESSAGE", "mixed"), ("TAG", b"\xfe"), ("TAG", "text"))])
    place.run(pipeline(folder, sink='path = "out.msgpack";'))
    records = list(msgpack.Unpacker(open(place.path / "out.msgpack", "rb"), raw=False))
    expected = journalctl(folder)
    assert len(records) == 4

    for record, there in zip(records, expected):
        for name in [name for name in there if name.startswith("__") and name not in record]:
            del there[name]
        assert {name: as_bytes(value) for name, value in record.items()} == {name: as_bytes(value) for name, value in there.items()}
    assert [type(record["__REALTIME_TIMESTAMP"]) for record in records] == [int] * 4
    assert records[2]["MESSAGE"] == b"\xff\x00binary\n"


def test_fields_that_are_chosen(place, folder):
    append(folder / "a.journal", [entry(0, ("MESSAGE", "one"), ("N", 1)), entry(1, ("N", 2), ("N", 3)), entry(2, ("OTHER", 1))])
    place.run(pipeline(folder, 'fields = [ "__SEQNUM", "N", "MESSAGE", "__REALTIME_TIMESTAMP" ];'))
    assert output(place) == [{"__SEQNUM": 1, "N": "1", "MESSAGE": "one", "__REALTIME_TIMESTAMP": START},
                             {"__SEQNUM": 2, "N": ["2", "3"], "__REALTIME_TIMESTAMP": START + 1}, {"__SEQNUM": 3, "__REALTIME_TIMESTAMP": START + 2}]
    assert list(output(place)[0]) == ["__SEQNUM", "N", "MESSAGE", "__REALTIME_TIMESTAMP"]


def test_a_field_that_is_too_long(place, folder):
    append(folder / "a.journal", [entry(0, ("N", 1)), entry(1, ("N", 2), ("BIG", "x" * 5000)), entry(2, ("N", 3))])
    _, err = place.run(pipeline(folder, 'field_max = "4KiB";'), status=3)
    assert "a field is longer than 4096 bytes" in err and "i=2;" in err
    assert numbers(place) == [1, 3]


# --- which -------------------------------------------------------------------------------------------

UNITS = [(("_SYSTEMD_UNIT", "a.service"), ("PRIORITY", 3)), (("_SYSTEMD_UNIT", "b.service"), ("PRIORITY", 4)), (("_PID", 1), ("UNIT", "a.service"), ("PRIORITY", 6)),
         (("_PID", 2), ("UNIT", "a.service")), (("_UID", 0), ("OBJECT_SYSTEMD_UNIT", "b.service"), ("PRIORITY", 0)), (("_UID", 5), ("OBJECT_SYSTEMD_UNIT", "a.service")),
         (("MESSAGE_ID", "fc2e22bc6ee647b6b90729ab34a250b1"), ("_UID", 0), ("COREDUMP_UNIT", "a.service"), ("PRIORITY", 2)), (("_COMM", "x"),), (("_COMM", "y"), ("_UID", 0))]


@pytest.mark.parametrize("options, same", [
    ('unit = "a";', ["-u", "a"]), ('unit = [ "a.service", "b.service" ];', ["-u", "a", "-u", "b"]), ('priority = "err";', ["-p", "err"]),
    ('priority = "warning"; unit = "b";', ["-p", "warning", "-u", "b"]), ('match = [ "_COMM=x", "_COMM=y" ];', ["_COMM=x", "_COMM=y"]),
    ('match = [ "_COMM=x", "_COMM=y", "_UID=0" ];', ["_COMM=x", "_COMM=y", "_UID=0"]),
    ('match = [ "_COMM=x", "+", "_PID=1" ]; ', ["_COMM=x", "+", "_PID=1"]), ('match = "_UID=0"; priority = "crit";', ["_UID=0", "-p", "crit"]),
    ('match = "_UID=7";', ["_UID=7"])])
def test_matches_as_journalctl_has_them(place, folder, options, same):
    append(folder / "a.journal", [entry(i, ("N", i), *fields) for i, fields in enumerate(UNITS * 2)])
    place.run(pipeline(folder, options))
    expected = [int(found["N"]) for found in journalctl(folder, *same)]
    assert numbers(place) == expected and (expected or "_UID=7" in same)


@pytest.mark.parametrize("options, reason", [
    ('match = [ "comm=x" ];', '"comm=x" is no match: write "FIELD=value"'), ('match = [ "A=1", "+" ];', '"+" stands between matches'),
    ('unit = "ssh*";', "a unit is named in full"), ('fields = [ "message" ];', '"message" is no field of a journal'), ('fields = [ "A", "A" ];', '"A" stands twice'),
    ('since = "yesterday";', '"yesterday" is no time: write "now"'), ('namespace = "x";', "write either `path` or `namespace`"),
    ('priority = "bad";', '"any"')])
def test_what_is_wrong_is_said(place, folder, options, reason):
    place.write("p.conf", pipeline(folder, options))
    code, _, err = place.sluice("check", "p.conf")
    assert code == 78 and reason in err, err


def test_a_path_that_is_not_there(place):
    _, err = place.run(pipeline("/nonexistent/journal", restart=0), status=1)
    assert "/nonexistent/journal: No such file or directory: check `path`" in err


def test_since(place, folder):
    append(folder / "a.journal", [entry(n * 1_000_000, ("N", n)) for n in range(3000)])
    for since, first in (("2023-11-14T22:13:20Z", 0), ("2023-11-14T22:30:00Z", 1000), ("2023-11-15", None), ("520w", 0), ("1d", 3000), ("now", 3000)):
        place.env["TZ"] = "UTC"
        place.run(pipeline(folder, f'since = "{since}";'))
        assert numbers(place) == list(range(first if first is not None else 3000, 3000)), since


# --- exactly once ------------------------------------------------------------------------------------


def test_several_sequences_over_kills(place, folder):
    """Each entry once, and those of one sequence in order."""
    append(folder / "a.journal", numbered(range(0, 12000, 2)))
    append(folder / "b.journal", numbered(range(1, 12000, 2)))
    append(folder / "c.journal", numbered(range(12000, 12100)))
    place.write("p.conf", pipeline(folder, 'rate = "20000/s";'))
    process = place.start("run", "p.conf")
    assert kill_some(process, ["read", "save"], 6, 1) >= 3
    code, _, err = finish(process)
    assert code == 0, err
    got = numbers(place)
    assert sorted(got) == list(range(12100))
    for mine in (lambda n: n % 2 == 0 and n < 12000, lambda n: n % 2 == 1 and n < 12000, lambda n: n >= 12000):
        assert [n for n in got if mine(n)] == sorted(n for n in got if mine(n))


def test_goes_on_behind_what_was_read(place, folder):
    config = pipeline(folder, sink='path = "out.ndjson"; append = true;')
    append(folder / "a.journal", numbered(range(100)))
    place.run(config)
    append(folder / "a.journal", numbered(range(100, 150)))
    append(folder / "b.journal", numbered(range(50, 60)))
    for _ in range(2):
        code, _, err = place.sluice("run", "p.conf", "--resume")
        assert code == 0, err
    assert numbers(place) == [*range(150), *range(50, 60)] or numbers(place) == [*range(100), *range(50, 60), *range(100, 150)]


def cpu_ticks(pid):
    return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))


def test_follow(place, folder):
    """New entries, in new files too, also those that come late by their time; nothing is done while nothing comes; a stop is prompt."""
    place.write("p.conf", pipeline(folder, "follow = true;"))
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 2)
    append(folder / "a.journal", numbered(range(1000, 1100)))
    wait_for(lambda: len(numbers(place)) == 100, what="the first file")
    append(folder / "b.journal", numbered(range(0, 50)))
    wait_for(lambda: len(numbers(place)) == 150, what="a new file with an older time")
    append(folder / "a.journal", numbered(range(1100, 1110)))
    append(folder / "b.journal", numbered(range(50, 60)))
    wait_for(lambda: len(numbers(place)) == 170, what="more, of older times, too")
    read = next(pid for pid, name in children(process.pid).items() if name == "read.0")
    before = cpu_ticks(read)
    threading.Event().wait(0.5)
    assert cpu_ticks(read) - before <= 3
    os.kill(read, signal.SIGKILL)
    append(folder / "b.journal", numbered(range(60, 70)))
    wait_for(lambda: len(numbers(place)) == 180, what="what came after a death")
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process, 10)
    assert code == 0, err
    append(folder / "a.journal", numbered(range(1110, 1120)))
    process = place.start("run", "p.conf", "--resume")
    wait_for(lambda: len(numbers(place)) == 190, what="what came in between")
    process.send_signal(signal.SIGINT)
    finish(process, 10)
    assert sorted(numbers(place)) == [*range(70), *range(1000, 1120)]


def test_now_is_that_of_the_first_process(place, folder):
    append(folder / "a.journal", numbered(range(10)))
    config = pipeline(folder, 'follow = true; since = "now";')
    place.write("p.conf", config)
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 2)
    wait_for(lambda: (place.path / ".out.ndjson.part").exists())
    read = next(pid for pid, name in children(process.pid).items() if name == "read.0")
    wait_for(lambda: any(b"since" in path.read_bytes() for path in place.path.glob("s/**/checkpoints.db*")), what="the time, kept")
    os.kill(read, signal.SIGSTOP)
    append(folder / "a.journal", [entry(int(time.time() * 1e6) - START, ("N", 77))])
    os.kill(read, signal.SIGKILL)
    wait_for(lambda: numbers(place) == [77], what="the entry of the time between")
    process.send_signal(signal.SIGTERM)
    finish(process)


def test_files_that_have_gone(place, folder):
    """Named, and the rest goes on."""
    config = pipeline(folder, 'follow = true;')
    append(folder / "a.journal", numbered(range(100)))
    append(folder / "b.journal", numbered(range(100, 200)))
    place.write("p.conf", config)
    process = place.start("run", "p.conf")
    wait_for(lambda: len(numbers(place)) == 200)
    process.send_signal(signal.SIGTERM)
    finish(process)
    append(folder / "b.journal", numbered(range(200, 210)))
    (folder / "b.journal").unlink()
    append(folder / "a.journal", numbered(range(300, 310)))
    process = place.start("run", "p.conf", "--resume")
    wait_for(lambda: len(numbers(place)) == 210)
    process.send_signal(signal.SIGTERM)
    _, _, err = finish(process)
    assert err.count("its files are not there any more: what they held behind entry 100, if anything, was not read") == 1, err
