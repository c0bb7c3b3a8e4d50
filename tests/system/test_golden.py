# SPDX-License-Identifier: MIT
"""Cases that need no code: tests/stages/STAGE/CASE/ holds pipeline.conf, its input, and X.expected for each output X.

`status` holds the exit status (default 0), `stderr.contains` lines that must occur, `stdout.expected` the output.
"""
import difflib
import shutil

import pytest

from conftest import ROOT

CASES = sorted(path.parent for path in (ROOT / "tests/stages").glob("*/*/pipeline.conf"))


def compare(expected, found, name):
    if expected == found:
        return
    try:
        lines = difflib.unified_diff(expected.decode().splitlines(), found.decode().splitlines(), "expected", name, lineterm="")
        difference = "\n".join(lines)
    except UnicodeDecodeError:
        difference = f"{expected!r}\n{found!r}"
    pytest.fail(f"{name} differs:\n{difference}")


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_case(place, case):
    shutil.copytree(case, place.path, dirs_exist_ok=True)
    status_file = case / "status"
    status = int(status_file.read_text()) if status_file.exists() else 0
    stdin = open(case / "stdin", "rb") if (case / "stdin").exists() else None
    code, out, err = place.sluice("run", "pipeline.conf", timeout=30, **({"stdin": stdin} if stdin else {}))
    assert code == status, f"exit status {code}, expected {status}\n{err}"
    for expected in case.glob("*.expected"):
        name = expected.name.removesuffix(".expected")
        found = out.encode() if name == "stdout" else (place.path / name).read_bytes()
        compare(expected.read_bytes(), found, name)
    contains = case / "stderr.contains"
    for line in contains.read_text().splitlines() if contains.exists() else []:
        assert line in err, f"not in the output: {line}\n{err}"


def test_there_are_cases():
    assert len(CASES) > 20
