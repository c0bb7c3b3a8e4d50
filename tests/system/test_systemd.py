# SPDX-License-Identifier: MIT
"""sluice as a service of a real systemd: what README and sluice@.service(8) say, seen from systemctl, journalctl and the output."""
import json
import pathlib
import re
import time

import pytest

import pg
from box import box, installed  # noqa: F401 (fixtures)
from conftest import LANDLOCK, ROOT, wait_for

pytestmark = pytest.mark.xdist_group("box")  # one for all of them

CATALOG = (ROOT / "systemd/sluice.catalog").read_text()
IDS = dict(re.findall(r'\[LOG_EVENT_(\w+)\]\s*= "([0-9a-f]{32})"', (ROOT / "src/supervisor/journal.c").read_text()))
INTRUDER = ROOT / "tests/system/intruder.c"
QUICK = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=100ms\n"


def conf(box, name, text, drop_in=None):
    box.write(f"/etc/sluice/{name}.conf", text)
    if drop_in:
        box.drop_in(f"sluice@{name}.service", drop_in)
    return f"sluice@{name}.service"


def numbers(count, rate="", more="", stall="60s"):
    """sequence -> two processes -> a file and a database."""
    return f"""
stages = {{
  read = {{ source = "sequence"; count = {count}; {f'rate = "{rate}";' if rate else ""} }};
  work = {{ transform = "sql"; from = "read"; processes = 2; restart = 1000; stall_timeout = "{stall}";
            query = "SELECT value AS v FROM input"; }};
  {more}
  save = {{ sink = "file"; from = "work"; path = "out.ndjson"; restart = 1000; stall_timeout = "{stall}"; }};
  db = {{ sink = "sqlite"; from = "work"; path = "out.db"; table = "t"; create = true; restart = 1000; stall_timeout = "{stall}"; }};
}};"""


def check_numbers(box, name, count):
    """Each once: in order in the file, and in the table."""
    folder = f"/var/lib/sluice/{name}/data"
    lines = box.do(f"cat {folder}/out.ndjson").splitlines()
    assert [json.loads(line)["v"] for line in lines] == list(range(count))
    out = box.do(f"python3 -c \"import sqlite3; print(sqlite3.connect('file:{folder}/out.db?mode=ro', uri=True).execute("
                 f"'SELECT count(*), count(DISTINCT v), min(v), max(v) FROM t').fetchone())\"")
    assert out.strip() == f"({count}, {count}, 0, {count - 1})"


def wait_for_end(box, unit, timeout=60):
    """Well: one that failed would stay so."""
    box.wait_for(unit, "ActiveState", "^(inactive|failed)$", timeout)
    assert box.show(unit, "ActiveState") == "inactive", box.messages(unit)


# --- the units ---------------------------------------------------------------------------------------


def test_units_are_right(box):
    units = box.do("ls /lib/systemd/system/sluice*").split()
    assert len(units) == 4
    for unit in units:
        code, out, err = box.run(f"systemd-analyze verify {unit} 2>&1")
        assert (code, out, err) == (0, "", ""), unit


@pytest.mark.parametrize("template", ["sluice@", "sluice-run@"])
def test_exposure(box, template):
    out = box.do(f"systemd-analyze security --no-pager {template}any.service")
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", out)[1])
    assert exposure <= 1.5, out
    assert f"has an exposure of {exposure}" in (ROOT / "doc/man/sluice@.service.8").read_text()


# --- life --------------------------------------------------------------------------------------------


def test_ready_when_all_stages_are(box):
    """One stage takes its time: the unit is activating as long, says how many are ready, and start waits."""
    real = box.do("ls /usr/local/libexec/sluice/sluice-stage").strip()
    box.do(f"mv {real} {real}.real")
    box.write(real, f'#!/bin/sh\n[ "$2" != slow.0 ] || sleep 4\nexec {real}.real "$@"')
    box.do(f"chmod 755 {real}")
    try:
        unit = conf(box, "ready", """
stages = { read = { source = "sequence"; rate = "100/s"; }; slow = { transform = "sql"; from = "read"; query = "SELECT * FROM input"; };
           save = { sink = "null"; from = "slow"; }; };""")
        box.do(f"systemctl start --no-block {unit}")
        box.wait_for(unit, "StatusText", "starting: 2 of 3 processes are ready", 10)
        assert box.show(unit, "ActiveState") == "activating"
        assert box.run(f"systemctl start {unit}")[0] == 0
        assert box.show(unit, "ActiveState") == "active"
        states = json.loads(box.do("sluice status /etc/sluice/ready.conf --json"))
        assert [i["state"] for s in states["stages"] for i in s["instances"]] == ["running"] * 3
        assert box.journal(unit, f"MESSAGE_ID={IDS['READY']}")
        box.do(f"systemctl stop {unit}")
    finally:
        box.do(f"mv {real}.real {real}")


def test_start_fails_with_a_stage(box):
    unit = conf(box, "nowhere", """
stages = { read = { source = "sequence"; }; save = { sink = "file"; from = "read"; path = "/nowhere/out.ndjson"; }; };""",
                "[Service]\nRestart=no\n")
    code, _, _ = box.run(f"systemctl start {unit}")
    assert code != 0 and box.show(unit, "ExecMainStatus") == "1"
    failed = box.journal(unit, f"MESSAGE_ID={IDS['FAILED']}")
    assert len(failed) == 1 and "/nowhere" in failed[0]["MESSAGE"] and failed[0]["PRIORITY"] == "3"


def test_status_line(box):
    unit = conf(box, "status", """
stages = { read = { source = "sequence"; }; slow = { transform = "delay"; from = "read"; wait = "2ms"; };
           odd = { transform = "fault"; from = "slow"; at = 100; action = "reject"; };
           save = { sink = "null"; from = "odd"; }; };""")
    box.do(f"systemctl start {unit}")
    box.wait_for(unit, "StatusText", r"^[1-9][0-9 ]* records/s read, [1-9][0-9 ]* saved; bottleneck: slow \(busy [0-9]+ %\); given up: 1$")
    assert "bottleneck: slow" in box.do(f"systemctl status --no-pager {unit}")
    box.do(f"systemctl stop {unit}")


def test_a_bad_config_does_not_loop(box):
    unit = conf(box, "bad", 'stages = { read = { source = "sequenc"; }; };')
    assert box.run(f"systemctl start {unit}")[0] != 0
    time.sleep(0.5)
    assert [box.show(unit, name) for name in ("ActiveState", "NRestarts", "ExecMainStatus")] == ["failed", "0", "78"]
    said = box.journal(unit, "PRIORITY=3")
    assert any("bad.conf:1" in entry["MESSAGE"] and "sequence" in entry["MESSAGE"] for entry in said), said
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['BAD_CONFIG']}")) == 1


def test_a_pipeline_that_fails_has_a_limit(box):
    unit = conf(box, "fails", """
stages = { read = { source = "sequence"; }; die = { transform = "fault"; from = "read"; at = 10; action = "exit"; restart = 0; };
           save = { sink = "null"; from = "die"; }; };""", "[Service]\nRestartSec=50ms\n")
    box.run(f"systemctl start {unit}")
    box.wait_for(unit, "Result", "start-limit-hit|exit-code")
    box.wait_for(unit, "ActiveState", "^failed$")
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['FAILED']}")) == 5
    assert box.show(unit, "NRestarts") == "5"


def test_parameters(box):
    box.write("/etc/sluice/set.env", "folder=/nowhere\nSLUICE_SET=--set name=chosen --set count=10")
    unit = conf(box, "set", """
stages = { read = { source = "exec"; format = "lines"; command = [ "seq", "${count}" ]; };
           save = { sink = "file"; from = "read"; path = "${name}.ndjson"; }; };""")
    box.do(f"systemctl start {unit}")
    wait_for_end(box, unit)
    assert len(box.read("/var/lib/sluice/set/data/chosen.ndjson").splitlines()) == 10


def test_target(box):
    for name in "one", "two":
        conf(box, name, 'stages = { read = { source = "sequence"; rate = "10/s"; }; save = { sink = "null"; from = "read"; }; };')
    box.do("systemctl enable --now sluice@one sluice@two")
    assert box.do("systemctl is-enabled sluice.target").strip() == "enabled"
    box.do("systemctl start sluice.target && systemctl stop sluice.target")
    for name in "one", "two":
        box.wait_for(f"sluice@{name}", "ActiveState", "^inactive$")
    box.do("systemctl start sluice.target")
    assert box.show("sluice@two", "ActiveState") == "active"
    box.do("systemctl disable --now sluice@one sluice@two && systemctl stop sluice.target")


# --- reload and stop ---------------------------------------------------------------------------------


def test_reload(box):
    count = 150000
    unit = conf(box, "reload", numbers(count, "20000/s"))
    box.do(f"systemctl start {unit}")
    pid = box.show(unit, "MainPID")
    box.write("/etc/sluice/reload.conf", numbers(count, "20000/s").replace("processes = 2", "processes = 3"))
    box.do(f"systemctl reload {unit}")
    box.wait_for(unit, "SubState", "^running$")
    assert "work.2" in box.stages(unit)
    box.write("/etc/sluice/reload.conf", numbers(count).replace("sequence", "sequenze"))
    code, _, _ = box.run(f"systemctl reload {unit}")
    assert code != 0
    assert any("sequenze" in message for message in box.messages(unit))
    box.do(f"systemctl kill -s HUP --kill-who=main {unit}")
    wait_for(lambda: box.journal(unit, f"MESSAGE_ID={IDS['NOT_RELOADED']}"), what="the refusal")
    assert box.show(unit, "ActiveState") == "active" and box.show(unit, "MainPID") == pid
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['RELOADED']}")) == 1
    wait_for_end(box, unit)
    check_numbers(box, "reload", count)


def test_stop_drains(box):
    """For longer than TimeoutStopSec: systemd is asked for more. The next start goes on, and all is there once."""
    text = """
stages = { read = { source = "sequence"; count = 40; rate = "12/s"; };
           slow = { transform = "delay"; from = "read"; wait = "400ms"; queue = 64; };
           save = { sink = "file"; from = "slow"; path = "out.ndjson"; }; };"""
    unit = conf(box, "drain", text, "[Service]\nTimeoutStopSec=2s\n")
    box.do(f"systemctl start {unit}")
    wait_for(lambda: json.loads(box.do("sluice status /etc/sluice/drain.conf --json"))["stages"][0]["records_out"] >= 20, what="enough to drain")
    begun = time.monotonic()
    box.do(f"systemctl stop --no-block {unit}")
    box.wait_for(unit, "StatusText", "^stopping")
    wait_for_end(box, unit)
    assert time.monotonic() - begun > 4, "nothing was left to drain: this shows nothing"
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['ENDED']}")) == 1
    box.write("/etc/sluice/drain.conf", text.replace("400ms", "1ms"))
    box.do(f"systemctl start {unit}")
    wait_for_end(box, unit)
    assert [json.loads(line) for line in box.read("/var/lib/sluice/drain/data/out.ndjson").splitlines()] == list(range(40))


# --- deaths ------------------------------------------------------------------------------------------


def test_kills(box):
    """The supervisor and the stages, again and again: everything is there, once."""
    count = 200000
    unit = conf(box, "kills", numbers(count, "40000/s"), QUICK)
    box.do(f"systemctl start {unit}")
    for i in range(6):
        for stage in "work.0", "db.0", "read.0":
            wait_for(lambda: stage in box.stages(unit), what=stage)
            box.run(f"kill -9 {box.stages(unit)[stage]}")
        pid = box.show(unit, "MainPID")
        box.run(f"kill -9 {pid}")
        box.wait_for(unit, "MainPID", f"^(?!{pid}$|0$)")
        box.wait_for(unit, "ActiveState", "^active$")
    assert box.show(unit, "NRestarts") == "6"
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['DIED']}")) >= 12
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['RESUMED']}")) == 6
    wait_for_end(box, unit)
    check_numbers(box, "kills", count)


def test_a_stage_that_stands(box):
    """SIGSTOP: that stage alone is started again."""
    count = 100000
    unit = conf(box, "stands", numbers(count, "15000/s", stall="1s"))
    box.do(f"systemctl start {unit}")
    pids = box.stages(unit)
    box.do(f"kill -STOP {pids['save.0']}")
    wait_for(lambda: box.journal(unit, f"MESSAGE_ID={IDS['STALLED']}", "STAGE=save"), what="its end")
    assert "stood still for 1 s (stall_timeout)" in box.messages(unit, f"MESSAGE_ID={IDS['STALLED']}")[0]
    now = wait_for(lambda: len(box.stages(unit)) == len(pids) and box.stages(unit), what="its successor")
    assert now["save.0"] != pids["save.0"] and all(now[name] == pids[name] for name in pids if name != "save.0")
    wait_for_end(box, unit)
    assert box.show(unit, "NRestarts") == "0"
    check_numbers(box, "stands", count)


def test_a_supervisor_that_stands(box):
    count = 150000
    unit = conf(box, "watchdog", numbers(count, "20000/s"), QUICK + "WatchdogSec=1s\n")
    box.do(f"systemctl start {unit}")
    time.sleep(1.5)
    assert box.show(unit, "NRestarts") == "0"
    pid = int(box.show(unit, "MainPID"))
    assert pid > 1
    box.do(f"kill -STOP {pid}")
    box.wait_for(unit, "NRestarts", "^1$")
    assert any("Watchdog timeout" in message for message in box.messages(unit))
    wait_for_end(box, unit)
    check_numbers(box, "watchdog", count)


def test_what_cannot_be_killed(box):
    """A frozen process: starting it again is not possible, so systemd is told."""
    if box.run("test -d /sys/fs/cgroup/freezer")[0] != 0:
        pytest.skip("no v1 freezer here, in which a killed process stays")
    unit = conf(box, "frozen", numbers(100000000, "1000/s", stall="1s"), QUICK + "WatchdogSec=30s\nTimeoutAbortSec=1s\n")
    box.do(f"systemctl start {unit}")
    box.do(f"mkdir /sys/fs/cgroup/freezer/ice && echo {box.stages(unit)['work.1']} >/sys/fs/cgroup/freezer/ice/cgroup.procs"
           " && echo FROZEN >/sys/fs/cgroup/freezer/ice/freezer.state")
    try:
        wait_for(lambda: any("was killed, and does not end" in message for message in box.messages(unit)), 60, "the trigger")
        wait_for(lambda: any("Watchdog request" in message for message in box.messages(unit)), 10, "systemd's answer")
    finally:
        box.do("echo THAWED >/sys/fs/cgroup/freezer/ice/freezer.state")
    box.wait_for(unit, "NRestarts", "^1$")
    box.wait_for(unit, "ActiveState", "^active$")
    box.do(f"systemctl stop {unit}")


def test_memory(box):
    """A program that wants more than the unit has dies, and its record is given up; nobody else."""
    if "memory" not in box.do("cat /proc/self/cgroup").replace(",", ":").split(":"):
        pytest.skip("no v1 memory controller here")
    unit = conf(box, "memory", """
stages = { read = { source = "inline"; records = ( { mb = 1; }, { mb = 400; }, { mb = 2; } ); };
           eat = { transform = "exec"; from = "read"; mode = "once"; input = "none"; into = "size"; exit_reject = "1-255"; retries = 0;
                   command = [ "python3", "-c", "import sys; print(len(b'x' * (int(sys.argv[1]) << 20)))", "{mb}" ]; };
           save = { sink = "file"; from = "eat"; path = "out.ndjson"; }; };""", "[Service]\nMemoryMax=120M\nMemorySwapMax=0\n")
    box.do(f"systemctl start {unit}")
    wait_for_end(box, unit)
    assert [e["PRIORITY"] for e in box.journal(unit, f"MESSAGE_ID={IDS['ENDED']}")] == ["4"], box.messages(unit)
    assert [json.loads(line)["mb"] for line in box.read("/var/lib/sluice/memory/data/out.ndjson").splitlines()] == [1, 2]
    assert '"mb":400' in box.do("sluice dead export /etc/sluice/memory.conf --state /var/lib/sluice/memory").replace(" ", "")


# --- the journal -------------------------------------------------------------------------------------


def test_journal(box):
    unit = conf(box, "journal", """
name = "lines"; stages = { read = { source = "exec"; format = "lines"; command = [ "sh", "-c", "echo loud >&2; seq 500" ]; };
           odd = { transform = "sql"; from = "read"; query = "SELECT json(value || 'x') AS v FROM input"; };
           save = { sink = "null"; from = "odd"; }; };""")
    box.do(f"systemctl start {unit}")
    wait_for_end(box, unit)
    own = [entry for entry in box.journal(unit) if entry["SYSLOG_IDENTIFIER"] == "sluiced"]
    assert own and all(entry["PIPELINE"] == "lines" for entry in own)
    by_message = {entry["MESSAGE"]: entry for entry in own}
    assert [by_message["read.0: sh: loud"][field] for field in ("PRIORITY", "STAGE", "INSTANCE")] == ["4", "read", "0"]
    assert own[-1]["MESSAGE_ID"] == IDS["ENDED"]
    refused = box.journal(None, f"MESSAGE_ID={IDS['REFUSED']}", "PIPELINE=lines", "STAGE=odd")
    assert len(refused) == 10
    more = box.journal(None, f"MESSAGE_ID={IDS['MORE']}", "PIPELINE=lines", "STAGE=odd")
    assert len(more) == 1 and more[0]["MESSAGE"].endswith(" ... 490 more like this in 10 s")
    explained = box.do(f"journalctl -x --no-pager -u {unit}")
    assert "Subject: Stage odd gave up on a record" in explained and "Subject: The pipeline lines has ended" in explained


def test_every_event_is_explained():
    assert len(IDS) >= 29 and len(set(IDS.values())) == len(IDS)
    assert sorted(re.findall(r"^-- (\S+)$", CATALOG, re.M)) == sorted(IDS.values())


def test_what_stages_say_has_an_identifier(box):
    """A store that is full, a limit that is reached: each by its name, of its stage, with the explanation."""
    unit = conf(box, "events", """
stages = { read = { source = "sequence"; count = 100000000; };
           net = { source = "listen"; address = "unix:///run/sluice/events/x.sock"; max_connections = 1; };
           slow = { sink = "null"; from = "read"; };
           tail = { transform = "delay"; wait = "1s"; from = "read"; when_full = "spill"; spill_max = "1MiB"; };
           save = { sink = "null"; from = [ "tail", "net" ]; }; };""")
    box.do(f"systemctl start {unit}")
    wait_for(lambda: box.journal(unit, f"MESSAGE_ID={IDS['STORE_FULL']}"), what="a full store")
    box.do("python3 -c \"import socket; a, b = [socket.socket(socket.AF_UNIX) for _ in 'ab']; [s.connect('/run/sluice/events/x.sock') for s in (a, b)];"
           " import time; time.sleep(1)\"")
    limits = wait_for(lambda: box.journal(unit, f"MESSAGE_ID={IDS['LIMIT']}"), what="a limit")
    assert limits[0]["STAGE"] == "net" and "`max_connections`, 1" in limits[0]["MESSAGE"]
    explained = box.do(f"journalctl -x --no-pager -u {unit}")
    assert "Subject: A store of the pipeline events is full" in explained and "Subject: Stage net has reached a limit" in explained
    box.do(f"systemctl kill -s KILL {unit}; systemctl stop {unit}")


# --- walls -------------------------------------------------------------------------------------------


def test_a_credential_is_nowhere(box):
    secret = "hunter2-of-the-house"
    box.do(f"mkdir -p /etc/credstore && echo {secret} >/etc/credstore/sluice-token && chmod 600 /etc/credstore/sluice-token")
    unit = conf(box, "secret", """
stages = { read = { source = "exec"; format = "lines"; environment = [ "TOKEN=${credential:token}" ];
                    command = [ "sh", "-c", "echo oops $TOKEN >&2; printf %s \\"$TOKEN\\" | sha256sum; exec sleep 100" ]; };
           save = { sink = "file"; from = "read"; path = "out.ndjson"; append = true; }; };""")
    box.do(f"mkdir -p /etc/systemd/system/{unit}.d && cp /usr/local/share/doc/sluice/systemd/credential.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload")
    box.do(f"systemctl start {unit}")
    digest = box.do(f"printf %s {secret} | sha256sum").split()[0]
    wait_for(lambda: digest in box.run("cat /var/lib/sluice/secret/data/out.ndjson")[1], what="its use")
    shown = [box.do(command) for command in (
        f"systemctl status --no-pager -l {unit}", f"systemctl show {unit}", f"journalctl --no-pager -o verbose -u {unit}",
        "sluice status /etc/sluice/secret.conf --json", "curl -s --unix-socket /run/sluice/secret/control.sock http://x/v1/metrics")]
    assert any("oops ***" in text for text in shown)
    for pid in [box.show(unit, "MainPID"), *box.stages(unit).values()]:
        shown += [box.do(f"tr '\\0' ' ' </proc/{pid}/{file}") for file in ("cmdline", "environ")]
    assert not [text for text in shown if secret in text]
    assert box.run(f"grep -r {secret} /var/lib/sluice/secret /run/sluice/secret")[0] == 1
    box.do(f"systemctl stop {unit}")


def test_what_a_pipeline_sees(box):
    """Not the state of others, no home, no network; and it writes only where it may."""
    box.do("mkdir -p /home/somebody /srv/shop && chmod 777 /srv/shop && touch /home/somebody/secret")
    script = ("id -un; ls /var/lib/sluice; ls /home/somebody 2>/dev/null || echo no home; touch /srv/shop/x 2>/dev/null || echo no writing;"
              " ls /sys/class/net; grep CapEff /proc/self/status; grep -c . /proc/1/cmdline 2>/dev/null || echo no others")
    text = f"""
stages = {{ read = {{ source = "exec"; format = "lines"; command = [ "sh", "-c", "{script}" ]; }};
            save = {{ sink = "file"; from = "read"; path = "out.ndjson"; }}; }};"""
    unit = conf(box, "walls", text)
    box.do("mkdir -p /var/lib/sluice/others")
    box.do(f"systemctl start {unit}")
    wait_for_end(box, unit)
    seen = [json.loads(line) for line in box.read("/var/lib/sluice/walls/data/out.ndjson").splitlines()]
    assert seen == ["sluice", "walls", "no home", "no writing", "lo", "CapEff:\t0000000000000000", "no others"]
    boot = box.read("/proc/sys/kernel/random/boot_id").strip().replace("-", "")
    assert f"boot {boot}\n" in box.read("/var/lib/sluice/walls/run")


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_stage_has_walls_of_its_own(box, sandbox):
    """Inside of the unit's: someone in `sql` does not get what the unit lets the pipeline have."""
    name = "inside" if sandbox else "outside"
    box.write("/srv/intruder.c", INTRUDER.read_text())
    box.do("cc -std=gnu17 -shared -fPIC -o /srv/intruder.so /srv/intruder.c")
    folder = f"/var/lib/sluice/{name}/data"
    unit = conf(box, name, f"""
stages = {{ read = {{ source = "sequence"; rate = "100/s"; }};
           work = {{ transform = "sql"; from = "read"; query = "SELECT value AS v FROM input"; {"" if sandbox else "sandbox = false;"} }};
           save = {{ sink = "file"; from = "work"; path = "out.ndjson"; append = true; }}; }};""",
                "[Service]\nEnvironment=LD_PRELOAD=/srv/intruder.so INTRUDER_IN=work.0 INTRUDER_OUT=/tmp/new\n"
                f"Environment=INTRUDER_LOG={folder}/intruder.log\n")
    box.do(f"systemctl start {unit}")
    tried = wait_for(lambda: (seen := box.run(f"cat {folder}/intruder.log")[1].split())[7:] and seen, what="the attempts")
    tried = dict(zip(tried[::2], tried[1::2]))
    assert tried.pop("socket") == "EAFNOSUPPORT"
    if sandbox:
        assert tried.pop("exec") == "EPERM"
        if LANDLOCK >= 1:
            assert tried == {"read": "EACCES", "write": "EACCES"}
    else:
        assert tried == {"exec": "ENOENT", "read": "ok", "write": "ok"}

    def filters(pid):
        return int(re.search(r"Seccomp_filters:\s+(\d+)", box.do(f"cat /proc/{pid}/status"))[1])
    assert filters(box.stages(unit)["work.0"]) == filters(box.show(unit, "MainPID")) + sandbox
    wait_for(lambda: box.run(f"cat {folder}/out.ndjson")[1].count("v") > 10, what="records")
    box.do(f"systemctl stop {unit}")


def test_drop_ins(box):
    """Those that are installed: without them it does not work, with them it does."""
    text = """
stages = { read = { source = "http"; url = "http://127.0.0.1:8099/records.json"; follow = false; };
           save = { sink = "file"; from = "read"; path = "/srv/shop/got.ndjson"; }; };"""
    box.do("mkdir -p /srv/www /srv/shop && chown sluice /srv/shop && echo '[{\"id\": 1}, {\"id\": 2}]' >/srv/www/records.json")
    box.do("systemd-run --unit=www python3 -m http.server -d /srv/www --bind 127.0.0.1 8099")
    wait_for(lambda: box.run("curl -sf http://127.0.0.1:8099/records.json")[0] == 0, what="the server")
    text = text.replace("follow = false; ", "")
    unit = conf(box, "fetch", text, "[Service]\nRestart=no\n")
    assert box.run(f"systemctl start {unit}")[0] != 0
    box.do(f"cp /usr/local/share/doc/sluice/systemd/{{network,paths}}.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload")
    box.do(f"systemctl start {unit}")
    wait_for(lambda: box.run("cat /srv/shop/got.ndjson || cat /srv/shop/.got.ndjson.part")[1].count("id") == 2, what="the records")
    box.do(f"systemctl stop {unit}; systemctl stop www")
    for name in "user", "programs":
        box.do(f"cp /usr/local/share/doc/sluice/systemd/{name}.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload")
        assert box.run("systemd-analyze verify sluice@fetch.service 2>&1")[1] == ""


# --- once, and by a timer ----------------------------------------------------------------------------

OUTPUTS = {"categories": ["categories.txt", "categories/Lu.csv"], "countries": ["countries.ndjson"],
           "pictures": ["thumbnails.ndjson"], "queue-demo": ["data.json"], "sqlite": ["zones.csv"],
           "timezones": ["zones.ndjson.gz", "shared-zones.csv"], "unicode": ["digits.csv"], "zone-names": ["zones.db"]}
# What those read that do not find it on every machine: commands that make it in the working folder.
EXAMPLE = "sluice run --quiet /usr/local/share/doc/sluice/pipelines/{}.conf --state $(mktemp -d) --runtime $(mktemp -d)"
UNPACK = {".gz": "zcat", ".db": "python3 -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(\"SELECT * FROM zones ORDER BY rowid\"))'"}
INPUTS = {"pictures": "mkdir -p pictures thumbnails && convert -size 320x240 gradient:red-blue pictures/a.png && convert -size 50x90 gradient:red-blue pictures/b.png",
          "sqlite": f"{EXAMPLE.format('countries')} && {EXAMPLE.format('zone-names')}",
          "zone-names": EXAMPLE.format("countries")}


def test_every_example_runs_behind_the_walls():
    assert {path.stem for path in (ROOT / "etc/pipelines").glob("*.conf")} == set(OUTPUTS) | {"archive", "bulk", "journal", "log-minutes", "orders", "prices", "syslog"}


def test_syslog_behind_the_walls(box):
    """The example that listens, which needs the network, and says nothing without it."""
    box.do("cp /usr/local/share/doc/sluice/pipelines/syslog.conf /etc/sluice/ && echo SYSLOG_PORT=5999 >/etc/sluice/syslog.env")
    unit = "sluice@syslog.service"
    box.drop_in(unit, "[Service]\nRestart=no\n")
    box.run(f"systemctl start {unit}")
    logger = "logger --server 127.0.0.1 --port 5999 --tcp --octet-count --priority user.err"
    assert box.run(f"{logger} nobody")[0] != 0
    box.run(f"systemctl stop {unit}")
    box.do(f"cp /usr/local/share/doc/sluice/systemd/network.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload && systemctl start {unit}")
    box.do(f"{logger} 'hello there'")
    wait_for(lambda: "hello there" in box.run("cat /var/lib/sluice/syslog/data/warnings.ndjson")[1], what="the line")
    box.do(f"systemctl stop {unit}")


BULK = """
import gzip, http.server, json
class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        lines = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))).splitlines()
        open("/run/bulk.ndjson", "ab").write(b"".join(line + b"\\n" for line in lines[1::2]))
        answer = json.dumps({"errors": False, "items": [{"index": {"status": 201}} for _ in lines[::2]]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.HTTPServer(("127.0.0.1", 5998), Server).serve_forever()
"""


def test_bulk_behind_the_walls(box):
    unit = "sluice-run@bulk.service"
    box.do("cp /usr/local/share/doc/sluice/pipelines/bulk.conf /etc/sluice/")
    box.write("/etc/sluice/bulk.env", "BULK_URL=http://127.0.0.1:5998")
    box.write("/run/bulk.py", BULK)
    box.do("systemd-run --collect --unit=bulk-server python3 /run/bulk.py")
    wait_for(lambda: box.run("curl -s http://127.0.0.1:5998/")[0] == 0, what="the server")
    box.do(f"mkdir -p /etc/systemd/system/{unit}.d && cp /usr/local/share/doc/sluice/systemd/network.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload")
    code, out, err = box.run(f"systemctl start {unit}")
    assert code == 0, box.messages(unit)
    countries = json.load(open("/usr/share/iso-codes/json/iso_3166-1.json"))["3166-1"]
    assert sorted(json.loads(line)["code"] for line in box.run("cat /run/bulk.ndjson")[1].splitlines()) == sorted(c["alpha_2"] for c in countries)
    box.do("systemctl stop bulk-server")


@pytest.fixture
def postgres(box):
    """A server in the box, at a Unix socket and at port 5999."""
    if not pg.PROGRAMS:
        pytest.skip("no PostgreSQL server here: install postgresql")
    programs = pg.PROGRAMS[-1]
    box.do("mkdir -p /run/pg && chown postgres /run/pg && cd / && setpriv --reuid=postgres --regid=postgres --init-groups "
           f"{programs}/initdb -D /run/pg/data -A trust -U test -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions")
    box.do(f"systemd-run --collect --unit=pg -p User=postgres {programs}/postgres -D /run/pg/data -k /run/pg -p 5999 -c fsync=off -c shared_buffers=32MB"
           " -c listen_addresses=127.0.0.1")

    def ask(sql):
        return box.run(f"{programs}/psql -h /run/pg -p 5999 -U test -At -F '\t' -c \"{sql}\" postgres")[1].splitlines()
    wait_for(lambda: ask("SELECT 1") == ["1"], what="the server")
    yield ask
    box.do("systemctl stop pg; rm -rf /run/pg")


def table_of(name):
    """As the example's head has it."""
    head = "".join(line[2:] for line in (ROOT / f"etc/pipelines/{name}.conf").read_text().splitlines() if line.startswith("//"))
    return re.search(rf"CREATE TABLE {name} \(.*?\);", head)[0]


def example(box, name, env):
    """Installed for sluice-run@NAME, with nothing left of another test; its working folder."""
    folder = f"/var/lib/sluice/{name}/data"
    box.do(f"rm -rf /var/lib/sluice/{name} /etc/systemd/system/sluice-run@{name}.service.d && mkdir -p {folder} && systemctl daemon-reload")
    box.do(f"cp /usr/local/share/doc/sluice/pipelines/{name}.conf /etc/sluice/")
    box.write(f"/etc/sluice/{name}.env", env)
    return folder


def own(box, name):
    box.do(f"chown -R sluice:sluice /var/lib/sluice/{name}")


def allow_network(box, unit):
    box.do(f"mkdir -p /etc/systemd/system/{unit}.d && cp /usr/local/share/doc/sluice/systemd/network.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload")


@pytest.mark.parametrize("host, drop_in", [("/run/pg", False), ("127.0.0.1", True)])
def test_prices_behind_the_walls(box, postgres, host, drop_in):
    """A Unix socket may be asked; for another one the network must be allowed."""
    unit = "sluice-run@prices.service"
    folder = example(box, "prices", f"PG_CONNECTION=host={host} port=5999 user=test dbname=postgres")
    box.write(f"{folder}/suppliers.csv", "id,name,country\n7,Screws & Co,AT")
    box.write(f"{folder}/prices.csv", "article,price,supplier\nbolt,0.12,7\nnut,0.05,7")
    own(box, "prices")
    postgres(table_of("prices"))
    if drop_in:
        code, out, err = box.run(f"systemctl start {unit}")
        assert code != 0 and postgres("SELECT count(*) FROM prices") == ["0"], out + err
        allow_network(box, unit)
    code, out, err = box.run(f"systemctl start {unit}")
    assert code == 0, box.messages(unit)
    assert postgres("SELECT * FROM prices ORDER BY article") == ["bolt\t0.12\tScrews & Co\tAT", "nut\t0.05\tScrews & Co\tAT"]
    postgres("DROP TABLE prices, sluice_committed")
    box.run(f"rm -rf /etc/systemd/system/{unit}.d && systemctl daemon-reload")


def test_orders_and_archive_behind_the_walls(box, postgres):
    """The API and the letters; the rows go on into SQLite, by a run after the other. What the journal says of letters can be pasted."""
    connection = "PG_CONNECTION=host=/run/pg port=5999 user=test dbname=postgres"
    example(box, "orders", f"{connection}\nORDERS_URL=http://127.0.0.1:5997/orders.json")
    archive = example(box, "archive", connection)
    own(box, "archive")
    orders = [{"id": n, "ordered": "2024-02-29T09:00:00Z", "customer": 1 + (n == 5), "amount": n + 0.5, "status": "new"} for n in range(1, 7)]
    box.write("/srv/api/orders.json", json.dumps({"orders": orders[:3], "next": "orders-2.json"}))
    box.write("/srv/api/orders-2.json", json.dumps({"orders": orders[3:], "next": None}))
    box.do("systemd-run --collect --unit=api python3 -m http.server -d /srv/api --bind 127.0.0.1 5997")
    wait_for(lambda: box.run("curl -sf http://127.0.0.1:5997/orders.json")[0] == 0, what="the server")
    postgres("CREATE TABLE customers (id bigint PRIMARY KEY, name text); INSERT INTO customers VALUES (1, 'Ada'); " + table_of("orders"))
    unit = "sluice-run@orders.service"
    allow_network(box, unit)
    code, out, err = box.run(f"systemctl start {unit}")
    assert code == 0, box.messages(unit)
    assert postgres("SELECT string_agg(id::text, ' ' ORDER BY nr) FROM orders") == ["1 2 3 4 6"]
    said = box.messages(unit, f"MESSAGE_ID={IDS['ENDED']}")[-1]
    assert said.endswith("; given up: 1, kept: sluice dead list /etc/sluice/orders.conf --state /var/lib/sluice/orders")
    assert "violates foreign key" in box.do(said.split("kept: ")[1])
    postgres("INSERT INTO customers VALUES (2, 'Grace')")
    for rows in "1 2 3 4 6", "1 2 3 4 6 5":
        code, out, err = box.run("systemctl start sluice-run@archive.service")
        assert code == 0, box.messages("sluice-run@archive.service")
        out = box.do(f"python3 -c \"import sqlite3; print(*(row[0] for row in sqlite3.connect('file:{archive}/archive.db?mode=ro', uri=True)"
                     ".execute('SELECT id FROM orders ORDER BY nr')))\"")
        assert out.strip() == rows
        box.do(f"systemctl start {unit}")
    postgres("DROP TABLE orders, customers, sluice_committed")
    box.run(f"systemctl stop api; rm -rf /etc/systemd/system/{unit}.d && systemctl daemon-reload")


def test_log_minutes_behind_the_walls(box):
    """At a Unix socket, which wants no network; what it counts outlives the stop."""
    unit, socket = "sluice@log-minutes.service", "/run/sluice/log-minutes/log.sock"
    folder = example(box, "log-minutes", f"LOG_ADDRESS=unix://{socket}")
    own(box, "log-minutes")
    for first in 0, 2:
        box.do(f"systemctl start {unit}")
        lines = "".join(f"<14>1 2024-03-01T12:0{minute}:{second}Z web1 shop 17 - - GET / 200 {second}ms\\n" for minute in (first, first + 1) for second in (10, 20))
        box.do(f"printf '{lines}' | python3 -c \"import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('{socket}');"
               " s.sendall(sys.stdin.buffer.read()); s.shutdown(1); s.recv(1)\"")
        wait_for(lambda: len(records(box, "log-minutes", "minutes.ndjson")) == first + 1, what="the first minute")
        box.do(f"systemctl stop {unit}")
    assert [(r["window_start"][14:16], r["requests"], r["slowest_ms"]) for r in records(box, "log-minutes", "minutes.ndjson")] == [("00", 2, 20), ("01", 2, 20), ("02", 2, 20)]
    assert box.do(f"ls -A {folder}").split() == ["minutes.ndjson"]


def records(box, name, file):
    return [json.loads(line) for line in box.run(f"cat /var/lib/sluice/{name}/data/{file}")[1].splitlines()]


def test_journal_example_behind_the_walls(box):
    """The journal is for its group; without that it says so."""
    box.do("cp /usr/local/share/doc/sluice/pipelines/journal.conf /etc/sluice/ && logger -p user.warning 'before the start'")
    unit = "sluice@journal.service"
    box.do(f"journalctl --sync && systemctl start {unit}")
    wait_for(lambda: any("may not be read by this user" in message for message in box.messages(unit)), what="the warning")
    box.do(f"systemctl stop {unit}")
    box.do(f"mkdir -p /etc/systemd/system/{unit}.d && cp /usr/local/share/doc/sluice/systemd/journal.conf /etc/systemd/system/{unit}.d/ && systemctl daemon-reload")
    box.do(f"systemctl start {unit} && logger -p user.warning 'hello there' && logger -p user.info 'not worth it'")
    wait_for(lambda: any(record["message"] == "hello there" for record in records(box, "journal", "warnings.ndjson")), what="the line")
    found = {record["message"]: record for record in records(box, "journal", "warnings.ndjson")}
    assert "before the start" in found and "not worth it" not in found and found["hello there"]["priority"] == 4
    box.do(f"systemctl stop {unit}")


FOLLOWS = """
stages = {{ read = {{ source = "journal"; follow = true; since = "now"; restart = 1000; {which} fields = [ "MESSAGE", "N" ]; }};
           save = {{ sink = "file"; from = "read"; path = "out.ndjson"; append = true; }}; }};"""


def log_numbers(box, first, end):
    box.do(f"for n in $(seq {first} {end - 1}); do printf 'MESSAGE=number\\nN=%d\\nSYSLOG_IDENTIFIER=counter\\n' $n | logger --journald; done; journalctl --sync")


def followed(box, name):
    return [int(record["N"]) for record in records(box, name, "out.ndjson") if "N" in record]


def journal_unit(box, name, which):
    return conf(box, name, FOLLOWS.format(which=which), "[Service]\nSupplementaryGroups=systemd-journal\n")


def test_journal_over_rotation_and_restarts(box):
    """journald rotates, the service is restarted, the process killed: each entry once."""
    unit = journal_unit(box, "rotated", 'match = "SYSLOG_IDENTIFIER=counter";')
    box.do(f"systemctl start {unit}")
    log_numbers(box, 0, 20)
    box.do("journalctl --rotate")
    log_numbers(box, 20, 40)
    box.do(f"kill -9 {box.stages(unit)['read.0']}")
    log_numbers(box, 40, 50)
    box.do(f"systemctl stop {unit}")
    log_numbers(box, 50, 60)
    box.do(f"journalctl --rotate && systemctl start {unit}")
    log_numbers(box, 60, 70)
    wait_for(lambda: len(followed(box, "rotated")) >= 70, what="all entries")
    assert followed(box, "rotated") == list(range(70))
    assert not [message for message in box.messages(unit) if "removed before" in message]
    box.do(f"systemctl stop {unit}")


def test_journal_of_a_namespace(box):
    """A journald of its own writes it; nothing of the machine's comes with it."""
    unit = journal_unit(box, "spaced", 'namespace = "noisy";')
    box.do(f"systemctl start {unit}")
    log_numbers(box, 0, 3)
    script = "for n in 10 11 12; do printf 'MESSAGE=number\\nN=%d\\n' $n | logger --journald; done"
    box.write("/root/numbers", script)
    box.do("systemd-run --wait -p LogNamespace=noisy sh /root/numbers")
    wait_for(lambda: len(followed(box, "spaced")) >= 3, what="the entries")
    assert followed(box, "spaced") == [10, 11, 12]
    status = box.do(f"cat /proc/{box.stages(unit)['read.0']}/status")
    assert re.search(r"^Seccomp:\s+2$", status, re.M) and re.search(r"^CapEff:\s+0+$", status, re.M)
    box.do(f"systemctl stop {unit}")


def test_journal_that_was_vacuumed(box):
    """What was removed before it was read is said, and the next entry read."""
    unit = journal_unit(box, "vacuumed", "")
    box.do(f"systemctl start {unit}")
    log_numbers(box, 100, 110)
    wait_for(lambda: followed(box, "vacuumed")[-1:] == [109], what="the first entries")
    box.do(f"systemctl stop {unit}")
    log_numbers(box, 110, 120)
    box.do("journalctl --rotate && journalctl --vacuum-files=1")
    log_numbers(box, 120, 130)
    box.do(f"systemctl start {unit}")
    wait_for(lambda: followed(box, "vacuumed")[-1:] == [129], what="the next ones")
    assert followed(box, "vacuumed") == [*range(100, 110), *range(120, 130)]
    said = box.messages(unit, f"MESSAGE_ID={IDS['MISSED']}")
    assert len(said) == 1 and int(re.search(r"up to (\d+) entries", said[0])[1]) >= 10
    box.do(f"systemctl stop {unit}")


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_examples_behind_the_walls(box, name):
    """Each makes what it makes without them."""
    folder = f"/var/lib/sluice/{name}/data"
    box.do(f"cp /usr/local/share/doc/sluice/pipelines/{name}.conf /etc/sluice/ && mkdir -p /root/plain-{name} {folder}")
    if name in INPUTS:
        box.do(f"cd {folder} && {INPUTS[name]} && cp -r . /root/plain-{name}/")
    box.do(f"chown -R sluice:sluice /var/lib/sluice/{name}")
    box.do(f"cd /root/plain-{name} && sluice run /etc/sluice/{name}.conf --state s --runtime r")
    code, out, err = box.run(f"systemctl start sluice-run@{name}.service")
    assert code == 0, box.messages(f"sluice-run@{name}.service")
    for file in OUTPUTS[name]:
        unpack = UNPACK.get(pathlib.Path(file).suffix, "cat")
        plain, walled = box.do(f"{unpack} /root/plain-{name}/{file}"), box.do(f"{unpack} {folder}/{file}")
        assert walled == plain and plain
    if name == "pictures":
        assert box.do(f"ls {folder}/thumbnails").split() == ["a.png", "b.png"]


def test_timer(box):
    """It runs, and again, over what is new."""
    box.write("/etc/sluice/often.conf", """
stages = { read = { source = "file"; path = "/var/lib/sluice/often/data/in-*.ndjson"; };
           save = { sink = "sqlite"; from = "read"; path = "out.db"; table = "t"; create = true; }; };""")
    box.do("mkdir -p /var/lib/sluice/often/data && echo '{\"id\": 1}' >/var/lib/sluice/often/data/in-1.ndjson && chown -R sluice:sluice /var/lib/sluice/often")
    box.drop_in("sluice-run@often.timer", "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nAccuracySec=1ms\n")
    box.do("systemctl enable --now sluice-run@often.timer")
    count = ("python3 -c \"import sqlite3; print(sqlite3.connect('file:/var/lib/sluice/often/data/out.db?mode=ro', uri=True)"
             ".execute('SELECT count(*), count(DISTINCT id) FROM t').fetchone())\"")
    wait_for(lambda: box.run(count)[1].strip() == "(1, 1)", what="the first run")
    box.do("echo '{\"id\": 2}' >/var/lib/sluice/often/data/in-2.ndjson")
    wait_for(lambda: box.run(count)[1].strip() == "(2, 2)", what="another run")
    runs = len(box.messages("sluice-run@often.service", "JOB_TYPE=start", "CODE_FUNC=job_emit_done_message"))
    wait_for(lambda: len(box.messages("sluice-run@often.service", "JOB_TYPE=start", "CODE_FUNC=job_emit_done_message")) > runs + 1, what="runs without news")
    assert box.run(count)[1].strip() == "(2, 2)"
    box.do("systemctl disable --now sluice-run@often.timer")
    box.wait_for("sluice-run@often.service", "ActiveState", "inactive")
    assert len(box.journal(None, f"MESSAGE_ID={IDS['ENDED']}", "PIPELINE=often")) >= 3


def test_one_at_a_time(box):
    """The run of a timer finds the service at work, fails, and takes nothing away from it."""
    unit = conf(box, "both", 'stages = { read = { source = "sequence"; rate = "10/s"; }; save = { sink = "null"; from = "read"; }; };')
    box.do(f"systemctl start {unit}")
    assert box.run("systemctl start sluice-run@both.service")[0] != 0
    assert any("is in use by the supervisor with pid" in message for message in box.messages("sluice-run@both.service"))
    assert '"running"' in box.do("sluice status /etc/sluice/both.conf --json")
    box.do(f"systemctl stop {unit}")


# --- README ------------------------------------------------------------------------------------------


def test_readme_word_for_word(installed):
    """In a box of its own: the commands of `Run it as a service`, as they stand there."""
    from box import BUILD, Box
    text = (ROOT / "README.md").read_text().split("## Run it as a service\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"(?:^|\n\n)((?:    .*\n?|\n(?=    ))+)", text)
    commands = ["\n".join(line[4:] for line in block.splitlines()) for block in blocks]
    assert len(commands) == 3 and commands[0].startswith("make -C build install")
    box = Box(installed, ["--bind", str(ROOT)] + (["--bind", str(BUILD)] if ROOT not in BUILD.parents else []))
    try:
        box.do("rm -rf /usr/local/*bin/sluice* /lib/systemd/system/sluice*")
        assert "Error" not in box.do(f"cd {ROOT} && set -e\n" + commands[0].replace("-C build", f"-C {BUILD}"), 120)
        box.do("[ -s /var/log/dpkg.log ] || for i in 1 2 3; do echo \"2026-11-21 10:00:0$i status installed p$i:all 1\"; done >/var/log/dpkg.log; chmod 644 /var/log/dpkg.log")
        out = box.do("set -e\n" + commands[1])
        assert "ok: pipeline `packages`" in out and "active (running)" in out
        rows = "python3 -c \"import sqlite3; print(sqlite3.connect('file:/var/lib/sluice/packages/data/packages.db?mode=ro', uri=True).execute('SELECT count(*) FROM changes').fetchone()[0])\""
        there = int(box.do("wc -l </var/log/dpkg.log"))
        wait_for(lambda: box.run(rows)[1].strip() == str(there), what="the rows")
        box.do("echo '2026-11-21 12:00:00 status installed new:all 1' >>/var/log/dpkg.log")
        wait_for(lambda: box.run(rows)[1].strip() == str(there + 1), what="the new row")
        box.do("set -e\n" + commands[2])
        assert box.show("sluice@packages", "ActiveState") == "inactive"
        assert box.run(rows)[1].strip() == str(there + 1)
    finally:
        box.close()
