# SPDX-License-Identifier: MIT
"""How runs end when something is wrong: the right exit status and reason, within a stated time; and bounded memory."""
import ctypes
import json
import os
import pathlib
import signal
import time

import pytest

from conftest import SANITIZED, children, finish, resident, wait_for

# seconds, for every run here; a hang ends after its stall_timeout and the restarts
END_WITHIN = 60 if SANITIZED else 20


def chain(broken, action):
    """read -> a -> b -> c -> save; the one named is `fault`, what follows it is slow, so that all before it is blocked."""
    stages, before = ['read = { source = "sequence"; };'], "read"
    for name in ("a", "b", "c"):
        if name == broken:
            stages.append(f'{name} = {{ transform = "fault"; from = "{before}"; at = 3; action = "{action}"; restart = 1;'
                          ' backoff = "10ms"; stall_timeout = "1s"; };')
        else:
            wait = "1ms" if name < broken else "50ms"
            stages.append(f'{name} = {{ transform = "delay"; from = "{before}"; wait = "{wait}"; }};')
        before = name
    stages.append(f'save = {{ sink = "null"; from = "{before}"; }};')
    return "stages = {\n" + "\n".join(stages) + "\n};\n"


REASONS = {"error": "fault: an error at record 3", "exit": "exited with status 7", "abort": "killed by signal 6",
           "hang": "hung: one call into the stage has lasted"}


@pytest.mark.parametrize("action", sorted(REASONS))
@pytest.mark.parametrize("broken", ["a", "b", "c"])
def test_a_broken_stage_ends_the_run(place, broken, action):
    begin = time.monotonic()
    _, err = place.run(chain(broken, action), status=1, timeout=END_WITHIN)
    assert REASONS[action] in err
    assert "giving up" in err
    assert time.monotonic() - begin < END_WITHIN


def test_a_fault_that_passes_is_survived(place):
    place.run("""
stages = { read = { source = "sequence"; count = 1000; };
           a = { transform = "fault"; from = "read"; at = 5; action = "abort"; once = "mark"; backoff = "10ms"; };
           save = { sink = "file"; from = "a"; path = "out.ndjson"; }; };""")
    assert [json.loads(line) for line in open(place.path / "out.ndjson")] == list(range(1000))


def test_a_dead_source_that_cannot_go_on_stops_the_pipeline(place):
    place.write("p.conf", """
stages = { read = { source = "exec"; command = ["seq", "1000000"]; format = "ndjson"; }; slow = { transform = "delay"; from = "read"; wait = "1ms"; };
           save = { sink = "file"; from = "slow"; path = "out.ndjson"; }; };""")
    process = place.start("run", "p.conf")
    part = place.path / ".out.ndjson.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0, what="the first record")
    os.kill(next(iter(children(process.pid, {"read"}))), signal.SIGKILL)
    code, _, err = finish(process, END_WITHIN)
    assert code == 1
    assert "read.0: killed by signal 9" in err and "source" in err
    assert not (place.path / "out.ndjson").exists()


def test_rejected_records_are_counted(place):
    _, err = place.run("""
stages = { read = { source = "sequence"; count = 100; };
           a = { transform = "fault"; from = "read"; at = 5; action = "reject"; };
           save = { sink = "file"; from = "a"; path = "out.ndjson"; }; };""", status=3)
    assert "a.0: refused: fault: rejected, as the config says: 4" in err
    assert len(open(place.path / "out.ndjson").readlines()) == 99


def test_on_error_stop(place):
    _, err = place.run("""
stages = { read = { source = "sequence"; count = 100; };
           a = { transform = "fault"; from = "read"; at = 5; action = "reject"; on_error = "stop"; };
           save = { sink = "null"; from = "a"; }; };""", status=1)
    assert 'on_error is "stop"' in err


@pytest.mark.parametrize("stage, message", [
    ('read = { source = "file"; path = "nowhere.csv"; };', "nowhere.csv: No such file or directory: check `path`"),
    ('read = { source = "file"; path = "no*.csv"; };', "no*.csv: no file matches"),
    ('read = { source = "file"; path = "/etc"; format = "lines"; };', "/etc is a folder: write /etc/* for the files in it"),
])
def test_a_stage_that_cannot_start_says_why_once(place, stage, message):
    _, err = place.run('stages = { %s save = { sink = "null"; from = "read"; }; };' % stage, status=1, timeout=10)
    assert err.count(message) == 1, err


def test_missing_folder_of_a_sink(place):
    _, err = place.run("""stages = { read = { source = "sequence"; };
        save = { sink = "file"; from = "read"; path = "no/such/out.ndjson"; }; };""", status=1, timeout=10)
    assert "no/such: No such file or directory: make the folder, or change `path`" in err


def test_stop_drains_and_publishes_nothing(place):
    place.write("p.conf", """
stages = { read = { source = "sequence"; }; slow = { transform = "delay"; from = "read"; wait = "1ms"; };
           save = { sink = "file"; from = "slow"; path = "out.ndjson"; };
           more = { sink = "file"; from = "slow"; path = "more.ndjson"; append = true; }; };""")
    process = place.start("run", "p.conf")
    part = place.path / ".out.ndjson.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 100, what="some records")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, END_WITHIN)
    assert code == 0, err
    assert "stopping" in err and "stopped in" in err
    assert part.exists() and not (place.path / "out.ndjson").exists()
    numbers = [json.loads(line) for line in open(place.path / "more.ndjson")]
    assert numbers == list(range(len(numbers)))


def test_second_stop_ends_at_once_with_every_queue_full(place):
    place.write("p.conf", """
stages = { read = { source = "sequence"; }; a = { transform = "delay"; from = "read"; wait = "1us"; };
           still = { transform = "delay"; from = "a"; wait = "1h"; }; save = { sink = "null"; from = "still"; }; };""")
    process = place.start("run", "p.conf")
    pids = wait_for(lambda: len(children(process.pid)) == 4 and list(children(process.pid)), what="four processes")
    time.sleep(0.5)  # not a wait for anything: the longer, the fuller the queues
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "stopping" in os.read(process.stderr.fileno(), 65536).decode(), what="the first stop to be heard")
    assert process.poll() is None
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, _, _ = finish(process, 5)
    assert code == 1
    assert time.monotonic() - begin < 1
    assert not any(pathlib.Path(f"/proc/{pid}/cmdline").exists() and pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)


STILL = """
stages = { read = { source = "sequence"; retain = "1MiB"; };
           %s
           still = { transform = "delay"; from = "%s"; wait = "1h"; };
           save = { sink = "null"; from = "still"; }; };"""


def settle_down(process, seconds):
    """Resident kilobytes of all processes, sampled."""
    samples = []
    for _ in range(seconds * 4):
        samples.append(sum(resident(pid) for pid in children(process.pid)))
        time.sleep(0.25)
    return samples


@pytest.mark.parametrize("middle", [0, 3])
def test_memory_is_flat_behind_a_sink_that_stands_still(place, middle):
    """An endless source; five stages in the longer chain. bench/backpressure does the same for a minute."""
    stages, before = [], "read"
    for n in range(middle):
        stages.append(f'm{n} = {{ transform = "sql"; from = "{before}"; query = "SELECT value FROM input"; retain = "1MiB"; }};')
        before = f"m{n}"
    place.write("p.conf", STILL % ("\n".join(stages), before))
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 3 + middle, what="all processes")
    time.sleep(1)
    first = settle_down(process, 1)
    later = settle_down(process, 3)
    assert max(later) <= max(first) + 1024 * (2 + middle), f"{first} {later}"
    process.kill()


def test_silence_of_a_stopped_process_is_seen(place):
    place.write("p.conf", """
stages = { read = { source = "sequence"; };
           work = { transform = "delay"; from = "read"; wait = "1ms"; stall_timeout = "2s"; backoff = "10ms"; };
           save = { sink = "null"; from = "work"; }; };""")
    process = place.start("run", "p.conf")
    pid = wait_for(lambda: next(iter(children(process.pid, {"work"})), None), what="the process")
    time.sleep(0.3)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: next(iter(children(process.pid, {"work"})), pid) != pid, 15, "a successor")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, END_WITHIN)
    assert code == 0, err
    assert "stood still" in err


def test_a_process_that_dies_while_it_is_traced(place):
    """Its tracer hears of the death first; the supervisor must hear of it, too, once that one has."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    place.write("p.conf", """stages = {
      read = { source = "sequence"; rate = "1000/s"; };
      save = { sink = "null"; from = "read"; backoff = "10ms"; };
    };""")
    process = place.start("run", "p.conf")
    victim, = wait_for(lambda: children(process.pid, {"save"}), what="the start")
    if ptrace(0x4206, victim, None, None) != 0:  # PTRACE_SEIZE
        pytest.skip("may not trace here")
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: pathlib.Path(f"/proc/{victim}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", what="its death")
    time.sleep(0.5)
    assert os.waitpid(victim, 0)[0] == victim
    wait_for(lambda: set(children(process.pid, {"save"})) - {victim}, what="its successor")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 0, err
