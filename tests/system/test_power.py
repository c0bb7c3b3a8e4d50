# SPDX-License-Identifier: MIT
"""What survives a power cut: see power.py. The long form is bench/power.py."""
import contextlib
import gzip
import random
import sqlite3

import pytest

import power
from conftest import wait_for


@pytest.mark.parametrize("shape", ["chain", "two sinks", "diamond", "many files"])
def test_each_record_once_over_power_cuts(shape):
    seed = random.randrange(1 << 30)
    print(f"power: {shape}, seed {seed}")
    done = power.power(shape, 100000, 4, seed, "40000/s")
    assert done >= 2


@pytest.mark.parametrize("file, options", [("out.ndjson", "append = true;"), ("out.csv.gz", "")])
def test_files_of_other_kinds(file, options):
    """Added to a file that was there before; compressed."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    disk = power.Disk()
    place = power.Place(disk.folder / "place")
    try:
        place.path.mkdir()
        (place.path / "in.ndjson").write_text("".join(f'{{"n":{n}}}\n' for n in range(100000)))
        if options:
            (place.path / file).write_text('{"n":-1}\n')
        place.write("p.conf", f"""sync_interval = "100ms"; stages = {{ read = {{ source = "file"; path = "in.ndjson"; rate = "40000/s"; }};
            save = {{ sink = "file"; from = "read"; path = "{file}"; {options} }}; }};""")
        power.os.sync()
        power.run_with_cuts(place, disk, 4, random.Random(seed))
        if options:
            lines = [int(line[5:-2]) for line in open(place.path / file)]
            assert lines == list(range(-1, 100000))
        else:
            lines = gzip.open(place.path / file, "rt").read().split()
            assert lines == ["n"] + [str(n) for n in range(100000)]
    finally:
        place.close()
        disk.close()


def test_behind_the_walls_of_a_unit():
    """ProcSubset=pid hides the kernel's boot id."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    disk = power.Disk()
    place = power.Place(disk.folder / "place")
    try:
        place.path.mkdir()
        (place.path / "in.ndjson").write_text("".join(f'{{"n":{n}}}\n' for n in range(60000)))
        place.write("p.conf", """sync_interval = "100ms"; stages = { read = { source = "file"; path = "in.ndjson"; rate = "40000/s"; };
            save = { sink = "file"; from = "read"; path = "out.ndjson"; }; };""")
        power.os.sync()
        done, said = power.run_with_cuts(place, disk, 3, random.Random(seed), hidden=True)
        assert [int(line[5:-2]) for line in open(place.path / "out.ndjson")] == list(range(60000)), said
        assert done == 0 or "the machine was started anew" in said, said
        assert "boot_id cannot be read" not in said
    finally:
        place.close()
        disk.close()


def test_power_goes_right_after_the_file_got_its_name():
    """What was published was whole, but nothing on the disk says that the run has ended."""
    disk = power.Disk()
    place = power.Place(disk.folder / "place")
    try:
        place.path.mkdir()
        (place.path / "in.ndjson").write_text("".join(f'{{"n":{n}}}\n' for n in range(30000)))
        place.write("p.conf", """sync_interval = "100ms"; stages = { read = { source = "file"; path = "in.ndjson"; rate = "40000/s"; };
            save = { sink = "file"; from = "read"; path = "out.ndjson"; };
            last = { sink = "exec"; from = "read"; command = [ "sh", "-c", "cat > /dev/null; [ -e go ] || exec sleep 20" ]; }; };""")
        power.os.sync()
        seen = None
        for n in range(3):
            process = power.start(place, disk)
            # Written anew each time, as a file of its own, for what came after the point.
            wait_for(lambda: (place.path / "out.ndjson").exists() and (place.path / "out.ndjson").stat().st_ino != seen, timeout=5 if n else 30,
                     what="a new file")
            seen = (place.path / "out.ndjson").stat().st_ino
            power.cut_power(place, disk, process, random.Random(1))
            assert (place.path / "out.ndjson").exists()
        (place.path / "go").touch()
        power.run_with_cuts(place, disk, 0, random.Random(1))
        assert [int(line[5:-2]) for line in open(place.path / "out.ndjson")] == list(range(30000))
    finally:
        place.close()
        disk.close()


def test_a_store_keeps_its_name_from_the_first_moment_on():
    """No point was made, and a sink behind the store has kept something: it is not given that again under another name."""
    disk = power.Disk()
    place = power.Place(disk.folder / "place")
    try:
        place.path.mkdir()
        (place.path / "in.ndjson").write_text("".join(f'{{"n":{n}}}\n' for n in range(20000)))
        place.write("p.conf", """sync_interval = "0"; stages = {
            read = { source = "file"; path = "in.ndjson"; rate = "10000/s"; };
            save = { sink = "sqlite"; from = "read"; path = "out.db"; table = "t"; create = true; when_full = "spill"; }; };""")
        power.os.sync()
        process = power.start(place, disk)
        wait_for(lambda: (place.path / "out.db-wal").exists() and (place.path / "out.db-wal").stat().st_size > 100_000, what="some rows")
        for name in "out.db-wal", "out.db", ".":
            folder = power.os.open(place.path / name, power.os.O_RDONLY)
            power.os.fsync(folder)
            power.os.close(folder)
        disk.cut()
        for pid in [*power.children(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                power.os.kill(pid, power.signal.SIGKILL)
        process.wait()
        disk.switch_off()
        disk.switch_on()
        power.run_with_cuts(place, disk, 0, random.Random(1))
        database = sqlite3.connect(place.path / "out.db")
        assert [row[0] for row in database.execute("SELECT n FROM t ORDER BY rowid")] == list(range(20000))
        database.close()
    finally:
        place.close()
        disk.close()


@pytest.mark.parametrize("intake", [False, True], ids=["spill", "two stores"])
def test_stores_between_stages(intake):
    """What a store gave away comes out of it again when the stages behind it went back, and what it had is not taken twice."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    disk = power.Disk()
    place = power.Place(disk.folder / "place")
    count = 60000
    try:
        place.path.mkdir()
        (place.path / "in.ndjson").write_text("".join(f'{{"n":{n}}}\n' for n in range(count)))
        more = 'when_full = "spill";' if intake else ""
        place.write("p.conf", f"""sync_interval = "100ms"; stages = {{
            read = {{ source = "file"; path = "in.ndjson"; rate = "40000/s"; }};
            save = {{ transform = "delay"; wait = "0s"; from = "read"; rate = "30000/s"; when_full = "spill"; }};
            file = {{ sink = "file"; from = "save"; path = "out.ndjson"; {more} }};
            base = {{ sink = "sqlite"; from = "save"; path = "out.db"; table = "t"; create = true; }}; }};""")
        power.os.sync()
        done, said = power.run_with_cuts(place, disk, 5, random.Random(seed))
        assert done >= 1, said
        assert [int(line[5:-2]) for line in open(place.path / "out.ndjson")] == list(range(count)), said
        database = sqlite3.connect(place.path / "out.db")
        assert [row[0] for row in database.execute("SELECT n FROM t ORDER BY rowid")] == list(range(count)), said
        database.close()
        assert "is now" not in said, said
    finally:
        place.close()
        disk.close()
