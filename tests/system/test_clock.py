# SPDX-License-Identifier: MIT
"""The wall clock is moved by days, there and back, while records move: nothing waits for it, and nothing is lost or doubled."""
import os
import pathlib
import random
import subprocess
import time

import pytest

import storm
from conftest import SANITIZED, children, finish

DAY = 24 * 3600
SHIM = pathlib.Path(__file__).with_name("clock.c")


def set_clock(place, offset):
    """In one step, for all processes at once: they look into the file each time they ask. It is where each stage's sandbox lets it look."""
    (place.path / "st/clock.next").write_text(f"{offset}\n")
    os.rename(place.path / "st/clock.next", place.path / "st/clock")


@pytest.mark.skipif(SANITIZED, reason="what is preloaded would come before the sanitizer")
def test_the_clock_jumps(place):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    storm.write_input(place, 60000)
    place.write("p.conf", 'sync_interval = "100ms"; ' + storm.config("chain", "30000/s"))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", place.path / "clock.so", SHIM], check=True)
    place.env |= {"LD_PRELOAD": str(place.path / "clock.so"), "CLOCK_OFFSET": str(place.path / "st/clock")}
    (place.path / "st").mkdir(0o700)
    set_clock(place, -30 * DAY)
    process = storm.start(place)
    jumps = 0
    while process.poll() is None:
        time.sleep(0.05)
        set_clock(place, chance.choice((-DAY, DAY)) * chance.randrange(1, 400))
        jumps += 1
        # Whatever was to happen at some time of day happens to successors, too.
        victims = children(process.pid)
        if jumps % 5 == 0 and victims:
            os.kill(chance.choice(sorted(victims)), 9)
    assert finish(process)[0] == 0, storm.said(place)
    assert jumps >= 10
    storm.check(place, "chain", 60000, seed)
