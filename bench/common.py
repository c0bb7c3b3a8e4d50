# SPDX-License-Identifier: MIT
"""What the measurements share: a folder, and a command timed as a whole process, the best and the median of several runs."""
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", pathlib.Path(__file__).parents[1] / "build")).resolve()
PLACE = pathlib.Path(tempfile.mkdtemp(prefix="slb"))
ENV = dict(os.environ, XDG_STATE_HOME=f"{PLACE}/s", XDG_RUNTIME_DIR=f"{PLACE}/r")


def run(*command, output=None):
    """Wall seconds and processor seconds (children included) of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    with open(output or os.devnull, "wb") as out:
        subprocess.run(command, cwd=PLACE, env=ENV, check=True, stdout=out, stderr=subprocess.DEVNULL)
    wall = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(times, commands, before=lambda: None):
    """Each command in turn, `times` rounds: {name: (median wall, median cpu)}; one round before is not counted, nor is what `before` does before each."""
    found = {name: [] for name in commands}
    for n in range(times + 1):
        for name, (command, output) in commands.items():
            before()
            one = run(*command, output=output)
            if n > 0:
                found[name].append(one)
    return {name: tuple(statistics.median(x) for x in zip(*all_)) for name, all_ in found.items()}


def sluice(config):
    return [BUILD / "sluice", "run", "--quiet", config]


def table(found, first):
    base = found[first][0]
    for name, (wall, cpu) in found.items():
        print(f"  {name:28} {wall:7.2f} s wall {cpu:7.2f} s cpu   {wall / base:5.1f} x the wall time of {first}")


def done():
    shutil.rmtree(PLACE, ignore_errors=True)
