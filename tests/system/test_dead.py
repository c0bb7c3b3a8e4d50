# SPDX-License-Identifier: MIT
"""Dead letters: kept with their reason, whoever dies; shown, exported, replayed through their stage, removed."""
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import BUILD, children, finish, kill_some, wait_for


def feed(place, records):
    (place.path / "in.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))


def pipeline(work="", save="append = true;", stages=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; transform = "probe"; backoff = "1ms"; {work} }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; {save} }};
      {stages}
    }};"""


def dead(place, action, *arguments, status=0):
    code, out, err = place.sluice("dead", action, "p.conf", *arguments)
    assert code == status, f"{code}\n{out}\n{err}"
    return out if status in (0, 3) else err


def letters(place, *arguments):
    return [json.loads(line) for line in dead(place, "export", *arguments).splitlines()]


def found(place):
    return sorted(json.loads(line)["id"] for line in open(place.path / "out.ndjson"))


def test_a_refused_record_is_kept_with_its_reason(bench):
    feed(bench, [{"id": n, "fails": 9 if n == 2 else 0, "reject": n == 4, "note": "Zürich"} for n in range(6)])
    _, err = bench.run(pipeline("retries = 2;"), status=3)
    assert "given up: 2" in err and "sluice dead list" in err
    two, four = letters(bench)
    assert two["record"] == {"id": 2, "fails": 9, "reject": False, "note": "Zürich"}
    assert two["stage"] == "work" and two["tries"] == 3 and two["reason"] == "attempt 3 of 2 (tried 3 times)"
    assert four["record"]["id"] == 4 and four["tries"] == 1 and four["reason"] == "as it says"
    assert two["id"] < four["id"]
    assert abs(time.time() - time.mktime(time.strptime(four["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 60
    listed = dead(bench, "list").splitlines()
    assert len(listed) == 3 and "as it says" in listed[2]
    shown = dead(bench, "show", "--id", str(four["id"]))
    assert f"letter {four['id']} of `work`" in shown and '"note":"Zürich"' in shown and "attempt" not in shown


def test_what_is_printed_can_be_pasted(bench):
    """With the folder, the parameters and the odd name that the run was given; so can what says how to go on."""
    feed(bench, [{"id": n, "reject": n == 4} for n in range(6)])
    bench.write("it's mine.conf", pipeline().replace('"in.ndjson"', '"${INPUT}"'))
    (bench.path / "in.ndjson").rename(bench.path / "in `x` $y.ndjson")
    code, _, err = bench.sluice("run", "it's mine.conf", "--state", "my state", "--runtime", f"{bench.path}/r2", "--set", "INPUT=in `x` $y.ndjson")
    assert code == 3, err
    [command] = re.findall("what was given up is kept: (.*)", err)
    assert command == r"""sluice dead list 'it'\''s mine.conf' --set 'INPUT=in `x` $y.ndjson' --state 'my state'"""

    said = subprocess.run(["bash", "-c", command], cwd=bench.path, env=dict(bench.env, PATH=f"{BUILD}:/usr/bin:/bin"), capture_output=True, text=True)
    assert "as it says" in said.stdout, said


@pytest.mark.parametrize("program", ["run", "drain", "sluiced"])
def test_what_others_print_can_be_pasted(bench, program):
    """The end of a stop, of a drain, and of the service, which has its folder from systemd."""
    bench.write("p.conf", """stages = { read = { source = "sequence"; count = 2000; rate = "1000/s"; };
      odd = { transform = "sql"; from = "read"; query = "SELECT CASE value WHEN 4 THEN json('no') ELSE value END AS value FROM input"; };
      save = { sink = "file"; from = "odd"; path = "${OUT}"; }; };""")
    folders = "--state", "my state", "--runtime", f"{bench.path}/r2"
    if program == "sluiced":
        bench.env["STATE_DIRECTORY"] = f"{bench.path}/my state"
        process = bench.start("--config", "p.conf", "--set", "OUT=out.ndjson", "--runtime", f"{bench.path}/r2", program="sluiced")
        del bench.env["STATE_DIRECTORY"]
    else:
        process = bench.start("run", "p.conf", "--set", "OUT=out.ndjson", *folders)
    wait_for(lambda: "malformed" in bench.sluice("dead", "list", "p.conf", "--set", "OUT=out.ndjson", *folders[:2])[1], what="the letter")
    if program == "drain":
        code, err, _ = bench.sluice("drain", "p.conf", *folders[2:])
        assert code == 3, err
        assert finish(process)[0] == 3
    else:
        process.terminate()
        code, _, err = finish(process)
        assert code == 3, err

    def paste(command):
        return subprocess.run(["bash", "-c", command], cwd="/" if program != "run" else bench.path, capture_output=True, text=True,
                              env=dict(bench.env, PATH=f"{BUILD}:/usr/bin:/bin"))
    [command] = re.findall("kept: (.*)", err)
    command = command.replace(" p.conf", f" {bench.path}/p.conf")
    if program != "run":
        assert command == f"sluice dead list {bench.path}/p.conf --set OUT=out.ndjson --state '{bench.path}/my state'"
    said = paste(command)
    assert "malformed JSON" in said.stdout, said
    if program == "run":
        [command] = re.findall("`(sluice run .*)` goes on from here", err)
        said = paste(command)
        assert said.returncode == 3 and "goes on with the run" in said.stderr, said
        assert [json.loads(line) for line in open(bench.path / "out.ndjson")] == [n for n in range(2000) if n != 4]


def test_a_malformed_line_is_a_letter_with_file_and_line(place):
    (place.path / "in.ndjson").write_text('{"id": 1}\n{"id": \n{"id": 3}\n')
    place.run("""stages = { read = { source = "file"; path = "in.ndjson"; };
                           save = { sink = "file"; from = "read"; path = "out.ndjson"; }; };""", status=3)
    assert found(place) == [1, 3]
    [letter] = letters(place)
    assert letter["stage"] == "read" and letter["where"] == "in.ndjson:2" and letter["record"] is None
    assert "none: it could not be read" in dead(place, "show")
    assert "`read` is a source" in place.sluice("dead", "replay", "p.conf", "--stage", "read")[1] + \
        place.sluice("dead", "replay", "p.conf", "--stage", "read")[2] or "can be replayed" in dead(place, "replay", "--stage", "read")


def test_what_is_not_utf8_or_was_cut_inside_a_character_is_exported(place):
    """A reason that was cut to fit, and the path of a file named in Latin-1."""
    with open(os.fsencode(place.path) + b"/in gr\xfcn.ndjson", "w") as file:
        file.write(json.dumps({"id": 1, "a" + "ü" * 300: 2}) + '\n{"id": \n')
    place.run("""stages = { read = { source = "file"; path = "in *.ndjson"; };
                           save = { sink = "file"; from = "read"; path = "out.csv"; columns = ["id"]; }; };""", status=3)
    malformed, refused = sorted(letters(place), key=lambda letter: letter["stage"])
    assert malformed["where"].endswith("in gr?n.ndjson:2")
    assert refused["reason"].startswith("out.csv: field `aüüü") and refused["reason"].endswith("ü")
    # A program that reads the list has all of it, who reads it from a screen a line.
    assert refused["reason"] in dead(place, "list")
    screen = subprocess.run(["script", "-qec", f"{BUILD}/sluice dead list p.conf", "/dev/null"], cwd=place.path, env=place.env, capture_output=True, text=True)
    assert refused["reason"] not in screen.stdout and "field `aüüü" in screen.stdout and "..." in screen.stdout, screen


@pytest.mark.parametrize("mode", ["", "threads = 3;", "coroutines = 20;"])
def test_of_batches_and_of_sinks(bench, mode):
    """Every worker model names its letters by their records."""
    feed(bench, [{"id": n, "reject": n % 7 == 0} for n in range(200)])
    bench.run(pipeline(mode), status=3)
    assert sorted(letter["record"]["id"] for letter in letters(bench)) == list(range(0, 200, 7))


def test_drop_and_stop(bench):
    feed(bench, [{"id": n, "reject": n == 3} for n in range(6)])
    bench.run(pipeline('on_error = "drop";'), status=3)
    assert "no dead letters" in dead(bench, "list")
    _, err = bench.run(pipeline('on_error = "stop";'), status=1)
    assert 'on_error is "stop": as it says' in err
    assert "no dead letters" in dead(bench, "list")


def test_too_many_stop_the_pipeline(bench):
    feed(bench, [{"id": n, "reject": True} for n in range(1000)])
    _, err = bench.run(pipeline("dead_max = 10;"), status=1)
    assert "more than 10 records were refused, which is `dead_max`" in err
    assert 11 <= len(letters(bench)) < 30


@pytest.mark.parametrize("order", ["keep", "any"])
def test_killed_stages_keep_each_letter_once(bench, order):
    feed(bench, [{"id": n, "reject": n % 10 == 0, "wait": 1 if n % 50 == 0 else 0} for n in range(20_000)])
    bench.write("p.conf", pipeline(f'processes = 2; queue = 2; rate = "20000/s"; restart = 1000; coroutines = 20; order = "{order}";',
                                   'append = true; order = "any";'))
    process = bench.start("run", "p.conf")
    kills = kill_some(process, {"work"}, 20, 5)
    code, _, err = finish(process)
    assert code == 3, err
    assert "leak" not in err and kills >= 5
    assert "given up: 2 000" in err
    assert sorted(letter["record"]["id"] for letter in letters(bench)) == list(range(0, 20_000, 10))
    assert set(found(bench)) == {n for n in range(20_000) if n % 10}


def test_replay(bench):
    """What was refused goes through its stage again, and on to the sinks; what is refused again is a new letter."""
    feed(bench, [{"id": n, "fails": 5 if n in (2, 3) else 0, "reject": n == 4} for n in range(6)])
    bench.run(pipeline("retries = 1;"), status=3)
    assert found(bench) == [0, 1, 5]
    assert len(letters(bench)) == 3
    # The outage is over for two of them: this time they may fail as often as they like.
    bench.write("p.conf", pipeline("retries = 20;"))
    _, out, err = bench.sluice("dead", "replay", "p.conf", "--stage", "work")
    assert "replaying 3 dead letters of `work`" in err
    assert found(bench) == [0, 1, 2, 3, 5]
    [left] = letters(bench)
    assert left["record"]["id"] == 4
    assert "no dead letters of `save` can be replayed" in dead(bench, "replay", "--stage", "save")


def test_a_replay_does_not_replace_what_was_written(bench):
    feed(bench, [{"id": n, "reject": n == 1} for n in range(3)])
    bench.run(pipeline(save=""), status=3)
    assert "the sink `save` would replace its file" in dead(bench, "replay", "--stage", "work", status=1)
    assert found(bench) == [0, 2]
    assert len(letters(bench)) == 1


def test_a_replay_goes_below_its_stage_only(bench):
    feed(bench, [{"id": n, "reject": n == 1} for n in range(3)])
    config = pipeline(save="append = true;", stages="""
      replay = { sink = "file"; from = "read"; path = "all.ndjson"; append = true; };""")
    bench.run(config, status=3)
    before = (bench.path / "all.ndjson").read_text()
    bench.write("p.conf", config.replace("transform = \"probe\"", "transform = \"delay\"; wait = \"0s\""))
    dead(bench, "replay", "--stage", "work")
    assert (bench.path / "all.ndjson").read_text() == before
    assert found(bench) == [0, 1, 2]
    assert letters(bench) == []


def test_purge(bench):
    feed(bench, [{"id": n, "reject": n < 3} for n in range(5)])
    bench.run(pipeline(), status=3)
    first = letters(bench)[0]["id"]
    assert "wants --stage STAGE, --id ID, or --all" in dead(bench, "purge", status=2)
    assert dead(bench, "purge", "--id", str(first)) == "1 dead letter removed\n"
    assert dead(bench, "purge", "--stage", "save") == "0 dead letters removed\n"
    assert dead(bench, "purge", "--all") == "2 dead letters removed\n"
    assert dead(bench, "list") == "no dead letters\n"


def store(place):
    return next(place.path.rglob("dead.db"))


def test_the_store_can_be_read_and_what_is_wrong_with_it_is_said(bench):
    feed(bench, [{"id": n, "reject": n == 1} for n in range(3)])
    bench.run(pipeline(), status=3)
    with sqlite3.connect(store(bench)) as database:
        assert database.execute("SELECT stage, reason FROM letters").fetchall() == [("work", "as it says")]
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "was written by a newer sluice (layout 99" in dead(bench, "list", status=1)
    file = store(bench)
    for name in file.parent.glob("dead.db*"):
        name.unlink()
    file.write_bytes(b"this is no database" * 1000)
    said = dead(bench, "list", status=1)
    assert "is damaged" in said and ".recover" in said
    # A pipeline that cannot keep a letter stops: a record may not vanish.
    _, err = bench.run(pipeline(), status=1)
    assert "is damaged" in err


class SmallDisk:
    """A state folder that is full, until there is space."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", path], capture_output=True).returncode != 0:
            pytest.skip("no mount here")

    def give_space(self):
        subprocess.run(["mount", "-o", "remount,size=64m", self.path], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def disk(bench):
    disk = SmallDisk(bench.path / "state")
    yield disk
    disk.close()


def start(bench, disk):
    """The process; what it says is in err.txt, for a pipe would be full of refusals."""
    return bench.start("run", "p.conf", "--resume", "--state", str(disk.path), stderr=open(bench.path / "err.txt", "w"))


def said(bench):
    return (bench.path / "err.txt").read_text()


def wait_for_full(bench, times=1):
    wait_for(lambda: said(bench).count("a dead letter waits for space") >= times, what="a letter that finds no space")


def start_full(bench, disk, config, count=3000):
    feed(bench, [{"id": n, "reject": n % 50 != 0, "pad": "x" * 2000} for n in range(count)])
    bench.write("p.conf", config)
    process = start(bench, disk)
    wait_for_full(bench)
    return process


def check_all_are_there(bench, disk, count=3000):
    kept = letters(bench, "--state", str(disk.path))
    assert sorted(letter["record"]["id"] for letter in kept) == [n for n in range(count) if n % 50]
    assert all(len(letter["record"]["pad"]) == 2000 and letter["reason"] == "as it says" for letter in kept)
    assert found(bench) == list(range(0, count, 50))


@pytest.mark.parametrize("mode", ["", "threads = 2;", 'coroutines = 20; timeout = "50ms";'])
def test_a_full_disk_is_waited_for(bench, disk, mode):
    """Also by a record that had a time limit, and for longer than a stage may stand still; whoever dies meanwhile."""
    process = start_full(bench, disk, pipeline(f'stall_timeout = "1s"; {mode}'))
    os.kill(min(children(process.pid, {"work"})), signal.SIGKILL)
    wait_for_full(bench, 2)
    held = time.monotonic() + 1.5
    wait_for(lambda: time.monotonic() > held, what="longer than stall_timeout")
    disk.give_space()
    code, _, _ = finish(process)
    err = said(bench)
    assert code == 3, err
    assert "dead letters are written again" in err and "hung" not in err and "stall_timeout" not in err
    assert err.count("a dead letter waits for space") == 2, err
    check_all_are_there(bench, disk)


def test_a_stop_while_a_full_disk_is_waited_for(bench, disk):
    """It drains when there is space; and ends at drain_timeout when there is none, and goes on from there."""
    config = 'drain_timeout = "500ms";\n' + pipeline()
    process = start_full(bench, disk, config)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 1
    assert "not all that was read is settled after 500 ms (drain_timeout)" in said(bench)
    disk.give_space()
    process = start(bench, disk)
    assert finish(process)[0] == 3, said(bench)
    check_all_are_there(bench, disk)


def test_a_line_that_cannot_be_read_waits_for_the_disk_too(bench, disk):
    """The letters of a source."""
    (bench.path / "in.ndjson").write_text("".join(f'{{"id": {n}}}\n' if n % 50 == 0 else f'{{"{n:500}": \n' for n in range(9000)))
    bench.write("p.conf", pipeline())
    process = start(bench, disk)
    wait_for_full(bench)
    process.send_signal(signal.SIGTERM)
    disk.give_space()
    assert finish(process)[0] in (0, 3), said(bench)
    process = start(bench, disk)
    assert finish(process)[0] in (0, 3), said(bench)
    places = [letter["where"] for letter in letters(bench, "--state", str(disk.path))]
    assert sorted(places) == sorted(f"in.ndjson:{n + 1}" for n in range(9000) if n % 50)
    assert found(bench) == list(range(0, 9000, 50))


@pytest.mark.parametrize("arguments, reason", [
    (["dead"], "say what: list, show, export, replay, purge"),
    (["dead", "bury", "p.conf"], "there is no `dead bury`"),
    (["dead", "list"], "FILE is missing"),
    (["dead", "show", "p.conf", "--id", "x"], "--id x is no number of a letter"),
    (["dead", "replay", "p.conf"], "replay wants --stage STAGE"),
])
def test_wrong_command_lines(place, arguments, reason):
    code, _, err = place.sluice(*arguments)
    assert code == 2
    assert reason in err


def test_many_that_are_refused_alike_are_counted(place):
    """Ten lines of each kind, and one that says how many more; all are kept."""
    place.write("in.csv", "id,n\n" + "".join(f"{n},{n}\n" if n % 3 else f"{n}\n" for n in range(300)))
    _, err = place.run("""stages = {
      read = { source = "file"; path = "in.csv"; types = "infer"; };
      odd = { transform = "validate"; from = "read"; types = { id = "integer"; }; ranges = { id = "0..99"; }; };
      save = { sink = "null"; from = "odd"; };
    };""", status=3)
    lines = [line for line in err.splitlines() if ": refused: " in line]
    assert len([line for line in lines if line.startswith("sluice: read.0: in.csv:")]) == 10
    assert len([line for line in lines if line.startswith('sluice: odd.0: refused: "id" is ')]) == 10
    assert "sluice: read.0: 90 more records were refused for such a reason\n" in err
    assert "sluice: odd.0: 124 more records were refused for such a reason\n" in err
    assert len(letters(place)) == 100 + 134
