# SPDX-License-Identifier: MIT
"""Formats of files that say more than their lines do: dialects that are found, columns of a fixed width; and outputs of many files."""
import json

from conftest import finish, kill_some


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
