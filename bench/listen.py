# SPDX-License-Identifier: MIT
"""
Syslog over TCP at a steady rate into listen -> sql -> file, with kill -9 of the listening process in the middle: processor time, and what was lost.

The sender never sends anything again, as most syslog senders do: after a broken connection it connects at once and goes on. What it had sent and nobody had
read, what was read and not settled: that is lost. `--intake durable` is put into the source's options.

With `--restart` the sender asks: it ends its side of the connection every half second, waits for our end beside the next one, and says all of it again when
the connection was reset. At a third of the time the listening process is killed, at two thirds the whole pipeline is stopped and started again; the socket stays open,
as systemd keeps it. Once with each intake: what it costs, how long lines and answers take, and whether anything is lost.
"""
import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import threading
import time

from common import ENV, PLACE, done, sluice

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=20)
parser.add_argument("--rate", type=int, default=10_000, help="lines a second")
parser.add_argument("--kills", type=int, default=1)
parser.add_argument("--restart", action="store_true", help="a sender that asks, a kill and a restart, with both intakes")
parser.add_argument("--intake", help="memory or durable; not given: the option is left out")
arguments = parser.parse_args()

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]


def configure(address, intake):
    option = f'intake = "{intake}";' if intake else ""
    (PLACE / "p.conf").write_text(f"""stages = {{
  in   = {{ source = "listen"; address = "{address}"; format = "syslog"; restart = 1000; backoff = "10ms"; {option} }};
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


# --- a sender that does not ask ------------------------------------------------------------------------


def measure_loss():
    configure(f"tcp://127.0.0.1:{PORT}", arguments.intake)
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
        print(f"  {sender.sent} lines in {arguments.seconds:g} s, {kills} times kill -9{f', intake {arguments.intake}' if arguments.intake else ''}; exit status {os.waitstatus_to_exitcode(status)}")
        print(f"  processor time of all processes: {cpu:.2f} s, {100 * cpu / arguments.seconds:.1f} % of one core, {1e6 * cpu / sender.sent:.1f} us a line")
        print(f"  lost: {lost} lines ({100 * lost / sender.sent:.3f} %), of which at most {said} had been read; {len(found) - len(set(found))} twice; "
              f"in order: {'yes' if found == sorted(found) else 'NO'}")
        print(f"  connections refused: {sender.refused}, broken: {sender.broken}")
        if not found:
            print(open(PLACE / "err").read())
    finally:
        if process.returncode is None and process.poll() is None:
            process.kill()


# --- a sender that asks --------------------------------------------------------------------------------

CHUNK = 0.5


class Asker:
    """A chunk of lines for each connection; a thread waits for its end, and says it again when there is none."""

    def __init__(self):
        self.answered, self.resent, self.refused, self.threads = [], 0, 0, []

    def give(self, first, begin):
        """The lines of a chunk, each when it is due."""
        end = first + int(arguments.rate * CHUNK)
        sent, s = first, None
        try:
            s = socket.create_connection(("127.0.0.1", PORT))
            while sent < end:
                due = min(end, int((time.monotonic() - begin) * arguments.rate) + 1)
                s.sendall(b"".join(line(n) for n in range(sent, due)))
                sent = max(sent, due)
                time.sleep(0.005)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            if s:
                s.close()
            s = None
        thread = threading.Thread(target=self.wait, args=(s, first, end))
        thread.start()
        self.threads.append(thread)
        return end

    def wait(self, s, first, end):
        said = time.monotonic()
        while not s or not self.has_ended(s):
            self.resent += end - first
            s = self.again(first, end)
        self.answered.append((end, time.monotonic() - said))

    @staticmethod
    def has_ended(s):
        with s:
            try:
                return s.recv(1) == b""
            except OSError:
                return False

    def again(self, first, end):
        try:
            s = socket.create_connection(("127.0.0.1", PORT))
            s.sendall(b"".join(line(n) for n in range(first, end)))
            s.shutdown(socket.SHUT_WR)
            return s
        except ConnectionRefusedError:
            self.refused += 1
        except OSError:
            pass
        time.sleep(0.05)
        return None


class Pipeline:
    """Started as systemd would, with the socket."""

    def __init__(self, listener):
        self.listener, self.cpu = listener, 0.0
        self.errors = open(PLACE / "err", "w+")
        self.start()

    def start(self):
        command = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=listen exec "$@"', "sh", *sluice("p.conf"), "--resume"]
        self.process = subprocess.Popen(command, cwd=PLACE, env=ENV, stderr=self.errors, close_fds=False,
                                        preexec_fn=self.pass_socket)
        wait_for(lambda: child(self.process.pid))

    def pass_socket(self):
        os.dup2(self.listener.fileno(), 3)
        os.set_inheritable(3, True)

    def stop(self):
        self.process.terminate()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu += usage.ru_utime + usage.ru_stime

    def disturb(self):
        time.sleep(arguments.seconds / 3)
        os.kill(child(self.process.pid), 9)
        time.sleep(arguments.seconds / 3)
        self.stop()
        self.start()


def sample(begin, delays, stop):
    """How long ago what stands in the file last was said; while nothing is disturbed."""
    while not stop.wait(0.1):
        now = time.monotonic() - begin
        if now < arguments.seconds / 3 and (PLACE / "out.ndjson").exists() and (n := last()) > 0:
            delays.append(time.monotonic() - begin - n / arguments.rate)


def measure_restart(intake):
    for name in "out.ndjson", "s", "r":
        subprocess.run(["rm", "-rf", PLACE / name], check=True)
    configure("fd:listen", intake)
    listener = socket.create_server(("127.0.0.1", PORT), backlog=1024)
    pipeline = Pipeline(listener)
    asker, delays, stop, sent = Asker(), [], threading.Event(), 0
    begin = time.monotonic()
    helpers = [threading.Thread(target=pipeline.disturb), threading.Thread(target=sample, args=(begin, delays, stop))]
    for helper in helpers:
        helper.start()
    while time.monotonic() - begin < arguments.seconds:
        sent = asker.give(sent, begin)
    for thread in asker.threads:
        thread.join()
    stop.set()
    for helper in helpers:
        helper.join()
    wait_for(lambda: len(set(numbers())) == sent, 30)
    pipeline.stop()
    listener.close()
    found = numbers()
    answers = sorted(seconds for _, seconds in asker.answered)
    print(f"  {intake + ':':8} {sent} lines; lost {sent - len(set(found))}, twice {len(found) - len(set(found))}, said again {asker.resent}, connections refused {asker.refused}")
    print(f"           processor time {pipeline.cpu:.2f} s, {1e6 * pipeline.cpu / len(found):.1f} us a line; a line is in the file after "
          f"{1e3 * statistics.median(delays):.0f} ms (median); a connection is answered after {1e3 * statistics.median(answers):.0f} ms (median), {1e3 * answers[-1]:.0f} ms (longest)")


if arguments.restart:
    print(f"  {arguments.rate} lines a second for {arguments.seconds:g} s, one kill -9 of the listening process, one restart of the pipeline")
    for each in "memory", "durable":
        measure_restart(each)
else:
    measure_loss()
done()
