# SPDX-License-Identifier: MIT
"""Formats of files that say more than their lines do: dialects that are found, columns of a fixed width; and outputs of many files."""
import csv
import gzip
import json
import os
import pwd
import random
import signal
import subprocess

import pytest

from conftest import BUILD, finish, kill_some, wait_for


def test_a_dialect_is_found_again_in_the_middle_of_a_file(place):
    """No header, so the names of the columns come from the first row, which a successor must look at, too."""
    count = 40_000
    place.write("in.csv", "".join(f"{n}|'v|{n % 7}'|0{n}\n" for n in range(count)))
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.csv"; dialect = "sniff"; types = "infer"; rate = "40000/s"; restart = 1000; backoff = "5ms"; };
      save = { sink = "file"; from = "read"; path = "out.ndjson"; queue = 2; };
    };""")
    process = place.start("run", "p.conf")
    done = kill_some(process, {"read"}, 8, 7)
    code, _, err = finish(process)
    assert code == 0, err
    assert done >= 3
    records = [json.loads(line) for line in open(place.path / "out.ndjson")]
    assert records == [{"c1": n, "c2": f"v|{n % 7}", "c3": f"0{n}"} for n in range(count)]


def test_what_cannot_be_sniffed(place):
    for more, reason in ('path = "-"; format = "csv";', "standard input is read once"), ('path = "a.csv"; follow = true;', "a file that grows"):
        place.write("p.conf", f'stages = {{ a = {{ source = "file"; {more} dialect = "sniff"; }}; b = {{ sink = "null"; from = "a"; }}; }};')
        code, _, err = place.sluice("check", "p.conf")
        assert code == 78 and reason in err, err


def test_a_file_that_may_not_be_read(place):
    """Who may not is named, and how it may. Root may read everything, so that one is somebody else here."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    place.write("in.csv", "id\n1\n").chmod(0)
    place.write("p.conf", """stages = { read = { source = "file"; path = "in.csv"; }; save = { sink = "null"; from = "read"; }; };""")
    more = {}
    if os.geteuid() == 0:
        more = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        if subprocess.run([BUILD / "sluice-stage", "--version"], capture_output=True, check=False, **more).returncode != 0:
            pytest.skip("nobody may not run what was built here")
        os.chown(place.path, user.pw_uid, user.pw_gid)
    code, _, err = place.sluice("run", "p.conf", **more)
    assert code == 1
    assert f"in.csv: Permission denied: let user {user.pw_uid} read it, as setfacl -m u:{user.pw_uid}:r does" in err


# --- many files ---------------------------------------------------------------------------------------

def lines(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path)
    with opened as file:
        return [json.loads(line) for line in file]


def tree(folder):
    return {str(path.relative_to(folder)): lines(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def put(place, records):
    place.write("in.ndjson", "".join(json.dumps(record) + "\n" for record in records))


def test_fields_and_time_make_names(place):
    put(place, [{"n": 0, "at": "2026-11-21T23:59:59Z", "land": "DE"}, {"n": 1, "at": "2026-11-22T00:30:00+01:00", "land": "DE"},
                {"n": 2, "at": 1795392000, "land": "FR"}, {"n": 3, "at": 1795392000123, "land": "FR"}, {"n": 4, "at": "2026-11-23", "land": 7}])
    place.run("""stages = { read = { source = "file"; path = "in.ndjson"; };
      save = { sink = "file"; from = "read"; path = "out/{day}/{land}.ndjson"; time = "at"; open_max = 1; }; };""")
    found = {name: [record["n"] for record in records] for name, records in tree(place.path / "out").items()}
    assert found == {"2026-11-21/DE.ndjson": [0, 1], "2026-11-23/FR.ndjson": [2, 3], "2026-11-23/7.ndjson": [4]}


def test_values_stay_in_their_folder(place):
    values = ["..", ".", "../x", "a/b", "", None, "x" * 500, "x" * 499 + "y", "100%", "tab\there", "é" * 200, "/etc/passwd", "%2F", "\0"]
    put(place, [{"n": n, "v": value} for n, value in enumerate(values)] + [{"n": 98}, {"n": 99, "v": [1]}])
    code, _, err = place.sluice("run", place.write("p.conf", """stages = { read = { source = "file"; path = "in.ndjson"; };
      save = { sink = "file"; from = "read"; path = "out/{v}/{v}.ndjson"; }; };"""))
    assert code == 3 and "a field of `path` is neither text nor number" in err, err
    found = tree(place.path / "out")
    assert sorted(tuple(record["n"] for record in records) for records in found.values()) == \
        sorted([(n,) for n in range(len(values)) if n not in (4, 5)] + [(4, 5, 98)])
    assert all(name.count("/") == 1 for name in found)
    assert {"%2E./%2E..ndjson", "%2E./x"} & set(found) == {"%2E./%2E..ndjson"}
    assert "a%2Fb/a%2Fb.ndjson" in found and "%none/%none.ndjson" in found and "100%25/100%25.ndjson" in found
    assert [path.name for path in place.path.iterdir() if path.name in ("x", "etc")] == []


def test_it_is_published_at_the_end(place):
    put(place, [{"n": n, "k": n % 3} for n in range(3000)])
    place.write("p.conf", """stages = { read = { source = "file"; path = "in.ndjson"; rate = "1000/s"; };
      save = { sink = "file"; from = "read"; path = "out/{k}.csv"; open_max = 2; }; };""")
    process = place.start("run", "p.conf")
    part = place.path / "out/.2.csv.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 0, what="the first records")
    assert not list((place.path / "out").glob("[0-9]*"))
    process.send_signal(signal.SIGINT)
    finish(process)
    assert part.exists() and not list((place.path / "out").glob("[0-9]*"))
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    for k in range(3):
        rows = list(csv.DictReader(open(place.path / f"out/{k}.csv")))
        assert [int(row["n"]) for row in rows] == list(range(k, 3000, 3))
    assert not list((place.path / "out").glob(".*"))


def numbered(folder, ending):
    return sorted(folder.glob(f"*{ending}"), key=lambda path: int(path.name.removesuffix(ending)))


@pytest.mark.parametrize("ending", [".ndjson", ".ndjson.gz"])
def test_rotation_by_size(place, ending):
    """Each but the last is as long as it must be, published before the end, and none is ever replaced."""
    count = 20000
    put(place, [{"n": n} for n in range(count)])
    place.write("p.conf", f"""stages = {{ read = {{ source = "file"; path = "in.ndjson"; rate = "20000/s"; }};
      save = {{ sink = "file"; from = "read"; path = "out/{{n}}{ending}"; rotate_size = "20KiB"; }}; }};""")
    process = place.start("run", "p.conf")
    wait_for(lambda: (place.path / f"out/1{ending}").exists(), what="the first file")
    assert process.poll() is None
    assert finish(process)[0] == 0
    files = numbered(place.path / "out", ending)
    assert len(files) >= 2
    assert all(path.stat().st_size >= 20 << 10 for path in files[:-1])
    assert [record["n"] for path in files for record in lines(path)] == list(range(count))
    before = {path: path.read_bytes() for path in files}
    assert place.sluice("run", "p.conf")[0] == 0
    assert all(path.read_bytes() == text for path, text in before.items())
    assert [record["n"] for path in numbered(place.path / "out", ending) for record in lines(path)] == 2 * list(range(count))


def test_rotation_by_time(place):
    put(place, [{"n": n} for n in range(500)])
    place.run("""stages = { read = { source = "file"; path = "in.ndjson"; rate = "200/s"; };
      save = { sink = "file"; from = "read"; path = "out/{day}.{n}.ndjson"; rotate_every = "1s"; }; };""")
    files = sorted((place.path / "out").iterdir())
    assert len(files) >= 2
    assert [record["n"] for path in files for record in lines(path)] == list(range(500))


@pytest.mark.parametrize("victims", [{"save"}, {"work", "save"}], ids=lambda names: "+".join(sorted(names)))
@pytest.mark.parametrize("path, more", [("out/{land}/{k}.ndjson.gz", "open_max = 3;"), ("out/{k}/{n}.ndjson", 'rotate_size = "8KiB"; open_max = 3;')])
def test_each_record_once_whoever_dies(place, path, more, victims):
    count = 30_000
    put(place, [{"n": n, "k": n % 7, "land": ["DE", "../FR"][n % 2]} for n in range(count)])
    place.write("p.conf", f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; transform = "delay"; wait = "0s"; rate = "30000/s"; restart = 1000; backoff = "5ms"; queue = 2; }};
      save = {{ sink = "file"; from = "work"; path = "{path}"; {more} restart = 1000; backoff = "5ms"; queue = 2; }}; }};""")
    seed = random.randrange(1_000_000)
    print("seed", seed)
    process = place.start("run", "p.conf")
    done = kill_some(process, victims, 15, seed)
    code, _, err = finish(process)
    assert code == 0, err
    assert done >= 3 and "leak" not in err
    found = tree(place.path / "out")
    assert sorted(record["n"] for records in found.values() for record in records) == list(range(count))
    for records in found.values():
        assert [record["n"] for record in records] == sorted(record["n"] for record in records)
        assert len({(record["k"]) for record in records}) == 1
    assert not list((place.path / "out").rglob(".*"))


def test_what_a_run_left_is_removed_by_the_next(place):
    put(place, [{"n": n} for n in range(3000)])
    place.write("p.conf", """stages = { read = { source = "file"; path = "in.ndjson"; rate = "1000/s"; };
      save = { sink = "file"; from = "read"; path = "out/{n}.ndjson"; }; };""")
    process = place.start("run", "p.conf")
    wait_for(lambda: (place.path / "out/.1.ndjson.part").exists(), what="the first records")
    process.send_signal(signal.SIGINT)
    finish(process)
    put(place, [{"n": 7}])
    code, _, err = place.sluice("run", "p.conf", "--from-start")
    assert code == 0, err
    assert tree(place.path / "out") == {"1.ndjson": [{"n": 7}]}


@pytest.mark.parametrize("options, reason", [
    ('path = "out/{k}.ndjson"; append = true;', "`append` adds to one file"),
    ('path = "out.ndjson"; rotate_size = "1MiB";', "put {n} into `path`"),
    ('path = "out/{k}.ndjson"; time = "at";', "`time` is for"),
    ('path = "out/{n}/x.ndjson";', "{n} belongs into the last name"),
    ('path = "out/{k.ndjson";', "a { has no }"),
    ('path = "out/{k}.ndjson"; processes = 2;', "{instance}"),
])
def test_what_check_says_of_names(place, options, reason):
    place.write("p.conf", f'stages = {{ a = {{ source = "sequence"; count = 1; }}; b = {{ sink = "file"; from = "a"; {options} }}; }};')
    code, _, err = place.sluice("check", "p.conf")
    assert code == 78 and reason in err, err


def test_two_sinks_of_one_name(place):
    """Equal patterns are found by the check; names that meet, by the sinks."""
    text = """stages = { a = { source = "file"; path = "in.ndjson"; rate = "1000/s"; };
      b = { sink = "file"; from = "a"; path = "{k}.ndjson"; restart = 0; };
      c = { sink = "file"; from = "a"; path = "%s"; restart = 0; }; };"""
    put(place, [{"k": "x", "l": "x"}] * 3000)
    place.write("p.conf", text % "./{k}.ndjson")
    code, _, err = place.sluice("check", "p.conf")
    assert code == 78 and "write one file" in err, err
    place.write("p.conf", text % "{l}.ndjson")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 1 and ".x.ndjson.part is being written by another sink" in err, err
