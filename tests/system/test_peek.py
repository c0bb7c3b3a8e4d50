# SPDX-License-Identifier: MIT
"""`sluice peek` shows what the first records look like, and leaves no trace."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from conftest import BUILD, ROOT, wait_for

PIPELINE = """stages = {
  read = { source = "file"; path = "in.ndjson"; };
  vat = { transform = "sql"; from = "read"; query = "SELECT id, amount * 0.5 AS vat FROM input WHERE paid"; };
  split = { transform = "route"; from = "vat"; routes = { big = "vat > 2"; }; };
  save = { sink = "file"; from = "split.big"; path = "out.ndjson"; };
  tell = { sink = "exec"; from = "split.else"; command = [ "touch", "told" ]; };
};"""

RECORDS = [{"id": i, "amount": 1.0 * i, "paid": i % 2 == 0, "at": f"2024-02-{i % 28 + 1:02}T00:00:00Z",
            "note": None if i % 3 else "日本 \t\x1b[31m"} for i in range(1, 1001)]


@pytest.fixture
def shop(place):
    place.write("p.conf", PIPELINE)
    place.write("in.ndjson", "".join(json.dumps(record) + "\n" for record in RECORDS))
    (place.path / "t").mkdir()
    place.env["TMPDIR"] = str(place.path / "t")
    return place


def peek(place, *arguments, status=0):
    before = sorted(place.path.rglob("*"))
    code, out, err = place.sluice("peek", "p.conf", *arguments)
    assert code == status, err
    assert sorted(place.path.rglob("*")) == before, "it left something behind"
    return out if status == 0 else err


def test_every_stage_before_the_sinks(shop):
    out = peek(shop)
    tables = out.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == [
        "read: 10 records", "vat: 5 records", "split.big: 3 records", "split.else: 2 records"]
    names, types, first = tables[0].splitlines()[1:4]
    assert names.split() == ["id", "amount", "paid", "at", "note"]
    assert types.split() == ["integer", "number", "boolean", "timestamp", "string?"]
    assert first.split() == ["1", "1.0", "false", "2024-02-02T00:00:00Z", "null"]
    assert "\x1b" not in out, "a record steers the terminal"
    assert tables[1].splitlines()[3].split() == ["2", "1.0"]


def test_one_stage_as_lines(shop):
    assert [json.loads(line) for line in peek(shop, "vat", "--json", "--records", "7").splitlines()] == [
        {"id": i, "vat": i / 2} for i in (2, 4, 6)]


def test_what_would_go_into_a_sink(shop):
    assert [json.loads(line) for line in peek(shop, "save", "--json").splitlines()] == [{"id": i, "vat": i / 2} for i in (6, 8, 10)]


def test_all_stages_as_lines(shop):
    lines = [json.loads(line) for line in peek(shop, "--json", "--records", "2").splitlines()]
    assert lines == [{"from": "read", "record": RECORDS[0]}, {"from": "read", "record": RECORDS[1]},
                     {"from": "vat", "record": {"id": 2, "vat": 1.0}}, {"from": "split.else", "record": {"id": 2, "vat": 1.0}}]


def test_no_more_is_read_than_is_asked_for(place):
    """What a transform does it does for these records only."""
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in-*.csv"; processes = 2; };
      tell = { transform = "exec"; mode = "once"; from = "read"; command = [ "sh", "-c", "echo x >>told" ]; input = "none"; output = "none"; threads = 4; };
      save = { sink = "null"; from = "tell"; };
    };""")
    for i in range(20):
        place.write(f"in-{i}.csv", "a\n1\n2\n3\n")
    code, out, err = place.sluice("peek", "p.conf", "--records", "7")
    assert code == 0, err
    assert (place.path / "told").read_text() == "x\n" * 7
    assert "tell: 7 records" in out


def test_a_run_that_waits_is_not_disturbed(shop):
    """Its state, checkpoints included, stays as it is; so it may be running, too."""
    shop.write("p.conf", PIPELINE.replace('path = "in.ndjson";', 'path = "in.ndjson"; follow = true;').replace(
        'sink = "exec"; from = "split.else"; command = [ "touch", "told" ];', 'sink = "null"; from = "split.else";').replace(
        'path = "out.ndjson";', 'path = "out.ndjson"; append = true;'))
    process = shop.start("run", "p.conf")
    shop.wait_for_socket()
    assert "read: 3 records" in shop.sluice("peek", "p.conf", "--records", "3")[1]
    wait_for(lambda: (shop.path / "out.ndjson").read_text().count("\n") == 498, what="all records in the file")
    assert process.poll() is None
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 0, err


def test_a_source_that_waits_shows_what_has_come(place):
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; follow = true; };
      save = { sink = "null"; from = "read"; };
    };""")
    place.write("in.ndjson", '{"a": 1}\n')
    code, out, err = place.sluice("peek", "p.conf", "--for", "1s")
    assert code == 0, err
    assert "read: 1 record" in out and "the input has not ended" in err


def test_what_others_send_is_not_taken_from_them(place):
    place.write("p.conf", """stages = {
      udp = { source = "listen"; address = "udp://127.0.0.1:5514"; format = "lines"; };
      other = { source = "sequence"; count = 3; };
      save = { sink = "null"; from = "udp"; };
      rest = { sink = "null"; from = "other"; };
    };""")
    assert "`udp` waits for what others send" in peek(place, status=1)
    assert "`udp` waits for what others send" in peek(place, "save", status=1)
    assert "other: 2 records" in peek(place, "other", "--records", "2").replace("the first ", "")


def test_stores_are_not_touched(place):
    place.write("p.conf", """stages = {
      read = { source = "exec"; command = [ "seq", "5" ]; format = "lines"; intake = "durable"; };
      save = { sink = "file"; from = "read"; path = "out.ndjson"; when_full = "spill"; };
    };""")
    assert peek(place, "save", "--json").split() == [f'"{i}"' for i in range(1, 6)]


def test_stages_with_state(place):
    """Each is shown once, by its own name, and what it keeps is kept elsewhere."""
    place.write("p.conf", """stages = {
      read = { source = "sequence"; count = 100; };
      once = { transform = "dedupe"; from = "read"; window = 100; };
      save = { sink = "null"; from = "once"; };
    };""")
    out = peek(place)
    assert [line for line in out.splitlines() if line.endswith("records")] == ["read: 10 records", "once: 10 records"]
    assert peek(place, "once", "--json", "--records", "3").split() == ["0", "1", "2"]
    assert "it has read, once, save" in peek(place, "once~out", status=1)


def test_a_terminal_is_as_wide_as_it_is(shop):
    """Cut to its columns; what has no room is named."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 38, 0, 0))
    process = subprocess.Popen([BUILD / "sluice", "peek", "p.conf", "read"], cwd=shop.path, env=shop.env, stdout=inner)
    os.close(inner)
    text = b""
    try:
        while piece := os.read(outer, 4096):
            text += piece
    except OSError:
        pass
    os.close(outer)
    assert process.wait() == 0
    lines = text.decode().replace("\r", "").splitlines()
    assert lines[-1] == "  and 1 more field: note (string?)"
    assert all(len(line) <= 38 for line in lines) and any("…" in line for line in lines)


def test_columns_say_how_wide_a_pipe_is(shop):
    shop.env["COLUMNS"] = "20"
    assert all(len(line) <= 20 or "more field" in line for line in peek(shop, "read").splitlines())


def test_refused_records_are_said(place):
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      save = { sink = "null"; from = "read"; };
    };""")
    place.write("in.ndjson", '{"a": 1}\nnonsense\n{"a": 2}\n')
    code, out, err = place.sluice("peek", "p.conf")
    assert code == 0 and "read: 2 records" in out and "in.ndjson:2" in err


def test_an_interrupted_peek_cleans_up(place):
    place.write("p.conf", """stages = {
      read = { source = "exec"; command = [ "sh", "-c", "touch begun; sleep 60" ]; format = "lines"; };
      save = { sink = "null"; from = "read"; };
    };""")
    (place.path / "t").mkdir()
    place.env["TMPDIR"] = str(place.path / "t")
    process = place.start("peek", "p.conf", "--for", "50s")
    wait_for(lambda: (place.path / "begun").exists())
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode in (0, 1)
    assert list((place.path / "t").iterdir()) == []


@pytest.mark.parametrize("arguments, status, reason", [
    (["p.conf", "vta"], 1, "has no stage `vta`; it has read, vat, split, save, tell"),
    (["p.conf", "--records", "0"], 2, "--records 0 is no number from 1 to 1000000"),
    (["p.conf", "--records", "many"], 2, "--records many is no number"),
    (["p.conf", "vat", "split"], 2, "too many arguments: split"),
    (["p.conf", "--state", "x"], 2, "no option --state"),
    ([], 2, "FILE is missing"),
    (["none.conf"], 78, "none.conf"),
])
def test_wrong_command_lines(shop, arguments, status, reason):
    code, out, err = shop.sluice("peek", *arguments)
    assert code == status, err
    assert reason in err and out == ""


def test_a_failing_pipeline(place):
    place.write("p.conf", """stages = {
      read = { source = "exec"; command = [ "false" ]; };
      save = { sink = "null"; from = "read"; };
    };""")
    assert "the pipeline failed" in peek(place, status=1)


def test_what_the_document_shows(place):
    """doc/trying-a-pipeline.md: its files, and what peek says of them."""
    text = (ROOT / "doc/trying-a-pipeline.md").read_text()
    shown = 0
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M):
        lines = [line.removeprefix("    ").rstrip() for line in block.strip("\n").splitlines()]
        for at, line in enumerate(lines):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].startswith("$ ")), len(lines))
            body = "\n".join(lines[at + 1:end]).strip("\n") + "\n"
            if line.startswith("$ cat "):
                place.write(line.removeprefix("$ cat "), body)
            elif line.startswith("$ sluice peek "):
                code, out, err = place.sluice(*line.split()[2:])
                assert code == 0, err
                assert [row.rstrip() for row in out.splitlines()] == body.splitlines()
                shown += 1
    assert shown == 3
