# SPDX-License-Identifier: MIT
"""The source `listen` with a socket of systemd, as stages/listen/README.md says: behind the walls of sluice@.service, over restarts and deaths."""
import json
import re

import pytest

from box import box, installed  # noqa: F401 (fixtures)
from conftest import ROOT, wait_for

pytestmark = pytest.mark.xdist_group("box")
UNIT = "sluice@syslog.service"
CONF = """stages = {
  in   = { source = "listen"; address = "fd:listen"; format = "syslog"; max_connections = 1; intake = "durable"; restart = 1000; backoff = "5ms"; };
  work = { transform = "sql"; from = "in"; query = "SELECT CAST(message AS INTEGER) AS n FROM input"; };
  save = { sink = "file"; from = "work"; path = "out.ndjson"; append = true; };
};"""
# A hundred lines a connection; each is said again until it is answered. Or, with "once", nothing is waited for.
SENDER = r"""
import socket, sys
first, count, once = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["once"]
refused = resent = 0
for begin in range(first, first + count, 100):
    while True:
        try:
            s = socket.create_connection(("127.0.0.1", 514), timeout=30)
        except ConnectionRefusedError:
            refused += 1
            continue
        with s:
            try:
                s.sendall(b"".join(b"<13>1 - host app - - - %d\n" % n for n in range(begin, begin + 100)))
                s.shutdown(socket.SHUT_WR)
                if once or s.recv(1) == b"":
                    break
            except (ConnectionResetError, BrokenPipeError):
                resent += 1
print(refused, resent)
"""


@pytest.fixture(scope="module")
def service(box):  # noqa: F811
    """Set up word for word."""
    page = (ROOT / "stages/listen/README.md").read_text()
    commands = re.search(r"as root:\n\n((?:    .*\n)+)", page)[1]
    assert "enable --now sluice-listen@syslog.socket" in commands
    box.write("/etc/sluice/syslog.conf", CONF)
    box.write("/root/sender.py", SENDER)
    box.do(commands.replace("    ", ""))
    yield box
    box.do(f"systemctl stop sluice-listen@syslog.socket {UNIT}")


def send(box, first, count, *more):  # noqa: F811
    return [int(word) for word in box.do(f"python3 /root/sender.py {first} {count} {' '.join(more)}").split()]


def found(box):  # noqa: F811
    return [json.loads(line)["n"] for line in box.run("cat /var/lib/sluice/syslog/data/out.ndjson")[1].splitlines()]


def wait_for_all(box, first, end):  # noqa: F811
    wait_for(lambda: set(found(box)) >= set(range(first, end)), what="all lines")


def test_the_first_connection_starts_it(service):
    assert service.show(UNIT, "ActiveState") == "inactive"
    assert send(service, 0, 100) == [0, 0]
    assert service.show(UNIT, "ActiveState") == "active"
    wait_for_all(service, 0, 100)
    assert found(service) == list(range(100))
    # Nothing was opened for it: it has the walls that it always has.
    assert service.show(UNIT, "PrivateNetwork") == "yes" and service.show(UNIT, "RestrictAddressFamilies") == "AF_UNIX"
    assert service.show(UNIT, "DropInPaths") == ""


def test_connections_wait_over_a_restart(service):
    """What is sent while nobody is there to accept it, by senders who wait for nothing."""
    supervisor = service.show(UNIT, "MainPID")
    # The one connection that may be open.
    service.do("systemd-run --unit=holder python3 -c \"import socket, time; s = socket.create_connection(('127.0.0.1', 514)); time.sleep(100)\"")
    wait_for(lambda: service.run("ss -Htn state established 'sport = :514' | grep -q .")[0] == 0, what="the connection")
    assert send(service, 1000, 2000, "once") == [0, 0]
    assert not [n for n in found(service) if n >= 1000]
    service.do(f"systemctl restart {UNIT}", 90)
    assert service.show(UNIT, "MainPID") != supervisor
    assert send(service, 3000, 500, "once") == [0, 0]
    wait_for_all(service, 1000, 3500)
    assert sorted(n for n in found(service) if n >= 1000) == list(range(1000, 3500))
    service.run("systemctl stop holder")


@pytest.mark.parametrize("what, first", [(f"systemctl restart {UNIT}", 10000), ("kill -9 $(pgrep -f 'instance in[.]0')", 20000),
                                         (f"systemctl kill -s KILL {UNIT}", 30000)])
def test_senders_that_wait_for_our_end_lose_nothing(service, what, first):
    service.drop_in(UNIT, "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=100ms\n")
    try:
        service.do(f"systemctl start {UNIT}")
        service.do(f"(python3 /root/sender.py {first} 3000 >/root/said 2>&1; echo done >>/root/said) & "
                   f"for i in 1 2; do sleep 0.5; {what}; done; wait; true", 90)
        said = service.read("/root/said").split()
        assert said[-1] == "done" and said[0] == "0", said
        wait_for_all(service, first, first + 3000)
    finally:
        service.do(f"rm -r /etc/systemd/system/{UNIT}.d && systemctl daemon-reload")
