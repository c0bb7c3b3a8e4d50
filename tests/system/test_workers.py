# SPDX-License-Identifier: MIT
"""
Processes, threads and coroutines: who works on what and when, in which order it leaves, and what rate, timeout and retries do.
The stage `probe` (tests/modules) does what each record says and writes down what happened.
"""
import contextlib
import http.server
import json
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import BUILD, ROOT, SANITIZED, children, finish, kill_some, resident, wait_for

MODES = {
    "plain": "",
    "threads": "threads = 3;",
    "coroutines": "coroutines = 50;",
    "processes": "processes = 2;",
    "all": "processes = 2; threads = 2; coroutines = 20;",
}


def feed(place, records):
    with open(place.path / "in.ndjson", "w") as file:
        for id, record in enumerate(records):
            file.write(json.dumps({"id": id, **record}) + "\n")


def pipeline(work, sink="", probe='transform = "probe";'):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; {probe} {work} }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; {sink} }};
    }};"""


def found(place):
    return [json.loads(line) for line in open(place.path / "out.ndjson")]


def probe(place, records, work, sink="", status=0):
    """Runs the records through the stage; what came out, and what was said."""
    feed(place, records)
    _, err = place.run(pipeline(work, sink), status=status)
    return found(place), err


def most_at_once(records):
    """How many were in work at the same time."""
    events = sorted([(r["began"], 1) for r in records] + [(r["ended"], -1) for r in records])
    now = most = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return most


# --- who works on what, and in which order it leaves ------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_results_leave_in_order(bench, mode):
    chance = random.Random(7)
    records, _ = probe(bench, [{"wait": chance.choice([0, 0, 1, 5, 20])} for _ in range(300)], MODES[mode])
    assert [r["id"] for r in records] == list(range(300))


@pytest.mark.parametrize("mode", ["coroutines", "all"])
def test_with_any_results_pass_one_another(bench, mode):
    waits = [200 if n % 10 == 0 else 1 for n in range(100)]
    records, _ = probe(bench, [{"wait": wait} for wait in waits], MODES[mode] + ' order = "any";', 'order = "any";')
    ids = [r["id"] for r in records]
    assert sorted(ids) == list(range(100))
    assert ids != sorted(ids)


@pytest.mark.parametrize("mode, processes, threads, most", [
    ("plain", 1, 1, 1), ("threads", 1, 3, 3), ("coroutines", 1, 1, 50), ("processes", 2, 2, 2), ("all", 2, 4, 80)])
def test_each_number_gives_what_it_says(bench, mode, processes, threads, most):
    """So many processes and threads take part, and so many records are in work at once; never more."""
    records, _ = probe(bench, [{"wait": 20} for _ in range(60 if most < 10 else 600)], MODES[mode] + ' order = "any";')
    assert len({r["process"] for r in records}) == processes
    assert len({r["thread"] for r in records}) == threads
    assert most * (0.5 if SANITIZED else 0.8) <= most_at_once(records) <= most


def test_coroutines_run_over_the_borders_of_batches(bench):
    """One record of a batch takes long: those of the batches behind it do not wait."""
    records, _ = probe(bench, [{"wait": 1500}] + [{"wait": 1} for _ in range(2000)], 'coroutines = 20; order = "any";',
                       'order = "any";')
    slow = next(r for r in records if r["id"] == 0)
    assert sum(r["ended"] < slow["ended"] for r in records) > 1900


def test_waits_overlap(bench):
    begin = time.monotonic()
    records, _ = probe(bench, [{"wait": 1500} for _ in range(1000)], "coroutines = 1000;")
    assert time.monotonic() - begin < 15, "one after the other they would take 1500 s"
    # How fast they begin is the machine's business, and a sanitizer's.
    assert most_at_once(records) > 300


# --- rate, timeout, retries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_rate_is_shared_by_all_instances(bench, mode):
    records, _ = probe(bench, [{} for _ in range(150)], MODES[mode] + ' rate = "100/s"; order = "any";')
    began = sorted(r["began"] for r in records)
    # A bucket of a tenth of a second: ten records may begin at once.
    for i, at in enumerate(began):
        within = sum(at <= other < at + 500_000_000 for other in began[i:])
        assert within <= 50 + 10 + 2, f"{within} records began within half a second"
    assert (began[-1] - began[0]) / 1e9 < 4, "it is much slower than it should be"


@pytest.mark.parametrize("mode", MODES)
def test_timeout_ends_one_record(bench, mode):
    records, err = probe(bench, [{"wait": 60_000 if n == 5 else 1} for n in range(20)],
                         MODES[mode] + ' timeout = "100ms"; retries = 1; backoff = "10ms";', status=3)
    assert [r["id"] for r in records] == [n for n in range(20) if n != 5]
    assert "it took longer than `timeout` (tried 2 times)" in err
    assert "given up: 1" in err


@pytest.mark.parametrize("mode", MODES)
def test_retries(bench, mode):
    records, err = probe(bench, [{"fails": n % 4} for n in range(40)],
                         MODES[mode] + ' retries = 2; backoff = "5ms";', status=3)
    assert [r["id"] for r in records] == [n for n in range(40) if n % 4 < 3]
    if "processes" not in MODES[mode]:
        assert all(r["attempts"] == r["id"] % 4 + 1 for r in records)
    assert all(r["attempts"] > 0 for r in records), "what a failed attempt had put was passed on"
    assert err.count("(tried 3 times)") == 10
    assert "given up: 10" in err


def test_retries_for_ever(bench):
    records, _ = probe(bench, [{"fails": 40}], 'retries = "forever"; backoff = "1ms";')
    assert records[0]["attempts"] == 41


def test_the_backoff_grows_and_does_not_hold_up_others(bench):
    begin = time.monotonic()
    records, _ = probe(bench, [{"fails": 4 if n == 0 else 0, "wait": 1} for n in range(300)],
                       'coroutines = 10; backoff = "100ms"; order = "any";', 'order = "any";')
    first = next(r for r in records if r["id"] == 0)
    # 100, 200, 400, 800 ms, each from half of it to the whole.
    assert time.monotonic() - begin > 0.74
    assert sum(r["ended"] < first["began"] for r in records) > 250


# --- a task that holds its worker -----------------------------------------------------------------------------------------


def test_a_task_that_holds_its_worker_is_named(bench):
    records, err = probe(bench, [{"block": 300} if n == 3 else {"wait": 50} for n in range(10)], "coroutines = 10;")
    said = re.search(r"work\.0: task \d+ held its worker for (\d+)(?:\.\d)? ms", err)
    assert said and 300 <= int(said[1]) < 2000, err
    # The others would have been done after 50 ms.
    late = [r for r in records if r["id"] != 3 and (r["ended"] - r["began"]) / 1e6 >= 290]
    assert late, "nobody was held up"
    assert len(records) == 10


def test_threads_are_not_held_up_by_each_other(bench):
    records, err = probe(bench, [{"block": 300} if n == 3 else {"wait": 50} for n in range(10)], "threads = 10;")
    assert "held its worker" not in err
    assert all((r["ended"] - r["began"]) / 1e6 < 290 for r in records if r["id"] != 3)


# --- ends -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_settles_what_was_read(bench, mode):
    feed(bench, [{"wait": 2} for _ in range(100_000)])
    bench.write("p.conf", pipeline(MODES[mode]))
    process = bench.start("run", "p.conf")
    time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 0, err
    assert "every record that was read is accounted for" in err and "stopped in" in err
    # A source that was stopped published nothing under the file's own name; see the page of the sink.
    assert not (bench.path / "out.ndjson").exists()


@pytest.mark.parametrize("order", ["keep", "any"])
@pytest.mark.parametrize("work", ["coroutines = 100;", "threads = 2; coroutines = 20;"])
def test_killed_coroutines_lose_nothing(bench, work, order):
    chance = random.Random(3)
    feed(bench, [{"wait": chance.choice([0, 0, 0, 1, 3])} for _ in range(30_000)])
    bench.write("p.conf", pipeline(f'{work} processes = 2; queue = 2; restart = 1000; backoff = "5ms"; order = "{order}";',
                                   f'order = "{order}";'))
    process = bench.start("run", "p.conf")
    kills = kill_some(process, {"work"}, 25, 11)
    code, _, err = finish(process)
    assert code == 0, err
    assert "leak" not in err
    assert kills >= 10, "the run was over too soon to mean anything"
    ids = [r["id"] for r in found(bench)]
    assert (ids if order == "keep" else sorted(ids)) == list(range(30_000))


# --- every pair -------------------------------------------------------------------------------------------------------------

PAIRS = ["plain", "threads", "coroutines", "processes"]
PAD = "x" * 2000
COUNT = 3000


def two_stages(place, first, second):
    """read -> first -> second -> save; the second waits for its gate, so that the first is blocked, and so is the source."""
    feed(place, [{"pad": PAD} for _ in range(COUNT)])
    place.write("p.conf", f"""stages = {{
      read   = {{ source = "file"; path = "in.ndjson"; retain = "128KiB"; }};
      first  = {{ from = "read"; transform = "probe"; {MODES[first]} retain = "128KiB"; restart = 100; backoff = "5ms"; }};
      second = {{ from = "first"; transform = "probe"; {MODES[second]} retain = "128KiB"; restart = 100; backoff = "5ms";
                  gate = "gate"; fail_once = "mark"; }};
      save   = {{ sink = "file"; from = "second"; path = "out.ndjson"; }};
    }};""")
    return place.start("run", "p.conf")


def until_blocked(place, process):
    """The source has read what fits and stands still; the memory of every process."""
    def standing():
        names = set(children(process.pid).values())
        return {"read.0", "first.0", "second.0", "save.0"} <= names
    wait_for(standing, what="all stages")
    time.sleep(0.4)
    return {name: resident(pid) for pid, name in children(process.pid).items()}


@pytest.mark.parametrize("second", PAIRS)
@pytest.mark.parametrize("first", PAIRS)
@pytest.mark.parametrize("what", ["error", "stop", "kill"])
def test_two_stages(bench, first, second, what):
    """The second stage fails, is drained, or dies, while the first is blocked: no hang, no loss, memory bounded."""
    if what != "error":
        bench.write("mark", "")
    process = two_stages(bench, first, second)
    memory = until_blocked(bench, process)
    if what == "kill":
        for stage in ("first", "second"):
            victims = sorted(children(process.pid, {stage}))
            subprocess.run(["kill", "-9", str(random.Random(f"{first} {second}").choice(victims))], check=True)
    if what == "stop":
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    bench.write("gate", "")
    code, _, err = finish(process)
    assert code == 0, err
    assert "leak" not in err, err
    assert "every record that was read is accounted for" in err
    if what == "error":
        assert "an error, as the config says" in err
    if what == "stop":
        out = {line.split()[0]: int(line[32:46].replace(" ", "")) for line in err.splitlines() if line.startswith(("read ", "save "))}
        assert out["read"] == out["save"], err
        # Each output of read and first holds 128 KiB, and what is in work beyond that is a batch for each worker.
        assert out["read"] * len(PAD) < 1_500_000, "more was read than `retain` allows"
    else:
        # Once each; in order but where several processes of the second stage share what no key parts.
        assert sorted(r["id"] for r in found(bench)) == list(range(COUNT))
    # 6 MB wait to be read; 128 KiB may be held by each output.
    assert SANITIZED or max(memory.values()) < 40_000, memory


# --- interrupted at every wait -----------------------------------------------------------------------------------------------

class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def hello():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def interrupt(place, url, mode, at, how):
    """Five records through the stage `waits`; the waits of one record, and how often it was interrupted."""
    (place.path / "mark").unlink(missing_ok=True)
    place.write("p.conf", f"""stages = {{
      read = {{ source = "sequence"; count = 5; }};
      work = {{ from = "read"; transform = "waits"; {mode} url = "{url}"; at = {at}; how = "{how}"; backoff = "1ms"; }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
    }};""")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert "leak" not in err, err
    assert sorted(int(line) for line in open(place.path / "out.ndjson")) == list(range(5)), err
    steps, interrupted = re.search(r"steps (\d+) interrupted (\d+)", err).groups()
    return int(steps), int(interrupted), err


@pytest.mark.parametrize("mode", ["", "threads = 2;", "coroutines = 10;"], ids=["plain", "threads", "coroutines"])
@pytest.mark.parametrize("how", ["kill", "deadline", "failure"])
def test_interrupted_at_the_nth_wait(bench, hello, how, mode):
    """Whichever wait it is: what was held is given back, no record is lost, and the record is done in the end."""
    steps, _, _ = interrupt(bench, hello, mode, 0, "none")
    assert steps > 15
    for at in range(1, steps + 1):
        _, interrupted, err = interrupt(bench, hello, mode, at, how)
        if how == "kill":
            assert "SIGKILL" in err or "killed" in err.lower(), err
        else:
            # The last waits can be over before the failure comes.
            assert interrupted == 1 or at >= steps - 1, f"at {at}: {err}"


@pytest.mark.parametrize("mode", MODES)
def test_batches_of_which_nothing_is_left(bench, mode):
    """Parts of a batch that are empty are put together as others are."""
    records, err = probe(bench, [{"wait": n % 3, "reject": True} for n in range(300)], MODES[mode] + " restart = 0;", status=3)
    assert records == [] and "given up: 300" in err
