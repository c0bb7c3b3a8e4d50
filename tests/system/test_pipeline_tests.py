# SPDX-License-Identifier: MIT
"""`sluice test` runs the tests of a config: they pass, they fail for the right reason, and they leave no trace."""
import json
import shutil

import pytest

from conftest import ROOT, wait_for

EXAMPLES = sorted((ROOT / "etc/pipelines").glob("*.conf"))

STAGES = """stages = {
  read = { source = "file"; path = "in.ndjson"; };
  vat = { transform = "sql"; from = "read"; query = "SELECT id, amount * 0.5 AS vat, note FROM input WHERE paid"; processes = 2; };
  check = { transform = "fault"; from = "vat"; field = "bad"; action = "reject"; };
  split = { transform = "route"; from = "check"; routes = { big = "vat > 2"; }; };
  save = { sink = "file"; from = "split.big"; path = "out.ndjson"; };
  rest = { sink = "null"; from = "split.else"; };
};
"""


def run(place, tests, *arguments, stages=STAGES, status=0):
    place.write("p.conf", stages + f"tests = ( {tests} );\n")
    (place.path / "t").mkdir(exist_ok=True)
    place.env["TMPDIR"] = str(place.path / "t")
    before = sorted(place.path.rglob("*"))
    code, out, err = place.sluice("test", "p.conf", *arguments)
    assert code == status, out + err
    assert sorted(place.path.rglob("*")) == before, "it left something behind"
    return out


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples(place, example):
    """Each carries a test, and all pass."""
    shutil.copy(example, place.path)
    (place.path / "pictures").mkdir()
    place.write("suppliers.csv", "id,name,country\n7,Screws & Co,AT\n")
    code, out, err = place.sluice("test", example.name)
    assert code == 0, out + err
    assert out.endswith(" passed, 0 failed\n")


def test_what_passes(place):
    out = run(place, """
      { name = "paid ones"; stage = "vat"; feed = ( { id = 1; amount = 3; paid = true; note = "a"; }, { id = 2; amount = 1; paid = false; } );
        expect = ( { note = "a"; id = 1; vat = 1.5; } ); },
      { name = "nothing in, nothing out"; stage = "vat"; feed = (); expect = (); },
      { name = "null"; stage = "vat"; feed = "[{\\"id\\": null, \\"amount\\": 4, \\"paid\\": true}]"; expect = "{\\"id\\": null, \\"vat\\": 2.0, \\"note\\": null}"; },
      { name = "an output"; from = "vat"; to = "split"; port = "else"; feed = { id = 1; amount = 2; paid = true; note = "x"; };
        expect = { id = 1; vat = 1.0; note = "x"; }; }""")
    assert [line.split(" (")[0] for line in out.splitlines()] == [
        "ok    paid ones", "ok    nothing in, nothing out", "ok    null", "ok    an output", "4 passed, 0 failed"]


def test_differences(place):
    out = run(place, """
      { name = "right"; stage = "vat"; feed = { id = 1; amount = 3; paid = true; note = "a"; }; expect = { id = 1; vat = 1.5; note = "a"; }; },
      { name = "wrong"; stage = "vat"; feed = ( { id = 1; amount = 3; paid = true; note = "a"; }, { id = 2; amount = 4; paid = true; note = "b"; } );
        expect = ( { id = 1; vat = 1.5; note = "a"; }, { id = 2; vat = 2; note = "c"; more = 1; } ); },
      { name = "missing"; stage = "vat"; feed = ( { id = 2; amount = 4; paid = true; } ); expect = ( { id = 1; }, "{\\"id\\": 2, \\"vat\\": 2.0, \\"note\\": null}" ); },
      { name = "too much"; stage = "vat"; feed = ( { id = 2; amount = 4; paid = true; } ); expect = (); }""", status=1)
    assert [line if line[0] != "o" else line[:10] for line in out.splitlines()] == [
        "ok    righ",
        "FAIL  wrong (p.conf:11)",
        "      record 2, `vat`: expected 2 (integer), got 2.0 (number)",
        '      record 2, `note`: expected "c", got "b"',
        "      record 2, `more`: expected 1, which is missing",
        "FAIL  missing (p.conf:13)",
        '      record 1 is missing: {"id":1}',
        "FAIL  too much (p.conf:14)",
        '      record 1 was not expected: {"id":2,"vat":2.0,"note":null}',
        "1 passed, 3 failed"]


def test_tolerance(place):
    test = '{ name = "n"; stage = "times"; feed = ( 3 ); expect = ( 0.6 ); %s }'
    stages = """stages = { read = { source = "sequence"; count = 3; };
      times = { transform = "sql"; from = "read"; query = "SELECT value * 0.2 AS value FROM input"; };
      save = { sink = "null"; from = "times"; }; };"""
    assert "expected 0.6, got 0.6000000000000001" in run(place, test % "", stages=stages, status=1)
    run(place, test % "tolerance = 1e-9;", stages=stages)


def test_given_up(place):
    feed = "feed = ( 1, { bad = true; n = 2; }, 3, { bad = true; n = 4; } );"
    out = run(place, f"""
      {{ name = "how many"; stage = "check"; {feed} expect = ( 1, 3 ); dead = 2; }},
      {{ name = "why"; stage = "check"; {feed} dead = ( "fault", "as the config says" ); }},
      {{ name = "none"; stage = "check"; {feed} expect = ( 1, 3 ); }},
      {{ name = "other"; stage = "check"; {feed} dead = ( "fault", "other" ); }},
      {{ name = "fewer"; stage = "check"; {feed} dead = 1; }}""", status=1)
    lines = out.splitlines()
    assert lines[0].startswith("ok    how many") and lines[1].startswith("ok    why")
    assert lines[2:5] == ["FAIL  none (p.conf:12)",
                          '      a record was given up: `check`: fault: rejected, as the config says: {"bad":true,"n":2}',
                          '      a record was given up: `check`: fault: rejected, as the config says: {"bad":true,"n":4}']
    assert '      no record was given up for "other"' in lines
    assert "      expected 1 record to be given up, and 2 were" in lines
    assert lines[-1] == "2 passed, 3 failed"


def test_order(place):
    stages = """stages = { read = { source = "sequence"; count = 3; };
      wait = { transform = "sql"; from = "read"; query = "SELECT value FROM input"; %s };
      save = { sink = "null"; from = "wait"; }; };"""
    test = '{ name = "n"; stage = "wait"; feed = ( 3, 1, 2, 1 ); expect = ( 1, 1, 2, %d ); }'
    assert "record 1: expected 1, got 3" in run(place, test % 3, stages=stages % "", status=1)
    run(place, test % 3, stages=stages % 'order = "any"; processes = 2;')
    assert "expected 4, got 3" in run(place, test % 4, stages=stages % 'order = "any"; processes = 2;', status=1)


def test_files(place):
    """Beside the config, wherever the command is run."""
    (place.path / "d").mkdir()
    (place.path / "d/in.ndjson").write_text("".join(json.dumps({"id": i, "amount": i, "paid": i % 2, "note": None}) + "\n" for i in range(2000)))
    (place.path / "d/out.csv").write_text("id,vat,note\n")
    (place.path / "d/out.json").write_text(json.dumps([{"id": i, "vat": i / 2, "note": None} for i in range(1, 2000, 2)]))
    (place.path / "d/p.conf").write_text(STAGES + 'tests = ( { name = "files"; stage = "vat"; feed = "in.ndjson"; expect = "out.json"; } );')
    code, out, err = place.sluice("test", "d/p.conf")
    assert code == 0, out + err
    (place.path / "d/p.conf").write_text(STAGES + 'tests = ( { name = "files"; stage = "vat"; feed = "in.ndjson"; expect = "out.csv"; } );')
    code, out, err = place.sluice("test", "d/p.conf")
    assert code == 1 and "and 980 more differences" in out
    (place.path / "d/in.ndjson").write_text('{"a": 1}\nnonsense\n')
    code, out, err = place.sluice("test", "d/p.conf")
    assert code == 78 and "d/p.conf:9: d/in.ndjson:2: " in err


def test_sources_and_sinks(place):
    """Without `feed` the source reads; what would go to a sink is seen, and no sink runs."""
    place.write("in.ndjson", "".join(json.dumps({"id": i, "amount": i, "paid": True}) + "\n" for i in (9, 1)))
    run(place, """
      { name = "the source"; stage = "read"; expect = ( { id = 9; amount = 9; paid = true; }, { id = 1; amount = 1; paid = true; } ); },
      { name = "to the sink"; from = "read"; to = "save"; expect = "{\\"id\\": 9, \\"vat\\": 4.5, \\"note\\": null}"; },
      { name = "fed"; from = "read"; to = "rest"; feed = { id = 2; amount = 1; paid = true; note = "x"; }; expect = { id = 2; vat = 0.5; note = "x"; }; }""")
    assert not (place.path / "out.ndjson").exists()


def test_a_stage_that_crashes(place):
    """The record is a dead letter, and no other comes twice."""
    stages = STAGES.replace('"reject"', '"segv"')
    run(place, '{ name = "n"; stage = "check"; feed = ( 1, { bad = true; }, 3 ); expect = ( 1, 3 ); dead = ( "signal" ); }', stages=stages)


def test_stages_with_state(place):
    """From and to them, and through them; of two ways that lead to one only the one that is fed is waited for."""
    stages = """stages = {
      read = { source = "sequence"; count = 3; };
      other = { source = "sequence"; count = 3; };
      once = { transform = "dedupe"; from = [ "read", "other" ]; window = 100; };
      rows = { transform = "sql"; from = "once"; query = "SELECT value AS n, 'x' AS k, '2026-03-01T12:00:00Z' AS at FROM input"; };
      sum = { transform = "aggregate"; from = "rows"; by = "k"; time = "at"; tumbling = "1m"; set = { total = "sum(n)"; }; };
      save = { sink = "null"; from = "sum"; };
    };"""
    window = 'k = "x"; window_start = "2026-03-01T12:00:00Z"; window_end = "2026-03-01T12:01:00Z";'
    run(place, f"""
      {{ name = "through"; from = "read"; to = "save"; feed = ( 1, 2, 1 ); expect = {{ {window} total = 3; }}; }},
      {{ name = "into"; from = "sum"; to = "save"; feed = {{ n = 7; k = "x"; at = "2026-03-01T12:00:30Z"; }}; expect = {{ {window} total = 7; }}; }},
      {{ name = "out of"; stage = "once"; feed = ( 4, 4, 5 ); expect = ( 4, 5 ); }}""", stages=stages)


def test_a_pipeline_that_fails(place):
    stages = STAGES.replace('action = "reject";', 'action = "reject"; on_error = "stop";')
    out = run(place, '{ name = "n"; stage = "check"; feed = ( { bad = true; } ); expect = ( 1 ); }', stages=stages, status=1)
    assert "      the pipeline failed: " in out and out.endswith("0 passed, 1 failed\n")


def test_one_that_does_not_end(place):
    stages = STAGES.replace('"fault"', '"delay"').replace('field = "bad"; action = "reject";', 'wait = "1h";')
    out = run(place, '{ name = "n"; stage = "check"; feed = ( 1 ); expect = ( 1 ); }, { name = "m"; stage = "vat"; feed = (); expect = (); }',
              "--for", "1s", stages=stages, status=1)
    assert "it has not ended in time: --for 5m waits longer" in out and out.endswith("1 passed, 1 failed\n")


def test_a_stop_ends_all(place):
    stages = STAGES.replace('"fault"', '"delay"').replace('field = "bad"; action = "reject";', 'wait = "1h";')
    place.write("p.conf", stages + 'tests = ( { name = "n"; stage = "check"; feed = ( 1 ); expect = ( 1 ); }, { name = "m"; stage = "vat"; feed = (); expect = (); } );')
    (place.path / "t").mkdir()
    place.env["TMPDIR"] = str(place.path / "t")
    process = place.start("test", "p.conf")
    wait_for(lambda: list((place.path / "t").glob("*/tap.0")))
    process.terminate()
    wait_for(lambda: process.poll() is not None or process.terminate())
    out, _ = process.communicate()
    assert process.returncode == 1 and out.endswith("0 passed, 1 failed\n")
    assert list((place.path / "t").iterdir()) == []


def test_one_by_its_name(place):
    tests = ", ".join(f'{{ name = "{name}"; stage = "vat"; feed = (); expect = (); }}' for name in ("first", "second"))
    out = run(place, tests, "second")
    assert "first" not in out and out.endswith("1 passed, 0 failed\n")
    assert run(place, tests, "--quiet") == "2 passed, 0 failed\n"
    assert run(place, tests, "third", status=1) == ""


def test_none(place):
    place.write("p.conf", STAGES)
    code, out, err = place.sluice("test", "p.conf")
    assert code == 1 and out == "" and "has no tests: write tests = " in err


def test_a_run_ignores_them(place):
    place.write("in.ndjson", '{"id": 1, "amount": 9, "paid": true}\n')
    place.run(STAGES + 'tests = ( { name = "wrong"; stage = "vat"; feed = (); expect = ( 1 ); } );')
    assert (place.path / "out.ndjson").read_text() == '{"id":1,"vat":4.5,"note":null}\n'


def test_a_check_looks_at_them(place):
    place.write("p.conf", STAGES + 'tests = ( { name = "n"; stage = "vta"; feed = (); expect = (); } );')
    for command in "check", "test", "run":
        code, _, err = place.sluice(command, "p.conf")
        assert code == 78 and 'p.conf:9: there is no stage `vta`: write stage = "vat";' in err


CREDENTIALS = """stages = {
  read = { source = "sequence"; count = 3; };
  up = { transform = "map"; from = "read"; set = { k = "value + 1"; }; };
  ask = { transform = "http"; from = "up"; url = "http://127.0.0.1:1/{k}"; headers = [ "Authorization: Bearer ${credential:token}" ]; };
  save = { sink = "postgres"; from = "ask"; table = "t"; connection = "${credential:database}"; };
};
"""


def test_a_credential_is_needed_only_where_it_stands(place):
    """An option that is nothing but a credential is not looked at without it either."""
    out = run(place, """
      { name = "without"; stage = "up"; feed = { value = 1; }; expect = { value = 1; k = 2; }; },
      { name = "its stage"; from = "up"; to = "ask"; feed = { value = 1; }; expect = (); },
      { name = "itself"; stage = "up"; feed = { value = "${credential:token}"; }; expect = (); },
      { name = "not the sink"; from = "read"; to = "up"; expect = "[{\\"value\\":0,\\"k\\":1},{\\"value\\":1,\\"k\\":2},{\\"value\\":2,\\"k\\":3}]"; }""",
              stages=CREDENTIALS, status=1)
    advice = "needs `${credential:token}`, which is not there: set $CREDENTIALS_DIRECTORY to a folder with that file"
    lines = [line.split(" (")[0] if line[0] != " " else line for line in out.splitlines()]
    assert lines == ["ok    without", "FAIL  its stage", f"      `ask` {advice}", "FAIL  itself", f"      the test {advice}",
                     "ok    not the sink", "2 passed, 2 failed"]
    code, _, err = place.sluice("check", "p.conf")
    assert code == 78 and "`${credential:database}` is not there" in err


def test_what_is_said_of_a_test_hides_credentials(place):
    secret = 's3cret"of\\ours'
    (place.path / "credentials").mkdir()
    (place.path / "credentials/token").write_text(secret + "\n")
    (place.path / "credentials/database").write_text("host=/nowhere\n")
    place.env["CREDENTIALS_DIRECTORY"] = str(place.path / "credentials")
    tests = """
      { name = "what ${credential:token} gives"; stage = "up"; feed = { value = "${credential:token}"; }; expect = { value = 1; k = "a ${credential:token}"; }; },
      { name = "not expected"; stage = "up"; feed = { value = "${credential:token}"; }; expect = (); },
      { name = "dead"; stage = "up"; feed = (); dead = ( "${credential:token}" ); }"""
    out = run(place, tests, stages=CREDENTIALS, status=1)
    assert out.count("***") >= 5 and "3 failed" in out
    for command in ["test", "check", "graph"]:
        _, out, err = place.sluice(command, "p.conf")
        assert "s3cret" not in out + err
