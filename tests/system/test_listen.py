# SPDX-License-Identifier: MIT
"""The source `listen`: each transport and format, bounds, and that its sockets outlive its processes."""
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time

import pytest

from conftest import BUILD, children, finish, pause, resident, wait_for


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def config(address, source="", work="", save='sink = "file"; path = "out.ndjson";'):
    source += "" if "backoff" in source else 'backoff = "5ms";'
    work += "" if "wait" in work else 'wait = "0s";'
    return f"""stages = {{
      in   = {{ source = "listen"; address = "{address}"; restart = 1000; {source} }};
      work = {{ transform = "delay"; from = "in"; {work} }};
      save = {{ from = "work"; {save} }};
    }};"""


class Run:
    """A pipeline that runs until it is told to stop."""

    def __init__(self, place, text, *arguments, **more):
        self.place = place
        place.write("p.conf", text)
        self.errors = open(place.path / "err", "a+")
        self.process = place.start("run", *arguments, "p.conf", stderr=self.errors, **more)

    def err(self):
        return (self.place.path / "err").read_text()

    def child(self, stage="in"):
        """The pid of its first process; 0: there is none."""
        return next((pid for pid, name in sorted(children(self.process.pid, [stage]).items())), 0)

    def kept(self, stage="in"):
        """How many messages lie below its checkpoint, which is behind by at most a tenth of a second: these no death can touch."""
        for path in self.place.path.glob("s/sluice/*/checkpoints.db"):
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                return database.execute("SELECT coalesce(max(position), 0) FROM origins WHERE stage = ?", [stage]).fetchone()[0]
            except sqlite3.OperationalError:
                return 0
            finally:
                database.close()
        return 0

    def end(self, status=0, how=signal.SIGTERM, timeout=30):
        self.process.send_signal(how)
        code, _, _ = finish(self.process, timeout)
        assert code == status, f"exit status {code}\n{self.err()}"
        assert "leak" not in self.err()
        return self.records()

    def records(self):
        for name in "out.ndjson", ".out.ndjson.part":
            if (self.place.path / name).exists():
                return [json.loads(line) for line in (self.place.path / name).read_text().splitlines(True) if line.endswith("\n")]
        return []

    def wait(self, count, timeout=30):
        return wait_for(lambda: len(self.records()) >= count and self.records(), timeout, f"{count} records")


def connect(target, timeout=10):
    """As soon as somebody listens there."""
    deadline = time.monotonic() + timeout
    while True:
        family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        try:
            s.connect(target)
            return s
        except OSError:
            s.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def reset(s):
    """Breaks it off."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# --- transports and formats -------------------------------------------------------------------------------

STREAMS = ["tcp", "unix"]
TRANSPORTS = ["tcp", "unix", "udp", "unixgram"]


@contextlib.contextmanager
def transport(place, kind, source="", **more):
    """The run, and a function that sends a list of messages, each with its newline."""
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    path = f"{place.path}/x.sock"
    address = f"{kind}://127.0.0.1:{port}" if kind in ("tcp", "udp") else f"{kind}://{path}"
    run = Run(place, config(address, source, **more))
    if kind in STREAMS:
        s = connect(("127.0.0.1", port) if kind == "tcp" else path)

        def send(*messages):
            for message in messages:
                s.sendall(message)
    else:
        wait_for(run.child, what="the process")
        s = socket.socket(socket.AF_INET if kind == "udp" else socket.AF_UNIX, socket.SOCK_DGRAM)
        wait_for(lambda: kind == "udp" or os.path.exists(path))
        s.connect(("127.0.0.1", port) if kind == "udp" else path)

        def send(*messages):
            for message in messages:
                s.send(message)
    try:
        yield run, send
    finally:
        s.close()


def peer_of(kind):
    return r"127\.0\.0\.1:\d+" if kind in ("tcp", "udp") else f"pid {os.getpid()} uid {os.getuid()}"


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_lines(place, kind):
    with transport(place, kind) as (run, send):
        send(b"one\n", b"zwei \xe2\x82\xac\r\n", b"three\nfour\n")
        run.wait(4)
        assert run.end() == ["one", "zwei €", "three", "four"]
    assert not os.path.exists(f"{place.path}/x.sock")


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_ndjson_with_peer(place, kind):
    with transport(place, kind, 'format = "ndjson"; peer_field = "from";') as (run, send):
        send(b'{"a":1,"from":"a lie"}\n', b"\n", b"[1,2]\n", b'{"a":\n')
        run.wait(2)
        wait_for(lambda: "refused" in run.err())
        records = run.end(3)
    assert re.fullmatch(peer_of(kind), records[0].pop("from"))
    assert re.fullmatch(peer_of(kind), records[1].pop("from"))
    assert records == [{"a": 1}, {"value": [1, 2]}]


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_syslog(place, kind):
    with transport(place, kind, 'format = "syslog";') as (run, send):
        send(b'<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 ID7 [a@1 x="1"] it works\n',
             b"<34>May  1 22:14:15 host su[17]: 'su root' failed\n")
        run.wait(2)
        first, second = run.end()
    assert re.fullmatch(peer_of(kind), first.pop("peer"))
    assert first == {"facility": 20, "severity": 5, "timestamp": "2003-08-24T05:14:15.000003-07:00", "host": "192.0.2.1", "app": "myproc",
                     "procid": "8710", "msgid": "ID7", "structured_data": {"a@1": {"x": "1"}}, "message": "it works"}
    assert (second["facility"], second["severity"], second["host"], second["app"], second["procid"]) == (4, 2, "host", "su", "17")
    assert second["timestamp"][4:19] == "-05-01T22:14:15"


@pytest.mark.parametrize("kind", STREAMS)
def test_octets(place, kind):
    with transport(place, kind, 'framing = "octets";') as (run, send):
        send(b"3 abc8 two\nlin", b"e3 xyz\n1 1")
        run.wait(4)
        assert run.end() == ["abc", "two\nline", "xyz", "1"]


def test_syslog_of_both_framings(place):
    with transport(place, "tcp", 'format = "syslog";') as (run, send):
        send(b"11 <13>su: a\nb<14>su: two\n<15>su: three\n9 <16>su: x")
        run.wait(4)
        records = run.end()
    assert [(r["severity"], r["message"]) for r in records] == [(5, "a\nb"), (6, "two"), (7, "three"), (0, "x")]


def test_every_address_and_ipv6(place):
    port = free_port()
    run = Run(place, config(f"tcp://*:{port}", 'peer_field = "peer";'))
    with connect(("127.0.0.1", port)) as s:
        s.sendall(b"four\n")
        run.wait(1)
    try:
        with socket.create_connection(("::1", port)) as s:
            s.sendall(b"six\n")
            run.wait(2)
    except OSError:
        pytest.skip("no IPv6 here")
    records = run.end()
    assert [r["value"] for r in records] == ["four", "six"]
    assert records[0]["peer"].startswith("127.0.0.1:") and records[1]["peer"].startswith("[::1]:")


# --- what is wrong ----------------------------------------------------------------------------------------

def test_malformed_is_a_dead_letter(place):
    with transport(place, "tcp", 'format = "syslog";') as (run, send):
        send(b"<13>su: good\n", b"rubbish from nowhere\n", b"<999>bad\n", b"<13>1 x\n", b"<13>su: good again\n")
        run.wait(2)
        assert [r["message"] for r in run.end(3)] == ["good", "good again"]
    err = run.err()
    assert re.search(r'in.0: 127.0.0.1:\d+, message 1: refused: it does not begin with a priority.*: "rubbish from nowhere"', err)
    assert re.search(r'message 3: refused: the time of an RFC 5424 head is none: "<13>1 x"', err)
    code, out, _ = place.sluice("dead", "show", "p.conf", "--id", "1")
    assert code == 0 and "rubbish from nowhere" in out


def test_the_same_rubbish_is_kept_each_time(place):
    with transport(place, "udp", 'format = "ndjson";') as (run, send):
        for _ in range(50):
            send(b"rubbish\n")
        send(b"1\n")
        run.wait(1)
        run.end(3)
    code, out, _ = place.sluice("dead", "list", "p.conf")
    assert len(out.splitlines()) == 51


@pytest.mark.parametrize("framing", ["newline", "octets"])
def test_too_long(place, framing):
    with transport(place, "tcp", f'framing = "{framing}"; line_max = "1KiB";') as (run, send):
        frame = (lambda b: b + b"\n") if framing == "newline" else (lambda b: b"%d %s" % (len(b), b))
        send(frame(b"a" * 1024), frame(b"b" * 1025), frame(b"ok"), frame(b"c" * 5_000_000), frame(b"fine"))
        run.wait(3)
        assert run.end(3) == ["a" * 1024, "ok", "fine"]
    assert len(re.findall(r"127.0.0.1:\d+, message \d: refused: it is longer than `line_max`", run.err())) == 2


def test_datagram_too_long(place):
    with transport(place, "udp", 'format = "syslog"; line_max = "1KiB";') as (run, send):
        send(b"<13>" + b"x" * 2000, b"<13>su: ok")
        run.wait(1)
        assert [r["message"] for r in run.end(3)] == ["ok"]
    assert "refused: it is longer than `line_max`" in run.err()


def test_without_a_count_the_connection_is_closed(place):
    with transport(place, "tcp", 'framing = "octets";') as (run, send):
        send(b"2 okno count")
        run.wait(1)
        wait_for(lambda: "does not begin with an octet count" in run.err())
        with connect(("127.0.0.1", int(re.search(r":(\d+)\"", (place.path / "p.conf").read_text())[1]))) as other:
            other.sendall(b"4 next")
            run.wait(2)
        assert run.end(3) == ["ok", "next"]


def test_a_rest_without_newline_is_a_record(place):
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}"))
    with connect(("127.0.0.1", port)) as s:
        s.sendall(b"whole\nrest")
    run.wait(2)
    # What a connection that is broken off has sent may be lost by the kernel, and harms nobody.
    s = connect(("127.0.0.1", port))
    s.sendall(b"broken")
    reset(s)
    with connect(("127.0.0.1", port)) as s:
        s.sendall(b"last\n")
        wait_for(lambda: "last" in run.records())
    records = run.end()
    assert records[:2] == ["whole", "rest"] and set(records[2:]) <= {"broken", "last"}


# --- bounds -----------------------------------------------------------------------------------------------

def test_many_connections(place):
    """Each keeps its order; none keeps another one waiting."""
    port, count, each = free_port(), 400, 50
    run = Run(place, config(f"tcp://127.0.0.1:{port}", 'format = "ndjson";'))
    sockets = [connect(("127.0.0.1", port)) for _ in range(count)]
    for n in range(each):
        for i, s in enumerate(sockets):
            text = b'{"s":%d,"n":%d}\n' % (i, n)
            s.sendall(text[:5])
            s.sendall(text[5:])
    run.wait(count * each, 60)
    for s in sockets:
        s.close()
    records = run.end()
    for i in range(count):
        assert [r["n"] for r in records if r["s"] == i] == list(range(each))


def test_max_connections(place):
    """Others wait, and are served when one leaves."""
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}", "max_connections = 3;"))
    sockets = [connect(("127.0.0.1", port)) for _ in range(6)]
    for i, s in enumerate(sockets):
        s.sendall(b"%d\n" % i)
    run.wait(3)
    wait_for(lambda: "`max_connections`, 3, are open: others wait until one ends" in run.err())
    assert sorted(run.records()) == ["0", "1", "2"]
    for i in range(3):
        sockets[i].close()
    run.wait(6)
    assert sorted(run.end()) == ["0", "1", "2", "3", "4", "5"]


# --- what its end says ------------------------------------------------------------------------------------


def ended(port, *messages):
    """A connection whose sender has said all of this, and that it has."""
    s = connect(("127.0.0.1", port))
    s.settimeout(20)
    s.sendall(b"".join(messages))
    s.shutdown(socket.SHUT_WR)
    return s


def test_its_end_says_that_all_is_settled(place):
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}", work='wait = "300ms";'))
    with ended(port, b"one\n", b"two\n") as s:
        assert s.recv(1) == b""
        assert run.records() == ["one", "two"]
    # Who says nothing has nothing that could be lost.
    with ended(port) as s:
        assert s.recv(1) == b""
    run.end()


def test_its_end_says_that_all_is_in_the_store(place):
    """Nobody takes it yet, and nobody of those who were there lives on."""
    port = free_port()
    text = config(f"tcp://127.0.0.1:{port}", 'intake = "durable";', work='rate = "1/m";')
    run = Run(place, text)
    with ended(port, *(b"%d\n" % n for n in range(1000))) as s:
        assert s.recv(1) == b""
    run.process.kill()
    run.process.wait()
    run = Run(place, text.replace('rate = "1/m";', ""))
    assert run.wait(1000) == [str(n) for n in range(1000)]
    run.end()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_is_not_settled_is_reset(place, how):
    """A death, or a stop before all is settled, cannot be taken for an end."""
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}", 'on_error = "drop";', work='wait = "2s";'))
    with ended(port, b"one\n") as s:
        wait_for(lambda: any(stat.split()[3] == "08" for stat in tcp_states(port)), what="the end, seen by its process")
        s.settimeout(0.2)
        with pytest.raises(TimeoutError):
            s.recv(1)
        s.settimeout(20)
        if how == "killed":
            os.kill(run.child(), signal.SIGKILL)
        else:
            run.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    run.process.kill()
    finish(run.process)


def tcp_states(port):
    """Lines of the kernel's table: those of that local port."""
    return [line for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[1].endswith(":%04X" % port)]


def test_many_that_end_at_once(place):
    """Each is answered: that it is settled, or, of those that are too many to be kept, not at all."""
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}"))
    senders = [connect(("127.0.0.1", port)) for _ in range(900)]
    for n, s in enumerate(senders):
        s.settimeout(20)
        s.sendall(b"%d\n" % n)
        s.shutdown(socket.SHUT_WR)
    well = 0
    for s in senders:
        with s, contextlib.suppress(ConnectionResetError):
            well += s.recv(1) == b""
    assert well >= 256
    assert sorted(map(int, run.wait(900))) == list(range(900))
    run.end()


def test_idle_connections_are_closed(place):
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}", 'idle_timeout = "300ms";'))
    idle, busy = connect(("127.0.0.1", port)), connect(("127.0.0.1", port))
    idle.sendall(b"the begin of a line")
    begin = time.monotonic()
    idle.settimeout(10)
    threading.Thread(target=lambda: [busy.sendall(b"x\n") or time.sleep(0.05) for _ in range(20)]).start()
    assert idle.recv(1) == b""
    assert 0.25 < time.monotonic() - begin < 5
    run.wait(21)
    assert "closed, since nothing came for `idle_timeout`" in run.err()
    assert run.err().count("idle_timeout") == 1
    assert "the begin of a line" in run.end()


@pytest.mark.parametrize("kind", STREAMS)
def test_a_slow_sink_stops_the_sender(place, kind):
    """And nothing grows meanwhile."""
    with transport(place, kind, 'socket_buffer = "64KiB";', work='wait = "1h"; retain = "1MiB";') as (run, _):
        target = f"{place.path}/x.sock" if kind == "unix" else ("127.0.0.1", int(re.search(r":(\d+)\"", (place.path / "p.conf").read_text())[1]))
        s = connect(target)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        s.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 1 << 30:
                sent += s.send(b"x" * 99 + b"\n")
        assert sent < 64 << 20
        before = resident(run.child())
        with pytest.raises(TimeoutError):
            s.send(b"x" * 1000)
        assert resident(run.child()) < before + 4096
        s.close()
        run.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in run.err())
        run.process.send_signal(signal.SIGTERM)
        finish(run.process)


def test_datagrams_that_the_kernel_drops_are_counted(place):
    """What was sent is there, or counted."""
    port = free_port(socket.SOCK_DGRAM)
    run = Run(place, config(f"udp://127.0.0.1:{port}", 'socket_buffer = "8KiB";'))
    wait_for(run.child)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", port))
    s.send(b"first\n")
    run.wait(1)
    pause(run.child())
    sent = 2000
    for n in range(sent):
        s.send(b"%d\n" % n)
    os.kill(run.child(), signal.SIGCONT)
    wait_for(lambda: "the kernel dropped" in run.err())
    dropped = int(re.search(r"the kernel dropped (\d+) datagrams so far", run.err())[1])
    run.wait(1 + sent - dropped)
    numbers = [int(r) for r in run.end(3)[1:]]
    assert numbers == sorted(numbers) and dropped > 100
    assert len(numbers) + dropped == sent
    assert re.search(rf"^in +[\d ]+? {dropped // 1000} {dropped % 1000:03} +0$", run.err(), re.MULTILINE)


# --- stopping ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", STREAMS)
def test_a_stop_gives_what_was_read(place, kind):
    """Of a sender whose lines go on: an unbroken begin of what was sent, up to whole lines, and one that connects now is refused."""
    with transport(place, kind, work='wait = "500us"; threads = 2;') as (run, send):
        stop = threading.Event()

        def flood():
            n = 0
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    send(b"".join(b"%d\n" % i for i in range(n, n + 500)))
                    n += 500
        sender = threading.Thread(target=flood)
        sender.start()
        run.wait(20)
        records = run.end()
        stop.set()
        sender.join()
    assert records == [str(n) for n in range(len(records))] and len(records) > 20
    # One read is 64 KiB, thousands of these lines: without the rest of it there would be about as many as credit was for.
    assert len(records) > 5000


def test_senders_are_refused_while_it_drains(place):
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}", work='wait = "1s";'))
    with connect(("127.0.0.1", port)) as s:
        s.sendall(b"1\n2\n")
        wait_for(lambda: children(run.process.pid, ["work"]))
        time.sleep(0.2)
        run.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in run.err())

        def is_refused():
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return False
            except ConnectionResetError:
                return False
            except ConnectionRefusedError:
                return run.process.poll() is None
        wait_for(is_refused, 5, "a refusal before the end")
    assert finish(run.process)[0] == 0
    assert run.records() == ["1", "2"]


def test_a_stopped_run_goes_on(place):
    port = free_port()
    for n in range(3):
        run = Run(place, config(f"tcp://127.0.0.1:{port}"))
        with connect(("127.0.0.1", port)) as s:
            s.sendall(b"%d\n" % n)
            run.wait(n + 1)
        assert run.end() == [str(i) for i in range(n + 1)]


# --- the socket outlives its processes ----------------------------------------------------------------------

class Sender(threading.Thread):
    """Sends numbered lines; after a connection broke it sends all again that were not seen to arrive."""

    def __init__(self, target, arrived, count, pause=0.0005):
        super().__init__(daemon=True)
        self.target, self.arrived, self.count, self.pause = target, arrived, count, pause
        self.refused = self.connections = 0

    def run(self):
        deadline = time.monotonic() + 60
        while len(self.arrived()) < self.count and time.monotonic() < deadline:
            missing = sorted(set(range(self.count)) - self.arrived())
            try:
                with socket.create_connection(self.target) as s:
                    self.connections += 1
                    for at in range(0, len(missing), 50):
                        s.sendall(b"".join(b"%d\n" % n for n in missing[at:at + 50]))
                        time.sleep(self.pause)
                    s.shutdown(socket.SHUT_WR)
                    # Closed by the other side when it has read all, or died.
                    s.settimeout(10)
                    with contextlib.suppress(OSError):
                        s.recv(1)
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass
            time.sleep(0.05)


@pytest.mark.parametrize("more", ["", "processes = 2;"])
def test_killed_processes_refuse_nobody(place, more):
    """kill -9 again and again: every connection is accepted, what is sent again arrives, and what is lost is said."""
    port, count = free_port(), 20_000
    run = Run(place, config(f"tcp://127.0.0.1:{port}", more))
    wait_for(run.child)
    connect(("127.0.0.1", port)).close()
    sender = Sender(("127.0.0.1", port), lambda: {int(r) for r in run.records()}, count)
    sender.start()
    chance, kills = random.Random(7), 0
    while sender.is_alive() and kills < 12:
        pid = run.child()
        if pid:
            os.kill(pid, signal.SIGKILL)
            kills += 1
        time.sleep(chance.uniform(0.05, 0.2))
    sender.join(90)
    assert not sender.is_alive() and sender.refused == 0 and sender.connections > 1
    records = run.end(3 if "they are lost" in run.err() else 0)
    assert {int(r) for r in records} == set(range(count))
    assert run.err().count("killed by signal 9") == kills


def test_killed_while_nobody_sends(place):
    """No record is lost, none comes twice, and the status is that of a run without faults."""
    port = free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}"))
    for n in range(5):
        with connect(("127.0.0.1", port)) as s:
            s.sendall(b"%d\n" % n)
            run.wait(n + 1)
        wait_for(lambda: run.kept() == n + 1)
        pid = wait_for(run.child)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: run.child() not in (0, pid))
    assert run.end() == ["0", "1", "2", "3", "4"]


def test_datagrams_wait_for_the_successor(place):
    port = free_port(socket.SOCK_DGRAM)
    run = Run(place, config(f"udp://127.0.0.1:{port}", 'backoff = "1s";'))
    wait_for(run.child)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", port))
    s.send(b"0\n")
    run.wait(1)
    wait_for(lambda: run.kept() == 1)
    for _ in range(2):
        pid = wait_for(run.child)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: run.child() != pid)
    for n in range(1, 20):
        s.send(b"%d\n" % n)
    run.wait(20)
    assert run.end() == [str(n) for n in range(20)]


def test_reload_keeps_the_socket(place):
    """A sender that connects again and again during reloads is never refused, and a reload with a taken address changes nothing."""
    port, other = free_port(), free_port()
    run = Run(place, config(f"tcp://127.0.0.1:{port}", 'format = "lines";'))
    connect(("127.0.0.1", port)).close()
    stop, sent, refused = threading.Event(), [0], [0]

    def send():
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port)) as s:
                    s.sendall(b"%d\n" % sent[0])
                    sent[0] += 1
                    s.shutdown(socket.SHUT_WR)
                    s.settimeout(10)
                    with contextlib.suppress(OSError):
                        s.recv(1)
            except ConnectionRefusedError:
                refused[0] += 1
            except OSError:
                pass
    sender = threading.Thread(target=send)
    sender.start()
    for n in range(4):
        place.write("p.conf", config(f"tcp://127.0.0.1:{port}", f"max_connections = {10 + n};"))
        code, out, err = place.sluice("reload", "p.conf")
        assert code == 0, err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", other))
        taken.listen()
        place.write("p.conf", config(f"tcp://127.0.0.1:{other}"))
        code, out, err = place.sluice("reload", "p.conf")
        assert code == 1 and "Address already in use" in out + err
    place.write("p.conf", config(f"tcp://127.0.0.1:{other}"))
    stop.set()
    sender.join()
    code, out, err = place.sluice("reload", "p.conf")
    assert code == 0, err
    with connect(("127.0.0.1", other)) as s:
        s.sendall(b"moved\n")
        wait_for(lambda: "moved" in run.records())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert refused[0] == 0 and sent[0] > 4
    run.end()


# --- sockets from systemd -----------------------------------------------------------------------------------

ACTIVATE = """
import os, socket, sys
names, kinds, program = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
sockets = []
for i, kind in enumerate(kinds):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind.startswith("udp") else socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(kind[3:])))
    if kind.startswith("tcp"):
        s.listen()
    sockets.append(s)
# Away from 3 first: they are to stand there in a row.
held = [os.dup(s.fileno()) for s in sockets]
held = [fd if fd >= 20 else os.dup2(fd, 20 + i) for i, fd in enumerate(held)]
for i, fd in enumerate(held):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_FDS=str(len(held)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()))
os.execv(program[0], program)
"""


def activate(place, names, kinds, *arguments, program="sluice"):
    place.write("activate.py", ACTIVATE)
    process = subprocess.Popen(["python3", "activate.py", names, kinds, BUILD / program, *arguments], cwd=place.path, env=place.env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(place.path / "err", "a+"), text=True)
    place.running.append(process)
    return process


def test_sockets_by_name(place):
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    place.write("p.conf", """stages = {
      a = { source = "listen"; address = "fd:stream"; restart = 100; backoff = "5ms"; };
      b = { source = "listen"; address = "fd:gram"; format = "syslog"; };
      save = { sink = "file"; from = [ "a", "b" ]; path = "out.ndjson"; };
    };""")
    run = Run.__new__(Run)
    run.place, run.process = place, activate(place, "gram:unused:stream", f"udp{udp},tcp{free_port()},tcp{tcp}", "run", "p.conf")
    with connect(("127.0.0.1", tcp)) as s:
        s.sendall(b"hello\n")
        run.wait(1)
    pid = wait_for(lambda: run.child("a"))
    wait_for(lambda: run.kept("a") == 1)
    os.kill(pid, signal.SIGKILL)
    with socket.create_connection(("127.0.0.1", tcp)) as s:
        s.sendall(b"again\n")
        run.wait(2)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"<13>su: x", ("127.0.0.1", udp))
    records = run.wait(3)
    # Nobody behind the supervisor believes that they are its own.
    for child in children(run.process.pid):
        assert b"LISTEN_FDS" not in pathlib.Path(f"/proc/{child}/environ").read_bytes()
    run.end()
    assert records[:2] == ["hello", "again"] and records[2]["message"] == "x"
    assert 'systemd opened the socket "unused", and no stage takes it' in run.err()


@pytest.mark.parametrize("names, kinds, says", [
    ("other:third", "tcp,tcp", 'p.conf:2: systemd gave no socket of the name "syslog" (but "other", "third"): write FileDescriptorName=syslog'),
    ("syslog:syslog", "tcp,udp", "stands for several sockets"),
])
def test_sockets_that_are_not_as_they_should_be(place, names, kinds, says):
    place.write("p.conf", config("fd:syslog"))
    kinds = ",".join(f"{kind}{free_port(socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)}" for kind in kinds.split(","))
    process = activate(place, names, kinds, "run", "p.conf")
    assert finish(process)[0] == 1
    assert says in (place.path / "err").read_text()


def test_no_systemd(place):
    place.write("p.conf", config("fd:syslog"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and 'systemd gave no socket of the name "syslog" (and no other)' in err


def test_systemd_socket_activate(place):
    """The real thing: it starts sluiced when the first connects."""
    port = free_port()
    place.write("p.conf", config("fd:listen"))
    process = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=listen", "-E", "XDG_STATE_HOME",
                                "-E", "XDG_RUNTIME_DIR", BUILD / "sluiced", "--config", "p.conf"],
                               cwd=place.path, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=open(place.path / "err", "a+"), text=True)
    place.running.append(process)
    run = Run.__new__(Run)
    run.place, run.process = place, process
    with connect(("127.0.0.1", port)) as s:
        s.sendall(b"hello\n")
        assert run.wait(1) == ["hello"]
    run.end()


# --- errors -------------------------------------------------------------------------------------------------

def test_the_address_is_taken(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place.write("p.conf", config(f"tcp://127.0.0.1:{port}"))
        code, _, err = place.sluice("run", "p.conf")
    assert code == 1
    assert f"p.conf:2: cannot listen at tcp://127.0.0.1:{port}: Address already in use: another program has that port" in err


def test_a_path_that_is_taken(place):
    place.write("x.sock", "no socket")
    place.write("p.conf", config(f"unix://{place.path}/x.sock"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and "there is a file that is no socket" in err
    assert (place.path / "x.sock").read_text() == "no socket"


def test_a_socket_that_was_left_over(place):
    """A supervisor that was killed leaves its path behind."""
    for n in range(2):
        run = Run(place, config(f"unix://{place.path}/x.sock"))
        with connect(f"{place.path}/x.sock") as s:
            s.sendall(b"%d\n" % n)
            run.wait(n + 1)
        if n == 0:
            wait_for(lambda: run.kept() == 1)
            left = children(run.process.pid)
            run.process.kill()
            finish(run.process)
            assert (place.path / "x.sock").is_socket()
            # Else one of them might get what is for the next one.
            wait_for(lambda: not any(is_alive(pid) for pid in left))
    assert run.end() == ["0", "1"]


def test_started_again_at_once(place):
    """While the processes of a supervisor that was killed are still dying, the port is theirs."""
    port = free_port()
    for _ in range(8):
        run = Run(place, config(f"tcp://127.0.0.1:{port}", "processes = 4;"))
        wait_for(lambda: len(children(run.process.pid, ["in"])) == 4 or run.process.poll() is not None)
        assert run.process.poll() is None, run.err()
        run.process.kill()
        finish(run.process)
    run = Run(place, config(f"tcp://127.0.0.1:{port}", "processes = 4;"))
    wait_for(lambda: run.child("save"))
    with connect(("127.0.0.1", port)) as s:
        s.sendall(b"hello\n")
        wait_for(lambda: "hello" in run.records())
    run.end()


def test_no_permission(place):
    if os.getuid() == 0:
        pytest.skip("root may")
    place.write("p.conf", config("tcp://127.0.0.1:514"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and "CAP_NET_BIND_SERVICE" in err


def test_too_many_descriptors(place):
    port = free_port()
    place.write("p.conf", config(f"tcp://127.0.0.1:{port}", "max_connections = 5000;"))
    process = subprocess.Popen(["sh", "-c", f"ulimit -Hn 500; ulimit -n 500; exec {BUILD}/sluice run p.conf"], cwd=place.path, env=place.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    place.running.append(process)
    code, _, err = finish(process)
    assert code == 1 and "`max_connections` wants 5320 open descriptors, and the process may have 500" in err
