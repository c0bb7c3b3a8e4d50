# SPDX-License-Identifier: MIT
"""Start to the first record out of a three-stage pipeline; the resident size of an idle stage."""
import os
import pathlib
import signal
import statistics
import subprocess
import time

from common import BUILD, ENV, PLACE, done

(PLACE / "s.conf").write_text("""stages = {
  read = { source = "inline"; records = ( 1 ); };
  work = { transform = "sql"; from = "read"; query = "SELECT value FROM input"; };
  show = { sink = "stdout"; from = "work"; };
};""")
times = []
for _ in range(21):
    begin = time.monotonic()
    process = subprocess.Popen([BUILD / "sluice", "run", "--quiet", "s.conf"], cwd=PLACE, env=ENV, stdout=subprocess.PIPE)
    process.stdout.readline()
    times.append(1000 * (time.monotonic() - begin))
    process.wait()
print(f"  start to first record out: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms of {len(times)}")

(PLACE / "i.conf").write_text("""stages = {
  read = { source = "file"; path = "-"; format = "ndjson"; };
  work = { transform = "sql"; from = "read"; query = "SELECT value FROM input"; };
  end  = { sink = "null"; from = "work"; };
};""")
process = subprocess.Popen([BUILD / "sluice", "run", "--quiet", "i.conf"], cwd=PLACE, env=ENV, stdin=subprocess.PIPE)
time.sleep(1)
for entry in sorted(os.listdir("/proc")):
    try:
        words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0") if entry.isdigit() else []
        stat = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split() if words else []
        if stat and int(stat[1]) == process.pid:
            status = pathlib.Path(f"/proc/{entry}/status").read_text()
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith(("VmRSS", "RssAnon"))}
            print(f"  idle {words[2].decode():8} {sizes['VmRSS'] / 1024:5.1f} MB resident, of which {sizes['RssAnon'] / 1024:.1f} MB its own")
    except OSError:
        pass
process.send_signal(signal.SIGINT)
process.wait()
done()
