# SPDX-License-Identifier: MIT
"""Records that the stages with SQL must take, whatever their names are. What they answer is in tests/stages."""
import json

import pytest

QUERIES = {
    "sql": 'transform = "sql"; query = "SELECT id FROM input";',
    "star": 'transform = "sql"; query = "SELECT * FROM input";',
    "filter": 'transform = "filter"; where = "id > 0";',
}


def run(place, query, *records, status=0):
    with open(place.path / "in.ndjson", "w") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    place.run(f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; }};
      work = {{ from = "read"; {QUERIES[query]} }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
    }};""", status)
    return [json.loads(line) for line in open(place.path / "out.ndjson")]


@pytest.mark.parametrize("query", QUERIES)
def test_a_name_with_a_zero_byte(place, query):
    """It is no column, least of all that of what stands before the zero."""
    record = {"id": 7, "id\0" + "x" * 8_000_000: 8, "ID\0": 9}
    assert run(place, query, record) == [record if query == "filter" else {"id": 7}]


def test_more_names_than_are_remembered(place):
    assert run(place, "sql", {f"k{n}": n for n in range(5000)}, {"ID": 7}) == [{"id": None}, {"id": 7}]


def test_other_names_in_every_record(place):
    """More than a table of SQLite could have, in one batch, too."""
    records = [{f"k{10 * n + i}": i for i in range(10)} for n in range(500)]
    assert run(place, "star", *records) == records


def test_a_record_with_too_many_names(place):
    """It alone is given up."""
    wide = {f"k{n}": n for n in range(1501)}
    records = [{"id": 1}, wide, wide, {"id": 2}, wide | {"more": 1}, {"id": 3}]
    assert run(place, "star", *records, status=3) == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize("quote", ['\\"', "[", "`", "'", '\\"\\"\\"'])
@pytest.mark.parametrize("query", ['transform = "sql"; query = "SELECT id FROM input WHERE id = {}";', 'transform = "filter"; where = "id = {}";'])
def test_a_quote_that_nobody_closes(place, query, quote):
    place.write("p.conf", f"""stages = {{
      read = {{ source = "inline"; records = ( 1 ); }};
      work = {{ from = "read"; {query.format(quote)} }};
      save = {{ sink = "null"; from = "work"; }};
    }};""")
    code, _, err = place.sluice("check", "p.conf")
    assert code == 78 and "p.conf:3: `" in err, err
