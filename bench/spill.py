# SPDX-License-Identifier: MIT
"""What a store is good for, and what it costs: a sink whose sibling stands still, with and without when_full; standard input with either intake."""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import time

from common import BUILD, ENV, PLACE, done, measure, sluice, table

RATE = 50_000
COUNT = 1_000_000


def pid_of(process, name):
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == process.pid and words[2].decode() == name:
            return int(entry)
    return 0


def written():
    """Bytes; all lines are as long."""
    return sum(path.stat().st_size for path in PLACE.glob("*fast.ndjson*"))


def rate(seconds):
    before, begin = written(), time.monotonic()
    time.sleep(seconds)
    return (written() - before) / (time.monotonic() - begin)


def is_whole(name, count):
    """Each record once, in order."""
    with open(PLACE / name) as file:
        return all(int(json.loads(line)["id"]) == n for n, line in enumerate(file)) and \
            (PLACE / name).stat().st_size == count * len(json.dumps({"id": "0" * 12, "text": "0" * 100}, separators=(",", ":")) + "\n")


def sibling(when_full, seconds):
    """What one of two sinks does in `seconds` in which the other is stopped, beside what it did before; then how long both need to be done."""
    for path in PLACE.glob("*.ndjson*"):
        path.unlink()
    warm = max(2, seconds / 6)
    count = int(RATE * (seconds + warm + 5))
    (PLACE / "s.conf").write_text(f"""stages = {{
      read = {{ source = "sequence"; rate = "{RATE}/s"; count = {count}; }};
      wide = {{ transform = "sql"; from = "read"; query = "SELECT printf('%012d', value) AS id, printf('%0100d', value) AS text FROM input"; }};
      fast = {{ sink = "file"; from = "wide"; path = "fast.ndjson"; }};
      save = {{ sink = "file"; from = "wide"; path = "save.ndjson"; when_full = "{when_full}"; stall_timeout = "0"; {'spill_max = "64GiB";' if when_full == "spill" else ""} }};
    }};""")
    process = subprocess.Popen([BUILD / "sluice", "run", "--from-start", "--quiet", "s.conf"], cwd=PLACE, env=ENV)
    while written() == 0:
        time.sleep(0.01)
    time.sleep(1)
    usual = rate(warm)
    victim = pid_of(process, "save.0")
    os.kill(victim, signal.SIGSTOP)
    kept = rate(seconds)
    held = sum(path.stat().st_size for path in PLACE.glob("s/sluice/s/spill.save.db*"))
    os.kill(victim, signal.SIGCONT)
    begin = time.monotonic()
    process.wait()
    after = time.monotonic() - begin
    exact = process.returncode == 0 and is_whole("fast.ndjson", count) and is_whole("save.ndjson", count)
    print(f"  when_full = \"{when_full}\": beside a sink that stands still for {seconds:g} s the other keeps {100 * kept / usual:.1f} % of its rate; "
          f"store {held / 1e6:.0f} MB; {after:.1f} s after it went on all was done; {'each record once in both' if exact else 'WRONG: not each record once in both'}",
          flush=True)
    return kept / usual, exact


def intake(kind):
    (PLACE / f"{kind}.conf").write_text(f"""stages = {{
      read = {{ source = "file"; path = "-"; format = "ndjson"; intake = "{kind}"; }};
      save = {{ sink = "file"; from = "read"; path = "out-{kind}.ndjson"; }};
    }};""")
    return ["sh", "-c", f"cat in.ndjson | {BUILD}/sluice run --from-start --quiet {kind}.conf"]


def costs():
    with open(PLACE / "in.ndjson", "w") as file:
        for n in range(COUNT):
            file.write('{"id": %d, "name": "name %d", "city": "Zürich", "text": "%s"}\n' % (n, n, "x" * 100))
    print(f"  {COUNT} records of {(PLACE / 'in.ndjson').stat().st_size // COUNT} bytes through standard input into a file")
    (PLACE / "spilled.conf").write_text("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      save = { sink = "file"; from = "read"; path = "out-spilled.ndjson"; when_full = "spill"; };
    };""")
    found = measure(3, {"intake memory": (intake("memory"), None), "intake durable": (intake("durable"), None),
                        "a file, when_full spill": (sluice("spilled.conf"), None)})
    table(found, "intake memory")
    assert (PLACE / "out-memory.ndjson").read_bytes() == (PLACE / "out-durable.ndjson").read_bytes()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=60, help="how long the sink stands still")
wanted = parser.parse_args().seconds
sibling("block", wanted)
share, is_exact = sibling("spill", wanted)
print(f"  the promise (95 % of its rate, then each record once): {'kept' if share >= 0.95 and is_exact else 'NOT KEPT'}")
costs()
done()
raise SystemExit(0 if share >= 0.95 and is_exact else 1)
