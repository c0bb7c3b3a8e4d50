# SPDX-License-Identifier: MIT
"""The source `file` with follow = true: each line once and in order, whatever becomes of the file, the source and the supervisor."""
import collections
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import BUILD, SANITIZED, children, finish, kill_some, wait_for

TICKS = pathlib.Path(__file__).with_name("ticks.c")
not_preloaded = pytest.mark.skipif(SANITIZED, reason="what is preloaded would come before the sanitizer")


def config(path, read="", work="", save='sink = "file"; path = "out.ndjson"; append = true;'):
    path = json.dumps(path)
    return f"""stages = {{
      read = {{ source = "file"; path = {path}; follow = true; rotate_wait = "500ms"; format = "ndjson";
               restart = 1000; backoff = "5ms"; {read} }};
      work = {{ from = "read"; transform = "delay"; wait = "0s"; {work} }};
      save = {{ from = "work"; {save} }};
    }};"""


def line(log, n):
    return json.dumps({"log": log, "n": n}) + "\n"


class Log(threading.Thread):
    """
    Appends numbered lines, each with one write; rotates by rename when told to. `read`: how many lines have been read: what has not been is never
    rotated away, however slow the machine is.
    """

    def __init__(self, path, name="log", rate=2000, depth=0, every=0.3, read=None):
        super().__init__(daemon=True)
        self.path, self.name, self.rate, self.depth, self.every = pathlib.Path(path), name, rate, depth, every
        self.read = read
        self.written = 0
        self.ends = []
        self.is_stopping = threading.Event()
        self.file = None

    def write(self, count=1):
        if not self.file:
            self.file = open(self.path, "ab", buffering=0)
        for _ in range(count):
            self.file.write(line(self.name, self.written).encode())
            self.written += 1

    def rotate(self):
        for number in range(self.depth, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if old.exists():
                old.rename(self.path.with_name(f"{self.path.name}.{number}"))
        self.file.close()
        self.file = None
        self.ends.append(self.written)

    def may_rotate(self):
        return not self.read or len(self.ends) < self.depth or self.read() >= self.ends[-self.depth]

    def run(self):
        begin = rotated = time.monotonic()
        while not self.is_stopping.is_set():
            due = int((time.monotonic() - begin) * self.rate) - self.written
            if due > 0:
                self.write(due)
            if self.depth and time.monotonic() > rotated + self.every and self.may_rotate():
                self.rotate()
                rotated = time.monotonic()
            time.sleep(0.001)

    def end(self):
        self.is_stopping.set()
        self.join()


def start(place, text, *arguments, **more):
    place.write("p.conf", text)
    return place.start("run", *arguments, "p.conf", **more)


def saved(place, name="out.ndjson"):
    """What whole lines say: {log: [numbers]}."""
    found = collections.defaultdict(list)
    path = place.path / name
    for text in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if text.endswith("\n"):
            record = json.loads(text)
            found[record["log"]].append(record["n"])
    return found


def count(place):
    path = place.path / "out.ndjson"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_count(place, wanted, timeout=60):
    try:
        wait_for(lambda: count(place) >= wanted, timeout)
    except BaseException:
        print({name: (len(numbers), missing(numbers)) for name, numbers in saved(place).items()})
        raise


def missing(numbers):
    return sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers))[:20]


def stop(process, status=0):
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == status, err
    assert "leak" not in err, err
    return err


def check(place, **logs):
    found = saved(place)
    for name, numbers in logs.items():
        assert found[name] == list(range(numbers)), (name, len(found[name]), numbers, missing(found[name]))
    assert set(found) == set(logs)


# --- appending -----------------------------------------------------------------------------------------


def test_lines_that_are_appended(place):
    log = Log(place.path / "log")
    log.write(10)
    process = start(place, config("log"))
    wait_count(place, 10)
    for n in range(11, 30):
        log.write()
        begin = time.monotonic()
        wait_count(place, n)
        assert time.monotonic() - begin < 0.9, "it was not told, but looked"
    stop(process)
    check(place, log=29)


@pytest.mark.parametrize("sink", ["file", "sqlite"])
def test_the_source_is_killed(place, sink):
    seed = random.randrange(1_000_000)
    print("seed", seed)
    log = Log(place.path / "log", rate=3000)
    save = 'sink = "sqlite"; path = "out.db"; table = "lines"; create = true;'
    process = start(place, config("log", **({"save": save} if sink == "sqlite" else {})))
    log.start()
    assert kill_some(process, {"read"}, 30, seed) == 30
    log.end()
    if sink == "file":
        wait_count(place, log.written)
        stop(process)
        check(place, log=log.written)
        return

    def rows():
        database = sqlite3.connect(place.path / "out.db")
        try:
            return [n for n, in database.execute("SELECT n FROM lines ORDER BY rowid")]
        except sqlite3.OperationalError:
            return []
        finally:
            database.close()
    wait_for(lambda: len(rows()) >= log.written)
    stop(process)
    assert rows() == list(range(log.written))


def test_everything_is_killed(place):
    """The source, the transform, the sink and now and then the supervisor."""
    seed = random.randrange(1_000_000)
    print("seed", seed)
    log = Log(place.path / "log", rate=2000)
    text = config("log", work="processes = 2; restart = 1000; backoff = \"5ms\";",
                  save='sink = "file"; path = "out.ndjson"; append = true; restart = 1000; backoff = "5ms";')
    process = start(place, text)
    log.start()
    for n in range(4):
        kill_some(process, {"read", "work", "save"}, 8, seed + n)
        process.kill()
        process.wait()
        process = start(place, text, "--resume")
    log.end()
    wait_count(place, log.written)
    stop(process)
    check(place, log=log.written)


def test_a_line_is_one_when_its_newline_has_come(place):
    (place.path / "log").write_text(line("log", 0) + line("log", 1)[:-4])
    process = start(place, config("log"))
    wait_count(place, 1)
    time.sleep(0.3)
    assert count(place) == 1
    with open(place.path / "log", "a") as file:
        file.write(line("log", 1)[-4:-1])
        file.flush()
        time.sleep(0.3)
        assert count(place) == 1
        file.write("\n")
    wait_count(place, 2)
    stop(process)
    check(place, log=2)


def test_csv_and_lines(place):
    (place.path / "a.csv").write_text("log,n\nx,1\n")
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "a.csv"; follow = true; };
      save = { sink = "file"; from = "read"; path = "out.ndjson"; append = true; };
      text = { source = "file"; path = "a.txt"; follow = true; };
      both = { sink = "file"; from = "text"; path = "text.ndjson"; append = true; };
    };""")
    for n in (1, 2):
        process = place.start("run", "p.conf")
        wait_count(place, 3 * n - 2)
        with open(place.path / "a.csv", "a") as file:
            file.write(f'x,"{n}\n')
            file.flush()
            time.sleep(0.1)
            assert count(place) == 3 * n - 2
            file.write(f'{n}"\ny,{n}\n')
        with open(place.path / "a.txt", "a") as file:
            file.write(f"line {n}\n")
        wait_count(place, 3 * n)
        wait_for(lambda: (place.path / "text.ndjson").read_text().count("\n") == n if (place.path / "text.ndjson").exists() else False)
        stop(process)
        with open(place.path / "a.csv", "a") as file:
            file.write(f"z,{n}\n")
    found = [json.loads(text) for text in (place.path / "out.ndjson").read_text().splitlines()]
    assert found == [{"log": "x", "n": "1"}, {"log": "x", "n": "1\n1"}, {"log": "y", "n": "1"}, {"log": "z", "n": "1"},
                     {"log": "x", "n": "2\n2"}, {"log": "y", "n": "2"}]
    assert (place.path / "text.ndjson").read_text() == '"line 1"\n"line 2"\n'


def test_a_record_that_is_too_long_is_refused_once(place):
    """Also when it comes in parts."""
    process = start(place, config("log", 'record_max = "1KiB";'))
    with open(place.path / "log", "a") as file:
        for _ in range(5):
            file.write("x" * 1000)
            file.flush()
            time.sleep(0.05)
        file.write("\n" + line("log", 0))
    wait_count(place, 1)
    err = stop(process, 3)
    assert err.count("longer than record_max") == 1
    check(place, log=1)


# --- which files -----------------------------------------------------------------------------------------


def test_new_files_and_two_folders(place):
    process = start(place, config(["logs-*/*.log", "one.log"]))
    wait_for(lambda: len(children(process.pid)) == 3)
    time.sleep(0.3)
    (place.path / "logs-a").mkdir()
    logs = [Log(place.path / f"logs-a/{name}.log", name) for name in "abc"]
    for log in logs:
        log.write(3)
    wait_count(place, 9)
    (place.path / "logs-b").mkdir()
    logs += [Log(place.path / "logs-b/a.log", "d"), Log(place.path / "one.log", "one")]
    Log(place.path / "logs-b/a.txt", "not").write(5)
    for log in logs:
        log.write(2)
    wait_count(place, 19)
    stop(process)
    check(place, a=5, b=5, c=5, d=2, one=2)


def test_a_file_is_read_once_by_whichever_name(place):
    log = Log(place.path / "a.log", "log")
    log.write(5)
    os.link(place.path / "a.log", place.path / "b.log")
    os.symlink("a.log", place.path / "c.log")
    process = start(place, config(["*.log", "a.log", "./b.log"]))
    wait_count(place, 5)
    (place.path / "a.log").unlink()
    log.write(5)
    wait_count(place, 10)
    time.sleep(0.7)
    log.write(5)
    wait_count(place, 15)
    stop(process)
    check(place, log=15)


def test_a_folder_is_replaced(place):
    (place.path / "logs").mkdir()
    one = Log(place.path / "logs/log", "one")
    process = start(place, config("logs/*"))
    one.write(5)
    wait_count(place, 5)
    (place.path / "logs").rename(place.path / "old")
    one.write(5)
    (place.path / "logs").mkdir()
    two = Log(place.path / "logs/log", "two")
    two.write(5)
    wait_count(place, 15)
    two.write(5)
    wait_count(place, 20)
    stop(process)
    check(place, one=10, two=10)


def test_a_file_is_removed(place):
    """What is left comes through the descriptor, a last line without newline too, and then it is let go."""
    one = Log(place.path / "one.log", "one")
    one.write(5)
    process = start(place, config("*.log"))
    wait_count(place, 5)
    os.kill(next(iter(children(process.pid, {"read"}))), signal.SIGSTOP)
    one.write(5)
    one.file.write(line("one", 10)[:-1].encode())
    (place.path / "one.log").unlink()
    os.kill(next(iter(children(process.pid, {"read"}))), signal.SIGCONT)
    wait_count(place, 11)
    reader = next(iter(children(process.pid, {"read"})))
    wait_for(lambda: not any("one.log" in os.readlink(f"/proc/{reader}/fd/{fd}") for fd in os.listdir(f"/proc/{reader}/fd")),
             what="the descriptor to be closed")
    stop(process)
    check(place, one=11)


@pytest.mark.parametrize("files", [200, 1000])
def test_many_files(place, files):
    """More than it may hold open, written to in turn, in order downstream."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    logs = [Log(place.path / f"{n:04}.log", str(n)) for n in range(files)]
    text = config("*.log", work='processes = 2; order = "keep";',
                  save='sink = "file"; path = "out.ndjson"; append = true; order = "keep";')
    process = start(place, text, preexec_fn=few)
    chance = random.Random(files)
    for _ in range(20 * files):
        log = chance.choice(logs)
        log.write(chance.randrange(1, 4))
        if chance.random() < 0.5:
            log.file.close()
            log.file = None
    total = sum(log.written for log in logs)
    wait_count(place, total)
    reader = next(iter(children(process.pid, {"read"})))
    assert len(os.listdir(f"/proc/{reader}/fd")) < 200
    for log in logs[::7]:
        log.write(2)
    wait_count(place, total + 2 * len(logs[::7]))
    stop(process)
    check(place, **{log.name: log.written for log in logs if log.written})


def test_a_busy_file_does_not_hold_up_the_others(place):
    with open(place.path / "busy.log", "w") as file:
        file.writelines(line("busy", n) for n in range(400_000))
    log = Log(place.path / "quiet.log", "quiet")
    process = start(place, config("*.log", work='rate = "20000/s";'))
    wait_count(place, 100)
    log.write()
    wait_for(lambda: b"quiet" in (place.path / "out.ndjson").read_bytes(), 10)
    assert count(place) < 300_000
    process.send_signal(signal.SIGINT)
    finish(process)


# --- rotation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["log", "log*"])
@pytest.mark.parametrize("processes", [1, 2])
def test_rotation_under_load(place, path, processes):
    log = Log(place.path / "log", depth=5, every=0.15, read=lambda: count(place))
    process = start(place, config(path, f"processes = {processes};"))
    log.write()
    wait_count(place, 1)
    log.start()
    wait_for(lambda: len(log.ends) >= 15, 60, "15 rotations")
    log.end()
    wait_count(place, log.written)
    stop(process)
    if processes == 1:
        check(place, log=log.written)
    else:
        assert sorted(saved(place)["log"]) == list(range(log.written))


def test_rotation_while_the_source_is_killed(place):
    seed = random.randrange(1_000_000)
    print("seed", seed)
    log = Log(place.path / "log", depth=8, every=0.4, rate=1000, read=lambda: count(place))
    process = start(place, config("log"))
    log.write()
    wait_count(place, 1)
    log.start()
    assert kill_some(process, {"read"}, 25, seed) == 25
    log.end()
    wait_count(place, log.written)
    stop(process)
    assert sorted(saved(place)["log"]) == list(range(log.written))


@pytest.mark.parametrize("path", ["log", "log*"])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_rotation_while_the_supervisor_comes_and_goes(place, path, sign):
    chance = random.Random()
    log = Log(place.path / "log", depth=60, every=0.2, rate=1000, read=lambda: count(place))
    log.write()
    text = config(path, work="processes = 2;")
    for n in range(6):
        process = start(place, text, "--resume")
        if n == 0:
            wait_count(place, 1)
            log.start()
        # Before it has them a signal ends it as it ends any program.
        wait_for(lambda: children(process.pid), what="its processes")
        time.sleep(chance.uniform(0, 0.7))
        process.send_signal(sign)
        code, _, err = finish(process)
        assert code == (0 if sign == signal.SIGINT else -9), err
        time.sleep(chance.uniform(0, 0.6))
    process = start(place, text, "--resume")
    log.end()
    wait_count(place, log.written)
    stop(process)
    assert sorted(saved(place)["log"]) == list(range(log.written))


@pytest.mark.parametrize("path", ["log", "log*"])
@pytest.mark.parametrize("times", [1, 3])
def test_rotation_while_nobody_runs(place, path, times):
    log = Log(place.path / "log", depth=5)
    log.write(10)
    log.rotate()
    process = start(place, config("log"))
    log.write(10)
    wait_count(place, 10)
    for _ in range(2):
        stop(process)
        for _ in range(times):
            log.write(7)
            log.rotate()
            log.write(7)
        before = count(place)
        process = start(place, config(path), "--resume")
        # The pattern matches what was rotated before there was a source, too.
        wait_count(place, log.written - (10 if path == "log" else 0))
        assert before < count(place)
        log.write(3)
    wait_count(place, log.written - (10 if path == "log" else 0))
    stop(process)
    found = saved(place)["log"]
    assert sorted(found) == list(range(10 if path == "log" else 0, log.written))
    # A pattern finds anew what stood there in between: those have no order.
    if path == "log" or times == 1:
        assert [n for n in found if n >= 10] == list(range(10, log.written))


def is_done(place, name="log"):
    """The checkpoint says that one file of the name was read to its end, and no other one is known."""
    with sqlite3.connect(next(place.path.rglob("checkpoints.db"))) as store:
        return store.execute("SELECT is_done FROM origins WHERE name = ?", (name,)).fetchall() == [(1,)]


@pytest.mark.parametrize("path", ["log", "log*"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_rotation_while_nobody_runs_behind_a_file_that_is_done(place, path, is_killed):
    """Nothing stands at the name when its file is done; two came and one of them went before somebody looks again."""
    log = Log(place.path / "log", depth=5)
    log.write(10)
    log.rotate()
    process = start(place, config("log"))
    log.write(10)
    wait_count(place, 10)
    log.rotate()
    wait_for(lambda: is_done(place))
    if is_killed:
        process.kill()
        finish(process)
    else:
        stop(process)
    for _ in range(3):
        log.write(7)
        log.rotate()
    log.write(7)
    process = start(place, config(path), "--resume")
    # What was rotated before there was a source is no news, except to a pattern.
    wait_count(place, log.written - (10 if path == "log" else 0))
    log.write(1)
    wait_count(place, log.written - (10 if path == "log" else 0))
    stop(process)
    found = saved(place)["log"]
    assert sorted(found) == list(range(10 if path == "log" else 0, log.written))
    assert [n for n in found if n >= 10] == list(range(10, log.written))


def test_a_name_without_a_file(place):
    """It was seen that nothing stood there; then a file came and was rotated, and another one came, before one looks again."""
    log = Log(place.path / "log", depth=5)
    log.write(10)
    process = start(place, config("log"))
    wait_count(place, 10)
    log.rotate()
    wait_for(lambda: is_done(place))
    reader = next(iter(children(process.pid, {"read"})))
    os.kill(reader, signal.SIGSTOP)
    for _ in range(3):
        log.write(7)
        log.rotate()
    log.write(7)
    os.kill(reader, signal.SIGCONT)
    wait_count(place, log.written)
    stop(process)
    check(place, log=log.written)


def test_a_name_that_nobody_had_yet(place):
    """A first file came, and was rotated before anybody looked."""
    first, log = Log(place.path / "a.log", name="a"), Log(place.path / "log", depth=5)
    first.write(1)
    process = start(place, config("*log"))
    wait_count(place, 1)
    os.kill(next(iter(children(process.pid, {"read"}))), signal.SIGSTOP)
    for _ in range(3):
        log.write(7)
        log.rotate()
    log.write(7)
    os.kill(next(iter(children(process.pid, {"read"}))), signal.SIGCONT)
    wait_count(place, 1 + log.written)
    stop(process)
    check(place, a=1, log=log.written)


def test_a_copy_of_what_was_read_is_not_read_again(place):
    log = Log(place.path / "log")
    log.write(10)
    process = start(place, config("log"))
    wait_count(place, 10)
    stop(process)
    shutil.copy(place.path / "log", place.path / "log.1")
    log.write(1)
    process = start(place, config("log"), "--resume")
    wait_count(place, log.written)
    stop(process)
    check(place, log=log.written)


def tick(place, milliseconds):
    subprocess.run(["cc", "-shared", "-fPIC", "-o", place.path / "ticks.so", TICKS], check=True)
    place.env |= {"LD_PRELOAD": str(place.path / "ticks.so"), "TICK_MS": str(milliseconds)}


@not_preloaded
def test_rotated_within_one_tick(place):
    """Files are born at the same time, as far as the file system says: their names tell which one is older."""
    tick(place, 20)
    log = Log(place.path / "log", depth=30)
    log.write(5)
    process = start(place, config("log"))
    wait_count(place, 5)
    reader = next(iter(children(process.pid, {"read"})))
    os.kill(reader, signal.SIGSTOP)
    for _ in range(25):
        log.write(5)
        log.rotate()
    log.write(5)
    os.kill(reader, signal.SIGCONT)
    wait_count(place, log.written)
    stop(process)
    check(place, log=log.written)


@not_preloaded
@pytest.mark.parametrize("suffix", [".{0}", "-202602{1:02}"])
def test_rotated_within_one_tick_while_nobody_runs(place, suffix):
    """Numbers grow with age, dates do not. What is older than what was being read stays unread."""
    tick(place, 3_600_000)
    log = Log(place.path / "log")

    def rotate(number):
        (place.path / "log").rename(place.path / ("log" + suffix.format(28 - number, number)))
        log.file.close()
        log.file = None
    for number in range(1, 4):
        log.write(5)
        rotate(number)
    log.write(5)
    process = start(place, config("log"))
    wait_count(place, 5)
    stop(process)
    for number in range(4, 28):
        log.write(5)
        rotate(number)
    log.write(5)
    process = start(place, config("log"), "--resume")
    wait_count(place, log.written - 15)
    stop(process)
    assert saved(place)["log"] == list(range(15, log.written))


def test_rotated_out_of_sight(place):
    """What nobody can read any more is said; what came after it is read."""
    log = Log(place.path / "log", depth=2)
    process = start(place, config("log"))
    log.write(10)
    wait_count(place, 10)
    stop(process)
    for _ in range(4):
        log.write(5)
        log.rotate()
    log.write(5)
    process = start(place, config("log"), "--resume")
    wait_count(place, 25)
    err = stop(process)
    assert "log: the file that stood there is not there any more: what it held behind byte" in err
    assert saved(place)["log"] == [*range(10), *range(20, 35)]
    process = start(place, config("log"), "--resume")
    log.write(5)
    wait_count(place, 30)
    assert "not there any more" not in stop(process), "it is said once"


def test_replaced_faster_than_anybody_looks(place):
    log = Log(place.path / "log", depth=9)
    log.write(5)
    process = start(place, config("log"))
    wait_count(place, 5)
    reader = next(iter(children(process.pid, {"read"})))
    os.kill(reader, signal.SIGSTOP)
    for _ in range(5):
        log.write(5)
        log.rotate()
    log.write(5)
    os.kill(reader, signal.SIGCONT)
    wait_count(place, 35)
    stop(process)
    check(place, log=35)


def test_what_was_rotated_before_is_not_read(place):
    log = Log(place.path / "log", depth=9)
    for _ in range(3):
        log.write(5)
        log.rotate()
    log.write(5)
    process = start(place, config("log"))
    wait_count(place, 5)
    log.rotate()
    log.write(5)
    wait_count(place, 10)
    time.sleep(0.3)
    stop(process)
    assert saved(place)["log"] == list(range(15, 25))


# --- truncation ------------------------------------------------------------------------------------------


def test_copy_and_truncate(place):
    """While it runs: the writer pauses until all is read, since what comes between copy and truncation is lost by this method."""
    log = Log(place.path / "log")
    process = start(place, config("log*"))
    for n in range(8):
        log.write(random.randrange(1, 2000))
        wait_count(place, log.written)
        os.truncate(place.path / "log", 0)
    log.write(10)
    wait_count(place, log.written)
    stop(process)
    check(place, log=log.written)


def test_truncated_while_nobody_runs(place):
    log = Log(place.path / "log")
    total = 0
    for size in (100, 50, 70, 20):
        process = start(place, config("log"), "--resume")
        log.write(size)
        total += size
        wait_count(place, total)
        stop(process)
        os.truncate(place.path / "log", 0)
        if size == 70:
            log.write(5)
            total += 5
    process = start(place, config("log"), "--resume")
    log.write(200)
    wait_count(place, total + 200)
    stop(process)
    check(place, log=log.written)


def test_a_file_that_has_grown_over_an_old_generation(place):
    """The second generation becomes longer than the first one was, which is known to have been read further than it was then."""
    log = Log(place.path / "log")
    process = start(place, config("log"))
    log.write(100)
    wait_count(place, 100)
    os.truncate(place.path / "log", 0)
    log.write(50)
    wait_count(place, 150)
    stop(process)
    log.write(200)
    process = start(place, config("log"), "--resume")
    wait_count(place, 350)
    stop(process)
    check(place, log=350)


# --- ends ------------------------------------------------------------------------------------------------


def test_a_stop_ends_the_wait_and_a_resumed_run_reads_what_is_new(place):
    log = Log(place.path / "log")
    log.write(1000)
    for n in range(3):
        process = start(place, config("log"), *(["--resume"] if n else []))
        wait_count(place, log.written)
        time.sleep(0.2)
        begin = time.monotonic()
        stop(process)
        assert time.monotonic() - begin < 2
        log.write(10)
    check(place, log=1020)


def test_from_reading_to_following_and_back(place):
    """The same file goes on where it was."""
    log = Log(place.path / "log")
    log.write(10)
    plain = config("log").replace("follow = true", "follow = false")
    place.write("p.conf", plain)
    assert place.sluice("run", "p.conf")[0] == 0
    log.write(10)
    process = start(place, config("log"), "--resume")
    wait_count(place, 20)
    stop(process)
    log.write(10)
    place.write("p.conf", plain)
    code, _, err = place.sluice("run", "--resume", "p.conf")
    assert code == 0, err
    check(place, log=30)


def test_the_lag_is_shown(place):
    log = Log(place.path / "log")
    log.write(6000)
    process = start(place, config("log", work='rate = "3000/s";'))

    def source():
        done = subprocess.run(["curl", "-s", "--unix-socket", place.path / "r/sluice/p/control.sock", "http://sluice/v1/status"],
                              capture_output=True, text=True)
        if done.returncode != 0:
            return None
        stages = json.loads(done.stdout)["stages"]
        return next(stage for stage in stages if stage["name"] == "read")["instances"][0]["source"]
    size = (place.path / "log").stat().st_size
    told = wait_for(lambda: (told := source()) and told.get("total") and told, what="a total")
    assert told["total"] == size, told
    wait_count(place, 6000)
    log.write(100)
    wait_count(place, 6100)
    wait_for(lambda: source()["done"] == source()["total"] == (place.path / "log").stat().st_size)
    stop(process)


@pytest.mark.parametrize("options, said", [
    ('path = "-"; format = "lines"; follow = true;', "standard input"),
    ('path = "a.log.gz"; follow = true;', "compressed"),
    ('path = "a.log"; compression = "zstd"; follow = true;', "compressed"),
    ('path = "a.json"; follow = true;', "ndjson"),
    ('path = "log*"; follow = true;', "format"),
])
def test_what_cannot_be_followed(place, options, said):
    place.write("p.conf", f'stages = {{ read = {{ source = "file"; {options} }}; save = {{ sink = "null"; from = "read"; }}; }};')
    code, _, err = place.sluice("check", "p.conf")
    assert code == 78
    assert said in err


# --- without inotify -------------------------------------------------------------------------------------


def unshare(setting):
    """A user namespace has limits of its own."""
    return ["unshare", "-U", "-r", "sh", "-c", f'echo {setting[1]} > /proc/sys/user/{setting[0]} && exec "$@"', "sh"]


@pytest.mark.parametrize("setting", [("max_inotify_instances", 0), ("max_inotify_watches", 2)])
def test_it_looks_when_it_is_not_told(place, setting):
    if subprocess.run([*unshare(setting), "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespace can be made here")
    place.write("p.conf", config("*.log"))
    logs = [Log(place.path / f"{name}.log", name, depth=2) for name in "abcd"]
    for log in logs[:2]:
        log.write(5)
    process = subprocess.Popen([*unshare(setting), BUILD / "sluice", "run", "p.conf"], cwd=place.path, env=place.env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    place.running.append(process)
    wait_count(place, 10)
    for log in logs:
        log.write(5)
    wait_count(place, 30)
    logs[0].rotate()
    logs[0].write(5)
    os.truncate(place.path / "b.log", 0)
    wait_count(place, 35)
    time.sleep(1.5)
    logs[1].write(3)
    wait_count(place, 38)
    err = stop(process)
    assert err.count("looks at the files every second instead") == 1, err
    check(place, a=15, b=13, c=5, d=5)


def test_the_queue_of_events_overflows(place):
    most = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip("the queue is too long to be filled")
    logs = [Log(place.path / f"{n}.log", str(n)) for n in range(20)]
    for log in logs[:10]:
        log.write(5)
    process = start(place, config("*.log"))
    wait_count(place, 50)
    time.sleep(0.1)
    reader = next(iter(children(process.pid, {"read"})))
    os.kill(reader, signal.SIGSTOP)
    for _ in range(most // 2 + 1000):
        os.close(os.open(place.path / "noise", os.O_CREAT | os.O_WRONLY))
        os.unlink(place.path / "noise")
    for log in logs:
        log.write(5)
    os.kill(reader, signal.SIGCONT)
    begin = time.monotonic()
    wait_count(place, 150)
    assert time.monotonic() - begin < 5
    stop(process)
    check(place, **{log.name: log.written for log in logs})


# --- a list that is made once per run ----------------------------------------------------------------------


def listed(processes=2):
    return f"""stages = {{
      read = {{ source = "file"; path = "in-*.ndjson"; processes = {processes}; retain = "64KiB"; restart = 1000; backoff = "5ms"; }};
      work = {{ from = "read"; transform = "delay"; wait = "0s"; rate = "12000/s"; queue = 1; }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; append = true; order = "any"; }};
    }};"""


def fill(place, name, numbers=3000):
    with open(place.path / f"in-{name}.ndjson", "w") as file:
        file.writelines(line(name, n) for n in range(numbers))


def test_a_file_that_is_added_between_restarts(place):
    """With several processes all have the list with which the run began."""
    names = [f"{n:02}" for n in range(10)]
    for name in names[2:]:
        fill(place, name)
    process = start(place, listed())
    for added in ("00", "01", "055"):
        wait_for(lambda: count(place) > 0)
        fill(place, added)
        for victim in children(process.pid, {"read"}):
            os.kill(victim, signal.SIGKILL)
        time.sleep(0.1)
    code, _, err = finish(process)
    assert code == 0, err
    found = saved(place)
    assert {name: sorted(numbers) for name, numbers in found.items()} == {name: list(range(3000)) for name in names[2:]}
    # The next run has its own list, and there is one list only.
    (place.path / "out.ndjson").unlink()
    place.run(listed())
    assert set(saved(place)) == {*names, "055"}
    assert len(list((place.path / "s/sluice/p").glob("files.*"))) == 1


def test_a_file_of_the_list_that_is_gone(place):
    names = [f"{n:02}" for n in range(20)]
    for name in names:
        fill(place, name)
    process = start(place, listed())
    wait_for(lambda: {"00", "01"} <= set(saved(place)) and len(saved(place)["02"]) > 500)
    process.kill()
    process.wait()
    assert not saved(place).keys() & {"16", "17", "18", "19"}
    # Read to its end; not begun; not ours any more.
    for name in ("00", "18", "19"):
        (place.path / f"in-{name}.ndjson").unlink()
    fill(place, "new", 10)
    (place.path / "in-new.ndjson").rename(place.path / "in-19.ndjson")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert "in-18.ndjson is not there any more as it was when this run began: what it held behind byte 0 was not read" in err
    assert err.count("in-19.ndjson is not there any more as it was") == 1
    assert "in-00.ndjson" not in err
    found = {name: sorted(numbers) for name, numbers in saved(place).items()}
    assert found == {**{name: list(range(3000)) for name in names[:-2]}, "new": list(range(10))}
