"""
Kill storms: one pipeline from files to a file and an SQLite table, while its processes, the supervisor too, are killed at random. In the end each
record must be in both exactly once. Used by test_resume.py in a short form and by bench/soak.py in the long one.
"""
import contextlib
import os
import random
import signal
import sqlite3
import time

from conftest import children

# Under constant fire a stage must be allowed any number of deaths.
HARDY = 'restart = 1000000; restart_within = "100ms"; backoff = "2ms";'

READ = f'read = {{ source = "file"; path = "in-*.ndjson"; rate = "%(rate)s"; {HARDY} }};'
DB = (f'db = {{ sink = "sqlite"; from = %(end)s; path = "out.db"; table = "t"; create = true; %(sinks)s {HARDY} }};')
FILE = f'save = {{ sink = "file"; from = %(end)s; path = "out%(instance)s.ndjson"; format = "ndjson"; %(sinks)s %(save)s {HARDY} }};'


def sql(name, source, query, more=""):
    return f'{name} = {{ transform = "sql"; from = "{source}"; query = "{query}"; {more} {HARDY} }};'


KEEP = "SELECT id, v FROM input"
# What each shape does with a record: the ids that must come out, once each, in file and table.
SHAPES = {
    "chain": dict(stages=sql("f", "read", KEEP, "processes = 2;"), end='"f"', ids=lambda n: range(n)),
    "filter": dict(stages=sql("f", "read", KEEP + " WHERE id % 3 = 0") + sql("g", "f", KEEP), end='"g"',
                   ids=lambda n: range(0, n, 3)),
    "several": dict(stages=sql("f", "read", "SELECT id * 2 AS id, v FROM input UNION ALL SELECT id * 2 + 1, v FROM input"),
                    end='"f"', ids=lambda n: range(2 * n)),
    "diamond": dict(stages=sql("a", "read", KEEP + " WHERE id % 2 = 0") + sql("b", "read", KEEP + " WHERE id % 2 = 1"),
                    end='("a", "b")', ids=lambda n: range(n)),
    "partition": dict(stages=sql("f", "read", KEEP, 'processes = 3; partition = ("v");'), end='"f"', ids=lambda n: range(n)),
    "two sinks": dict(stages=sql("f", "read", KEEP, "processes = 2;"), end='"f"', ids=lambda n: range(n),
                      sinks="processes = 2;", instance="-{instance}"),
    "any": dict(stages=sql("f", "read", KEEP, 'processes = 2; order = "any";'), end='"f"', ids=lambda n: range(n),
                sinks='order = "any";'),
    "many files": dict(stages=sql("f", "read", KEEP, "processes = 2;"), end='"f"', ids=lambda n: range(n), instance="-{v}.{n}",
                       save='rotate_size = "4KiB"; open_max = 30;'),
}


def write_input(place, records, files=3):
    for number in range(files):
        with open(place.path / f"in-{number}.ndjson", "w") as file:
            for i in range(records * number // files, records * (number + 1) // files):
                file.write('{"id":%d,"v":"x%d"}\n' % (i, i % 97))


def config(shape, rate):
    shape = {"sinks": "", "instance": "", "save": "", **SHAPES[shape]}
    return "stages = { %s %s %s %s };" % (READ % {"rate": rate}, shape["stages"], FILE % shape, DB % shape)


def start(place):
    process = place.start("run", "p.conf", "--state", "st", stderr=open(place.path / "err.txt", "a"))
    return process


def said(place):
    return (place.path / "err.txt").read_text()[-3000:]


def storm(place, shape, records, kills, seed, supervisors=0.1, rate="1000000/s", timeout=120, pause=(0.005, 0.04)):
    """Runs it to its end; the number of kills there were room for."""
    chance = random.Random(seed)
    print(f"storm: {shape}, {records} records, seed {seed}")
    write_input(place, records)
    place.write("p.conf", config(shape, rate))
    process = start(place)
    done = 0
    deadline = time.monotonic() + timeout
    while process.poll() is None:
        assert time.monotonic() < deadline, f"{shape}, seed {seed}: no end after {done} kills\n{said(place)}"
        time.sleep(chance.uniform(*pause))
        if done >= kills:
            continue
        if process.poll() is not None:
            break
        done += 1
        if chance.random() < supervisors:
            process.kill()
            process.wait()
            # What had come to its end would be begun anew.
            note = place.path / "st" / "run"
            if process.returncode == 0 or (note.exists() and "finished" in note.read_text()):
                check(place, shape, records, seed)
                return done
            process = start(place)
            continue
        victims = sorted(children(process.pid))
        try:
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert process.returncode == 0, f"{shape}, seed {seed}: exit {process.returncode} after {done} kills\n{said(place)}"
    check(place, shape, records, seed)
    return done


def check(place, shape, records, seed):
    ids = sorted(SHAPES[shape]["ids"](records))
    with contextlib.closing(sqlite3.connect(place.path / "out.db")) as db:
        table = [row[0] for row in db.execute("SELECT id FROM t")]
    lines = []
    for path in sorted(place.path.glob("out*.ndjson")):
        lines += [int(line.split(b":", 1)[1].split(b",")[0].split(b"}")[0]) for line in open(path, "rb")]
    for what, found in (("table", table), ("file", lines)):
        assert sorted(found) == ids, f"{shape}, seed {seed}: the {what} has {len(found)} ({len(set(found))} different) of {len(ids)}"
    if shape in ("chain", "filter"):
        assert lines == ids, f"{shape}, seed {seed}: the file's order"
