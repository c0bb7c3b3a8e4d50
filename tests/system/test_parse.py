# SPDX-License-Identifier: MIT
"""parse and validate: regular expressions where no memory may become executable; time zones; order and exactly once when processes die."""
import ctypes
import json
import os
import subprocess

import pytest

from conftest import BUILD, finish, kill_some

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
PATTERN = r'^(?<ip>[0-9.]+) \"(?<method>[A-Z]+) (?<path>[^ ]*)[^\"]*\" (?<status>[0-9]+)$'


def refuse_executable_memory():
    """As systemd's MemoryDenyWriteExecute, for this process and those it starts."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        os._exit(77)


def has_mdwe():
    return subprocess.run(["true"], preexec_fn=refuse_executable_memory).returncode == 0


def line(n):
    return f'10.0.{n // 256 % 256}.{n % 256} "GET /page/{n} HTTP/1.1" {200 + n % 3}'


def parsed(n):
    return {"id": n, "ip": f"10.0.{n // 256 % 256}.{n % 256}", "method": "GET", "path": f"/page/{n}", "status": 200 + n % 3}


def feed(place, count):
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(count):
            file.write(json.dumps({"id": n, "m": line(n)}) + "\n")


def read(place):
    return [json.loads(text) for text in (place.path / "out.ndjson").read_text().splitlines()]


def config(numbers="", rate=""):
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; {rate} }};
      work = {{ transform = "parse"; from = "read"; field = "m"; format = "regex"; merge = true; numbers = true;
               pattern = "{PATTERN}"; {numbers} }};
      save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
    }};"""


@pytest.mark.skipif(not has_mdwe(), reason="this kernel has no PR_SET_MDWE")
def test_a_pattern_without_executable_memory(place):
    feed(place, 2000)
    place.write("p.conf", config())
    done = subprocess.run([BUILD / "sluice", "run", "--quiet", "p.conf"], cwd=place.path, env=place.env, preexec_fn=refuse_executable_memory,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert read(place) == [parsed(n) for n in range(2000)]


@pytest.mark.parametrize("numbers", ["", "processes = 2; threads = 2;"], ids=["one", "four"])
def test_a_killed_parse(place, numbers):
    count = 30_000
    feed(place, count)
    place.write("p.conf", config(f'{numbers} restart = 1000; backoff = "5ms"; queue = 2;', 'rate = "20000/s";'))
    process = place.start("run", "p.conf")
    done = kill_some(process, {"work"}, 12, 7)
    code, _, err = finish(process)
    assert code == 0, err
    assert done >= 3, "the run was over too soon to mean anything"
    assert read(place) == [parsed(n) for n in range(count)]


def test_a_zone_is_the_stage_s_own(place):
    """Whatever zone the machine has; with threads."""
    with open(place.path / "in.ndjson", "w") as file:
        for n in range(500):
            file.write(json.dumps({"t": f"2026-{1 + n % 12:02}-10 12:00:00"}) + "\n")
    place.write("p.conf", """stages = {
      read = { source = "file"; path = "in.ndjson"; };
      work = { transform = "parse"; from = "read"; field = "t"; format = "time"; time_format = "%Y-%m-%d %H:%M:%S";
               time_zone = "America/New_York"; threads = 3; };
      save = { sink = "file"; from = "work"; path = "out.ndjson"; };
    };""")
    done = subprocess.run([BUILD / "sluice", "run", "--quiet", "p.conf"], cwd=place.path, env=dict(place.env, TZ="Asia/Tokyo"), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert read(place) == [{"t": f"2026-{1 + n % 12:02}-10T{16 if 3 <= 1 + n % 12 <= 10 else 17}:00:00Z"} for n in range(500)]
