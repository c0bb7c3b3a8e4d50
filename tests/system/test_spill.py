# SPDX-License-Identifier: MIT
"""when_full and intake: a store on disk between two stages. A slow sink does not stop its siblings, and nothing is lost or doubled, whoever dies."""
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import children, finish, kill_some, needs_true_figures, resident, wait_for

COUNT = 40_000
MENDED = 'restart = 1000; backoff = "5ms";'


def feed(place, count=COUNT):
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(count):
            file.write(json.dumps({"id": n, "text": f"text {n}"}) + "\n")


def rows(place, name):
    return [json.loads(line)["id"] for line in open(place.path / name)]


def table(place):
    with sqlite3.connect(place.path / "out.db") as database:
        found = [row[0] for row in database.execute("SELECT id FROM records ORDER BY rowid")]
    database.close()
    return found


def lines(place, name):
    """As far as it was written."""
    part = place.path / f".{name}.part"
    try:
        return (part if part.exists() else place.path / name).read_bytes().count(b"\n")
    except OSError:
        return 0


def store(place, name="spill.save.db"):
    return next(place.path.glob(f"s/sluice/*/{name}"), None)


def ask(path, sql):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return database.execute(sql).fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        database.close()


def held(place, name="spill.save.db"):
    """Records in the store that are not settled behind it."""
    path = store(place, name)
    return (ask(path, "SELECT next - settled FROM store") or (0,))[0] if path else 0


def live_bytes(place):
    """Of the rows that are not settled, and what the store says of them."""
    return ask(store(place), "SELECT coalesce((SELECT sum(length(b.bytes)) FROM batches b WHERE first >= settled), 0), bytes FROM store") or (0, 0)


def two_sinks(save="", rate="", read=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; {MENDED} {read} }};
      fast = {{ sink = "file"; from = "read"; path = "fast.ndjson"; {MENDED} }};
      save = {{ transform = "delay"; wait = "0s"; from = "read"; {rate} when_full = "spill"; {MENDED} {save} }};
      file = {{ sink = "file"; from = "save"; path = "slow.ndjson"; {MENDED} }};
      base = {{ sink = "sqlite"; from = "save"; path = "out.db"; table = "records"; create = true; {MENDED} }};
    }};"""


def check_both(place, count=COUNT):
    assert rows(place, "fast.ndjson") == list(range(count))
    assert rows(place, "slow.ndjson") == list(range(count))
    assert table(place) == list(range(count))


# --- a sink that is slow or dead ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_dead_sink_does_not_stop_its_sibling(place, how):
    feed(place, 300_000)
    sink = f'sink = "file"; from = "read"; path = "slow.ndjson"; when_full = "spill"; {MENDED}'
    place.write("p.conf", f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; retain = "1MiB"; }};
      fast = {{ sink = "file"; from = "read"; path = "fast.ndjson"; }};
      save = {{ {sink} }};
    }};""")
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 5, what="the start")
    if how == "stopped":
        victim = next(iter(children(process.pid, {"save"})))
        os.kill(victim, signal.SIGSTOP)
        wait_for(lambda: (place.path / "fast.ndjson").exists(), what="the end of the other sink")
        assert lines(place, "slow.ndjson") < 300_000
        assert process.poll() is None
        os.kill(victim, signal.SIGCONT)
    else:
        kill_some(process, {"save"}, 12, random.randrange(1_000_000))
    code, _, err = finish(process)
    assert code == 0, err
    assert rows(place, "fast.ndjson") == rows(place, "slow.ndjson") == list(range(300_000))
    assert live_bytes(place) == (0, 0)


@needs_true_figures
def test_the_other_goes_on_at_its_rate(place):
    """One does 500 a second, the other as many as there are."""
    feed(place, 60_000)
    place.write("p.conf", two_sinks(rate='rate = "500/s";', read='retain = "256KiB";'))
    process = place.start("run", "p.conf")
    begin = time.monotonic()
    wait_for(lambda: lines(place, "fast.ndjson") == 60_000, what="the sink that is not slow")
    assert time.monotonic() - begin < 10
    assert lines(place, "slow.ndjson") < 20_000
    assert held(place) > 20_000
    process.kill()


def test_order_and_partitions_stay(place):
    """Behind a store is all that stands behind a link: several processes, several inputs, several outputs."""
    feed(place, 20_000)
    place.run("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      more = { source = "sequence"; count = 20000; };
      both = { transform = "sql"; from = [ "read", "more" ]; when_full = "spill"; query = "SELECT * FROM input"; };
      work = { transform = "cpu"; from = "both"; iterations = 10; processes = 2; when_full = "spill"; };
      save = { sink = "file"; from = "work"; path = "slow.ndjson"; when_full = "spill"; };
      none = { sink = "null"; from = "work"; };
    };""")
    found = [json.loads(line) for line in open(place.path / "slow.ndjson")]
    assert [record["id"] for record in found if "id" in record] == list(range(20_000))
    assert [record["value"] for record in found if "value" in record] == list(range(20_000))


@pytest.mark.parametrize("victims", [{"save~in"}, {"save~out"}, {"save~in", "save~out", "save", "file", "base", "fast", "read"}],
                         ids=["in", "out", "all"])
def test_whoever_is_killed(place, victims):
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "20000/s";', read='rate = "30000/s";'))
    seed = random.randrange(1_000_000)
    print("seed", seed)
    process = place.start("run", "p.conf")
    done = kill_some(process, victims, 30, seed)
    code, _, err = finish(process)
    assert code == 0, err
    assert "leak" not in err
    assert done >= 5, "the run was over too soon to mean anything"
    check_both(place)
    assert live_bytes(place) == (0, 0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "stopped"])
def test_the_supervisor_ends_and_the_run_goes_on(place, how):
    """In the middle, several times, with a store that is filling and one that is emptied."""
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "12000/s";', read='retain = "1MiB";'))
    chance = random.Random(random.randrange(1_000_000))
    for n in range(4):
        before = lines(place, "slow.ndjson")
        process = place.start("run", "p.conf")
        wait_for(lambda: lines(place, "slow.ndjson") > before + 3000 or process.poll() is not None, what="some records")
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(how)
        code, _, err = finish(process)
        assert code == (-9 if how == signal.SIGKILL else 0), err
        assert n == 0 or "goes on with the run" in err
    assert held(place) > 0
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and "leak" not in err, err
    check_both(place)


def test_sluiced_goes_on(place):
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "20000/s";', read='retain = "1MiB";'))
    daemon = place.start("--config", "p.conf", program="sluiced")
    wait_for(lambda: lines(place, "slow.ndjson") > 3000, what="some records")
    daemon.send_signal(signal.SIGTERM)
    code, _, err = finish(daemon)
    assert code == 0, err
    assert held(place) > 0
    daemon = place.start("--config", "p.conf", program="sluiced")
    code, _, err = finish(daemon)
    assert code == 0, err
    check_both(place)
    # Another run that goes on: there is nothing new.
    code, _, err = finish(place.start("--config", "p.conf", program="sluiced"))
    assert code == 0, err
    assert table(place) == list(range(COUNT))


def test_a_new_run_begins_with_an_empty_store(place):
    feed(place, 20_000)
    place.write("p.conf", two_sinks(rate='rate = "5000/s";', read='retain = "1MiB";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: held(place) > 5000, what="a store with something in it")
    process.kill()
    finish(process)
    feed(place, 100)
    (place.path / "out.db").unlink()
    code, _, err = place.sluice("run", "--from-start", "p.conf")
    assert code == 0, err
    assert re.search(r"spill\.save\.db: \d+ records that another run had left in it are dropped", err), err
    check_both(place, 100)


# --- bounds -------------------------------------------------------------------------------------------


@needs_true_figures
def test_spill_max_holds_and_memory_is_flat(place):
    place.write("p.conf", """stages = {
      read = { source = "sequence"; retain = "1MiB"; };
      none = { sink = "null"; from = "read"; };
      save = { transform = "delay"; from = "read"; wait = "10ms"; when_full = "spill"; spill_max = "2MiB"; retain = "1MiB"; };
      end  = { sink = "null"; from = "save"; };
    };""")
    process = place.start("run", "p.conf")
    wait_for(lambda: store(place) and live_bytes(place)[0] > 1_500_000, what="a full store")
    time.sleep(1)
    before = {pid: resident(pid) for pid in children(process.pid)}
    most = 0
    for _ in range(20):
        seen, said = live_bytes(place)
        assert seen == said
        most = max(most, seen)
        time.sleep(0.1)
    assert 1_500_000 < most <= 2 << 20
    for pid, name in children(process.pid).items():
        assert resident(pid) < before[pid] + 4096, name
    assert store(place).stat().st_size < 6 << 20
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    finish(process)


def test_a_full_store_does_not_hinder_a_stop(place):
    """What was read is taken in all the same, and read in the next run."""
    feed(place, 30_000)
    place.write("p.conf", two_sinks(save='spill_max = "64KiB";', rate='rate = "10000/s";', read='retain = "512KiB";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: held(place) > 1000, what="a full store")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 20)
    assert code == 0, err
    # How much it holds is no other graph.
    place.write("p.conf", two_sinks(save='spill_max = "4MiB";', read='retain = "512KiB";'))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and "goes on with the run" in err, err
    check_both(place, 30_000)


def test_drop_counts_and_says(place):
    feed(place)
    place.write("p.conf", f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; retain = "256KiB"; }};
      fast = {{ sink = "file"; from = "read"; path = "fast.ndjson"; }};
      save = {{ transform = "delay"; wait = "0s"; from = "read"; rate = "20000/s"; when_full = "drop"; spill_max = "64KiB"; {MENDED} }};
      file = {{ sink = "file"; from = "save"; path = "slow.ndjson"; {MENDED} }};
    }};""")
    process = place.start("run", "p.conf")
    kill_some(process, {"save~in", "save~out", "save"}, 4, random.randrange(1_000_000))
    code, _, err = finish(process)
    assert code == 3, err
    assert "leak" not in err
    kept = rows(place, "slow.ndjson")
    assert kept == sorted(set(kept)) and 0 < len(kept) < COUNT
    assert rows(place, "fast.ndjson") == list(range(COUNT))
    given_up = int(re.search(r"given up: ([\d ]+)", err).group(1).replace(" ", ""))
    assert given_up == COUNT - len(kept)
    assert f"dropped before `save`, whose store was full: {given_up // 1000} {given_up % 1000:03} records" in err
    said = re.findall(r"save~in\.0: (\d+) records dropped: .*spill\.save\.db", err)
    assert said and len(said) < 30
    assert "refused" not in err
    assert place.sluice("dead", "list", "p.conf")[1].count("save") == 0


# --- stores that are not what they were ---------------------------------------------------------------


def leave_some(place):
    """A run that ended in the middle, with something in the store."""
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "5000/s";', read='retain = "1MiB";', save='retain = "64KiB";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: held(place) > 10_000, what="a store with something in it")
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 0
    assert not store(place).with_name("spill.save.db-wal").exists()


def harm_truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def harm_empty(path):
    os.truncate(path, 0)


def harm_text(path):
    path.write_bytes(b"this is no database at all\n" * 1000)


def harm_row(path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("DELETE FROM batches WHERE first = (SELECT max(first) FROM batches)")
    database.close()


@pytest.mark.parametrize("harm", [harm_truncate, harm_empty, harm_text, harm_row], ids=lambda f: f.__name__[5:])
def test_a_damaged_store_is_set_aside(place, harm):
    leave_some(place)
    path = store(place)
    harm(path)
    harmed = path.read_bytes()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1, err
    assert re.search(r"spill\.save\.db was damaged \(.*\) and is now .*spill\.save\.db\.damaged-\d+-\d+", err), err
    aside, = [found for found in path.parent.glob("spill.save.db.damaged-*") if not found.name.endswith(("-wal", "-shm"))]
    assert aside.read_bytes() == harmed
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    kept = rows(place, "slow.ndjson")
    assert kept == sorted(set(kept)) and len(kept) < COUNT
    assert rows(place, "fast.ndjson") == list(range(COUNT))


GONE = "DELETE FROM batches; DELETE FROM names; DELETE FROM floors; "


@pytest.mark.parametrize("has_mark", [True, False])
@pytest.mark.parametrize("sql", [GONE + "UPDATE store SET next = 10, bytes = 0, gone = 0", GONE + "UPDATE store SET bytes = 0"], ids=["older", "emptied"])
def test_a_store_from_yesterday_is_none(place, sql, has_mark):
    """What was read of it already, or was to be read, is not in it: waiting for that would be for ever."""
    leave_some(place)
    path = store(place)
    database = sqlite3.connect(path)
    database.executescript(sql)
    database.close()
    if not has_mark:
        # As after a power cut: only the source can know, and only when nothing new came before it looked.
        os.truncate(f"{path}.lock", 0)
        feed(place, 0)
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1, err
    assert re.search(r"spill\.save\.db was damaged \(.*\) and is now ", err), err
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert rows(place, "slow.ndjson") == sorted(set(rows(place, "slow.ndjson")))


def test_bytes_that_have_changed_are_not_handed_on(place):
    leave_some(place)
    path = store(place)
    database = sqlite3.connect(path, isolation_level=None)
    first, bytes_ = database.execute("SELECT first, bytes FROM batches ORDER BY first DESC LIMIT 1").fetchone()
    database.execute("UPDATE batches SET bytes = ? WHERE first = ?", (bytes_.replace(b"text", b"TEXT"), first))
    database.close()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1, err
    assert "a batch is not what was written" in err
    assert "spill.save.db was damaged" in err
    assert not any("TEXT" in line for line in open(place.path / ".slow.ndjson.part"))


def test_a_batch_that_goes_while_it_is_read(place):
    """It is not waited for, nor passed over."""
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "20000/s";', read='retain = "1MiB";', save='retain = "64KiB";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: held(place) > 10_000, what="a store with something in it")
    database = sqlite3.connect(store(place), isolation_level=None, timeout=30)
    database.execute("DELETE FROM batches WHERE first = (SELECT max(first) FROM batches)")
    database.close()
    code, _, err = finish(process)
    assert code == 1 and "batches are missing" in err, err
    kept = rows(place, ".slow.ndjson.part")
    assert kept == list(range(len(kept)))


def test_a_store_of_a_newer_sluice_is_left_alone(place):
    leave_some(place)
    path = store(place)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and "was written by a newer sluice (layout 99" in err, err
    assert ask(path, "PRAGMA user_version") == (99,) and held(place) > 0


def test_a_full_disk_holds_it_up_and_tears_nothing(place):
    """It is full of the store: when the sink goes on there is room again, and nothing needs more of the disk."""
    if os.geteuid() != 0:
        pytest.skip("mounts a small tmpfs: only root may")
    disk = place.path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        count = 500_000
        with open(place.path / "in.ndjson", "w") as file:
            for n in range(count):
                file.write('{"id": %d, "text": "%064d"}\n' % (n, n))
        place.write("p.conf", f"""stages = {{
          read = {{ source = "file"; path = "in.ndjson"; retain = "1MiB"; }};
          fast = {{ sink = "null"; from = "read"; }};
          save = {{ sink = "file"; from = "read"; path = "slow.ndjson"; when_full = "spill"; stall_timeout = "0"; {MENDED} }};
        }};""")
        errors = place.path / "err"
        process = place.start("run", "--state", str(disk), "p.conf", stderr=open(errors, "w"))
        victim = wait_for(lambda: next(iter(children(process.pid, {"save"})), 0), what="the sink")
        os.kill(victim, signal.SIGSTOP)
        wait_for(lambda: "waits: the disk is full" in errors.read_text(), what="a full disk")
        # What was being written was torn.
        for _ in range(3):
            wait_for(lambda: children(process.pid, {"save~in"}), what="the store's sink")
            os.kill(next(iter(children(process.pid, {"save~in"}))), signal.SIGKILL)
            time.sleep(0.2)
        assert process.poll() is None
        assert not (place.path / "slow.ndjson").exists()
        os.kill(victim, signal.SIGCONT)
        code, _, _ = finish(process)
        err = errors.read_text()
        assert code == 0, err
        assert 1 <= err.count("waits: the disk is full") <= 4 and "is written again" in err
        assert rows(place, "slow.ndjson") == list(range(count))
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


# --- intake -------------------------------------------------------------------------------------------


def live(more="", rate=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "-"; format = "ndjson"; intake = "durable"; {more} }};
      work = {{ transform = "delay"; wait = "0s"; from = "read"; {rate} {MENDED} }};
      save = {{ sink = "file"; from = "work"; path = "slow.ndjson"; {MENDED} }};
    }};"""


def piped(place, *arguments):
    """sluice run with a pipe for standard input."""
    return place.start("run", *arguments, "p.conf", stdin=subprocess.PIPE)


def give(process, first, count):
    process.stdin.write("".join('{"id": %d}\n' % n for n in range(first, first + count)))
    process.stdin.flush()


def test_standard_input_is_kept(place):
    place.write("p.conf", live())
    process = piped(place)
    for n in range(10):
        give(process, n * 2000, 2000)
        kill_some(process, {"work", "save", "read~in", "read~out"}, 2, n)
    process.stdin.close()
    process.stdin = None
    code, _, err = finish(process)
    assert code == 0, err
    assert rows(place, "slow.ndjson") == list(range(20_000))


@pytest.mark.parametrize("arguments", [["--resume"], []], ids=["resume", "unfinished"])
def test_what_is_in_the_intake_outlives_the_supervisor(place, arguments):
    place.write("p.conf", live(rate='rate = "2000/s";'))
    process = piped(place)
    give(process, 0, 10_000)
    wait_for(lambda: (ask(store(place, "intake.read.db"), "SELECT next FROM store") or (0,))[0] == 10_000
             if store(place, "intake.read.db") else False, what="all in the store")
    assert lines(place, "slow.ndjson") < 9000
    process.kill()
    finish(process)
    process = piped(place, *arguments)
    give(process, 10_000, 3000)
    process.stdin.close()
    process.stdin = None
    code, _, err = finish(process)
    assert code == 0, err
    assert "goes on with the run" in err
    assert rows(place, "slow.ndjson") == list(range(13_000))


def test_an_intake_is_stopped_and_resumed(place):
    place.write("p.conf", live(rate='rate = "2000/s";'))
    for n in range(3):
        process = piped(place)
        give(process, n * 3000, 3000)
        wait_for(lambda: (ask(store(place, "intake.read.db"), "SELECT next FROM store") or (0,))[0] == (n + 1) * 3000
                 if store(place, "intake.read.db") else False, what="all in the store")
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process)
        assert code == 0, err
    assert held(place, "intake.read.db") > 0
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert rows(place, "slow.ndjson") == list(range(9000))


def test_a_program_is_kept(place):
    """Its processes die all around it, and the supervisor when it has said everything."""
    (place.path / "say.py").write_text("for n in range(20_000):\n    print('{\"id\": %d}' % n)\n")
    place.write("p.conf", f"""stages = {{
      read = {{ source = "exec"; command = [ "/usr/bin/python3", "say.py" ]; intake = "durable"; }};
      work = {{ transform = "delay"; wait = "0s"; from = "read"; rate = "8000/s"; {MENDED} }};
      save = {{ sink = "file"; from = "work"; path = "slow.ndjson"; {MENDED} }};
    }};""")
    process = place.start("run", "p.conf")
    kill_some(process, {"work", "save", "read~in", "read~out"}, 6, random.randrange(1_000_000))
    wait_for(lambda: (ask(store(place, "intake.read.db"), "SELECT ended FROM store") or (0,))[0] != 0
             if store(place, "intake.read.db") else False, what="all in the store")
    assert lines(place, "slow.ndjson") < 20_000
    process.kill()
    finish(process)
    (place.path / "say.py").write_text("")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and "goes on with the run" in err, err
    assert rows(place, "slow.ndjson") == list(range(20_000))


def test_without_it_the_source_says_what_is_lost(place):
    place.write("p.conf", live().replace('intake = "durable";', ""))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0
    assert err.count("is lost when its process dies") == 1
    place.write("p.conf", live())
    assert "is lost when" not in place.sluice("run", "p.conf")[2]


# --- beside -------------------------------------------------------------------------------------------


def test_a_reload_in_between(place):
    """What is in the store stays in it, and is read by the processes of the new config."""
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "4000/s";', read='retain = "1MiB";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: held(place) > 10_000, what="a store with something in it")
    place.write("p.conf", two_sinks(rate='rate = "20000/s";', read='retain = "1MiB";', save='spill_max = "64MiB";'))
    code, out, err = place.sluice("reload", "p.conf")
    assert code == 0, out + err
    code, _, err = finish(process)
    assert code == 0 and "leak" not in err, err
    check_both(place)


def test_a_reload_that_takes_a_store_away_reads_it_empty(place):
    """What is in it must not be forgotten; where it cannot be read in time nothing changes."""
    feed(place)
    config = "drain_timeout = \"1s\";\n" + two_sinks(rate='rate = "30000/s";', read='rate = "5000/s"; retain = "1MiB";')
    without = config.replace('when_full = "spill";', "").replace("1s", "30s")
    place.write("p.conf", config)
    process = place.start("run", "p.conf")
    victim, = wait_for(lambda: lines(place, "slow.ndjson") > 100 and children(process.pid, {"save"}), what="some records")
    os.kill(victim, signal.SIGSTOP)
    wait_for(lambda: held(place) > 8000, what="a store with something in it")
    place.write("p.conf", without)
    code, out, err = place.sluice("reload", "p.conf")
    assert code == 1 and re.search(r"not reloaded: \d+ records are in a store that the new config has not, after 1 s", out + err), out + err
    assert process.poll() is None
    os.kill(victim, signal.SIGCONT)
    for _ in range(10):
        code, out, err = place.sluice("reload", "p.conf")
        if code == 0:
            break
    assert code == 0, out + err
    assert "save~in" not in place.sluice("status", "p.conf")[1]
    code, _, err = finish(process)
    assert code == 0 and "leak" not in err, err
    check_both(place)


def test_a_store_that_nobody_has_any_more(place):
    leave_some(place)
    without = (place.path / "p.conf").read_text().replace('when_full = "spill";', "")
    place.write("p.conf", without)
    code, _, err = place.sluice("run", "p.conf", "--accept-mixed")
    assert code == 1, err
    assert re.search(r"spill\.save\.db holds \d+ records of this run, and no stage reads it now: give `save` its when_full", err), err
    (place.path / "out.db").unlink()
    place.write("p.conf", without.replace('rate = "5000/s";', ""))
    code, _, err = place.sluice("run", "p.conf", "--from-start")
    assert code == 0, err
    check_both(place)


def test_shown(place):
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "-"; format = "lines"; intake = "durable"; };
      save = { sink = "null"; from = "read"; when_full = "spill"; spill_max = "4MiB"; };
      drop = { sink = "null"; from = "read"; when_full = "drop"; };
    };""")
    code, out, _ = place.sluice("check", "p.conf")
    assert code == 0 and "9 stages, 9 processes, at most 256 MiB in flight" in out, out
    _, out, _ = place.sluice("graph", "p.conf")
    assert "=> read~out, through the store intake.read.db; with 1 GiB in it what comes waits" in out
    assert "=> save~out, through the store spill.save.db; with 4 MiB in it what comes waits" in out
    assert "=> drop~out, through the store spill.drop.db; with 16 MiB in it what comes is dropped" in out
    _, out, _ = place.sluice("graph", "--dot", "p.conf")
    assert '"save~in" -> "save~out" [style=dashed' in out
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and re.search(r"^save~in +0 ", err, re.M), err
    _, out, _ = place.sluice("describe", "file")
    assert "intake: " in out and "when_full: " in out
    assert "intake: " not in place.sluice("describe", "sequence")[1]


def test_status_says_how_full_a_store_is(place):
    """Also while nobody reads it: its source is stopped."""
    feed(place)
    place.write("p.conf", two_sinks(rate='rate = "2000/s";', read='retain = "1MiB";', save='spill_max = "64MiB";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: lines(place, "slow.ndjson") > 100, what="some records")
    out_pid, = children(process.pid, {"save~out"})
    os.kill(out_pid, signal.SIGSTOP)
    wait_for(lambda: lines(place, "fast.ndjson") == COUNT, what="all on the other branch")

    def stage():
        return next(s for s in json.loads(place.sluice("status", "--json", "p.conf")[1])["stages"] if s["name"] == "save~in")["store"]

    wait_for(lambda: stage()["bytes"] == live_bytes(place)[0], what="the same number")
    assert stage()["file"] == "spill.save.db" and stage()["max"] == 64 << 20 and stage()["when_full"] == "spill"
    assert COUNT // 2 < stage()["records"] <= held(place)
    assert re.search(r"^save~in: [\d ]+ records, [\d.]+ [KM]iB of 64 MiB, in the store spill\.save\.db$", place.sluice("status", "p.conf")[1], re.M)
    process.kill()
    os.kill(out_pid, signal.SIGCONT)


def test_a_replay_goes_past_the_store(bench):
    (bench.path / "in.ndjson").write_text("".join(json.dumps({"id": n, "reject": n % 2 == 1}) + "\n" for n in range(10)))
    config = """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      work = { from = "read"; transform = "probe"; backoff = "1ms"; when_full = "spill"; };
      save = { sink = "file"; from = "work"; path = "out.ndjson"; append = true; when_full = "spill"; };
    };"""
    bench.run(config, status=3)
    assert rows(bench, "out.ndjson") == [0, 2, 4, 6, 8]
    bench.write("p.conf", config.replace('"probe"; backoff = "1ms"', '"delay"; wait = "0s"'))
    code, out, err = bench.sluice("dead", "replay", "--stage", "work", "p.conf")
    assert code == 0, out + err
    assert rows(bench, "out.ndjson") == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert "save~in" not in err


def test_advice_leaves_stores_out(place):
    feed(place, 1000)
    place.write("p.conf", two_sinks())
    code, out, err = place.sluice("advise", "p.conf", "--for", "1s")
    assert code == 0, err
    assert "save~" not in out
