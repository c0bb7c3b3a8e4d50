# SPDX-License-Identifier: MIT
"""The control socket: what a running pipeline tells, how it is ended, and that nobody who talks to it can hold it up."""
import datetime
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from conftest import BUILD, children, finish, wait_for

SLOW = """
stages = { read = { source = "sequence"; count = 1000000; };
           slow = { transform = "delay"; from = "read"; wait = "1ms"; processes = 2; threads = 2; };
           save = { sink = "file"; from = "slow"; path = "out.ndjson"; append = true; };
           copy = { sink = "null"; from = "slow"; }; };"""
STUCK = """
stages = { read = { source = "sequence"; };
           stuck = { transform = "delay"; from = "read"; wait = "1h"; };
           save = { sink = "null"; from = "stuck"; }; };"""


def control_of(place, name="p"):
    return place.path / "r/sluice" / name / "control.sock"


def start(place, config=SLOW, program="sluice"):
    """A running pipeline whose stages are all ready."""
    place.write("p.conf", config)
    arguments = ("run", "p.conf") if program == "sluice" else ("--config", "p.conf")
    process = place.start(*arguments, program=program)
    ask = ["curl", "-s", "--unix-socket", control_of(place), "http://sluice/v1/status"]
    wait_for(lambda: process.poll() is not None or b'"running",\n  "reason"' in subprocess.run(ask, capture_output=True).stdout,
             what="the pipeline to run")
    assert process.poll() is None, process.stderr.read()
    return process


def curl(place, route, *arguments, method="GET", timeout=10):
    """Status and body of an answer, from the real curl."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", str(timeout), "-X", method, "-w", "\n%{http_code}", *arguments,
         "--unix-socket", control_of(place), f"http://sluice{route}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    body, code = done.stdout.rsplit("\n", 1)
    return int(code), body


def status(place):
    code, body = curl(place, "/v1/status")
    assert code == 200, body
    return json.loads(body)


def stage_of(told, name):
    return next(stage for stage in told["stages"] if stage["name"] == name)


def connect(place):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(control_of(place)))
    return client


# --- status ------------------------------------------------------------------------------------------


def test_status_tells_everything(place):
    process = start(place)
    wait_for(lambda: stage_of(status(place), "save")["records_in"] > 500, what="some records")
    wait_for(lambda: stage_of(status(place), "read")["instances"][0]["source"]["settled"] > 0, what="something to be settled")
    told = wait_for(lambda: (now := status(place))["elapsed_seconds"] > 1.5 and now, what="a second")
    assert told["pipeline"] == "p" and told["file"] == str(place.path / "p.conf") and told["pid"] == process.pid
    assert re.fullmatch("[0-9a-f]{16}", told["run"]) and told["state"] == "running" and told["reason"] is None
    begun = datetime.datetime.fromisoformat(told["since"].replace("Z", "+00:00")).timestamp()
    assert abs(time.time() - told["elapsed_seconds"] - begun) < 3
    assert sorted((stage["name"], stage["role"], stage["impl"], stage["processes"]) for stage in told["stages"]) == [
        ("copy", "sink", "null", 1), ("read", "source", "sequence", 1), ("save", "sink", "file", 1), ("slow", "transform", "delay", 2)]
    running = children(process.pid)
    for stage in told["stages"]:
        assert stage["running"] == stage["processes"] == len(stage["instances"])
        for key in ("records_in", "records_out", "records_dead", "restarts", "held_bytes", "retried"):
            assert stage[key] == sum(instance[key] for instance in stage["instances"])
        for number, instance in enumerate(stage["instances"]):
            assert instance["instance"] == number and instance["name"] == f"{stage['name']}.{number}"
            assert instance["state"] == "running" and running[instance["pid"]] == instance["name"]
            assert ("source" in instance) == (stage["role"] == "source")
            assert instance["blocked"] in ("free", "no_input", "no_credit", "no_room")
            assert all(worker["state"] in ("idle", "busy", "waiting") for worker in instance["workers"])
    slow = stage_of(told, "slow")["instances"]
    assert all(len(instance["workers"]) == 2 and sum(worker["calls"] for worker in instance["workers"]) > 0 for instance in slow)
    assert all(instance["queue"] == 4 and instance["retain_bytes"] == 64 << 20 for instance in slow)
    assert all(100 < instance["in_per_second"] < 10000 for instance in slow)
    source = stage_of(told, "read")["instances"][0]["source"]
    assert 0 < source["settled"] <= source["position"] and source["total"] == 1000000 and source["unit"] == "records"
    assert source["lag"] == source["total"] - source["done"]
    assert 0 <= source["age"] < 60


def test_the_age_of_what_is_stuck(place):
    start(place, STUCK)
    wait_for(lambda: stage_of(status(place), "read")["instances"][0]["source"]["age"] > 1, what="an age of more than a second")
    code, out, _ = place.sluice("status", "p.conf")
    assert code == 0 and "the oldest that is not settled was read 1" in out, out


def test_status_names_who_is_waited_for(place):
    start(place, STUCK)
    wait_for(lambda: stage_of(status(place), "read")["instances"][0]["waits_for"] == ["stuck"], what="the source to wait")
    told = status(place)
    assert stage_of(told, "read")["instances"][0]["blocked"] == "no_credit"
    assert stage_of(told, "save")["instances"][0]["blocked"] == "no_input"
    assert stage_of(told, "save")["instances"][0]["waits_for"] == ["stuck"]
    wait_for(lambda: stage_of(status(place), "stuck")["instances"][0]["queued"] > 0, what="the queue to be seen")
    code, out, err = place.sluice("status", "p.conf")
    assert code == 0, err
    rows = {line.split()[0]: line for line in out.splitlines() if line and not line.startswith("p:")}
    assert rows["read"].endswith("stuck (no credit)") and rows["save"].endswith("stuck (no input)")


def test_status_of_a_death(place):
    process = start(place, SLOW.replace("wait =", 'backoff = "30s"; wait ='))
    # The first is replaced at once.
    for restarts in range(2):
        wait_for(lambda: stage_of(status(place), "slow")["instances"][1]["state"] == "running", what="its process")
        assert stage_of(status(place), "slow")["instances"][1]["restarts"] == restarts
        os.kill(next(pid for pid, name in children(process.pid).items() if name == "slow.1"), signal.SIGKILL)
        wait_for(lambda: stage_of(status(place), "slow")["instances"][1]["restarts"] == restarts + 1, what="its death")
    dead = wait_for(lambda: (it := stage_of(status(place), "slow")["instances"][1])["state"] == "restarting" and it,
                    what="the death to be seen")
    assert dead["pid"] is None and dead["restarts"] == 2 and dead["waits_for"] == []
    assert stage_of(status(place), "slow")["running"] == 1


def test_status_table_and_json(place):
    process = start(place)
    code, out, err = place.sluice("status", "p.conf")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("p: running, for ") and f"pid {process.pid}" in lines[0]
    assert lines[2].split() == ["stage", "instance", "state", "pid", "restarts", "in", "out", "dead", "records/s", "queue",
                                "waits", "for"]
    assert sorted(line.split()[0] + "." + line.split()[1] for line in lines[3:8]) == [
        "copy.0", "read.0", "save.0", "slow.0", "slow.1"]
    assert re.fullmatch(r"read\.0: read up to [\d ]+, settled up to [\d ]+; [\d ]+ of 1 000 000 records, [\d ]+ records to go(; the oldest that is not settled was read .* ago)?",
                        lines[-1])
    code, out, err = place.sluice("status", "p.conf", "--json")
    assert code == 0 and json.loads(out)["pipeline"] == "p"


def test_status_needs_no_right_config(place):
    """The pipeline runs; what its file says by now, or what the environment lacks, hides it from nobody."""
    start(place)
    place.write("p.conf", 'stages = { read = { source = "gone"; path = "${NOT_SET}"; from = 5; }; };')
    code, out, err = place.sluice("status", "p.conf")
    assert code == 0 and "running" in out, err
    place.write("p.conf", "stages = {")
    code, _, err = place.sluice("status", "p.conf")
    assert code == 78 and "p.conf:1" in err
    code, out, _ = place.sluice("status", "p.conf", "--runtime", str(control_of(place).parent))
    assert code == 0 and "running" in out


# --- metrics -----------------------------------------------------------------------------------------

SAVE = 'pipeline="p",stage="save",instance="0"'
SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\} (-?[0-9.e+-]+)')


def metrics(place):
    """{(name, labels): value}; every line must be one of the format."""
    code, body = curl(place, "/v1/metrics")
    assert code == 200 and body.endswith("\n")
    found, types, helped = {}, {}, set()
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped and name not in types and kind in ("counter", "gauge")
            types[name] = kind
        elif line.startswith("# HELP "):
            assert re.fullmatch(r"# HELP [a-z_]+ \S.*", line)
            helped.add(line.split(" ")[2])
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name in types and name.startswith("sluice_") and 'pipeline="p"' in labels
            assert (name, labels) not in found
            found[name, labels] = float(value)
    assert all((kind == "counter") == name.endswith("_total") for name, kind in types.items())
    return found, types


def test_metrics(place):
    start(place)
    wait_for(lambda: stage_of(status(place), "save")["records_in"] > 100, what="some records")
    first, types = metrics(place)
    second, _ = wait_for(lambda: (now := metrics(place))[0]["sluice_records_in_total", SAVE] >
                         first["sluice_records_in_total", SAVE] + 100 and now, what="the counters to grow")
    assert first.keys() <= second.keys()
    for (name, labels), value in first.items():
        if types[name] == "counter":
            assert second[name, labels] >= value, name
    assert second["sluice_state", 'pipeline="p",state="running"'] == 1
    assert second["sluice_instance_up", SAVE] == 1
    wait_for(lambda: 0 < metrics(place)[0]["sluice_source_settled", 'pipeline="p",stage="read",instance="0"'] < 1000000,
             what="the source to hear what is settled")
    code, body = curl(place, "/v1/metrics", "-D", "-")
    assert "content-type: text/plain; version=0.0.4" in body.lower()


# --- drain and stop ----------------------------------------------------------------------------------


def numbers(place):
    return [json.loads(line) for line in open(place.path / "out.ndjson")]


@pytest.mark.parametrize("program", ["sluice", "sluiced"])
def test_drain_settles_everything(place, program):
    process = start(place, program=program)
    wait_for(lambda: stage_of(status(place), "save")["records_in"] > 100, what="some records")
    code, out, err = place.sluice("drain", "p.conf")
    # Who has waited finds the process gone, and may start it again.
    assert not control_of(place).exists() and pathlib.Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "Z"
    assert code == 0 and "p: settled: every record that was read is accounted for" in out, err
    code, _, err = finish(process)
    assert code == 0, err
    assert numbers(place) == list(range(len(numbers(place)))) and len(numbers(place)) > 100
    code, _, err = place.sluice("status", "p.conf")
    assert code == 1
    assert err == "p is not running: start it with `sluice run p.conf` or `systemctl start sluice@p`\n"


def test_drain_tells_of_dead_letters(place):
    process = start(place, """
stages = { read = { source = "sequence"; };
           work = { transform = "fault"; from = "read"; at = 5; action = "reject"; };
           slow = { transform = "delay"; from = "work"; wait = "1ms"; };
           save = { sink = "null"; from = "slow"; }; };""")
    wait_for(lambda: stage_of(status(place), "work")["records_dead"] == 1, what="a dead letter")
    code, out, _ = place.sluice("drain", "p.conf")
    assert code == 3 and "settled; given up: 1; it ran for" in out and "\nwhat was given up is kept: sluice dead list p.conf\n" in out
    assert finish(process)[0] == 3


def test_drain_tells_of_what_was_dropped(place):
    """There is no letter that could be shown."""
    process = start(place, """
stages = { read = { source = "sequence"; };
           work = { transform = "fault"; from = "read"; at = 5; action = "reject"; on_error = "drop"; };
           slow = { transform = "delay"; from = "work"; wait = "1ms"; };
           save = { sink = "null"; from = "slow"; }; };""")
    wait_for(lambda: stage_of(status(place), "work")["records_dead"] == 1, what="a record that was given up")
    code, out, _ = place.sluice("drain", "p.conf")
    assert code == 3 and "settled; given up, and not kept: 1" in out and "dead list" not in out
    assert finish(process)[0] == 3


def test_everybody_at_once(place):
    """Whoever asks while it drains gets an answer: another drain, a reload, a stop."""
    process = start(place, STUCK)
    drains = [place.start("drain", "p.conf") for _ in range(3)]
    wait_for(lambda: status(place)["state"] == "stopping", what="the drain")
    code, _, err = place.sluice("drain", "p.conf", "--no-wait")
    assert code == 0, err
    place.write("p.conf", (place.path / "p.conf").read_text().replace("1h", "1s"))
    code, _, err = place.sluice("reload", "p.conf")
    assert code == 1 and "the pipeline is ending" in err
    assert place.sluice("audit", "p.conf")[0] == 0
    assert place.sluice("stop", "p.conf")[0] == 0
    for drain in drains:
        code, out, err = finish(drain)
        assert code == 1 and "stopped at once by `sluice stop`" in out, out + err
    assert finish(process)[0] == 1


def test_those_who_wait_no_longer_make_room(place):
    process = start(place, STUCK)
    for _ in range(200):
        with connect(place) as s:
            s.sendall(b"POST /v1/drain?wait=1 HTTP/1.1\r\nHost: sluice\r\n\r\n")
            time.sleep(0.005)
    assert wait_for(lambda: place.sluice("status", "p.conf")[0] == 0, 10, "an answer")
    assert place.sluice("stop", "p.conf")[0] == 0
    assert finish(process)[0] == 1


def test_drain_without_waiting_then_stop(place):
    process = start(place, STUCK)
    wait_for(lambda: stage_of(status(place), "stuck")["records_in"] > 0, what="a record that sticks")
    code, out, _ = place.sluice("drain", "p.conf", "--no-wait")
    assert (code, out) == (0, "p: stopping\n")
    assert status(place)["state"] == "stopping" and process.poll() is None
    waiting = place.start("drain", "p.conf")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    code, out, _ = place.sluice("stop", "p.conf", timeout=10)
    assert code == 0 and "stopped at once by `sluice stop`" in out
    code, _, err = finish(process, 5)
    assert code == 1 and "stopped at once by `sluice stop`" in err
    # Who waited for the drain hears what became of it.
    code, out, _ = finish(waiting, 5)
    assert code == 1 and "stopped at once" in out
    assert not control_of(place).exists()


def test_drain_after_the_last_record(place):
    """It ends by itself while somebody waits."""
    process = start(place, SLOW.replace("1000000", "3000"))
    code, body = curl(place, "/v1/drain?wait=1", method="POST")
    end = json.loads(body)
    assert code == 200 and end["end"] == "settled" and end["status"] == 0 and end["reason"] is None
    assert finish(process)[0] == 0


def test_a_supervisor_that_is_killed_while_somebody_waits(place):
    process = start(place, STUCK)
    wait_for(lambda: stage_of(status(place), "stuck")["records_in"] > 0, what="a record that sticks")
    waiting = place.start("drain", "p.conf")
    wait_for(lambda: status(place)["state"] == "stopping", what="the drain")
    process.kill()
    code, _, err = finish(waiting, 5)
    assert code == 1 and "p does not answer" in err
    # It left its socket behind: nobody answers there, and the next run is not bothered.
    assert control_of(place).exists()
    code, _, err = place.sluice("status", "p.conf")
    assert code == 1 and "p is not running" in err
    start(place, STUCK)
    assert place.sluice("stop", "p.conf")[0] == 0


# --- audit -------------------------------------------------------------------------------------------


def test_audit_while_it_runs(place):
    process = start(place)
    before = -1
    for _ in range(3):
        code, body = curl(place, "/v1/audit")
        told = json.loads(body)
        assert code == 200 and told["holds"] and told["complete"] and told["leak"] is None and told["missing"] == []
        sent = {(link["from"], link["to"]): link["sent"] for link in told["links"]}
        assert sent.keys() == {("read", "slow"), ("slow", "save"), ("slow", "copy")}
        assert all(link["sent"] == link["received"] for link in told["links"])
        assert all(stage["in"] == stage["consumed"] + stage["dead"] for stage in told["stages"])
        assert len(set(sent.values())) == 1
        now = sent["read", "slow"]
        assert now > before
        before = now
        wait_for(lambda: stage_of(status(place), "read")["instances"][0]["source"]["settled"] > before, what="more records")
    code, out, err = place.sluice("audit", "p.conf")
    assert code == 0 and out.endswith("the laws hold\n") and "slow.out -> save" in out, err
    code, out, _ = place.sluice("audit", "p.conf", "--json")
    assert code == 0 and json.loads(out)["holds"]
    assert place.sluice("drain", "p.conf")[0] == 0
    assert finish(process)[0] == 0


def test_audit_adds_up_all_sources(place):
    start(place, """
stages = { few = { source = "sequence"; count = 7; };
           many = { source = "sequence"; count = 1000000; };
           slow = { transform = "delay"; from = "many"; wait = "1ms"; };
           save = { sink = "null"; from = ["few", "slow"]; }; };""")
    wait_for(lambda: stage_of(status(place), "few")["instances"][0]["source"]["settled"] == 7, what="one source to come to its end")
    told = json.loads(curl(place, "/v1/audit")[1])
    assert told["holds"] and told["complete"]
    received = {link["from"]: link["received"] for link in told["links"]}
    assert received["few"] == 7 and received["many"] == received["slow"] > 0
    assert next(stage for stage in told["stages"] if stage["name"] == "save")["in"] == 7 + received["slow"]


def test_audit_does_not_wait_for_a_source_that_is_stopped(place):
    process = start(place)
    source = next(pid for pid, name in children(process.pid).items() if name == "read.0")
    os.kill(source, signal.SIGSTOP)
    begin = time.monotonic()
    code, body = curl(place, "/v1/audit")
    told = json.loads(body)
    assert code == 200 and not told["complete"] and told["missing"] == ["read.0"] and told["holds"]
    assert 1.5 < time.monotonic() - begin < 5
    code, out, _ = place.sluice("audit", "p.conf")
    assert code == 1 and "read.0 did not tell its counts in time" in out
    os.kill(source, signal.SIGCONT)
    assert json.loads(curl(place, "/v1/audit")[1])["complete"]


def test_many_audits_at_once(place):
    process = start(place)
    asking = [place.start("audit", "p.conf") for _ in range(10)]
    assert [finish(one)[0] for one in asking] == [0] * 10
    assert process.poll() is None


# --- routes ------------------------------------------------------------------------------------------


def test_unknown_route_and_wrong_method(place):
    start(place)
    code, body = curl(place, "/v1/nothing")
    told = json.loads(body)
    assert code == 404 and "/v1/nothing" in told["error"] and "GET /v1/status" in told["routes"]
    assert curl(place, "/")[0] == 404
    assert curl(place, "/v2/status")[0] == 404
    for route, method in (("/v1/status", "POST"), ("/v1/drain", "GET"), ("/v1/stop", "DELETE"), ("/v1/metrics", "PUT")):
        code, body = curl(place, route, method=method)
        assert code == 405 and "routes" in json.loads(body)
    assert "\nallow: POST" in curl(place, "/v1/drain", "-D", "-")[1].replace("\r", "").replace("Allow", "allow")
    assert status(place)["state"] == "running"
    head = subprocess.run(["curl", "-sSI", "--max-time", "5", "--unix-socket", control_of(place), "http://sluice/v1/status"],
                          capture_output=True, text=True)
    assert head.returncode == 0 and "200 OK" in head.stdout and "application/json" in head.stdout


# --- nobody holds it up ------------------------------------------------------------------------------


def progress(place):
    """The pipeline moves: so many records reach the sink within two seconds."""
    out = place.path / "out.ndjson"
    size = out.stat().st_size if out.exists() else 0
    wait_for(lambda: out.exists() and out.stat().st_size > size + 2000, timeout=5, what="the pipeline to go on")


def test_idle_connections_do_not_hold_it_up(place):
    start(place)
    idle = [connect(place) for _ in range(100)]
    progress(place)
    begin = time.monotonic()
    assert status(place)["state"] == "running"
    assert time.monotonic() - begin < 2
    # They are thrown out, so that others come in.
    for client in idle:
        assert client.recv(1) == b""
    assert time.monotonic() - begin < 15
    flood = [connect(place) for _ in range(200)]
    progress(place)
    assert curl(place, "/v1/status", timeout=30)[0] == 200
    for client in idle + flood:
        client.close()
    code, _, err = place.sluice("drain", "p.conf")
    assert code == 0, err


GARBAGE = [
    b"\0" * 100,
    b"\r\n\r\n\r\n",
    bytes(range(256)) * 50,
    b"GET /v1/status HTTP/9.9\r\n\r\n",
    b"GET " + b"/x" * 100000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\n" + b"X-Much: " + b"y" * 200000 + b"\r\n\r\n",
    b"POST /v1/nix HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"z" * 500000,
    b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET /%00%ff%zz/../v1/status?%=&&== HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
]


def test_garbage(place):
    process = start(place)
    for junk in GARBAGE:
        client = connect(place)
        try:
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        client.close()
        assert process.poll() is None
    assert status(place)["state"] == "running"
    progress(place)
    assert place.sluice("drain", "p.conf")[0] == 0


def test_a_client_that_does_not_read(place):
    start(place)
    deaf = [connect(place) for _ in range(20)]
    for client in deaf:
        client.setblocking(False)
        try:
            while True:
                client.send(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        except BlockingIOError:
            pass
    progress(place)
    assert status(place)["state"] == "running"
    begin = time.monotonic()
    assert place.sluice("drain", "p.conf")[0] == 0
    assert time.monotonic() - begin < 5
    for client in deaf:
        client.close()


def test_a_slow_client(place):
    start(place)
    client = connect(place)
    for byte in b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n":
        client.send(bytes([byte]))
        time.sleep(0.02)  # what makes it slow
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    progress(place)


def test_no_processor_time_for_idle_clients(place):
    process = start(place, STUCK)
    idle = [connect(place) for _ in range(50)]
    fields = pathlib.Path(f"/proc/{process.pid}/stat")
    used = lambda: sum(int(field) for field in fields.read_text().rsplit(")", 1)[1].split()[11:13])
    before = used()
    time.sleep(1)  # the measure: ticks used within a second
    assert used() - before < 20 * os.sysconf("SC_CLK_TCK") // 100
    for client in idle:
        client.close()


# --- the socket --------------------------------------------------------------------------------------


def test_only_the_owner_may_talk(place):
    start(place)
    assert stat.S_IMODE(control_of(place).stat().st_mode) == 0o600
    if os.getuid() != 0:
        pytest.skip("needs root to become somebody else")
    # Even where the folders let him through.
    for folder in (place.path, place.path / "r", place.path / "r/sluice", control_of(place).parent):
        folder.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    asked = subprocess.run(
        ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "curl", "-sS", "--max-time", "5",
         "--unix-socket", control_of(place), "http://sluice/v1/status"], capture_output=True, text=True)
    assert asked.returncode == 7 and asked.stdout == ""
    assert status(place)["state"] == "running"


def test_not_running(place):
    place.write("p.conf", SLOW)
    for command in ("status", "drain", "stop", "audit"):
        code, out, err = place.sluice(command, "p.conf")
        assert (code, out) == (1, "")
        assert err == "p is not running: start it with `sluice run p.conf` or `systemctl start sluice@p`\n"
    code, _, err = place.sluice("status", "nowhere.conf")
    assert code == 78 and "nowhere.conf" in err


def test_a_runtime_folder_that_is_too_long(place):
    place.write("p.conf", SLOW)
    folder = str(place.path / ("x" * (96 - len(str(place.path)) - 1)))
    assert len(folder) + len("/control.sock") == 109 > 107 > len(folder) + len("/read.out.0") - 1
    for command in (("run", "p.conf"), ("status", "p.conf"), ("drain", "p.conf")):
        code, _, err = place.sluice(*command, "--runtime", folder)
        assert code == 78 and "control.sock has 109 bytes, and the kernel takes 107" in err and "--runtime" in err
    assert not os.path.exists(folder)


def test_a_socket_left_behind_is_replaced(place):
    folder = control_of(place).parent
    folder.mkdir(parents=True, mode=0o700)
    old = socket.socket(socket.AF_UNIX)
    old.bind(str(control_of(place)))
    old.close()
    start(place)
    assert place.sluice("drain", "p.conf")[0] == 0
    assert not control_of(place).exists()


def test_without_the_library_it_runs_all_the_same(place):
    """A copy of the program in a folder whose libmicrohttpd is none: the data move, and it says what is missing."""
    place.write("p.conf", SLOW.replace("1000000", "50"))
    broken = place.path / "lib"
    broken.mkdir()
    (broken / "libmicrohttpd.so.12").write_text("no library")
    place.env["LD_LIBRARY_PATH"] = str(broken)
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and "no control socket" in err and "libmicrohttpd12" in err
    assert numbers(place) == list(range(50))


def test_neither_library_is_linked():
    """libmicrohttpd brings GnuTLS along, libcurl forty libraries: every command would start twice as slowly."""
    for program in ("sluice", "sluiced"):
        linked = subprocess.run(["ldd", BUILD / program], capture_output=True, text=True, check=True).stdout
        assert "libmicrohttpd" not in linked and "libcurl" not in linked and "gnutls" not in linked
