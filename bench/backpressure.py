# SPDX-License-Identifier: MIT
"""An endless source into a stage that stands still for a minute: the resident size of every process at its begin and its end."""
import os
import pathlib
import signal
import subprocess
import sys
import time

from common import BUILD, ENV, PLACE, done

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60


def children(pid):
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                rss = next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{entry}/status").read_text().splitlines() if line.startswith("VmRSS"))
                io = next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{entry}/io").read_text().splitlines() if line.startswith("wchar"))
                yield words[2].decode(), rss, io
        except (OSError, IndexError, StopIteration):
            pass


(PLACE / "b.conf").write_text("""stages = {
  read  = { source = "sequence"; };
  one   = { transform = "sql"; from = "read"; query = "SELECT value FROM input"; };
  two   = { transform = "sql"; from = "one"; query = "SELECT value FROM input"; };
  three = { transform = "sql"; from = "two"; query = "SELECT value FROM input"; };
  still = { transform = "delay"; from = "three"; wait = "1h"; };
  save  = { sink = "null"; from = "still"; };
};""")
process = subprocess.Popen([BUILD / "sluice", "run", "--quiet", "b.conf"], cwd=PLACE, env=ENV)
time.sleep(3)
begin = {name: (rss, io) for name, rss, io in children(process.pid)}
time.sleep(SECONDS)
end = {name: (rss, io) for name, rss, io in children(process.pid)}
print(f"  {SECONDS} s of standing still:  resident at begin, at end; bytes written meanwhile (PINGs only: no record moves)")
for name in sorted(begin):
    print(f"  {name:9} {begin[name][0]:7} KB {end[name][0]:7} KB {end[name][1] - begin[name][1]:9} bytes")
process.send_signal(signal.SIGINT)
time.sleep(0.3)
process.send_signal(signal.SIGINT)
process.wait()
done()
