# SPDX-License-Identifier: MIT
"""1 000 000 records, file -> fault -> file: without one that kills its process (SIGSEGV), with one in the middle, with ten."""
import json
import subprocess
import time

from common import ENV, PLACE, done, sluice

COUNT = 1_000_000
CONFIG = """stages = {
  read = { source = "file"; path = "in.ndjson"; };
  work = { transform = "fault"; from = "read"; field = "bad"; action = "segv"; %s };
  save = { sink = "file"; from = "work"; path = "out.ndjson"; };
};"""


def feed(bad):
    with open(PLACE / "in.ndjson", "w") as file:
        for n in range(COUNT):
            file.write(json.dumps({"id": n, "name": f"name {n % 1000}", "amount": n / 4, "bad": n in bad}) + "\n")


def once(bad, config):
    """Wall seconds; everything else must be out, in order."""
    (PLACE / "p.conf").write_text(CONFIG % config)
    begin = time.monotonic()
    code = subprocess.run(sluice("p.conf"), cwd=PLACE, env=ENV, stderr=subprocess.DEVNULL).returncode
    wall = time.monotonic() - begin
    assert code == (3 if bad else 0), code
    with open(PLACE / "out.ndjson") as file:
        assert [json.loads(line)["id"] for line in file] == [n for n in range(COUNT) if n not in bad]
    return wall


for name, config in ("one process", ""), ("processes = 2", "processes = 2;"), ("coroutines = 50", "coroutines = 50;"):
    found = {}
    for count in 0, 1, 10:
        bad = {COUNT // (count + 1) * (n + 1) for n in range(count)}
        feed(bad)
        found[count] = sorted(once(bad, config) for _ in range(3))[1]
    print(f"  {name:16} none {found[0]:6.2f} s   one {found[1]:6.2f} s (+{1000 * (found[1] - found[0]):.0f} ms)"
          f"   ten {found[10]:6.2f} s (+{100 * (found[10] - found[0]):.0f} ms each)")
done()
