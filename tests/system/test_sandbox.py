# SPDX-License-Identifier: MIT
"""What a stage process gives up: a stage that tries to get at what it has not declared, in each of the ways."""
import json
import os
import pathlib
import re
import socket
import subprocess

import pytest

import pg
from conftest import BUILD, LANDLOCK, SANITIZED, children, finish, wait_for

confines = pytest.mark.skipif(SANITIZED, reason="a sanitizer needs more than any stage: only no_new_privs is left of the sandbox")

NO_LANDLOCK = "this kernel has no Landlock, or it is switched off"
needs_landlock = pytest.mark.skipif(LANDLOCK < 1, reason=NO_LANDLOCK)
needs_scopes = pytest.mark.skipif(LANDLOCK < 6, reason="this kernel's Landlock knows nothing of signals (it is older than 6.12)")
INTRUDER = pathlib.Path(__file__).with_name("intruder.c")

SYSTEM = ["inet", "inet6", "netlink", "spawn", "posix_spawn", "fork", "exec", "ptrace", "unknown", "unix"]
# A right that no stage needs, and one over files (linux/capability.h).
CAP_SYS_ADMIN, CAP_DAC_OVERRIDE = 1 << 21, 1 << 1


def config(stage, tries, more=""):
    rows = ", ".join(f'{{ try = "{it}"; }}' for it in tries)
    return f"""
stages = {{
  read = {{ source = "inline"; records = ( {rows} ); }};
  work = {{ transform = "{stage}"; from = "read"; {more} }};
  save = {{ sink = "file"; from = "work"; path = "out.ndjson"; }};
}};
"""


def attempt(bench, stage, tries, more=""):
    """{what was tried: what came of it}; the first record; what was said."""
    _, err = bench.run(config(stage, tries, more))
    records = [json.loads(line) for line in (bench.path / "out.ndjson").read_text().splitlines()]
    return {record["try"]: record["result"] for record in records}, records[0], err


@confines
def test_nothing_declared_but_confined(bench):
    results, first, err = attempt(bench, "greedy", SYSTEM)
    assert results == dict.fromkeys(SYSTEM, "EPERM") | {"unknown": "ENOSYS", "unix": "ok"}
    assert first["no_new_privs"] == 1 and first["rights"] == 0
    # Each is named once, with what to do; two tries of one call are one line.
    assert len(re.findall("refused the system call socket:", err)) == 1, err
    for call in ("socket", "clone", "execve", "ptrace"):
        assert re.search(rf"work.0: .*the sandbox refused the system call {call}: .* write sandbox = false; in its config", err), err
    assert "SL_NEEDS_NETWORK" in err and "SL_NEEDS_EXEC" in err


@confines
def test_the_network_is_declared(bench):
    results, first, err = attempt(bench, "greedy_network", ["inet", "inet6", "netlink", "spawn", "ptrace"])
    assert results == {"inet": "ok", "inet6": "ok", "netlink": "ok", "spawn": "EPERM", "ptrace": "EPERM"}
    assert first["rights"] == 0 and "call socket" not in err


@pytest.mark.parametrize("stage", ["greedy_programs", "greedy_silent"])
def test_not_filtered(bench, stage):
    """One that starts programs, and one that declares nothing: as they were, but that nothing gains rights."""
    secret = bench.write("secret", "x")
    tries = ["inet", "spawn", "posix_spawn", "fork", f"read {secret}", f"write {bench.path}/new"]
    results, first, err = attempt(bench, stage, tries)
    assert results == dict.fromkeys(tries, "ok") and first["no_new_privs"] == 1
    assert "sandbox" not in err


def test_switched_off(bench):
    secret = bench.write("secret", "x")
    tries = ["inet", "spawn", f"read {secret}"]
    results, first, err = attempt(bench, "greedy", tries, "sandbox = false;")
    assert results == dict.fromkeys(tries, "ok") and first["no_new_privs"] == 0
    assert "sandbox" not in err


@confines
@needs_landlock
def test_files(bench):
    (bench.path / "mine").mkdir()
    (bench.path / "theirs").mkdir()
    bench.write("theirs/secret", "x")
    bench.write("mine/old", "x")
    (bench.path / "mine/link").symlink_to(bench.path / "theirs/secret")
    mine, theirs = bench.path / "mine", bench.path / "theirs"
    tries = {f"read {theirs}/secret": "EACCES", f"write {theirs}/new": "EACCES", f"unlink {theirs}/secret": "EACCES",
             f"read {mine}/link": "EACCES", f"read {mine}/../theirs/secret": "EACCES", "read /etc/shadow": "EACCES", "read /etc/passwd": "EACCES",
             "read /proc/1/environ": "EACCES", f"read {bench.path}/p.conf": "EACCES",
             f"read {mine}/old": "ok", f"write {mine}/new": "ok", f"unlink {mine}/old": "ok"}
    results, _, _ = attempt(bench, "greedy_files", tries, f'folder = "{mine}";')
    assert results == tries
    # Who declares no files has none of these, whatever its options say.
    bench.write("mine/old", "x")
    results, _, _ = attempt(bench, "greedy", tries, f'folder = "{mine}";')
    assert results == dict.fromkeys(tries, "EACCES")
    # One with the network has what names and certificates need; it has nobody's rights over files.
    results, _, _ = attempt(bench, "greedy_network", ["read /etc/resolv.conf", f"read {theirs}/secret", "write /etc/sluice-test"])
    assert results == {"read /etc/resolv.conf": "ok", f"read {theirs}/secret": "EACCES", "write /etc/sluice-test": "EACCES"}


@confines
@needs_scopes
def test_signals_to_others(bench):
    results, _, _ = attempt(bench, "greedy", ["parent"])
    assert results == {"parent": "EPERM"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to lose")
@confines
def test_rights_of_root(bench):
    _, first, _ = attempt(bench, "greedy_files", ["unix"], f'folder = "{bench.path}";')
    assert first["rights"] & CAP_DAC_OVERRIDE and not first["rights"] & CAP_SYS_ADMIN
    _, first, _ = attempt(bench, "greedy_silent", ["unix"])
    assert first["rights"] & CAP_SYS_ADMIN


@confines
def test_an_error_says_what_to_do(bench):
    """The stage dies of it: with the reason, and how to lift it."""
    bench.write("p.conf", config("greedy", ["inet"], "fatal = true; restart = 0;"))
    code, _, err = bench.sluice("run", "p.conf")
    assert code == 1 and re.search("work.0: inet: Operation not permitted; if the stage's sandbox is why .* sandbox = false;", err), err


@confines
def test_every_thread(bench):
    results, _, _ = attempt(bench, "greedy", ["inet", "fork"] * 20, "threads = 4;")
    assert results == {"inet": "EPERM", "fork": "EPERM"}


def status_of(pid):
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status", encoding="utf-8").read().splitlines())


@confines
def test_built_in_stages(place):
    """Each process of a pipeline of built-in stages is filtered; the supervisor and a stage that starts programs are not."""
    place.write("in.csv", "a\n" + "1\n" * 5)
    place.write("p.conf", """
stages = {
  read  = { source = "file"; path = "in.csv"; };
  vat   = { transform = "sql"; query = "SELECT a FROM input"; from = "read"; };
  run   = { transform = "exec"; command = [ "cat" ]; from = "vat"; };
  slow  = { transform = "delay"; wait = "400ms"; from = "run"; };
  save  = { sink = "sqlite"; from = "slow"; path = "out.db"; table = "t"; create = true; };
  other = { sink = "file"; from = "vat"; path = "out.ndjson"; };
};
""")
    process = place.start("run", "p.conf")
    found = wait_for(lambda: len(children(process.pid)) == 6 and children(process.pid))

    def is_entered():
        return all(status_of(pid)["NoNewPrivs"] == "1" and (status_of(pid)["Seccomp"] == "2" or name == "run.0")
                   for pid, name in found.items())
    wait_for(is_entered, what="the filter of each")
    for pid, name in found.items():
        if name == "run.0":
            assert status_of(pid)["Seccomp"] == status_of(process.pid)["Seccomp"]
        elif name in ("vat.0", "slow.0"):
            assert int(status_of(pid)["CapEff"], 16) == 0, name
    assert status_of(process.pid)["NoNewPrivs"] == status_of(os.getpid())["NoNewPrivs"]
    assert finish(process)[0] == 0
    assert len((place.path / "out.ndjson").read_text().splitlines()) == 5


def test_a_crash_is_still_told(place):
    """The handler that says where a process stood works inside."""
    place.write("p.conf", """
stages = {
  read = { source = "sequence"; count = 10; };
  work = { transform = "fault"; from = "read"; at = 5; action = "segv"; once = "mark"; };
  save = { sink = "file"; from = "work"; path = "out.ndjson"; };
};
""")
    code, _, err = place.sluice("run", "p.conf")
    assert code == 0 and "SIGSEGV in worker 0" in err and "the stack of worker 0" in err, err
    assert len((place.path / "out.ndjson").read_text().splitlines()) == 10


def test_links_and_folders_that_come_later(place):
    """A sink through a link, and a source whose files are links: their folders count, too."""
    (place.path / "data").mkdir()
    (place.path / "names").mkdir()
    place.write("data/in.csv", "a\n1\n2\n")
    (place.path / "names/in.csv").symlink_to(place.path / "data/in.csv")
    (place.path / "names/out.db").symlink_to(place.path / "data/out.db")
    place.run("""
stages = {
  read = { source = "file"; path = "names/*.csv"; };
  save = { sink = "sqlite"; from = "read"; path = "names/out.db"; table = "t"; create = true; };
  file = { sink = "file"; from = "read"; path = "names/out.ndjson"; };
};
""")
    assert (place.path / "data/out.db").exists()
    assert len((place.path / "names/out.ndjson").read_text().splitlines()) == 2


def test_under_a_sanitizer(bench):
    """What is left of it then, and that nothing else is refused."""
    results, first, err = attempt(bench, "greedy", ["inet", "fork"])
    if SANITIZED:
        assert results == {"inet": "ok", "fork": "ok"} and "sandbox" not in err
    assert first["no_new_privs"] == 1


# --- a stage of sluice's own, taken over ------------------------------------------------------------

PIPELINE = """
sync_interval = "20ms";
stages = {
  read = { source = "sequence"; count = 200; rate = "1000/s"; SANDBOX };
  some = { transform = "filter"; where = "value >= 0"; from = "read"; SANDBOX };
  vat  = { transform = "sql"; query = "SELECT value AS n FROM input"; from = "some"; SANDBOX };
  save = { sink = "file"; from = "vat"; path = "mine/out.ndjson"; SANDBOX };
  db   = { sink = "sqlite"; from = "vat"; path = "mine/out.db"; table = "t"; create = true; SANDBOX };
};
"""
WALL = {"socket": "EPERM", "exec": "EPERM"} | ({"read": "EACCES", "write": "EACCES"} if LANDLOCK >= 1 else {})
OPEN = {"socket": "ok", "exec": "ENOENT", "read": "ok", "write": "ok"}


@pytest.fixture(scope="module", name="shim")
def build_shim(tmp_path_factory):
    path = tmp_path_factory.mktemp("intruder") / "intruder.so"
    subprocess.run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path, INTRUDER], check=True)
    return path


@confines
@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize("where", ["some.0", "vat.0", "save.0", "db.0", "make"])
def test_taken_over(place, shim, where, sandbox):
    """Records go on as ever; whoever is inside gets nothing. Without the sandbox it gets all: the attempts are real."""
    for folder in "mine", "theirs":
        (place.path / folder).mkdir()
    place.env |= {"LD_PRELOAD": str(shim), "INTRUDER_IN": where, "INTRUDER_LOG": str(place.path / "intruder.log"),
                  "INTRUDER_OUT": str(place.path / "theirs/new")}
    _, err = place.run(PIPELINE.replace("SANDBOX", "" if sandbox else "sandbox = false;"))
    tried = [line.split() for line in (place.path / "intruder.log").read_text().splitlines()[:4]]
    assert len(tried) == 4, err
    for what, result in tried:
        assert result == (WALL.get(what, "ok") if sandbox else OPEN[what]), (what, err)
    assert (place.path / "theirs/new").exists() == (not sandbox or LANDLOCK < 1)
    assert [json.loads(line)["n"] for line in open(place.path / "mine/out.ndjson")] == list(range(200))
    if where != "make":
        assert ("refused the system call socket" in err) == sandbox


# --- PostgreSQL ---------------------------------------------------------------------------------------


@confines
@pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")
@pytest.mark.skipif(not (BUILD / "modules/postgres.so").exists(), reason="built without libpq")
def test_postgres_with_a_password_file(place):
    """At home, over TCP: what libpq reads is left to the stage, and nothing else of the home is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = pg.Server("fsync = off", "listen_addresses = '127.0.0.1'", f"port = {port}")
    try:
        server.connection += f" port={port}"
        server.psql("CREATE ROLE shop LOGIN PASSWORD 'secret'; GRANT ALL ON SCHEMA public TO shop")
        hba = server.data / "pg_hba.conf"
        hba.write_text("local all test trust\nhost all shop 127.0.0.1/32 scram-sha-256\n")
        server.psql("SELECT pg_reload_conf()")
        home = place.path / "home"
        home.mkdir()
        (home / ".pgpass").write_text(f"127.0.0.1:{port}:*:shop:secret\n")
        (home / ".pgpass").chmod(0o600)
        place.env["HOME"] = str(home)
        place.run(f"""stages = {{
          read = {{ source = "sequence"; count = 5; }};
          name = {{ transform = "sql"; from = "read"; query = "SELECT value AS id FROM input"; }};
          save = {{ sink = "postgres"; from = "name"; connection = "host=127.0.0.1 port={port} user=shop dbname=postgres"; table = "t"; create = true; }};
        }};""")
        assert server.ask("SELECT id FROM t ORDER BY 1") == [[n] for n in range(5)]
    finally:
        server.close()


def describe(place, stage):
    code, out, err = place.sluice("describe", stage)
    assert code == 0, err
    return out


def test_describe(bench):
    assert "sandbox: boolean, default true" in describe(bench, "sql")
    assert "Needs neither files nor the network: its sandbox refuses both, and programs." in describe(bench, "sql")
    assert "Needs the network and files: its sandbox refuses all others." in describe(bench, "http")
    assert "Starts programs" in describe(bench, "exec")
    assert "Does not say what it needs" in describe(bench, "greedy_silent")
