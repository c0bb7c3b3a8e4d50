# SPDX-License-Identifier: MIT
"""The stages "exec": order, crashes of the program, whatever it says, and that none is left behind."""
import json
import os
import pathlib
import signal
import textwrap

import pytest

from conftest import children, finish, wait_for

# Answers each record by itself with its own pid; what else it does stands in `more`.
CHILD = """
import json, os, signal, sys, time
def once(name):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False
for line in sys.stdin:
    n = json.loads(line)
{more}
    print(json.dumps({{"n": n, "pid": os.getpid()}}), flush=True)
"""


def child(place, more="    pass"):
    place.write("child.py", CHILD.format(more=textwrap.indent(textwrap.dedent(more).strip("\n"), "    ")))
    return '[ "python3", "child.py" ]'


def pipeline(options, count=1000):
    return f"""
stages = {{
  read = {{ source = "sequence"; count = {count}; }};
  work = {{ transform = "exec"; from = "read"; backoff = "5ms"; {options} }};
  save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
}};"""


def records(place, name="out.ndjson"):
    return [json.loads(line) for line in open(place.path / name)]


def numbers(place):
    return [record["n"] for record in records(place)]


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- a program that runs on -------------------------------------------------------------------------------

@pytest.mark.parametrize("options", ["", "coroutines = 50;", "threads = 3;", "processes = 2; threads = 2; coroutines = 8;"])
def test_answers_in_order(place, options):
    place.run(pipeline(f"command = {child(place)}; {options}", 5000))
    assert numbers(place) == list(range(5000))
    programs = len({record["pid"] for record in records(place)})
    assert programs == 1 or "threads" in options
    assert programs <= 4


@pytest.mark.parametrize("coroutines", [1, 8])
def test_records_larger_than_a_pipe(place, coroutines):
    """`cat` writes while it reads: whoever only writes first and then reads waits for ever."""
    with open(place.path / "in.ndjson", "w") as file:
        for i in range(24):
            file.write(json.dumps({"n": i, "text": chr(97 + i) * (1_000_000 if i % 3 else 10)}) + "\n")
    place.run(f"""
stages = {{
  read = {{ source = "file"; path = "in.ndjson"; }};
  work = {{ transform = "exec"; from = "read"; command = "cat"; coroutines = {coroutines}; }};
  save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
}};""")
    assert records(place) == records(place, "in.ndjson")


@pytest.mark.parametrize("size", [5000, 200_000])
def test_an_answer_longer_than_line_max(place, size):
    command = child(place, f"""
    if n == 3:
        print(json.dumps("x" * {size}), flush=True)
        continue
    """)
    _, err = place.run(pipeline(f'command = {command}; line_max = "4KiB"; coroutines = 4;', 10), status=3)
    assert "the answer of python3 is longer than line_max, 4096 bytes" in err
    assert numbers(place) == [n for n in range(10) if n != 3]


@pytest.mark.parametrize("coroutines", [1, 20])
@pytest.mark.parametrize("how, reason", [("os._exit(3)", "exit status 3"), ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV")])
def test_a_crash_is_tried_again(place, coroutines, how, reason):
    command = child(place, f"""
    if n % 100 == 50 and once(f"mark{{n}}"):
        {how}
    """)
    place.run(pipeline(f"command = {command}; coroutines = {coroutines};"))
    assert numbers(place) == list(range(1000))
    assert len({record["pid"] for record in records(place)}) == 11
    assert len(list(place.path.glob("mark*"))) == 10


@pytest.mark.parametrize("coroutines", [1, 20])
def test_a_record_that_always_crashes_it(place, coroutines):
    """It alone is given up; those that were on their way with it never count as failed, else some would be refused as well."""
    command = child(place, """
    if n == 42:
        print("cannot bear 42", file=sys.stderr, flush=True)
        os._exit(1)
    """)
    _, err = place.run(pipeline(f"command = {command}; coroutines = {coroutines}; retries = 3;", 200), status=3)
    assert numbers(place) == [n for n in range(200) if n != 42]
    assert err.count("refused: ") == 1
    assert "python3 ended with exit status 1: cannot bear 42, and this record was not answered" in err


def test_a_program_that_ends_between_records(place):
    """It answers 10 and ends well: nobody's failure, so even without retries nothing is lost."""
    command = child(place, """
    if n % 10 == 9:
        print(json.dumps({"n": n, "pid": os.getpid()}), flush=True)
        sys.exit(0)
    """)
    place.run(pipeline(f"command = {command}; ", 100))
    assert numbers(place) == list(range(100))


def test_a_hung_program_is_killed(place):
    command = child(place, """
    if n == 5 and once("mark"):
        time.sleep(3600)
    """)
    place.run(pipeline(f'command = {command}; timeout = "1s"; coroutines = 4;', 20))
    assert numbers(place) == list(range(20))
    assert len({record["pid"] for record in records(place)}) == 2


def test_more_answers_than_records(place):
    command = child(place, 'print("{}", flush=True)')
    _, err = place.run(pipeline(f"command = {command}; restart = 0;"), status=1)
    assert "answers more than it is asked" in err


def test_its_complaints_are_in_the_log(place):
    """More of them than a pipe holds, and one longer than a line of the log."""
    command = child(place, """
    if n == 1:
        print("first\\n\\nsecond\\x1b[31m", file=sys.stderr, flush=True)
    if n == 2:
        print("long " + "x" * 200_000 + " end", file=sys.stderr, flush=True)
    if n == 3:
        print("no newline", end="", file=sys.stderr, flush=True)
    """)
    _, err = place.run(pipeline(f"command = {command};", 10))
    assert numbers(place) == list(range(10))
    assert "python3: first\n" in err
    assert "python3: second\\x1b[31m" in err
    assert "python3: long " + "x" * 995 + "\n" in err
    assert "python3: no newline" in err


def test_a_program_may_finish_something(place):
    """The end of its input is told, and `grace` is waited for."""
    place.write("child.py", """
import sys, time
for line in sys.stdin:
    print(line, end="", flush=True)
time.sleep(0.3)
open("finished", "w")
print("goodbye", file=sys.stderr)
""")
    _, err = place.run(pipeline('command = [ "python3", "child.py" ];', 3))
    assert (place.path / "finished").exists()
    assert "python3: goodbye" in err


def test_a_program_that_does_not_end(place):
    place.write("child.py", """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    print(line, end="", flush=True)
time.sleep(3600)
""")
    _, err = place.run(pipeline('command = [ "python3", "child.py" ]; grace = "100ms";', 3))
    assert records(place) == [0, 1, 2]
    assert "python3: does not end by itself" in err


def test_signals_are_as_a_program_expects_them(place):
    """A stage process ignores and blocks some: its program must not inherit that, but for Ctrl-C, which is not for it."""
    place.write("child.py", r"""
import json, sys
status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
for line in sys.stdin:
    print(json.dumps([{"blocked": status["SigBlk"], "ignored": status["SigIgn"]}]), flush=True)
""")
    place.run(pipeline('command = [ "python3", "child.py" ];', 1))
    (found,) = records(place)
    assert int(found["blocked"], 16) == 0
    # Python itself ignores SIGPIPE and SIGXFSZ.
    for number in signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD:
        assert int(found["ignored"], 16) & 1 << number - 1 == 0


def test_ctrl_c_settles_what_was_read(place):
    command = child(place, "time.sleep(0.002)")
    place.write("p.conf", pipeline(f"command = {command}; coroutines = 10;", -1))
    process = place.start("run", "p.conf")
    wait_for(lambda: (place.path / ".out.ndjson.part").exists(), what="the file")
    (work,) = wait_for(lambda: children(process.pid, {"work"}), what="the stage")
    wait_for(lambda: programs_of(work), what="its program")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 20)
    assert code == 0, err
    assert "ended" not in err, err


def programs_of(pid):
    """The programs that a stage process has started, by any of its threads."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            pass
    return found


@pytest.mark.parametrize("mode", ["stream", "once"])
def test_no_program_outlives_its_stage(place, mode):
    place.write("p.conf", pipeline(f'command = [ "sleep", "3600" ]; mode = "{mode}"; coroutines = 3; processes = 2;', 1000))
    process = place.start("run", "p.conf")
    per_stage = 1 if mode == "stream" else 3
    stages = wait_for(lambda: len(children(process.pid, {"work"})) == 2 and list(children(process.pid, {"work"})), what="two processes")
    programs = [wait_for(lambda: len(programs_of(pid)) == per_stage and programs_of(pid), what="the programs") for pid in stages]
    os.kill(stages[0], signal.SIGKILL)
    wait_for(lambda: not any(map(alive, programs[0])), 5, "the end of its programs")
    assert all(map(alive, programs[1]))
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(alive, programs[1])), 5, "the end of the other's programs")


def test_a_killed_stage_loses_nothing(place):
    command = child(place, "time.sleep(0.001)")
    place.write("p.conf", pipeline(f"command = {command}; processes = 2; coroutines = 10; restart = 100; queue = 2;", 2000))
    process = place.start("run", "p.conf")
    for _ in range(4):
        (victim, *_) = wait_for(lambda: [pid for pid in children(process.pid, {"work"}) if programs_of(pid)], what="a program")
        os.kill(victim, signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 0, err
    assert set(numbers(place)) == set(range(2000))


# --- one run for each record ----------------------------------------------------------------------------------

def once_pipeline(options, source='source = "sequence"; count = 20;'):
    return f"""
stages = {{
  read = {{ {source} }};
  work = {{ transform = "exec"; from = "read"; mode = "once"; backoff = "5ms"; {options} }};
  save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
}};"""


def test_a_failed_run_is_tried_again(place):
    place.run(once_pipeline('input = "none"; output = "text"; into = "text"; coroutines = 8; '
                            'command = [ "sh", "-c", "mkdir m$0 2>/dev/null && exit 5; echo $0", "{value}" ];'))
    assert records(place) == [{"value": n, "text": str(n)} for n in range(20)]


def test_a_run_that_never_works_is_refused(place):
    _, err = place.run(once_pipeline('input = "none"; output = "none"; retries = 2; coroutines = 4; '
                                     'command = [ "sh", "-c", "echo $0 >> tried; kill -9 $$", "{value}" ];',
                                     'source = "inline"; records = ( 7 );'), status=3)
    assert "sh was ended by SIGKILL" in err
    assert (place.path / "tried").read_text() == "7\n" * 3


def test_a_run_that_hangs(place):
    _, err = place.run(once_pipeline('input = "none"; output = "none"; retries = 1; timeout = "300ms"; '
                                     'command = [ "sh", "-c", "trap : TERM; while :; do sleep 0.1; done" ];',
                                     'source = "inline"; records = ( 7 );'), status=3)
    assert "refused" in err


@pytest.mark.parametrize("coroutines", [1, 8])
def test_runs_with_large_records(place, coroutines):
    with open(place.path / "in.ndjson", "w") as file:
        for i in range(12):
            file.write(json.dumps({"n": i, "text": chr(97 + i) * 1_000_000}) + "\n")
    place.run(once_pipeline(f'command = "cat"; coroutines = {coroutines};', 'source = "file"; path = "in.ndjson";'))
    assert records(place) == records(place, "in.ndjson")


def test_a_run_that_does_not_read(place):
    with open(place.path / "in.ndjson", "w") as file:
        for i in range(3):
            file.write(json.dumps({"n": i, "text": "x" * 1_000_000}) + "\n")
    place.run(once_pipeline('command = [ "echo", "{n}" ];', 'source = "file"; path = "in.ndjson";'))
    assert records(place) == [0, 1, 2]


def test_a_run_that_writes_too_much(place):
    _, err = place.run(once_pipeline('command = [ "yes" ]; input = "none"; line_max = "64KiB";',
                                     'source = "inline"; records = ( 7 );'), status=3)
    assert "yes wrote more than line_max, 65536 bytes" in err


def test_output_that_is_no_text(place):
    _, err = place.run(once_pipeline('command = [ "printf", "\\\\377" ]; input = "none"; output = "text"; into = "x";',
                                     'source = "inline"; records = ( 7 );'), status=3)
    assert "what printf wrote is no text" in err


def test_a_run_that_leaves_a_process(place):
    """What holds the pipe open behind its back is not waited for."""
    place.run(once_pipeline('input = "none"; output = "text"; into = "x"; command = [ "sh", "-c", "sleep 100 & echo $!" ];',
                            'source = "inline"; records = ( 7 );'), timeout=30)
    os.kill(int(records(place)[0]["x"]), signal.SIGKILL)


# --- source, sink ---------------------------------------------------------------------------------------------------

def test_source_passes_on_at_once_and_ends_with_ctrl_c(place):
    place.write("p.conf", """
stages = { read = { source = "exec"; command = [ "sh", "-c", "echo 1; echo 2; exec sleep 3600" ]; };
           show = { sink = "stdout"; from = "read"; }; };""")
    process = place.start("run", "p.conf", "--quiet")
    os.set_blocking(process.stdout.fileno(), False)
    assert wait_for(lambda: process.stdout.readline(), what="the first line") == "1\n"
    (stage,) = children(process.pid, {"read"})
    (program,) = programs_of(stage)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 10)
    assert code == 0, err
    assert not alive(program)


def test_source_with_many_records_and_complaints(place):
    place.run("""
stages = { read = { source = "exec"; command = [ "sh", "-c", "seq 100000; seq 100000 >&2 2>/dev/null" ]; };
           save = { sink = "file"; from = "read"; path = "out.ndjson"; }; };""")
    assert records(place) == list(range(1, 100_001))


def test_source_passes_on_what_came_before_a_bad_end(place):
    _, err = place.run("""
stages = { read = { source = "exec"; command = [ "sh", "-c", "seq 10; kill -9 $$" ]; };
           show = { sink = "stdout"; from = "read"; }; };""", status=1)
    assert "sh was ended by SIGKILL: its records may not be all" in err


def test_sink_gets_all(place):
    place.run("""
stages = { read = { source = "sequence"; count = 200000; };
           save = { sink = "exec"; from = "read"; command = [ "sh", "-c", "cat > out.ndjson" ]; }; };""")
    assert records(place) == list(range(200_000))


def test_sink_that_complains_a_lot(place):
    """Its complaints are read while it is written to, else both would wait."""
    place.run("""
stages = { read = { source = "sequence"; count = 3000; };
           save = { sink = "exec"; from = "read"; command = [ "sh", "-c", "tee out.ndjson >&2" ]; }; };""")
    assert records(place) == list(range(3000))


def test_sink_that_ends_too_early(place):
    _, err = place.run("""
stages = { read = { source = "sequence"; };
           save = { sink = "exec"; from = "read"; command = [ "head", "-n", "5" ]; }; };""", status=1)
    assert "head ended with exit status 0, before it had read all records" in err


# --- check -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, message", [
    ('command = "no-such-program";', "there is no program no-such-program on PATH"),
    ('command = "./nothing";', "./nothing: there is no such file: check `command`"),
    ('command = "./p.conf";', "./p.conf is not executable: chmod +x"),
    ('command = "jq -c .";', 'write the arguments apart, command = [ "PROGRAM", "ARGUMENT" ];'),
    ('command = [ ];', "`command` names no program"),
    ('command = "cat"; folder = "nowhere";', "nowhere: there is no such folder"),
    ('command = "cat"; environment = [ "HOME" ];', '`environment` holds "HOME": write "NAME=value"'),
    ('command = "cat"; output = "text";', 'write mode = "once"; or remove them'),
    ('command = "cat"; mode = "once"; output = "text";', 'write into = "FIELD";'),
    ('command = "cat"; mode = "once"; exit_ok = "300";', '`exit_ok` holds "300"'),
])
def test_check(place, options, message):
    place.write("p.conf", pipeline(options))
    for command in "check", "run":
        code, out, err = place.sluice(command, "p.conf")
        assert code == 78
        assert message in out + err
