# SPDX-License-Identifier: MIT
"""filter, route and map: order and exactly once, whatever their numbers are and whichever of their processes die."""
import json
import random

import pytest

from conftest import finish, kill_some

COUNT = 60_000


def feed(place):
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(COUNT):
            file.write(json.dumps({"id": n, "amount": n * 7 % 1000, "country": ["DE", "FR", "IT"][n % 3]}) + "\n")



def read(place, name):
    return [json.loads(line) for line in (place.path / name).read_text().splitlines()]


def run_and_kill(place, config, victims, kills=20):
    place.write("p.conf", config)
    seed = random.randrange(1_000_000)
    print("seed", seed)
    process = place.start("run", "p.conf")
    done = kill_some(process, victims, kills, seed)
    code, _, err = finish(process)
    assert code == 0, err
    assert "leak" not in err
    assert done >= 5, "the run was over too soon to mean anything"


READ = 'read = { source = "file"; path = "in.ndjson"; rate = "40000/s"; };'
OFTEN = 'restart = 1000; backoff = "5ms"; queue = 2;'


@pytest.mark.parametrize("numbers", ["", "processes = 2; threads = 2;"], ids=["one", "four"])
def test_a_killed_filter(place, numbers):
    feed(place)
    run_and_kill(place, f"""stages = {{
      {READ}
      some = {{ transform = "filter"; from = "read"; where = "amount >= 500 AND country <> 'IT'"; {numbers} {OFTEN} }};
      save = {{ sink = "file"; from = "some"; path = "out.ndjson"; {OFTEN} }};
    }};""", {"some", "save"})
    assert read(place, "out.ndjson") == [r for r in read(place, "in.ndjson") if r["amount"] >= 500 and r["country"] != "IT"]


@pytest.mark.parametrize("numbers", ["", "processes = 2; threads = 2;"], ids=["one", "four"])
def test_a_killed_map(place, numbers):
    feed(place)
    run_and_kill(place, f"""stages = {{
      {READ}
      change = {{ transform = "map"; from = "read"; rename = {{ amount = "price"; }}; drop = "country"; {numbers} {OFTEN}
                 set = {{ label = "country || '-' || id"; price = "amount * 2"; }}; }};
      save = {{ sink = "file"; from = "change"; path = "out.ndjson"; {OFTEN} }};
    }};""", {"change", "save"})
    assert read(place, "out.ndjson") == [{"id": r["id"], "price": r["amount"] * 2, "label": f"{r['country']}-{r['id']}"}
                                         for r in read(place, "in.ndjson")]


@pytest.mark.parametrize("match", ["first", "all"])
@pytest.mark.parametrize("numbers", ["", "processes = 2; threads = 2;"], ids=["one", "four"])
def test_a_killed_route(place, match, numbers):
    feed(place)
    run_and_kill(place, f"""stages = {{
      {READ}
      split = {{ transform = "route"; from = "read"; match = "{match}"; {numbers} {OFTEN}
                routes = {{ big = "amount >= 500"; german = "country = 'DE'"; }}; }};
      big = {{ sink = "file"; from = "split.big"; path = "big.ndjson"; {OFTEN} }};
      german = {{ sink = "file"; from = "split.german"; path = "german.ndjson"; }};
      others = {{ sink = "file"; from = "split.else"; path = "else.ndjson"; }};
    }};""", {"split", "big"})
    everything = read(place, "in.ndjson")
    assert read(place, "big.ndjson") == [r for r in everything if r["amount"] >= 500]
    assert read(place, "german.ndjson") == [r for r in everything if r["country"] == "DE" and (match == "all" or r["amount"] < 500)]
    assert read(place, "else.ndjson") == [r for r in everything if r["amount"] < 500 and r["country"] != "DE"]


def test_refused_records_are_few_and_kept(place):
    """In the middle of batches, again and again: each is a dead letter once, and its neighbours are where they were."""
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(20_000):
            file.write(json.dumps({"id": n, "body": "broken" if n % 100 == 50 else json.dumps({"size": n % 10})}) + "\n")
    place.run("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      some = { transform = "filter"; from = "read"; where = "json_extract(body, '$.size') > 4"; };
      save = { sink = "file"; from = "some"; path = "out.ndjson"; };
    };""", status=3)
    assert [r["id"] for r in read(place, "out.ndjson")] == [n for n in range(20_000) if n % 10 > 4 and n % 100 != 50]
    code, out, err = place.sluice("dead", "export", "p.conf")
    assert code == 0, err
    assert out.count("malformed JSON") == 200


def test_a_reason_is_cut_between_characters(place):
    """The reason shows the begin of the text, and is UTF-8 wherever that ends."""
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(3):
            file.write(json.dumps({"text": "x" * n + "\u00e4" * 60}) + "\n")
    place.run("""stages = {
      read = { source = "file"; path = "in.ndjson"; };
      split = { transform = "route"; from = "read"; routes = { a = "text"; }; else = "drop"; };
      save = { sink = "file"; from = "split"; path = "out.ndjson"; };
    };""", status=3)
    code, out, err = place.sluice("dead", "export", "p.conf")
    assert code == 0, err
    reasons = [json.loads(line)["reason"] for line in out.splitlines()]
    assert [reason.count("\u00e4") for reason in reasons] == [30, 29, 29]
