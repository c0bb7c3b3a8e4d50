# SPDX-License-Identifier: MIT
"""Stages with state: `aggregate` and `dedupe`. What they give is what they would give if nobody ever died, to the last digit."""
import contextlib
import json
import os
import random
import signal
import sqlite3
import time

import pytest

import power
from conftest import SANITIZED, children, finish, needs_true_figures, resident, wait_for
from storm import HARDY

DAY = 1_700_000_000
OUTPUTS = ("sum.ndjson", "minutes.ndjson", "late.ndjson", "once.ndjson", "two.ndjson")


def feed(place, count, files=3, is_clean=False):
    """A second has 50 records; some come late, some too late, some have no time; keys come again and again."""
    chance = random.Random(count)
    for number in range(files):
        with open(place.path / f"in-{number}.ndjson", "w") as file:
            for n in range(count * number // files, count * (number + 1) // files):
                late = chance.choice((0, 0, 0, 5, 20)) if n % 1000 else 3600
                at = DAY + n // 50 - late if n % 777 or is_clean else "yesterday"
                file.write(json.dumps({"id": chance.randrange(count // 3), "key": f"k{chance.randrange(40)}", "amount": chance.uniform(-1e6, 1e9),
                                       "n": n, "at": at}) + "\n")


def config(rate, more=""):
    return f"""{more} stages = {{
      read = {{ source = "file"; path = "in-*.ndjson"; rate = "{rate}"; {HARDY} }};
      sum  = {{ transform = "aggregate"; from = "read"; by = [ "key" ]; {HARDY}
                set = {{ n = "count(*)"; total = "sum(amount)"; mean = "avg(amount * 2)"; least = "min(id)"; first = "first(n)"; last = "last(n)"; }}; }};
      minutes = {{ transform = "aggregate"; from = "read"; by = [ "key" ]; set = {{ n = "count(*)"; total = "sum(amount)"; }}; {HARDY}
                time = "at"; sliding = "1m"; every = "30s"; lateness = "10s"; late = "output"; }};
      once = {{ transform = "dedupe"; from = "read"; key = [ "id" ]; {HARDY} }};
      two = {{ transform = "dedupe"; from = "read"; key = [ "id", "key" ]; processes = 2; partition = "id"; {HARDY} }};
      more = {{ transform = "aggregate"; from = "two"; by = "key"; set = {{ n = "count(*)"; total = "sum(n)"; }}; processes = 2; partition = "key"; {HARDY} }};
      f = {{ sink = "file"; from = "more"; path = "two.ndjson"; {HARDY} }};
      a = {{ sink = "file"; from = "sum"; path = "sum.ndjson"; {HARDY} }};
      b = {{ sink = "file"; from = "minutes.out"; path = "minutes.ndjson"; {HARDY} }};
      c = {{ sink = "file"; from = "minutes.late"; path = "late.ndjson"; {HARDY} }};
      d = {{ sink = "file"; from = "once"; path = "once.ndjson"; {HARDY} }};
      e = {{ sink = "sqlite"; from = "minutes.out"; path = "out.db"; table = "t"; create = true; {HARDY} }};
    }};"""


def read_all(place):
    found = {name: (place.path / name).read_text() for name in OUTPUTS}
    # Two processes, which give what they have in no order.
    found["two.ndjson"] = sorted(found["two.ndjson"].splitlines())
    with contextlib.closing(sqlite3.connect(place.path / "out.db")) as db:
        found["table"] = db.execute("SELECT * FROM t ORDER BY rowid").fetchall()
    return found


def undisturbed(place, status=3):
    """What comes out when nobody dies; the place is as before."""
    place.write("p.conf", config("1000000/s"))
    code, _, err = place.sluice("run", "p.conf", "--state", "calm")
    assert code == status and "leak" not in err, err
    found = read_all(place)
    for path in (*OUTPUTS, "out.db"):
        (place.path / path).unlink()
    return found


def check_plausible(place, found, count):
    """Against plain Python."""
    records = [json.loads(line) for name in sorted(place.path.glob("in-*.ndjson")) for line in open(name)]
    assert len(records) == count
    first = {}
    for record in records:
        first.setdefault(record["id"], record)
    assert [json.loads(line) for line in found["once.ndjson"].splitlines()] == list(first.values())
    groups = {}
    for record in records:
        groups.setdefault(record["key"], []).append(record)
    sums = [json.loads(line) for line in found["sum.ndjson"].splitlines()]
    assert [s["key"] for s in sums] == list(groups)
    for s in sums:
        group = groups[s["key"]]
        assert (s["n"], s["first"], s["last"], s["least"]) == (len(group), group[0]["n"], group[-1]["n"], min(r["id"] for r in group))
        assert s["total"] == pytest.approx(sum(r["amount"] for r in group), rel=1e-12)
    pairs = {(record["id"], record["key"]): record["n"] for record in reversed(records)}
    two = {}
    for (_, key), n in pairs.items():
        two.setdefault(key, []).append(n)
    assert found["two.ndjson"] == sorted(json.dumps({"key": key, "n": len(all_), "total": sum(all_)}, separators=(",", ":")) for key, all_ in two.items())
    timed = [record for record in records if record["at"] != "yesterday"]
    late = [json.loads(line) for line in found["late.ndjson"].splitlines()]
    assert 0 < len(late) < count // 500
    minutes = [json.loads(line) for line in found["minutes.ndjson"].splitlines()]
    # Each record is in two windows, but for the late ones: they are in one or in none.
    assert 2 * (len(timed) - len(late)) >= sum(m["n"] for m in minutes) > 1.9 * (len(timed) - len(late))


def letters(place, *more):
    code, out, err = place.sluice("dead", "export", "p.conf", *more)
    assert code == 0, err
    return sorted((letter["stage"], letter["record"]["n"]) for letter in map(json.loads, out.splitlines()))


def test_kill_storm(place):
    count = 15_000 if SANITIZED else 40_000
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    feed(place, count)
    expected = undisturbed(place)
    check_plausible(place, expected, count)
    place.write("p.conf", config("30000/s"))
    kills = 0
    process = place.start("run", "p.conf", stderr=open(place.path / "err.txt", "a"))
    while process.poll() is None:
        time.sleep(chance.uniform(0.005, 0.04))
        if chance.random() < 0.1:
            process.kill()
            process.wait()
            kills += 1
            # Killed at once it has none yet.
            run = place.path / "s/sluice/p/run"
            if process.returncode == 0 or (run.exists() and "finished" in run.read_text()):
                break
            process = place.start("run", "p.conf", stderr=open(place.path / "err.txt", "a"))
            continue
        victims = sorted(children(process.pid))
        with contextlib.suppress(ProcessLookupError):
            if victims and kills < 100:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills += 1
    said = (place.path / "err.txt").read_text()
    assert process.returncode in (3, -9), said[-3000:]
    assert "leak" not in said and "is now" not in said, said[-3000:]
    assert kills > 15
    assert read_all(place) == expected
    assert [n for stage, n in letters(place)] == sorted(range(0, count, 777))


# --- stop, restart, runs --------------------------------------------------------------------------


def rows(path, sql):
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []


def lines_of(path):
    return [json.loads(line) for line in open(path)]


def write_times(place, times, name="in.ndjson", mode="w"):
    with open(place.path / name, mode) as file:
        for n, at in enumerate(times):
            file.write(json.dumps({"n": n, "at": DAY + at, "key": n % 5}) + "\n")


def test_a_stop_publishes_nothing(place):
    """... that the end would publish; the windows that were closed are there, and the rest is counted on by the next start."""
    write_times(place, (n // 10 for n in range(20_000)))
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; rate = "20000/s"; };
      all = { transform = "aggregate"; from = "read"; set = { n = "count(*)"; total = "sum(n)"; }; };
      save = { sink = "sqlite"; from = "all"; path = "all.db"; table = "t"; create = true; };
      minutes = { transform = "aggregate"; from = "read"; time = "at"; tumbling = "1m"; set = { n = "count(*)"; }; };
      keep = { sink = "sqlite"; from = "minutes"; path = "minutes.db"; table = "t"; create = true; };
    };""")
    for n in range(3):
        before = len(rows(place.path / "minutes.db", "SELECT n FROM t"))
        process = place.start("run", "p.conf")
        wait_for(lambda: len(rows(place.path / "minutes.db", "SELECT n FROM t")) > before + 3, what="some minutes")
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process)
        assert code == 0 and "leak" not in err, err
        assert rows(place.path / "all.db", "SELECT * FROM t") == []
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and "leak" not in err, err
    assert rows(place.path / "all.db", "SELECT * FROM t") == [(20_000, 20_000 * 19_999 // 2)]
    found = rows(place.path / "minutes.db", "SELECT window_start, n FROM t ORDER BY rowid")
    # The first of them begins 20 s into a minute.
    assert [n for _, n in found] == [400] + [600] * 32 + [400]
    assert found == sorted(set(found))


def test_a_new_run_begins_anew(place):
    write_times(place, range(1000))
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      once = { transform = "dedupe"; from = "read"; key = "key"; };
      all = { transform = "aggregate"; from = "once"; set = { n = "count(*)"; }; };
      save = { sink = "file"; from = "all"; path = "out.ndjson"; };
    };""")
    for arguments in ("run",), ("run",), ("run", "--from-start"):
        code, _, err = place.sluice(*arguments, "p.conf")
        assert code == 0 and "leak" not in err, err
        assert lines_of(place.path / "out.ndjson") == [{"n": 5}]
        assert "995 records were repeats, 5 were passed on" in err


def test_what_goes_on_behind_the_end_knows_the_keys(place):
    """And counts what is new by itself."""
    write_times(place, range(100))
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      once = { transform = "dedupe"; from = "read"; key = "key"; };
      save = { sink = "sqlite"; from = "once"; path = "out.db"; table = "once"; create = true; };
      all = { transform = "aggregate"; from = "read"; set = { n = "count(*)"; }; };
      keep = { sink = "sqlite"; from = "all"; path = "out.db"; table = "n"; create = true; };
    };""")
    for new in 7, 2:
        code, _, err = place.sluice("run", "--resume", "p.conf")
        assert code == 0 and "leak" not in err, err
        with open(place.path / "in.ndjson", "a") as file:
            for n in range(new):
                file.write(json.dumps({"n": n, "key": n}) + "\n")
    code, _, err = place.sluice("run", "--resume", "p.conf")
    assert code == 0 and "leak" not in err, err
    assert rows(place.path / "out.db", "SELECT key FROM once ORDER BY rowid") == [(n,) for n in range(7)]
    assert rows(place.path / "out.db", "SELECT n FROM n ORDER BY rowid") == [(100,), (7,), (2,)]


def test_other_options_over_groups(place):
    """What was counted by one field is no beginning for another."""
    write_times(place, range(100_000))
    text = """stages = {
      read = { source = "file"; path = "in.ndjson"; rate = "10000/s"; };
      all = { transform = "aggregate"; from = "read"; by = "BY"; set = { count = "count(*)"; }; };
      once = { transform = "dedupe"; from = "read"; key = "BY"; };
      save = { sink = "file"; from = "all"; path = "out.ndjson"; };
      keep = { sink = "null"; from = "once"; };
    };"""
    place.write("p.conf", text.replace("BY", "key"))
    process = place.start("run", "p.conf")
    store = next(iter(wait_for(lambda: list(place.path.glob("s/sluice/p/state.all.db")), what="the store")))
    wait_for(lambda: rows(store, "SELECT n FROM state WHERE n >= 0"), what="groups")
    process.kill()
    finish(process)
    place.write("p.conf", text.replace("BY", "n"))
    code, _, err = place.sluice("run", "--accept-mixed", "p.conf")
    assert code == 1
    assert "state.all.db holds groups that were counted with other options" in err or "state.once.db holds keys of other fields" in err
    assert "--from-start" in err


def test_sluiced_reloads_around_it(place):
    write_times(place, (n // 50 for n in range(60_000)))
    text = """stages = {
      read = { source = "file"; path = "in.ndjson"; rate = "20000/s"; };
      all = { transform = "aggregate"; from = "read"; by = "key"; set = { n = "count(*)"; total = "sum(n)"; }; };
      once = { transform = "dedupe"; from = "read"; key = "n"; };
      work = { transform = "sql"; from = "once"; query = "SELECT n, MARK AS mark FROM input"; };
      save = { sink = "file"; from = "all"; path = "out.ndjson"; };
      keep = { sink = "sqlite"; from = "work"; path = "out.db"; table = "t"; create = true; };
    };"""
    place.write("p.conf", text.replace("MARK", "1"))
    daemon = place.start("--config", "p.conf", program="sluiced")
    wait_for(lambda: rows(place.path / "out.db", "SELECT 1 FROM t LIMIT 1"), what="some records")
    for old, new in ('key = "n"', 'key = [ "n", "at" ]'), ('by = "key"', 'by = "at"'):
        place.write("p.conf", text.replace("MARK", "2").replace(old, new))
        code, out, err = place.sluice("reload", "p.conf")
        assert code == 1 and "cannot change" in err, out + err
    place.write("p.conf", text.replace("MARK", "2"))
    code, out, err = place.sluice("reload", "p.conf")
    assert code == 0, out + err
    code, _, err = finish(daemon)
    assert code == 0 and "leak" not in err, err
    assert [r["n"] for r in lines_of(place.path / "out.ndjson")] == [12_000] * 5
    assert rows(place.path / "out.db", "SELECT n FROM t ORDER BY rowid") == [(n,) for n in range(60_000)]
    assert {mark for mark, in rows(place.path / "out.db", "SELECT DISTINCT mark FROM t")} == {1, 2}


# --- bounds ---------------------------------------------------------------------------------------


@needs_true_figures
def test_memory_and_disk_are_flat(place):
    """Windows go, keys are forgotten; what stays is what is open."""
    place.write("p.conf", """stages = {
      read = { source = "sequence"; retain = "1MiB"; };
      time = { transform = "sql"; from = "read"; query = "SELECT value / 100 AS at, value % 1000 AS key, value FROM input"; retain = "1MiB"; };
      minutes = { transform = "aggregate"; from = "time"; by = "key"; time = "at"; tumbling = "1m"; set = { n = "count(*)"; last = "last(value)"; }; spill_max = "1MiB"; };
      once = { transform = "dedupe"; from = "time"; key = "value"; window = 5000; spill_max = "1MiB"; };
      while = { transform = "dedupe"; from = "time"; key = "value"; for = "1m"; time = "at"; spill_max = "1MiB"; };
      a = { sink = "null"; from = "minutes"; };
      b = { sink = "null"; from = "once"; };
      c = { sink = "null"; from = "while"; };
    };""")
    process = place.start("run", "p.conf")

    def stores():
        return {path.name: path.stat().st_size for path in place.path.glob("s/sluice/p/state.*.db")}

    def done():
        found = place.path / "s/sluice/p/state.once.db"
        return (rows(found, "SELECT next FROM store") or [(0,)])[0][0]

    wait_for(lambda: done() > 200_000, what="some records")
    before = {pid: resident(pid) for pid in children(process.pid)}
    begin = done()
    wait_for(lambda: done() > begin + 500_000, what="more records")
    for pid, name in children(process.pid).items():
        assert resident(pid) < before[pid] + 6144, name
    for name, size in stores().items():
        assert size < 40 << 20, name
    assert rows(place.path / "s/sluice/p/state.once.db", "SELECT sum(length(bytes)) FROM state")[0][0] < 2 << 20
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    finish(process)


def test_results_wait_for_room(place):
    """More results than `spill_max`, given at the end, and a sink that is killed meanwhile."""
    write_times(place, range(30_000))
    place.write("p.conf", f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      all = {{ transform = "aggregate"; from = "read"; by = "n"; set = {{ n2 = "count(*)"; }}; spill_max = "64KiB"; {HARDY} }};
      save = {{ sink = "file"; from = "all"; path = "out.ndjson"; {HARDY} }};
    }};""")
    process = place.start("run", "p.conf")
    wait_for(lambda: rows(place.path / "s/sluice/p/state.all.db", "SELECT 1 FROM store WHERE next > 0"), what="the end")
    for _ in range(10):
        for pid in children(process.pid, {"all~in"}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    code, _, err = finish(process)
    assert code == 0 and "leak" not in err, err
    assert [r["n"] for r in lines_of(place.path / "out.ndjson")] == list(range(30_000))


# --- time -----------------------------------------------------------------------------------------


def test_windows_of_arrival_close_by_the_clock(place):
    """Nothing more comes, and the result does."""
    write_times(place, range(100))
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; follow = true; };
      now = { transform = "aggregate"; from = "read"; tumbling = "500ms"; set = { n = "count(*)"; }; };
      save = { sink = "sqlite"; from = "now"; path = "out.db"; table = "t"; create = true; };
    };""")
    process = place.start("run", "p.conf")
    wait_for(lambda: sum(n for n, in rows(place.path / "out.db", "SELECT n FROM t")) == 100, what="the result")
    write_times(place, range(50), mode="a")
    wait_for(lambda: sum(n for n, in rows(place.path / "out.db", "SELECT n FROM t")) == 150, what="the next")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 0 and "leak" not in err, err
    assert sum(n for n, in rows(place.path / "out.db", "SELECT n FROM t")) == 150


@pytest.mark.parametrize("idle", [False, True], ids=["waits", "idle"])
def test_the_slower_input_holds_up_the_windows(place, idle):
    """None of its records is late; with `idle` an input that says nothing is not waited for."""
    write_times(place, range(3000), "fast.ndjson")
    write_times(place, range(3000), "slow.ndjson")
    place.write("p.conf", f"""stages = {{
      fast = {{ source = "file"; path = "fast.ndjson"; }};
      slow = {{ source = "file"; path = "slow.ndjson"; rate = "{'1/h' if idle else '6000/s'}"; }};
      both = {{ transform = "aggregate"; from = [ "fast", "slow" ]; tumbling = "1m"; time = "at"; set = {{ n = "count(*)"; }}; {'idle = "300ms";' if idle else ''} }};
      save = {{ sink = "sqlite"; from = "both"; path = "out.db"; table = "t"; create = true; }};
    }};""")
    process = place.start("run", "p.conf")
    if idle:
        wait_for(lambda: len(rows(place.path / "out.db", "SELECT n FROM t")) >= 49, what="the windows of the other")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        finish(process)
        return
    code, _, err = finish(process)
    assert code == 0 and "leak" not in err, err
    assert [n for n, in rows(place.path / "out.db", "SELECT n FROM t ORDER BY rowid")] == [80] + [120] * 49 + [40]


# --- letters, power cuts --------------------------------------------------------------------------


def test_letters_are_not_replayed_into_state(place):
    place.run("""stages = {
      read = { source = "inline"; records = ( { v = 1; w = 1; }, { v = "a"; }, { v = 1; w = "b"; } ); };
      work = { transform = "filter"; from = "read"; where = "v"; };
      sum = { transform = "aggregate"; from = "work"; set = { total = "sum(w)"; }; };
      save = { sink = "file"; from = "sum"; path = "out.ndjson"; };
    };""", status=3)
    for stage in "sum~in", "work":
        code, _, err = place.sluice("dead", "replay", "p.conf", "--stage", stage)
        assert code != 0
        assert "`sum` has state" in err, err
    code, _, err = place.sluice("advise", "p.conf", "--for", "200ms")
    assert code == 0, err


def test_each_result_once_over_power_cuts():
    seed = random.randrange(1 << 30)
    print("seed", seed)
    disk = power.Disk()
    place = power.Place(disk.folder / "place")
    count = 30_000
    try:
        place.path.mkdir()
        feed(place, count, is_clean=True)
        expected = undisturbed(place, status=0)
        place.write("p.conf", config("20000/s", 'sync_interval = "100ms";'))
        power.os.sync()
        done, said = power.run_with_cuts(place, disk, 3, random.Random(seed))
        assert done >= 1, said
        assert read_all(place) == expected, said
        assert "is now" not in said, said
    finally:
        place.close()
        disk.close()
