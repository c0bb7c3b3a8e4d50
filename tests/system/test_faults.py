# SPDX-License-Identifier: MIT
"""Every place where the kernel, or SQLite, may say no: the n-th call of a kind fails in one process of a pipeline, for growing n until
there is no n-th call any more. However it ends, nothing is lost, nothing is there twice, and nobody sees half a file."""
import contextlib
import json
import os
import pathlib
import resource
import signal
import sqlite3
import subprocess
import tempfile

import pytest

from conftest import BUILD, ROOT, SANITIZED, Place, children, finish, wait_for

pytestmark = pytest.mark.xdist_group("faults")  # one build

RECORDS = 3000
WALL_SECONDS = 40
CPU_SECONDS = 4
PIPELINE = """stages = {
  read = { source = "file"; path = "in.ndjson"; backoff = "2ms"; };
  work = { transform = "sql"; from = "read"; query = "SELECT id, id * 2 AS twice, name FROM input"; backoff = "2ms"; };
  save = { sink = "file"; from = "work"; path = "out.ndjson"; backoff = "2ms"; };
  rows = { sink = "sqlite"; from = "work"; path = "out.db"; table = "orders"; create = true; backoff = "2ms"; };
};"""

SUPERVISOR = ("sluice", "sluice-stage")
STORES = ("read.0", "save.0", "rows.0")
INSTANCES = ("read.0", "work.0", "save.0", "rows.0")
STEPS = (1, 2, 3, 5, 8, 13, 21, 34, 89, 233, 610)
MEMORY = "Cannot allocate memory|out of memory|no memory"
# Kind -> the processes that make such calls, and what a person reads of it.
KINDS = {
    "write": (SUPERVISOR + INSTANCES, "No space left"),
    "fsync": (("sluice", "save.0"), "Input/output error"),
    "mmap": (("sluice",) + INSTANCES, MEMORY),
    "ftruncate": (("sluice", "read.0"), "Input/output error"),
    "posix_fallocate": (("read.0",), "No space left"),
    "fork": (("sluice",), "Resource temporarily unavailable"),
    "open": (SUPERVISOR + ("read.0", "save.0"), "Too many open files"),
    "rename": (("sluice", "save.0"), "Input/output error"),
    "memfd_create": (("sluice",), "Too many open files"),
    "malloc": (SUPERVISOR + INSTANCES, MEMORY),
    "sqlite-open": (INSTANCES, "unable to open database file|Too many open files"),
    "sqlite-write": (STORES, "database or disk is full|disk I/O error|No space left"),
    "sqlite-sync": (STORES, "disk I/O error"),
    "sqlite-truncate": (STORES, "disk I/O error"),
    "sqlite-mmap": (STORES, "disk I/O error|out of memory"),
    "sqlite-malloc": (INSTANCES, MEMORY),
}


@pytest.fixture(scope="session")
def faulty():
    """The programs built with --enable-fault-injection; their folder."""
    if SANITIZED:
        pytest.skip("faults are injected into a build of their own, once")
    command = '. scripts/packages && build_in build-faults --enable-fault-injection CFLAGS="-O1 -g" CXXFLAGS="-O1 -g"'
    done = subprocess.run(["sh", "-euc", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ROOT / "build-faults"


class Trial:
    """One fault in one run, and what came of it."""

    def __init__(self, build, fault):
        self.fault = fault
        self.build = build
        self.place = Place(tempfile.mkdtemp(prefix="sl"))
        self.log = self.place.path / "fault"
        self.place.write("in.ndjson", "".join(json.dumps({"id": i, "name": f"n{i}"}) + "\n" for i in range(RECORDS)))
        self.place.write("p.conf", PIPELINE)

    def run(self, fault=None):
        """Exit status, stderr."""
        env = dict(self.place.env)
        if fault:
            env.update(SLUICE_FAULT=fault, SLUICE_FAULT_LOG=str(self.log))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen([self.build / "sluice", "run", "p.conf"], cwd=self.place.path, env=env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.place.running.append(process)
        code, _, err = finish(process, WALL_SECONDS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert used < CPU_SECONDS, f"{self.fault}: {used:.1f} s of CPU\n{err}"
        return code, err

    def file_is_right(self):
        lines = [json.loads(line) for line in (self.place.path / "out.ndjson").read_text().splitlines()]
        return lines == [{"id": i, "twice": 2 * i, "name": f"n{i}"} for i in range(RECORDS)]

    def rows_are_right(self):
        with contextlib.closing(sqlite3.connect(self.place.path / "out.db")) as database:
            rows = database.execute("SELECT id, twice, name FROM orders ORDER BY id").fetchall()
        return rows == [(i, 2 * i, f"n{i}") for i in range(RECORDS)]

    def check_outputs(self, err):
        assert self.file_is_right(), f"{self.fault}: out.ndjson\n{err}"
        assert self.rows_are_right(), f"{self.fault}: out.db\n{err}"

    def check(self, reasons):
        """False when there was no such call."""
        code, err = self.run(self.fault)
        if not self.log.exists():
            assert code == 0, f"{self.fault} did not happen\n{err}"
            return False
        assert code in (0, 1, 78), f"{self.fault}: exit status {code}\n{err}"
        if code == 0:
            self.check_outputs(err)
            return True
        assert any(reason in err for reason in reasons.split("|")), f"{self.fault}: no reason given\n{err}"
        assert not (self.place.path / "out.ndjson").exists() or self.file_is_right(), f"{self.fault}: half a file\n{err}"
        code, again = self.run()
        assert code == 0, f"{self.fault}: exit status {code} afterwards\n{err}\n--- then\n{again}"
        self.check_outputs(f"{err}\n--- then\n{again}")
        return True


def walk(build, kind, process, lasting):
    """How many faults happened."""
    count = 0
    reasons = KINDS[kind][1]
    # A full disk is waited for: of a broken one it must be said.
    if lasting and "No space left" in reasons:
        lasting, reasons = "+:EIO", "Input/output error|disk I/O error"
    for n in STEPS[::2] if lasting else STEPS:
        trial = Trial(build, f"{kind}:{n}{lasting}@{process}")
        try:
            if not trial.check(reasons):
                break
        finally:
            trial.place.close()
        count += 1
    return count


@pytest.mark.parametrize("lasting", ("", "+"), ids=("once", "lasting"))
@pytest.mark.parametrize("kind, process", [(kind, process) for kind, (processes, _) in KINDS.items() for process in processes])
def test_walk(faulty, kind, process, lasting):
    if lasting and (kind, process) == ("sqlite-write", "read.0"):
        pytest.skip("is tried for seconds: test_a_disk_that_cannot_write_stops_the_source")
    assert walk(faulty, kind, process, lasting) > 0


def test_a_batch_for_which_there_is_no_memory_keeps_its_place(faulty):
    """Those behind it, which are in the process by then, must not be written before it."""
    seen = 0
    for n in range(48, 140):
        trial = Trial(faulty, f"malloc:{n}@save.0")
        try:
            trial.place.write("p.conf", """stages = { read = { source = "file"; path = "in.ndjson"; };
                save = { sink = "file"; from = "read"; path = "out.ndjson"; backoff = "1ms"; queue = 16; restart = 100; }; };""")
            code, err = trial.run(trial.fault)
            assert code == 0, f"{trial.fault}: exit status {code}\n{err}"
            found = [json.loads(line)["id"] for line in open(trial.place.path / "out.ndjson")]
            assert found == list(range(RECORDS)), f"{trial.fault}: in another order, or not once each\n{err}"
            seen += "no memory for a batch" in err
        finally:
            trial.place.close()
        if seen == 3:
            return
    pytest.fail("never a batch without memory")


@pytest.mark.parametrize("fault", ("sqlite-write:38+2@read.0", "sqlite-write:30+2@rows.0", "sqlite-write:36+2@save.0", "write:9+2@save.0"))
def test_full_disk_is_waited_for(faulty, fault):
    trial = Trial(faulty, fault)
    try:
        code, err = trial.run(fault)
        assert trial.log.exists(), f"{fault} did not happen\n{err}"
        assert code == 0, f"{fault}: exit status {code}\n{err}"
        trial.check_outputs(err)
    finally:
        trial.place.close()


def test_a_disk_that_cannot_write_stops_the_source(faulty):
    """A checkpoint that is answered with an I/O error is tried for some seconds, and not for ever."""
    trial = Trial(faulty, "sqlite-write:38+:EIO@read.0")
    try:
        assert trial.check("the checkpoint cannot be written (tried 8 times)")
    finally:
        trial.place.close()


def test_a_source_takes_over_on_a_full_disk(faulty):
    """What is settled and not in the checkpoint cannot get into it yet: that holds nobody up."""
    trial = Trial(faulty, "sqlite-write:1+3@read.0")
    place = trial.place
    try:
        place.write("p.conf", PIPELINE.replace('backoff = "2ms"', 'rate = "3000/s"; backoff = "2ms"', 1))
        first = subprocess.Popen([faulty / "sluice", "run", "p.conf"], cwd=place.path, env=place.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        place.running.append(first)
        wait_for(lambda: children(first.pid, {"read"}) and (place.path / "out.db").exists(), what="the begin")
        first.send_signal(signal.SIGTERM)
        code, _, err = finish(first, WALL_SECONDS)
        assert code == 0, err
        # While it is open the files beside the database stay, and no process need write to open it.
        database = sqlite3.connect(place.path / "s/sluice/p/checkpoints.db")
        database.execute("SELECT * FROM origins").fetchall()
        said = place.path / "said"
        with said.open("w") as err:
            second = subprocess.Popen([faulty / "sluice", "run", "--resume", "p.conf"], cwd=place.path, stdin=subprocess.DEVNULL,
                                      env=dict(place.env, SLUICE_FAULT=trial.fault), stdout=subprocess.DEVNULL, stderr=err)
        place.running.append(second)
        wait_for(lambda: "the checkpoint waits" in said.read_text(), what="a settled cut that finds no space")
        os.kill(next(iter(children(second.pid, {"read"}))), signal.SIGKILL)
        assert second.wait(WALL_SECONDS) == 0, said.read_text()
        trial.check_outputs(said.read_text())
        database.close()
    finally:
        place.close()


# Seven were made for the start; the first of a reload is for the check.
@pytest.mark.parametrize("n", range(8, 15))
def test_reload(faulty, n):
    trial = Trial(faulty, f"memfd_create:{n}@sluice")
    try:
        text = PIPELINE.replace('path = "in.ndjson";', 'path = "in.ndjson"; rate = "5000/s";')
        trial.place.write("p.conf", text)
        env = dict(trial.place.env, SLUICE_FAULT=trial.fault, SLUICE_FAULT_LOG=str(trial.log))
        process = subprocess.Popen([faulty / "sluice", "run", "p.conf", "--runtime", "rt"], cwd=trial.place.path, env=env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(trial.place.path / "err.txt", "w"))
        trial.place.running.append(process)
        wait_for(lambda: (trial.place.path / ".out.ndjson.part").exists() and len(children(process.pid)) == 4, what="the start")
        trial.place.write("p.conf", text.replace("5000/s", "50000/s"))
        asked = subprocess.run([faulty / "sluice", "reload", "p.conf", "--runtime", "rt"], cwd=trial.place.path, env=trial.place.env,
                               capture_output=True, text=True, timeout=WALL_SECONDS)
        code, err = finish(process, WALL_SECONDS)[0], (trial.place.path / "err.txt").read_text()
        assert trial.log.exists() and "Too many open files" in err + asked.stderr, err
        assert asked.returncode == 1 and code == (0 if n == 8 else 1), f"exit status {code}\n{err}\n{asked.stderr}"
        if code == 1:
            code, err = trial.run()
            assert code == 0, err
        trial.check_outputs(err)
    finally:
        trial.place.close()


def test_other_builds_have_nothing_of_it():
    for program in "sluice", "sluiced", "sluice-stage":
        symbols = subprocess.run(["nm", BUILD / program], capture_output=True, text=True, check=True).stdout
        assert "fault_due" not in symbols and "__wrap_" not in symbols, program
        assert b"SLUICE_FAULT" not in pathlib.Path(BUILD / program).read_bytes(), program
