# SPDX-License-Identifier: MIT
"""Wrong configs: tests/stages/config/NAME.conf and, in NAME.expected, every word that the check says about it."""
import os
import subprocess

import pytest

from conftest import BUILD, ROOT

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
    """Every golden config, cut anywhere, is refused or accepted in words, and quickly."""
    for config in WRONG[::6]:
        text = config.read_bytes()
        for size in range(0, len(text), 7):
            (tmp_path / "cut.conf").write_bytes(text[:size])
            assert check(tmp_path, "cut.conf").returncode in (0, EX_CONFIG), text[:size]
