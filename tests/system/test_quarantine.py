# SPDX-License-Identifier: MIT
"""Quarantine: a record that ends its process is found, given up with the signal as the reason, and all others go through."""
import json
import os
import re
import signal
import time

import pytest

from conftest import SANITIZED, children, finish, wait_for

COUNT = 20_000
# What a sanitizer takes a fault for it reports, and aborts.
NAMES = {"SEGV": "signal 11 (Segmentation fault)", "ABRT": "signal 6 (Aborted)", "FPE": "signal 8 (Floating point exception)",
         "BUS": "signal 7 (Bus error)", "ILL": "signal 4 (Illegal instruction)", "RAISE": "signal 11 (Segmentation fault)"}
ABORTS = {"SEGV", "FPE", "BUS", "RAISE"} if SANITIZED else set()


def reason(how):
    return "killed its process: " + NAMES["ABRT" if how in ABORTS else how]


def feed(place, special, count=COUNT):
    """Records by `id`; those in `special` have more fields."""
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(count):
            file.write(json.dumps({"id": n, **special.get(n, {})}) + "\n")


def transform(work, name="deadly"):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; transform = "{name}"; restart = 1; restart_within = "1h"; {work} }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
    }};"""


def sink(name, more=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; sink = "{name}"; path = "out.ndjson"; restart = 1; restart_within = "1h"; {more} }};
    }};"""


def found(place):
    records = [json.loads(line) for line in open(place.path / "out.ndjson")]
    return [record["id"] for record in records if "id" in record]


def letters(place):
    code, out, err = place.sluice("dead", "export", "p.conf")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def deaths(err, stage="work"):
    """Of its processes, as the supervisor tells them."""
    return len(re.findall(rf"{stage}\.\d+: (?:killed by signal|hung: )", err))


def check(place, err, special, count=COUNT, in_order=True):
    """Each record that kills is a letter with its reason, everything else is out, once."""
    bad = {n: fields for n, fields in special.items() if "kills" in fields}
    refused = {n for n, fields in special.items() if fields.get("reject")}
    kept = letters(place)
    assert sorted(letter["record"]["id"] for letter in kept) == sorted([*bad, *refused]), err
    for letter in kept:
        if letter["record"]["id"] in refused:
            continue
        assert letter["stage"] == "work" and letter["record"]["kills"] == bad[letter["record"]["id"]]["kills"]
        assert letter["reason"] == reason(letter["record"]["kills"])
        assert letter["tries"] == 2
    out = found(place)
    assert (out if in_order else sorted(out)) == [n for n in range(count) if n not in bad and n not in refused]
    assert len(bad) < deaths(err) <= 2 * len(bad) or len(bad) == deaths(err) == 0, err
    # Neither waited for nor counted: its restart is one death in an hour.
    assert "restarting at once" not in err and "restarting in" not in err and "giving up" not in err, err


MODES = {"one": "", "threads": "threads = 3;", "processes": "processes = 3;", "tasks": "coroutines = 50;",
         "all": "processes = 2; threads = 2; coroutines = 20;"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["SEGV", "ABRT", "FPE"])
def test_one_record(bench, how, mode):
    special = {7123: {"kills": how}}
    feed(bench, special)
    _, err = bench.run(transform(MODES[mode]), status=3)
    check(bench, err, special)
    assert deaths(err) == 2


@pytest.mark.parametrize("how", ["BUS", "ILL", "RAISE"])
def test_other_signals(bench, how):
    special = {500: {"kills": how}}
    feed(bench, special, 2000)
    _, err = bench.run(transform("coroutines = 5;"), status=3)
    check(bench, err, special, 2000)


@pytest.mark.parametrize("mode", MODES)
def test_several_records(bench, mode):
    """More than its restarts: among them the first, the last, and neighbours; with others that are refused."""
    special = {n: {"kills": how} for n, how in ((0, "SEGV"), (9000, "ABRT"), (9001, "FPE"), (15000, "SEGV"), (COUNT - 1, "ABRT"))}
    special |= {n: {"reject": True} for n in (1, 8999, 9002, 15001)}
    feed(bench, special)
    _, err = bench.run(transform(MODES[mode]), status=3)
    check(bench, err, special)


def test_the_order_any(bench):
    special = {n: {"kills": "SEGV"} for n in range(0, COUNT, COUNT // 5)}
    feed(bench, special)
    config = transform('processes = 3; threads = 2; order = "any";').replace('path = "out', 'order = "any"; path = "out')
    _, err = bench.run(config, status=3)
    check(bench, err, special, in_order=False)


@pytest.mark.parametrize("mode", ["", "threads = 3;", "processes = 3;"])
def test_whole_batches(bench, mode):
    special = {n: {"kills": how} for n, how in ((0, "ABRT"), (7000, "SEGV"), (7001, "FPE"), (15000, "SEGV"), (COUNT - 1, "ABRT"))}
    special |= {n: {"reject": True} for n in (1, 6999, 7002, 15001)}
    feed(bench, special)
    _, err = bench.run(transform(mode, "deadly_batch"), status=3)
    check(bench, err, special)


@pytest.mark.parametrize("name", ["deadly_marked", "deadly_named"])
def test_sinks_that_are_exactly_once(bench, name):
    special = {n: {"kills": how} for n, how in ((0, "ABRT"), (7000, "SEGV"), (7001, "FPE"), (15000, "SEGV"), (COUNT - 1, "ABRT"))}
    special |= {n: {"reject": True} for n in (1, 6999, 7002, 15001)}
    feed(bench, special)
    _, err = bench.run(sink(name), status=3)
    check(bench, err, special)


def test_tasks_that_wait(bench):
    """Those that wait meanwhile are not waited for one by one, and it is found which one it was."""
    special = {n: {"wait": 200} for n in range(2000)}
    special[700] = {"wait": 200, "kills": "SEGV"}
    feed(bench, special, 2000)
    begin = time.monotonic()
    _, err = bench.run(transform("coroutines = 500;"), status=3)
    check(bench, err, special, 2000)
    assert time.monotonic() - begin < 20, "a batch of waits, one after the other"


def test_the_pool_of_threads(bench):
    """What a task gives to sl_offload dies in another thread, and is the task's record all the same."""
    special = {n: {"kills": "SEGV"} for n in (10, 900, 901)}
    feed(bench, special, 2000)
    _, err = bench.run(transform("coroutines = 50; offload = true;"), status=3)
    check(bench, err, special, 2000)


@pytest.mark.parametrize("on_error", ["drop", "stop"])
def test_on_error(bench, on_error):
    feed(bench, {50: {"kills": "ABRT"}}, 1000)
    _, err = bench.run(transform(f'on_error = "{on_error}";'), status=3 if on_error == "drop" else 1)
    assert letters(bench) == []
    assert deaths(err) == 2
    if on_error == "drop":
        assert found(bench) == [n for n in range(1000) if n != 50]
    else:
        assert 'on_error is "stop": killed its process: signal 6 (Aborted)' in err


def test_a_kill_from_outside_is_no_records_fault(bench):
    feed(bench, {n: {"wait": 1} for n in range(3000)}, 3000)
    bench.write("p.conf", transform('coroutines = 2; backoff = "10ms";').replace("restart = 1;", "restart = 10;"))
    process = bench.start("run", "p.conf")
    done = 0
    while done < 6 and process.poll() is None:
        victims = list(children(process.pid, {"work"}))
        if victims:
            # Neither SIGKILL nor a signal that a fault could have been, as long as somebody else sends it.
            os.kill(victims[0], [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT][done % 3])
            done += 1
            wait_for(lambda: victims[0] not in children(process.pid), what="its death")
        time.sleep(0.1)
    code, _, err = finish(process)
    assert code == 0 and done == 6, err
    assert found(bench) == list(range(3000))
    assert letters(bench) == []
    assert err.count("restarting in") + err.count("restarting at once") == 6 and "SIGSEGV from outside" in err, err


def test_a_record_that_kills_by_sigkill_is_left_to_the_restarts(bench):
    feed(bench, {50: {"kills": "KILL"}}, 1000)
    _, err = bench.run(transform('backoff = "10ms";'), status=1)
    assert "more than 1 deaths of `work`" in err
    assert letters(bench) == []


def test_a_crash_in_start_counts(bench):
    feed(bench, {}, 10)
    bench.write("mark", "")
    _, err = bench.run(transform('backoff = "10ms"; start = "mark";'), status=1)
    assert "more than 1 deaths of `work`" in err and deaths(err) >= 1


def fault(action, restart=1):
    """Slow enough for the supervisor to see what became of a death."""
    return transform(f'{action} action = "abort"; backoff = "10ms"; rate = "100/s";', "fault").replace("restart = 1;", f"restart = {restart};")


def test_a_death_that_does_not_happen_again(place):
    """The record goes through the second time: it was the stage."""
    feed(place, {}, 100)
    place.run(fault('at = 20; once = "mark";'))
    assert found(place) == list(range(100)) and letters(place) == []


def test_a_death_that_does_not_happen_again_counts(place):
    feed(place, {}, 100)
    _, err = place.run(fault('at = 20; once = "mark";', restart=0), status=1)
    assert "no record that was suspected did it again: more than 0 deaths" in err
    assert letters(place) == []


def test_a_stage_that_dies_at_its_30th_record_whatever_that_is(place):
    feed(place, {}, 300)
    _, err = place.run(fault("at = 30;"), status=1)
    assert "more than 1 deaths" in err
    assert letters(place) == []


@pytest.mark.parametrize("field", ['field = "bad"; action = "segv";', 'field = "bad"; action = "abort"; coroutines = 5;'])
def test_the_stage_fault(place, field):
    feed(place, {5: {"bad": True}, 6: {"bad": False}}, 100)
    _, err = place.run(transform(field, "fault"), status=3)
    assert deaths(err) == 2 and found(place) == [n for n in range(100) if n != 5]


def test_a_stage_that_dies_of_every_record_ends_the_run(bench):
    """Then it is not the records."""
    feed(bench, {n: {"kills": "ABRT"} for n in range(2000)}, 2000)
    _, err = bench.run(transform('backoff = "10ms";'), status=1)
    assert "more than 1 deaths of `work`" in err
    assert 90 <= len(letters(bench)) <= 110


@pytest.mark.parametrize("config", [transform('stall_timeout = "1s"; coroutines = 20;'), transform('stall_timeout = "1s"; threads = 2;'),
                                    transform('stall_timeout = "1s";', "deadly_batch"), sink("deadly_named", 'stall_timeout = "1s";')],
                         ids=["tasks", "threads", "batch", "sink"])
def test_a_record_that_hangs(bench, config):
    feed(bench, {600: {"kills": "HANG"}}, 1000)
    _, err = bench.run(config, status=3)
    [letter] = letters(bench)
    assert letter["record"]["id"] == 600 and letter["reason"] == "hung its process for longer than stall_timeout"
    assert found(bench) == [n for n in range(1000) if n != 600]
    assert deaths(err) == 2 and "restarting at once" not in err and "restarting in" not in err
    # Where it stood: the thread that hung, its record, and both stacks.
    assert re.search(r"work\.0: error: worker \d: in the stage's code for [\d.]+ s, (record 600|record \d+ \(alone\)|the batch|record \d+)", err), err
    assert "SIGABRT from outside, in " in err and "pump: " in err
    assert re.search(r"the stack of worker \d:", err) and "deadly.so" in err, err


def test_a_stopped_process_is_no_records_fault(bench):
    """It cannot say anything; it is killed a second later."""
    feed(bench, {n: {"wait": 2} for n in range(700)}, 700)
    bench.write("p.conf", transform('stall_timeout = "2s"; backoff = "10ms";'))
    process = bench.start("run", "p.conf")
    [victim] = wait_for(lambda: list(children(process.pid, {"work"})), what="the stage")
    time.sleep(0.5)
    os.kill(victim, signal.SIGSTOP)
    code, _, err = finish(process)
    assert code == 0, err
    assert found(bench) == list(range(700)) and letters(bench) == []
    assert "the process has stood still for 2 s (stall_timeout): killed; restarting" in err


def test_what_a_dying_process_says(bench):
    feed(bench, {60: {"kills": "SEGV"}}, 100)
    _, err = bench.run(transform(""), status=3)
    assert re.search(r"work\.0: error: SIGSEGV in worker 0", err), err
    assert re.search(r"work\.0: error: pump: [a-z' ]+, last turn [\d.]+ s ago", err)
    assert re.search(r"worker 0: in the stage's code for [\d.]+ s, record \d+ of the batch from \d+ of origin [0-9a-f]{16}", err)
    assert re.search(r"record \d+ \(alone\) of the batch", err)
    assert "deadly.so" in err
