# SPDX-License-Identifier: MIT
"""
A file system whose device has another number after a start of the machine: its files are what they were. And what was begun when files were known
by their device goes on. The disk is that of power.py.
"""
import os
import pathlib
import signal
import subprocess

import pytest

import power
from conftest import BUILD, SANITIZED, children, finish, wait_for

SHIM = pathlib.Path(__file__).with_name("fsid.c")


class Machine:
    """One disk, one pipeline."""

    def __init__(self, kind="ext4", follow=False, source="", sink="append = true;"):
        self.disk = power.Disk(size="300M" if kind == "xfs" else "64M", kind=kind)
        self.follow = follow
        self.count = 0
        try:
            self.place = power.Place(self.disk.folder / "place")
            self.place.path.mkdir()
            self.place.write("p.conf", f"""drain_timeout = "30s"; stages = {{
                read = {{ source = "file"; path = "in.ndjson"; follow = {str(follow).lower()}; {source} }};
                save = {{ sink = "file"; from = "read"; path = "out.ndjson"; {sink} }}; }};""")
        except Exception:
            self.disk.close()
            raise

    def add(self, count):
        with open(self.place.path / "in.ndjson", "a", encoding="utf-8") as file:
            file.writelines(f'{{"n":{n}}}\n' for n in range(self.count, self.count + count))
        self.count += count

    def lines(self):
        try:
            return [int(line[5:-2]) for line in open(self.place.path / "out.ndjson", encoding="utf-8")]
        except (OSError, ValueError):
            return []

    def start(self):
        process = subprocess.Popen([BUILD / "sluice", "run", "p.conf", "--state", "st", "--resume"], cwd=self.place.path, env=self.place.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.disk.home / "err.txt", "a"))
        self.place.running.append(process)
        return process

    def end(self, process):
        if self.follow:
            wait_for(lambda: len(self.lines()) >= self.count or process.poll() is not None, what="all lines")
            process.terminate()
        status = finish(process)[0]
        said = (self.disk.home / "err.txt").read_text()
        assert status == 0 and "not there any more" not in said, said
        assert self.lines() == list(range(self.count)), said

    def run(self):
        self.end(self.start())

    def kill(self, process):
        for pid in [process.pid, *children(process.pid)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def close(self):
        self.place.close()
        self.disk.close()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("follow", [False, True], ids=["read", "followed"])
def test_another_device(kind, follow):
    machine = Machine(kind, follow)
    try:
        for count in (1000, 500, 1):
            machine.add(count)
            machine.run()
            machine.disk.move()
    finally:
        machine.close()


def test_sink_that_had_nothing_yet():
    """What it writes to is known by what stands in it, and so far that is nothing."""
    machine = Machine(follow=True)
    try:
        machine.add(0)
        process = machine.start()
        wait_for(lambda: (machine.place.path / "out.ndjson").exists())
        machine.end(process)
        machine.disk.move()
        machine.add(10)
        machine.run()
    finally:
        machine.close()


@pytest.mark.skipif(SANITIZED, reason="what is preloaded would come before the sanitizer")
@pytest.mark.parametrize("follow", [False, True], ids=["read", "followed"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["at rest", "killed"])
def test_known_by_its_device(follow, is_killed):
    """Goes on, at once or after what was cut then is settled, and after that the device may be another."""
    machine = Machine(follow=follow, source='rate = "20000/s";')
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", machine.disk.home / "fsid.so", SHIM], check=True)
        machine.place.env["LD_PRELOAD"] = str(machine.disk.home / "fsid.so")
        if is_killed:
            machine.add(30000)
            process = machine.start()
            wait_for(lambda: len(machine.lines()) > 2000)
            machine.kill(process)
            assert len(machine.lines()) < 30000
        else:
            machine.add(1000)
            machine.run()
        del machine.place.env["LD_PRELOAD"]
        machine.add(500)
        machine.run()
        machine.add(500)
        machine.run()
        machine.disk.move()
        machine.add(500)
        machine.run()
        machine.disk.move()
        machine.add(1)
        machine.run()
    finally:
        machine.close()


@pytest.mark.skipif(SANITIZED, reason="what is preloaded would come before the sanitizer")
def test_generations_go_along():
    """Of a file that was truncated twice."""
    machine = Machine(follow=True)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", machine.disk.home / "fsid.so", SHIM], check=True)
        machine.place.env["LD_PRELOAD"] = str(machine.disk.home / "fsid.so")
        for _ in range(3):
            process = machine.start()
            machine.add(100)
            wait_for(lambda: len(machine.lines()) == machine.count)
            os.truncate(machine.place.path / "in.ndjson", 0)
            wait_for(lambda: "was truncated" in (machine.disk.home / "err.txt").read_text())
            machine.end(process)
        del machine.place.env["LD_PRELOAD"]
        machine.add(100)
        machine.run()
        machine.disk.move()
        machine.add(100)
        machine.run()
        machine.add(1)
        machine.run()
    finally:
        machine.close()
