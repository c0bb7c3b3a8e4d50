# SPDX-License-Identifier: MIT
"""sample: how much, the same each time whatever dies, all records of one key, and the rest."""
import json

import pytest

from conftest import finish, kill_some

COUNT = 20_000


def feed(place):
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(COUNT):
            file.write(json.dumps({"id": n, "customer": n % 500}) + "\n")


def read(place, name="out.ndjson"):
    return [json.loads(line) for line in (place.path / name).read_text().splitlines()]


def config(options, rate=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; {rate} }};
      some = {{ transform = "sample"; from = "read"; {options} }};
      save = {{ sink = "file"; from = "some"; path = "out.ndjson"; }};
    }};"""


@pytest.mark.parametrize("fraction, least, most", [("0", 0, 0), ("0.1", 1750, 2250), ("1", COUNT, COUNT)])
def test_how_much(place, fraction, least, most):
    feed(place)
    place.run(config(f"fraction = {fraction};"))
    assert least <= len(read(place)) <= most


def test_the_same_each_time(place):
    feed(place)
    place.run(config("fraction = 0.1;"))
    first = read(place)
    assert [r["id"] for r in first] == sorted(r["id"] for r in first)
    place.write("p.conf", config('fraction = 0.1; processes = 2; threads = 2; restart = 1000; backoff = "5ms"; queue = 2;', 'rate = "15000/s";'))
    process = place.start("run", "p.conf")
    assert kill_some(process, {"some"}, 8, 7) >= 3
    code, _, err = finish(process)
    assert code == 0, err
    assert read(place) == first
    place.run(config("fraction = 0.1; seed = 1;"))
    assert read(place) != first


def test_by_a_key(place):
    feed(place)
    place.run(config('fraction = 0.2; by = "customer";'))
    found = read(place)
    customers = {r["customer"] for r in found}
    assert 60 <= len(customers) <= 140
    assert found == [r for r in read(place, "in.ndjson") if r["customer"] in customers]


def test_the_rest(place):
    feed(place)
    place.run("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      parts = { transform = "sample"; from = "read"; fraction = 0.8; rest = true; };
      train = { sink = "file"; from = "parts.out"; path = "train.ndjson"; };
      test = { sink = "file"; from = "parts.rest"; path = "test.ndjson"; };
    };""")
    train, test = read(place, "train.ndjson"), read(place, "test.ndjson")
    assert 15_500 <= len(train) <= 16_500
    assert sorted(train + test, key=lambda r: r["id"]) == read(place, "in.ndjson")
