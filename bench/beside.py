# SPDX-License-Identifier: MIT
"""A pipeline and a Python script with the same work, each measured in the same way; and the table that says how they did."""
import collections
import contextlib
import json
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from common import BUILD, ENV, PLACE

LIMIT = 120
SCRIPTS = pathlib.Path(__file__).with_name("python")

# inner: from the first item to the last, everything already up. whole: the command's wall time, start and end included.
# cpu: of all its processes. memory: what it took more than before the work (see the caller). lines: what came out.
Run = collections.namedtuple("Run", "inner whole cpu memory lines")


class Wrong(Exception):
    """What came out is not what should have."""


def check(right, text):
    if not right:
        raise Wrong(text)


def ended(process, begin):
    """Waits for it: its wall seconds, the processor seconds of it and of every process it started; it must have succeeded."""
    _, status, used = os.wait4(process.pid, 0)
    process.timer.cancel()
    whole = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    process.errors.seek(0)
    check(process.returncode == 0, f"exit status {process.returncode}: {' / '.join(process.errors.read().decode().splitlines())[:300]}")
    return whole, used.ru_utime + used.ru_stime


def start(command, **more):
    """A command under watch: `ended` must be called. One that hangs is killed, and so found wrong."""
    errors = tempfile.TemporaryFile()
    process = subprocess.Popen(command, cwd=PLACE, env=ENV, stderr=errors, stdout=subprocess.PIPE, **more)
    process.errors = errors
    process.timer = threading.Timer(LIMIT, os.kill, (process.pid, signal.SIGKILL))
    process.timer.daemon = True
    process.timer.start()
    return process


def stages(pid):
    """The stage processes of a supervisor: {pid: name}."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        words = {int(child): pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children}
        return {child: word[2].decode() for child, word in words.items() if len(word) > 2}
    except OSError:
        return {}


def ticks(pids):
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            found.append((pid, stat[11], stat[12]))
    return found


def settle(process):
    """Until its processes have been idle for 0.2 s: whatever starting takes is over. How long that took is not measured."""
    until, before, since = time.monotonic() + 10, None, time.monotonic()
    while time.monotonic() < min(until, since + 0.2) and not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        now = ticks(stages(process.pid))
        if now != before or len(now) < 3:
            before, since = now, time.monotonic()
        time.sleep(0.02)


def memory(pid):
    """VmHWM, VmPTE of one process, bytes."""
    try:
        sizes = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        return [1024 * int(sizes[name].split()[0]) for name in ("VmHWM", "VmPTE")]
    except (OSError, KeyError):
        return [0, 0]


def pipeline(work):
    """Standard input -> the stage `work` -> standard output."""
    path = PLACE / "fed.conf"
    path.write_text(f"""stages = {{
  read = {{ source = "file"; path = "-"; format = "ndjson"; }};
  work = {{ from = "read"; {work} }};
  show = {{ sink = "stdout"; from = "work"; }};
}};""")
    return path


def fed(work, records):
    """
    A pipeline that is up is given `records` through its standard input: the time from the first byte in to the last record
    out; the stage's most memory, looked at every 20 ms and with everything that comes out.
    """
    begin = time.monotonic()
    process = start([BUILD / "sluice", "run", "--quiet", pipeline(work)], stdin=subprocess.PIPE)
    settle(process)
    mine = [pid for pid, name in stages(process.pid).items() if name.partition(".")[0] == "work"]
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    out, highest = [], {pid: (0, 0) for pid in mine}

    def write():
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(text)
            process.stdin.close()

    writer = threading.Thread(target=write)
    first = last = time.monotonic()
    missing = len(records)
    writer.start()
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 0.02)
        block = os.read(process.stdout.fileno(), 1 << 20) if ready else None
        if block == b"":
            break
        if block:
            if missing > 0:
                last = time.monotonic()
            missing -= block.count(b"\n")
            out.append(block)
        for pid in mine:
            highest[pid] = tuple(map(max, highest[pid], memory(pid)))
    writer.join()
    whole, cpu = ended(process, begin)
    lines = b"".join(out).decode().splitlines()
    check(len(lines) == len(records), f"sluice: {len(records)} records in, {len(lines)} out")
    check(mine, "sluice: no process of the stage was found")
    return Run(last - first, whole, cpu, sum(map(sum, highest.values())), [json.loads(line) for line in lines])


def counted(work, count):
    """`sluice run` as a whole: count integers -> the stage `work` -> a file."""
    (PLACE / "whole.conf").write_text(f"""stages = {{
  numbers = {{ source = "sequence"; count = {count}; }};
  work    = {{ from = "numbers"; {work} }};
  save    = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
}};""")
    begin = time.monotonic()
    whole, cpu = ended(start([BUILD / "sluice", "run", "--quiet", "whole.conf"]), begin)
    lines = (PLACE / "out.ndjson").read_text().splitlines()
    (PLACE / "out.ndjson").unlink()
    return Run(None, whole, cpu, 0, [json.loads(line) for line in lines])


def python(script, *words):
    begin = time.monotonic()
    process = start([sys.executable, SCRIPTS / script, *map(str, words)])
    found = process.stdout.read()
    whole, cpu = ended(process, begin)
    found = json.loads(found)
    return Run(found["last"] - found["first"], whole, cpu, found.get("memory", 0), found["results"])


@contextlib.contextmanager
def server(latency):
    """bench/python/server.py: its URL, and a function that gives its counts since the last time."""
    process = subprocess.Popen([sys.executable, SCRIPTS / "server.py", str(latency)], stdout=subprocess.PIPE)
    try:
        base = f"http://127.0.0.1:{int(process.stdout.readline())}"

        def stats():
            with urllib.request.urlopen(f"{base}/stats") as response:
                return json.load(response)

        yield f"{base}/graphql", stats
    finally:
        process.kill()
        process.wait()


def medians(rounds, *sides):
    """Each side in turn, `rounds` times: for each the median of every figure (and the last lines)."""
    found = [[] for _ in sides]
    for _ in range(rounds):
        for runs, side in zip(found, sides):
            runs.append(side())
    def median(values):
        return None if values[0] is None else statistics.median(values)
    return [Run(*(median([run[n] for run in runs]) for n in range(4)), runs[-1].lines) for runs in found]


class Table:
    """One row a figure, printed as soon as it is known."""
    FORM = "{:44} {:>12} {:>12} {:>8}  {:>12}  {}"

    def __init__(self):
        self.reached = self.aims = self.wrong = 0

    def head(self):
        print(self.FORM.format("demo", "Python", "sluice", "ratio", "aim", "reached"))
        print(self.FORM.format("-" * 44, "-" * 12, "-" * 12, "-" * 8, "-" * 12, "-" * 7), flush=True)

    def row(self, demo, theirs, ours, aim=None, unit="s", least=False, limit=None):
        """
        The aim, as text, is reached by what is no more than it (`least`: no less) when rounded to the digits in which it is
        written; `limit`: the number, where the text is in words. The ratio is how many times better sluice is.
        """
        forms = {"s": "{:.3f} s", "KiB": "{:.2f} KiB", "x": "{:.2f} x"}
        better = (ours / theirs if unit == "x" else theirs / ours) if theirs and ours else None
        said = "-"
        if aim:
            rounded = ours if limit is not None else round(ours, len(aim.partition(".")[2]))
            limit = float(aim) if limit is None else limit
            said = "yes" if (rounded >= limit if least else rounded <= limit) else "no"
            self.aims += 1
            self.reached += said == "yes"
            if aim.replace(".", "").isdigit():
                aim = f"{'>= ' if least else ''}{aim} {unit}"
        print(self.FORM.format(demo, "-" if theirs is None else forms[unit].format(theirs), forms[unit].format(ours),
                               "-" if better is None else f"{better:.2f}", aim or "-", said), flush=True)

    @contextlib.contextmanager
    def guard(self, demo):
        """What goes wrong inside is a row of the table, and the demos after it go on."""
        try:
            yield
        except Wrong as wrong:
            self.wrong += 1
            print(self.FORM.format(demo, "", "", "", "", f"WRONG: {wrong}"), flush=True)
