# SPDX-License-Identifier: MIT
"""`sluice advise` is right about pipelines whose numbers a person can work out."""
import os
import re

import pytest

from conftest import needs_true_figures

CORES = len(os.sched_getaffinity(0))


def advise(place, work, *arguments, count=10_000_000, timeout=60):
    place.write("a.conf", f"""stages = {{
      numbers = {{ source = "sequence"; count = {count}; }};
      work = {{ from = "numbers"; {work} }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
    }};""")
    code, out, err = place.sluice("advise", "a.conf", *arguments, timeout=timeout)
    assert code == 0, err
    return out


def numbers(said):
    """The three numbers that it suggests for `work`, or None."""
    found = re.search(r"^  work +processes = (\d+); threads = (\d+); coroutines = (\d+);$", said, re.M)
    return tuple(map(int, found.groups())) if found else None


@needs_true_figures
def test_what_waits(place):
    said = advise(place, 'transform = "delay"; wait = "50ms";', "--for", "2s")
    wait = re.search(r"The bottleneck is `work`: .* it waits: for each record ([\d.]+) ms", said)
    # What it computed is taken off; a wake-up on a busy machine comes late.
    assert wait and 45 <= float(wait[1]) <= 70, said
    # What a wake-up costs is much, at so few records a second: it may seem to need a second thread.
    processes, threads, coroutines = numbers(said)
    assert processes == 1 and threads <= CORES and 200 <= threads * coroutines <= 1500


@needs_true_figures
def test_what_computes(place):
    said = advise(place, 'transform = "cpu"; iterations = 5000000;', "--for", "2s")
    assert "The bottleneck is `work`" in said and "it computes: for each record" in said
    if CORES > 1:
        assert numbers(said) == (1, CORES, 0)
        assert f"then the {CORES} processors here are busy" in said


@needs_true_figures
def test_what_does_both(place):
    said = advise(place, 'transform = "cpu"; iterations = 1000000; wait = "20ms";', "--for", "3s")
    processes, threads, coroutines = numbers(said)
    assert processes == 1 and 1 <= threads <= CORES and 5 <= coroutines <= 50


@needs_true_figures
def test_a_program_that_computes(place):
    """Its processor time is that of its children."""
    said = advise(place, 'transform = "exec"; mode = "once"; input = "none"; output = "none"; '
                         'command = [ "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done" ];', "--for", "3s")
    assert "it computes: for each record" in said
    if CORES > 1:
        assert numbers(said) == (1, CORES, 0)


@needs_true_figures
def test_a_rate(place):
    said = advise(place, 'transform = "delay"; wait = "1ms"; rate = "50/s";', "--for", "2s")
    assert numbers(said) is None
    assert "Nothing to change: the `rate` of `work` is reached." in said
    assert "its `rate`, or that it tries again, holds it back" in said


@needs_true_figures
def test_enough_already(place):
    said = advise(place, 'transform = "delay"; wait = "100ms"; coroutines = 1000;', "--for", "2s")
    assert numbers(said) is None


def test_a_stage_that_nobody_waits_for(place):
    place.write("a.conf", """stages = {
      slow = { source = "exec"; command = [ "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.2; done" ]; format = "lines"; };
      work = { from = "slow"; transform = "delay"; wait = "1ms"; };
      save = { sink = "null"; from = "work"; };
    };""")
    code, out, err = place.sluice("advise", "a.conf", "--for", "1s")
    assert code == 0, err
    assert numbers(out) is None


def test_sinks_run_only_when_asked(place):
    said = advise(place, 'transform = "cpu"; iterations = 10;', count=1000)
    assert "not run" in said
    assert not (place.path / "out.ndjson").exists()
    said = advise(place, 'transform = "cpu"; iterations = 10;', "--with-sinks", count=1000)
    assert "not run" not in said
    assert len((place.path / "out.ndjson").read_text().splitlines()) == 1000


def test_it_ends_though_a_record_takes_for_ever(place):
    said = advise(place, 'transform = "delay"; wait = "1h";', "--for", "1s", timeout=20)
    assert "none was done" in said


def test_its_state_is_its_own(place):
    """A pipeline that runs is not disturbed, and its state is not touched."""
    before = set(place.path.rglob("*"))
    advise(place, 'transform = "cpu"; iterations = 10;', count=100)
    assert set(place.path.rglob("*")) - before <= {place.path / "a.conf"}


@pytest.mark.parametrize("arguments, reason", [
    (["a.conf", "--for", "10"], "write --for 30s"),
    (["a.conf", "--for", "0s"], "write --for 30s"),
    (["a.conf", "--dot"], "no option --dot"),
    ([], "FILE is missing"),
])
def test_wrong_command_lines(place, arguments, reason):
    code, _, err = place.sluice("advise", *arguments)
    assert code == 2
    assert reason in err


def test_a_failing_pipeline(place):
    place.write("a.conf", """stages = {
      read = { source = "exec"; command = [ "false" ]; };
      save = { sink = "null"; from = "read"; };
    };""")
    code, out, err = place.sluice("advise", "a.conf")
    assert code == 1
    assert "the pipeline failed" in err and out == ""
