# SPDX-License-Identifier: MIT
"""
Syslog over TCP at a steady rate into listen -> sql -> file, with kill -9 of the listening process in the middle: processor time, and what was lost.

The sender never sends anything again, as syslog senders do: after a broken connection it connects at once and goes on. What it had sent and nobody had
read, what was read and not settled: that is lost. `--intake durable` is put into the source's options.
"""
import argparse
import json
import os
import re
import socket
import subprocess
import time

from common import ENV, PLACE, done, sluice

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=20)
parser.add_argument("--rate", type=int, default=10_000, help="lines a second")
parser.add_argument("--kills", type=int, default=1)
parser.add_argument("--intake", help="memory or durable; not given: the option is left out")
arguments = parser.parse_args()

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
INTAKE = f'intake = "{arguments.intake}";' if arguments.intake else ""
(PLACE / "p.conf").write_text(f"""stages = {{
  in   = {{ source = "listen"; address = "tcp://127.0.0.1:{PORT}"; format = "syslog"; restart = 1000; backoff = "10ms"; {INTAKE} }};
  work = {{ transform = "sql"; from = "in"; query = "SELECT procid, severity, message FROM input"; }};
  save = {{ sink = "file"; from = "work"; path = "out.ndjson"; append = true; }};
}};""")


def child(supervisor):
    for pid in open(f"/proc/{supervisor}/task/{supervisor}/children").read().split():
        try:
            if b"in.0" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0"):
                return int(pid)
        except OSError:
            pass
    return None


def line(n):
    return b"<30>1 2026-07-31T12:00:00.000000+00:00 host.example.org service %d ID47 - a request of some user was answered in 17 ms\n" % n


class Sender:
    def __init__(self):
        self.socket, self.refused, self.broken, self.sent = None, 0, 0, 0

    def send(self, count):
        """So many lines, whether or not anybody gets them."""
        data = b"".join(line(n) for n in range(self.sent, self.sent + count))
        self.sent += count
        try:
            if not self.socket:
                self.socket = socket.create_connection(("127.0.0.1", PORT))
            self.socket.sendall(data)
        except ConnectionRefusedError:
            self.refused += 1
        except OSError:
            self.broken += 1
            self.socket.close()
            self.socket = None


def wait_for(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def numbers():
    try:
        return [int(json.loads(text)["procid"]) for text in open(PLACE / "out.ndjson") if text.endswith("\n")]
    except OSError:
        return []


def last():
    with open(PLACE / "out.ndjson", "rb") as file:
        file.seek(-min(1000, file.seek(0, os.SEEK_END)), os.SEEK_CUR)
        lines = [text for text in file.read().splitlines(True) if text.endswith(b"\n")]
    return int(json.loads(lines[-1])["procid"]) if len(lines) > 1 else -1


def feed(sender, pid):
    """Sends at the rate; the killings are spread over the time."""
    begin, kills = time.monotonic(), 0
    while (now := time.monotonic() - begin) < arguments.seconds:
        due = int(now * arguments.rate) - sender.sent
        if due > 0:
            sender.send(due)
        if kills < arguments.kills and now > (kills + 1) * arguments.seconds / (arguments.kills + 1) and child(pid):
            os.kill(child(pid), 9)
            kills += 1
        time.sleep(0.005)
    return kills


errors = open(PLACE / "err", "w+")
process = subprocess.Popen(sluice("p.conf"), cwd=PLACE, env=ENV, stderr=errors)
try:
    sender = Sender()
    wait_for(lambda: child(process.pid))
    time.sleep(0.2)
    kills = feed(sender, process.pid)
    if sender.socket:
        sender.socket.close()
    time.sleep(0.5)
    wait_for(lambda: last() == sender.sent - 1, 10)
    process.terminate()
    _, status, usage = os.wait4(process.pid, 0)
    found = numbers()
    cpu = usage.ru_utime + usage.ru_stime
    lost = sender.sent - len(set(found))
    said = sum(int(b) - int(a) + 1 for a, b in re.findall(r"messages (\d+) to (\d+): refused", open(PLACE / "err").read()))
    print(f"  {sender.sent} lines in {arguments.seconds:g} s, {kills} times kill -9{', ' + INTAKE if INTAKE else ''}; exit status {os.waitstatus_to_exitcode(status)}")
    print(f"  processor time of all processes: {cpu:.2f} s, {100 * cpu / arguments.seconds:.1f} % of one core, {1e6 * cpu / sender.sent:.1f} us a line")
    print(f"  lost: {lost} lines ({100 * lost / sender.sent:.3f} %), of which at most {said} had been read; {len(found) - len(set(found))} twice; "
          f"in order: {'yes' if found == sorted(found) else 'NO'}")
    print(f"  connections refused: {sender.refused}, broken: {sender.broken}")
    if not found:
        print(open(PLACE / "err").read())
finally:
    if process.returncode is None and process.poll() is None:
        process.kill()
done()
