"""A run that dies, or is stopped, goes on where it stood; and what it does when it cannot."""
import gzip
import json
import os
import signal
import sqlite3
import time

import pytest
from conftest import SANITIZED, children, finish, wait_for
from storm import SHAPES, storm

RECORDS = 60000
LINE = '{"id":%d}\n'


def pipeline(source='source = "file"; path = "in.ndjson";', rate="20000/s", sink="", middle="SELECT id FROM input"):
    return f"""stages = {{ read = {{ {source} rate = "{rate}"; }};
        f = {{ transform = "sql"; from = "read"; query = "{middle}"; }};
        save = {{ sink = "file"; from = "f"; path = "out.ndjson"; {sink} }}; }};"""


def feed(place, first, last, name="in.ndjson", mode="w"):
    with open(place.path / name, mode) as file:
        file.writelines(LINE % i for i in range(first, last))


def ids(place, name="out.ndjson"):
    return [json.loads(line)["id"] for line in open(place.path / name)]


def begin(place, *arguments):
    """Starts a run, and waits until some records are through."""
    process = place.start("run", "p.conf", *arguments)
    part = place.path / ".out.ndjson.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 20000, what="some records")
    return process


def processor(pid):
    """Seconds of it and of all that it has reaped."""
    return sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def stop(process):
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 30)
    assert code == 0, err
    return err


# --- storms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_kill_storm(place, shape):
    kills = storm(place, shape, RECORDS // (4 if SANITIZED else 1), 25, seed=len(shape),
                  rate="50000/s")
    assert kills >= 10


@pytest.mark.parametrize("seed", range(3))
def test_supervisor_killed_again_and_again(place, seed):
    storm(place, "chain", RECORDS // 2, 15, seed, supervisors=1.0, rate="50000/s", pause=(0.02, 0.15))


@pytest.mark.parametrize("seed", range(2))
def test_source_killed_again_and_again(place, seed):
    feed(place, 0, RECORDS)
    place.write("p.conf", pipeline(rate="40000/s").replace('rate =', 'restart = 1000; backoff = "2ms"; rate ='))
    process = place.start("run", "p.conf")
    for _ in range(30):
        for pid in children(process.pid, {"read"}):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.03 + seed * 0.01)
    code, _, err = finish(process, 60)
    assert code == 0, err
    assert ids(place) == list(range(RECORDS))


# --- stop and go on --------------------------------------------------------------------------------


def test_stopped_and_gone_on_with(place):
    feed(place, 0, RECORDS)
    place.write("p.conf", pipeline())
    err = stop(begin(place))
    assert "goes on from here" in err
    assert not (place.path / "out.ndjson").exists()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert "goes on with the run of" in err and "was stopped" in err
    assert ids(place) == list(range(RECORDS))
    assert "60 000" in err  # the table counts the whole run


def test_a_finished_run_is_begun_anew(place):
    feed(place, 0, 100)
    place.write("p.conf", pipeline(sink="append = true;"))
    for _ in range(2):
        code, _, err = place.sluice("run", "p.conf")
        assert code == 0 and "goes on" not in err, err
    assert ids(place) == 2 * list(range(100))


def test_resume_reads_only_what_is_new(place):
    feed(place, 0, 100)
    place.write("p.conf", pipeline(sink="append = true;"))
    assert place.sluice("run", "p.conf")[0] == 0
    assert place.sluice("run", "p.conf", "--resume")[0] == 0
    assert ids(place) == list(range(100))
    feed(place, 100, 150, mode="a")
    feed(place, 150, 160, name="in2.ndjson")
    place.write("p.conf", pipeline(source='source = "file"; path = "in*.ndjson";', sink="append = true;"))
    code, _, err = place.sluice("run", "p.conf", "--resume")
    assert code == 0, err
    assert ids(place) == list(range(160))


def test_a_resumed_run_without_input_publishes_nothing_new(place):
    feed(place, 0, 100)
    place.write("p.conf", pipeline())
    assert place.sluice("run", "p.conf")[0] == 0
    before = (place.path / "out.ndjson").stat()
    code, _, err = place.sluice("run", "p.conf", "--resume")
    assert code == 0, err
    after = (place.path / "out.ndjson").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)


def test_from_start(place):
    feed(place, 0, RECORDS)
    place.write("p.conf", pipeline(rate="30000/s"))
    stop(begin(place))
    code, _, err = place.sluice("run", "p.conf", "--from-start")
    assert code == 0 and "goes on" not in err, err
    assert ids(place) == list(range(RECORDS))


def test_resume_and_from_start_are_two_ways(place):
    place.write("p.conf", pipeline())
    code, _, err = place.sluice("run", "p.conf", "--resume", "--from-start")
    assert code == 2 and "choose one" in err


@pytest.mark.parametrize("name, write", [
    ("in.csv", lambda n: ("id,text\n" + "".join('%d,"two\nlines, and ""quotes"""\n' % i for i in range(n))).encode()),
    ("in.json", lambda n: json.dumps([{"id": i, "text": "[{"} for i in range(n)]).encode()),
    ("in.ndjson.gz", lambda n: gzip.compress("".join(LINE % i for i in range(n)).encode())),
    ("in.csv.gz", lambda n: gzip.compress(("id\n" + "".join("%d\n" % i for i in range(n))).encode())),
])
def test_every_format_goes_on_in_the_middle(place, name, write):
    (place.path / name).write_bytes(write(RECORDS // 2))
    place.write("p.conf", pipeline(source=f'source = "file"; path = "{name}"; restart = 100; backoff = "2ms";',
                                   middle="SELECT CAST(id AS INTEGER) AS id FROM input"))
    process = begin(place)
    for _ in range(5):
        for pid in children(process.pid, {"read"}):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    process.kill()
    process.wait()
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert ids(place) == list(range(RECORDS // 2))


def test_malformed_lines_are_letters_once(place):
    with open(place.path / "in.ndjson", "w") as file:
        for i in range(20000):
            file.write(LINE % i if i % 100 else "{broken %d\n" % i)
    place.write("p.conf", pipeline(source='source = "file"; path = "in.ndjson"; restart = 1000; backoff = "2ms";'))
    process = begin(place)
    for _ in range(10):
        for pid in children(process.pid, {"read"}):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    code, _, err = finish(process, 60)
    assert code == 3, err
    assert ids(place) == [i for i in range(20000) if i % 100]
    code, out, _ = place.sluice("dead", "export", "p.conf")
    assert code == 0
    wheres = [json.loads(line)["where"] for line in out.splitlines()]
    assert len(wheres) == len(set(wheres)) == 200, (len(wheres), wheres[:5])


# --- when it cannot --------------------------------------------------------------------------------


def crash(place):
    process = begin(place)
    process.kill()
    process.wait()


def test_the_file_is_gone(place):
    feed(place, 0, RECORDS)
    # What is not settled stays so: the transform holds it.
    place.write("p.conf", pipeline().replace('transform = "sql"; from = "read"; query = "SELECT id FROM input";',
                                             'transform = "delay"; from = "read"; wait = "100us"; threads = 4;'))
    crash(place)
    feed(place, 0, 10, name="other")
    os.rename(place.path / "other", place.path / "in.ndjson")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1
    assert "cannot be read again as it was" in err and "--from-start" in err
    code, _, err = place.sluice("run", "p.conf", "--from-start")
    assert code == 0 and ids(place) == list(range(10)), err


def test_a_changed_config_in_the_middle(place):
    feed(place, 0, RECORDS)
    slow = pipeline().replace('transform = "sql"; from = "read"; query = "SELECT id FROM input";',
                              'transform = "delay"; from = "read"; wait = "100us"; threads = %d;')
    place.write("p.conf", slow % 4)
    crash(place)
    # Numbers that change no record are nobody's business.
    place.write("p.conf", slow.replace("100us", "100us") % 2)
    crash(place)
    place.write("p.conf", (slow % 4).replace("100us", "90us"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1
    assert "the config has changed since" in err and "--accept-mixed" in err
    code, _, err = place.sluice("run", "p.conf", "--accept-mixed")
    assert code == 0, err
    assert sorted(set(ids(place))) == list(range(RECORDS))


def test_a_renewed_credential_in_the_middle(place):
    """It changes no record; another credential, or what stands beside it, may."""
    feed(place, 0, RECORDS)
    credentials = place.path / "credentials"
    credentials.mkdir()
    place.env.update(CREDENTIALS_DIRECTORY=str(credentials), PLACE="here")
    for name in "token", "other":
        (credentials / name).write_text("first secret")
    text = pipeline().replace('transform = "sql"; from = "read"; query = "SELECT id FROM input";',
                              'transform = "exec"; from = "read"; command = "cat";'
                              ' environment = [ "TOKEN=${credential:token}-${PLACE}" ];')
    place.write("p.conf", text)
    crash(place)
    (credentials / "token").write_text("a second one, which is longer")
    crash(place)
    place.write("p.conf", text.replace("credential:token", "credential:other"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and "the config has changed since" in err and "--accept-mixed" in err, err
    place.write("p.conf", text)
    place.env["PLACE"] = "there"
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and "the config has changed since" in err, err
    place.env["PLACE"] = "here"
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and ids(place) == list(range(RECORDS)), err


def test_a_changed_config_after_a_stop_is_fine(place):
    feed(place, 0, RECORDS)
    place.write("p.conf", pipeline())
    stop(begin(place))
    place.write("p.conf", pipeline(middle="SELECT id + 0 AS id FROM input WHERE 1"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert ids(place) == list(range(RECORDS))


def test_a_source_that_cannot_go_on_begins_anew(place):
    place.write("p.conf", """stages = { read = { source = "exec"; command = ["seq", "0", "19999"]; rate = "20000/s"; };
        save = { sink = "file"; from = "read"; path = "out.ndjson"; }; };""")
    crash(place)
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert "begins anew: the source `read` cannot go on" in err
    assert [int(line.strip('"\n')) for line in open(place.path / "out.ndjson")] == list(range(20000))


def test_a_damaged_note_of_the_last_run(place):
    feed(place, 0, 10)
    place.write("p.conf", pipeline())
    assert place.sluice("run", "p.conf", "--state", "st")[0] == 0
    (place.path / "st" / "run").write_text("nonsense\n")
    code, _, err = place.sluice("run", "p.conf", "--state", "st")
    assert code == 1 and "is damaged" in err and "--from-start" in err
    assert place.sluice("run", "p.conf", "--state", "st", "--from-start")[0] == 0


def test_the_store_can_be_read_with_sqlite(place):
    feed(place, 0, 1000)
    place.write("p.conf", pipeline())
    assert place.sluice("run", "p.conf", "--state", "st")[0] == 0
    row = sqlite3.connect(place.path / "st" / "checkpoints.db").execute("SELECT stage, position, line, is_done, name FROM origins").fetchone()
    assert row == ("read", (place.path / "in.ndjson").stat().st_size, 1001, 1, "in.ndjson")


def test_a_full_disk_holds_the_checkpoint_up_and_no_more(place):
    import subprocess
    folder = place.path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], capture_output=True).returncode != 0:
        pytest.skip("no mount here")
    try:
        feed(place, 0, RECORDS)
        place.write("p.conf", pipeline(rate="10000/s"))
        process = begin(place, "--state", str(folder))
        filler = os.open(folder / "filler", os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(filler, b"x" * 4096)
        except OSError:
            os.close(filler)
        time.sleep(1.5)
        os.unlink(folder / "filler")
        code, _, err = finish(process, 60)
        assert code == 0, err
        assert ids(place) == list(range(RECORDS))
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_below_a_sink_is_waited_for(place):
    """Its processes end and are started again every second, uncounted; what is in the file when there is space again is whole and in order."""
    import subprocess
    folder = place.path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True).returncode != 0:
        pytest.skip("no mount here")
    try:
        (folder / "filler").write_bytes(b"x" * 700_000)
        feed(place, 0, RECORDS)
        place.write("p.conf", f"""stages = {{ read = {{ source = "file"; path = "in.ndjson"; }};
            save = {{ sink = "file"; from = "read"; path = "{folder}/out.ndjson"; restart = 2; }}; }};""")
        errors = place.path / "err"
        process = place.start("run", "p.conf", "--state", "st", stderr=open(errors, "w"))
        wait_for(lambda: "until there is space" in errors.read_text(), what="the disk to be full")
        time.sleep(1.2)  # once more, at least
        assert process.poll() is None
        assert not (folder / "out.ndjson").exists()
        used = processor(process.pid)
        time.sleep(1)
        assert processor(process.pid) - used < 0.5  # nobody spins
        os.unlink(folder / "filler")
        code, _, _ = finish(process, 30)
        err = errors.read_text()
        assert code == 0, err
        assert err.count("No space left on device") == 1 and "until there is space" in err, err
        assert [json.loads(line)["id"] for line in open(folder / "out.ndjson")] == list(range(RECORDS))
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
