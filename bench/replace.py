# SPDX-License-Identifier: MIT
"""From kill -9 of an instance to the next record through its replacement: source, transform and sink, 100 times each; ms, median and worst."""
import os
import signal
import subprocess
import sys
import time

from common import ENV, PLACE, sluice

TIMES = int(sys.argv[1]) if len(sys.argv) > 1 else 100
CONFIG = """stages = {
  read = { source = "sequence"; %(hardy)s };
  work = { transform = "sql"; from = "read"; query = "SELECT value FROM input WHERE value %% 50 = 0"; %(hardy)s };
  save = { sink = "file"; from = "work"; path = "out.ndjson"; append = true; %(hardy)s };
};""" % {"hardy": 'restart = 1000000; restart_within = "50ms";'}


def child(supervisor, stage):
    """The pid of its process; None while there is none."""
    for pid in open(f"/proc/{supervisor}/task/{supervisor}/children").read().split():
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[2].decode() == f"{stage}.0":
            return int(pid)
    return None


def size():
    return os.stat(PLACE / "out.ndjson").st_size


def once(supervisor, stage):
    """The successor must be there, and the file larger than all that was on its way when the old one died."""
    os.kill(child(supervisor, stage), signal.SIGKILL)
    begin = last_growth = time.monotonic()
    before = largest = size()
    longest = 0.0
    # The time without a record is the longest pause in the file's growth from the kill on.
    while time.monotonic() - begin < 0.4 or (largest == before and time.monotonic() - begin < 10):
        now = time.monotonic()
        grown = size()
        if grown > largest:
            longest = max(longest, now - last_growth)
            largest, last_growth = grown, now
        time.sleep(0.0005)
    assert largest > before
    return longest * 1000


(PLACE / "p.conf").write_text(CONFIG)
process = subprocess.Popen(sluice("p.conf"), cwd=PLACE, env=ENV, stderr=subprocess.DEVNULL)
try:
    time.sleep(1)
    for stage in "read", "work", "save":
        found = []
        for _ in range(TIMES):
            found.append(once(process.pid, stage))
            while not child(process.pid, stage):
                time.sleep(0.01)
            time.sleep(0.1)
        found.sort()
        print(f"{stage}: median {found[len(found) // 2]:.1f} ms, worst {found[-1]:.1f} ms of {len(found)}", flush=True)
finally:
    process.kill()
