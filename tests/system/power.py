# SPDX-License-Identifier: MIT
"""
Power cuts: a pipeline on an ext4 of its own that is shut down at random times as if the power had gone (EXT4_IOC_SHUTDOWN without a flush of its
journal): whatever was not synced is lost. Then every process is killed, the file system is mounted again, and the pipeline is started
under another boot id. In the end each record must be in file and table exactly once. Used by test_power.py and by bench/power.py.
"""
import fcntl
import os
import pathlib
import random
import signal
import struct
import subprocess
import tempfile
import time
import uuid

import pytest
from conftest import BUILD, Place, children
import storm

EXT4_IOC_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
NO_LOG_FLUSH = 2
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Disk:
    """An ext4, or of another kind, in a file, and the machine that it is in."""

    def __init__(self, size="192M", kind="ext4"):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="power"))
        self.folder = self.home / "disk"
        self.folder.mkdir()
        self.boot = self.home / "boot"
        try:
            subprocess.run(["truncate", "-s", size, self.home / "image"], check=True)
            subprocess.run([f"mkfs.{kind}", "-q", "-F" if kind == "ext4" else "-f", self.home / "image"], check=True, capture_output=True)
            self.device = self.attach()
            self.switch_on()
        except (OSError, subprocess.CalledProcessError) as error:
            subprocess.run(["rm", "-rf", self.home], check=False)
            pytest.skip(f"this machine cannot make and mount an {kind} of its own: {error}")

    def attach(self):
        return subprocess.run(["losetup", "-f", "--show", self.home / "image"], check=True, capture_output=True, text=True).stdout.strip()

    def move(self):
        """To another device, over a start of the machine."""
        old = self.device
        self.switch_off()
        self.device = self.attach()
        subprocess.run(["losetup", "-d", old], check=True)
        assert self.device != old
        self.switch_on()

    def switch_on(self):
        self.boot.write_text(f"{uuid.uuid4()}\n")
        subprocess.run(["mount", self.device, self.folder], check=True, capture_output=True)

    def cut(self):
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def switch_off(self):
        for _ in range(500):
            done = subprocess.run(["umount", self.folder], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            time.sleep(0.02)
        # It is gone with the last process that has it in a namespace of its own.
        for _ in range(500):
            try:
                os.close(os.open(self.device, os.O_RDWR | os.O_EXCL))
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the file system cannot be unmounted: {done.stderr}")

    def close(self):
        if os.path.ismount(self.folder):
            self.switch_off()
        subprocess.run(["losetup", "-d", self.device], check=False)
        subprocess.run(["rm", "-rf", self.home], check=False)


HIDDEN = 'mount -t proc -o subset=pid proc /proc && export SLUICE_BOOT_ID=$(tr -d - <"$0") && exec "$@"'


def start(place, disk, *arguments, hidden=False):
    """sluice, which takes `disk.boot` for the kernel's boot id; `hidden`: as systemd says it to a unit with ProcSubset=pid."""
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", HIDDEN if hidden else f'mount --bind "$0" {BOOT_ID} && exec "$@"', disk.boot, BUILD / "sluice", "run", "p.conf",
         "--state", "st", *arguments],
        cwd=place.path, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=open(disk.home / "err.txt", "a"))
    place.running.append(process)
    return process


def write_back_some(place, chance):
    """The kernel writes what it likes when it likes."""
    files = [path for path in place.path.rglob("*") if path.is_file()]
    for path in chance.sample(files, chance.randrange(len(files) + 1)):
        try:
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        except OSError:
            pass


def cut_power(place, disk, process, chance):
    write_back_some(place, chance)
    disk.cut()
    for pid in list(children(process.pid)) + [process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    disk.switch_off()
    disk.switch_on()


def run_with_cuts(place, disk, cuts, chance, *arguments, timeout=120, hidden=False):
    """Runs to the end, with so many power cuts on the way, if it takes that long: how many it came to, and what was said."""
    done = 0
    until = time.monotonic() + timeout
    while True:
        process = start(place, disk, *arguments, hidden=hidden)
        try:
            status = process.wait(chance.uniform(0.05, 1.0) if done < cuts else until - time.monotonic())
            break
        except subprocess.TimeoutExpired:
            assert done < cuts, f"not done after {timeout} s\n{(disk.home / 'err.txt').read_text()}"
            cut_power(place, disk, process, chance)
            done += 1
    said = (disk.home / "err.txt").read_text()
    assert status == 0 and "every record that was read is accounted for" in said, f"exit status {status}\n{said}"
    return done, said


def power(shape, records, cuts, seed, rate, interval="100ms"):
    """How many cuts it came to."""
    disk = Disk()
    place = Place(disk.folder / "place")
    try:
        place.path.mkdir()
        storm.write_input(place, records)
        place.write("p.conf", f'sync_interval = "{interval}"; ' + storm.config(shape, rate))
        os.sync()
        done, said = run_with_cuts(place, disk, cuts, random.Random(seed))
        storm.check(place, shape, records, f"seed {seed}, {done} power cuts\n{said}")
        return done
    finally:
        place.close()
        disk.close()
