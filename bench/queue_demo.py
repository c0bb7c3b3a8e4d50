# SPDX-License-Identifier: MIT
"""The queue demo with a million numbers, beside Python's multiprocessing.Queue doing the same."""
import json
import pathlib
import sys

from common import PLACE, done, measure, sluice

COUNT = 1_000_000
(PLACE / "q.conf").write_text("""stages = {
  numbers = { source = "sequence"; count = %d; };
  times   = { transform = "sql"; from = "numbers"; query = "SELECT value * 0.2 AS value FROM input"; };
  save    = { sink = "file"; from = "times"; path = "sluice.json"; };
};""" % COUNT)
script = pathlib.Path(__file__).with_name("queue_python.py")
found = measure(2, {"sluice": (sluice("q.conf"), None), "python": ([sys.executable, script, str(COUNT)], None)})
for name, (wall, cpu) in found.items():
    print(f"  {name:8} {wall:7.3f} s wall {cpu:7.2f} s cpu  {COUNT / wall:12,.0f} numbers/s")
print(f"  ratio {found['python'][0] / found['sluice'][0]:.1f}")
assert json.load(open(PLACE / "sluice.json")) == json.load(open(PLACE / "python.json"))
done()
