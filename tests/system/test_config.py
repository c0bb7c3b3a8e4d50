# SPDX-License-Identifier: MIT
"""Wrong configs: tests/stages/config/NAME.conf and, in NAME.expected, every word that the check says about it."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, children, wait_for

FOLDER = ROOT / "tests/stages/config"
WRONG = sorted(FOLDER.glob("*.conf"))
EX_CONFIG = 78

GOOD = """
name = "nightly";
stages = {
  read = { source = "sequence"; count = 10; };
  twice = { transform = "sql"; from = "read"; processes = 2; query = "SELECT value * 2 AS value FROM input"; };
  save = { sink = "null"; from = [ "read", "twice" ]; };
};
"""


def check(folder, *arguments, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("CREDENTIALS_DIRECTORY", "SLUICE_TEST_NOT_SET", "SLUICE_STAGE_PATH")}
    return subprocess.run([BUILD / "sluice-stage", "--check", *arguments], cwd=folder, env=env | environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("config", WRONG, ids=lambda path: path.stem)
def test_wrong_config(config):
    result = check(FOLDER, config.name)
    assert result.stderr == config.with_suffix(".expected").read_text()
    assert result.returncode == EX_CONFIG
    assert result.stdout == ""


def test_what_is_advised_instead_of_others_words_is_there():
    """peers.expected: each stage and option that it says to write."""
    advice = (FOLDER / "peers.expected").read_text()
    known = {}
    for role, name, rest in set(re.findall(r'(source|transform|sink) = "(\w+)";([^\n]*?)(?=or (?:source|transform|sink) = |$)', advice, re.M)):
        if (role, name) not in known:
            pages = subprocess.run([BUILD / "sluice", "describe", name], capture_output=True, text=True, check=True).stdout
            known[role, name] = re.split(r'^(?=(?:source|transform|sink) = )', pages, flags=re.M)
        page = [page for page in known[role, name] if page.startswith(f'{role} = "{name}"')]
        assert len(page) == 1, (role, name)
        for option in re.findall(r'(\w+) = (?:["\[({\d]|true)', rest):
            assert option in ("NAME", "n") or f"\n  {option}: " in page[0], (role, name, option)
    assert len(known) > 20


def test_there_are_enough_and_none_is_left_over():
    assert len(WRONG) >= 40
    assert {path.stem for path in FOLDER.glob("*.expected")} == {path.stem for path in WRONG}


def test_good_config_says_nothing(tmp_path):
    (tmp_path / "good.conf").write_text(GOOD)
    result = check(tmp_path, "good.conf", "--runtime", "/run/sluice")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_long_runtime_folder(tmp_path):
    (tmp_path / "good.conf").write_text(GOOD)
    result = check(tmp_path, "good.conf", "--runtime", "/" + "r" * 100)
    assert result.returncode == EX_CONFIG
    assert "and 107 are the most: give a shorter folder with --runtime" in result.stderr


def test_unreadable_config(tmp_path):
    result = check(tmp_path, "missing.conf")
    assert result.stderr == "missing.conf: cannot read the config: there is no such file\n1 error\n"
    assert result.returncode == EX_CONFIG


def test_environment_and_credentials(tmp_path):
    (tmp_path / "query").write_text("SELECT value FROM input\n")
    (tmp_path / "good.conf").write_text(GOOD.replace("SELECT value * 2 AS value FROM input", "${credential:query}")
                                        .replace("count = 10", 'count = "${COUNT:-10}"'))
    result = check(tmp_path, "good.conf", CREDENTIALS_DIRECTORY=str(tmp_path), COUNT="5")
    assert (result.returncode, result.stderr) == (0, "")
    result = check(tmp_path, "good.conf", CREDENTIALS_DIRECTORY=str(tmp_path), COUNT="five")
    assert result.stderr.startswith('good.conf:4: `count` takes an integer, not the string "${COUNT:-10}": write count = ')


def test_no_config_crashes_the_check(tmp_path):
    """Golden configs, cut at many places, is refused or accepted in words, and quickly."""
    for config in WRONG[::6]:
        text = config.read_bytes()
        for size in range(0, len(text), max(7, len(text) // 40)):
            (tmp_path / "cut.conf").write_bytes(text[:size])
            assert check(tmp_path, "cut.conf").returncode in (0, EX_CONFIG), text[:size]


WITH_PARAMETERS = """
stages = { read = { source = "sequence"; count = 10; };
           rows = { transform = "sql"; from = "read"; query = "SELECT ${column:-value} AS v FROM input"; };
           save = { sink = "file"; from = "rows"; path = "${folder}/${day}.ndjson"; }; };"""


def test_parameters(place):
    place.write("p.conf", WITH_PARAMETERS)
    place.env |= {"folder": "nowhere", "day": "monday"}
    (place.path / "out").mkdir()
    code, _, err = place.sluice("run", "p.conf", "--set", "folder=out", "--set", "column=value + 1")
    assert code == 0, err
    assert (place.path / "out/monday.ndjson").read_text().splitlines()[0] == '{"v":1}'


def test_parameters_that_are_wrong(place):
    place.write("p.conf", WITH_PARAMETERS)
    for words, status, said in [(["--set", "folder"], 2, "--set folder names nothing: write --set NAME=VALUE"),
                                (["--set", "1a=2"], 2, "--set 1a=2 names nothing"),
                                (["--set", "day=1", "--set", "day=2"], 2, "--set day=... twice"),
                                (["--set", "folder=x"], 78, "the environment variable day is not set: set it, say --set day=VALUE"),
                                (["--set", "folder=x", "--set", "day=1", "--set", "colum=a"], 78,
                                 "--set colum=...: no string of the config has ${colum}: write --set column=...")]:
        for program, first in ("sluice", ["check", "p.conf"]), ("sluice", ["run", "p.conf"]), ("sluiced", ["--config", "p.conf"]):
            code, _, err = place.sluice(*first, *words, program=program)
            assert code == status and said in err, (program, words, code, err)


def test_a_parameter_is_no_syntax(place):
    """Strings are expanded after the file was read."""
    place.write("p.conf", WITH_PARAMETERS)
    code, _, err = place.sluice("check", "p.conf", "--set", "folder=\"; x = \"", "--set", "day=1")
    assert code == 0, err


def test_reload_with_parameters(place):
    place.write("p.conf", """
stages = { read = { source = "sequence"; rate = "${rate}"; }; save = { sink = "null"; from = "read"; queue = 4; }; };""")
    process = place.start("run", "p.conf", "--set", "rate=100/s")
    place.wait_for_socket()
    place.write("p.conf", (place.path / "p.conf").read_text().replace("queue = 4", "queue = 5"))
    code, out, err = place.sluice("reload", "p.conf", "--set", "rate=100/s")
    assert code == 0 and "reloaded" in out, err
    assert place.sluice("drain", "p.conf")[0] == 0
    assert process.wait(30) == 0


def test_a_replay_hides_credentials(place):
    """Its graph is another one: what it gives up again must not say more than the first run did."""
    secret = "s3cr3t-of-the-house"
    (place.path / "credentials").mkdir()
    (place.path / "credentials/token").write_text(secret + "\n")
    place.env["CREDENTIALS_DIRECTORY"] = str(place.path / "credentials")
    place.write("p.conf", """
stages = { read = { source = "sequence"; count = 1; };
           ask = { transform = "http"; from = "read"; url = "http://127.0.0.1:1/${credential:token}"; retries = 0; };
           save = { sink = "null"; from = "ask"; }; };""")
    assert place.sluice("run", "p.conf")[0] == 3
    code, out, err = place.sluice("dead", "replay", "p.conf", "--stage", "ask")
    assert code == 3, err
    for text in out, err, *(file.read_bytes().decode(errors="replace") for file in (place.path / "s").rglob("*") if file.is_file()):
        assert secret not in text, text


def test_a_credential_is_shown_nowhere(place):
    """Not by a check that complains, not by graph, not in argv, an environment, a log, a dead letter or status."""
    secret = "s3cr3t/of+the=house"
    (place.path / "credentials").mkdir()
    (place.path / "credentials/token").write_text(secret + "\n")
    place.env["CREDENTIALS_DIRECTORY"] = str(place.path / "credentials")
    encoded = "s3cr3t%2Fof%2Bthe%3Dhouse"

    def hidden(*texts):
        for text in texts:
            assert secret not in text and encoded not in text, text

    place.write("bad.conf", """
stages = { read = { source = "sequence"; }; save = { sink = "null"; from = "${credential:token}"; order = "${credential:token}"; }; };""")
    code, out, err = place.sluice("check", "bad.conf")
    assert code == EX_CONFIG
    hidden(out, err)

    place.write("argv.conf", """
stages = { read = { source = "exec"; command = [ "echo", "${credential:token}" ]; }; save = { sink = "null"; from = "read"; }; };""")
    code, out, err = place.sluice("check", "argv.conf")
    assert code == EX_CONFIG and "`command` is seen by everybody who lists processes" in err, err
    hidden(out, err)

    place.write("p.conf", """
stages = { read = { source = "exec"; format = "lines"; command = [ "sh", "-c", "echo leaking $TOKEN >&2; echo {}; exec sleep 60" ];
                    environment = [ "TOKEN=${credential:token}" ]; };
           ask = { transform = "http"; from = "read"; url = "http://127.0.0.1:1/${credential:token}?x={value}"; retries = 0;
                   headers = [ "Authorization: Bearer ${credential:token}" ]; };
           save = { sink = "null"; from = "ask"; }; };""")
    process = place.start("run", "p.conf")
    place.wait_for_socket()
    wait_for(lambda: "ask" in place.sluice("dead", "list", "p.conf")[1], what="the dead letter")
    for pid in [process.pid, *children(process.pid)]:
        for file in "cmdline", "environ":
            hidden(pathlib.Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace"))
    for words in ["status", "p.conf", "--json"], ["status", "p.conf"], ["dead", "show", "p.conf"], ["dead", "export", "p.conf"], \
            ["graph", "p.conf"], ["graph", "p.conf", "--dot"]:
        code, out, err = place.sluice(*words)
        assert code == 0, (words, err)
        hidden(out, err)
    assert place.sluice("stop", "p.conf")[0] == 0
    _, err = process.communicate()
    assert "leaking ***" in err
    hidden(err)
    for file in (place.path / "s").rglob("*"):
        if file.is_file():
            hidden(file.read_bytes().decode(errors="replace"))
