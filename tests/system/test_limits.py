# SPDX-License-Identifier: MIT
"""memory_max, cpu_weight and tasks_max: a cgroup for each process where a tree was delegated, limits of the process where none was."""
import json
import re
import signal

import pytest

from box import Box, installed  # noqa: F401 (fixtures)
from conftest import ROOT, SANITIZED, children, finish, wait_for

IDS = dict(re.findall(r'\[LOG_EVENT_(\w+)\]\s*= "([0-9a-f]{32})"', (ROOT / "src/supervisor/journal.c").read_text()))
pytestmark = pytest.mark.xdist_group("box")  # one for all of them
# Controllers of v2, which the machine that runs this has not.
vm = pytest.mark.vm
needs_true_memory = pytest.mark.skipif(SANITIZED, reason="a sanitizer reserves more memory than any limit")


@pytest.fixture(scope="module")
def box(installed, modules):  # noqa: F811
    it = Box(installed, ["--bind-ro", f"{modules}:/modules"])
    it.prepare()
    # Their folder on the host is for nobody else.
    it.do("mkdir -m 755 /usr/local/lib/modules && install -m 755 /modules/*.so /usr/local/lib/modules")
    yield it
    it.close()


def unit_of(box, name, text, drop_in=""):
    unit = f"sluice@{name}.service"
    box.write(f"/etc/sluice/{name}.conf", text)
    box.drop_in(unit, f"[Service]\nEnvironment=SLUICE_STAGE_PATH=/usr/local/lib/modules\nRestart=no\n{drop_in}")
    return unit


def folder_of(box, group):
    root = "/sys/fs/cgroup/unified" if box.run("test -d /sys/fs/cgroup/unified")[0] == 0 else "/sys/fs/cgroup"
    return root + group


def groups(box, unit):
    """{"stage.n": [the words of its processes]} below a unit, as systemd-cgls shows them."""
    found, name = {}, None
    for line in box.do(f"systemd-cgls -l --no-pager -u {unit} || true").splitlines():
        if words := re.search(r"[├└]─(\d+) (.*)", line):
            found.setdefault(name, []).append(words[2])
        elif words := re.search(r"[├└]─(\S+)", line):
            name = words[1]
    return found


def wait_for_end(box, unit, timeout=120):
    """Has it ended well? A unit that failed stays so."""
    box.wait_for(unit, "ActiveState", "^(inactive|failed)$", timeout)
    return box.show(unit, "ActiveState") == "inactive" and len(box.journal(unit, f"MESSAGE_ID={IDS['ENDED']}")) == 1


def lines(box, name):
    return [json.loads(line) for line in box.read(f"/var/lib/sluice/{name}/data/out.ndjson").splitlines()]


# --- groups ------------------------------------------------------------------------------------------


def test_groups_by_name(box):
    """Each process in its own; a successor in one that is new; a reload; at the end none is left."""
    text = """
stages = { read = { source = "sequence"; rate = "100/s"; };
           work = { transform = "delay"; from = "read"; wait = "1ms"; processes = 2; };
           save = { sink = "null"; from = "work"; when_full = "spill"; }; };"""
    unit = unit_of(box, "names", text)
    box.do(f"systemctl start {unit}")
    seen = groups(box, unit)
    assert set(seen) == {"supervisor", "read.0", "work.0", "work.1", "save.0", "save~in.0", "save~out.0"}
    assert all(words == [f"sluice-stage --instance {name}"] for name, words in seen.items() if name != "supervisor")
    pid = box.stages(unit)["work.0"]
    box.do(f"kill -9 {pid}")
    wait_for(lambda: box.stages(unit).get("work.0", pid) != pid, what="its successor")
    assert groups(box, unit)["work.0"] == ["sluice-stage --instance work.0"]
    assert any("killed by signal 9" in message for message in box.messages(unit))
    assert not box.journal(unit, f"MESSAGE_ID={IDS['NO_MEMORY']}")
    box.write("/etc/sluice/names.conf", text.replace("work", "other").replace("processes = 2", "processes = 1"))
    box.do(f"systemctl reload {unit}")
    assert {name for name in groups(box, unit) if name} >= {"supervisor", "read.0", "other.0", "save.0"}
    assert "work.1" not in box.do(f"ls {folder_of(box, box.show(unit, 'ControlGroup'))}")
    group = box.show(unit, "ControlGroup")
    box.do(f"systemctl stop {unit}")
    assert box.show(unit, "Result") == "success"
    wait_for(lambda: box.run(f"test -e {folder_of(box, group)}")[0] != 0, what="the end of its group")


def test_what_a_killed_one_left(box):
    """In the same group: its stages' groups go, what else is there stays, and nobody sees another's processes."""
    box.write("/etc/sluice/left.conf", """
stages = { read = { source = "sequence"; rate = "100/s"; }; save = { sink = "null"; from = "read"; }; };""")
    box.write("/root/left", """
cd {root}$(sed -n 's/^0:://p' /proc/self/cgroup) || exit 1
mkdir old.7 read.0 other.slice
setsid sleep 1000 & echo $! >old.7/cgroup.procs
setsid sleep 1000 & echo $! >read.0/cgroup.procs
exec sluice run /etc/sluice/left.conf --state /run/left --runtime /run/left""".format(root=folder_of(box, "")))
    box.do("systemd-run --unit=left -p Delegate=yes bash /root/left")
    wait_for(lambda: set(box.stages("left")) == {"read.0", "save.0"}, what="its stages")
    folder = folder_of(box, box.show("left", "ControlGroup"))
    assert box.do(f"ls -d {folder}/*/").split() == [f"{folder}/{name}/" for name in ("other.slice", "read.0", "save.0", "supervisor")]
    assert not any("sleep" in word for words in groups(box, "left").values() for word in words)
    box.do("systemctl stop left")


def test_all_is_put_back(box):
    """`sluice run` by hand, in a group that was delegated to a shell: as before when it has ended."""
    box.write("/etc/sluice/back.conf", 'stages = { read = { source = "sequence"; count = 10; }; save = { sink = "null"; from = "read"; }; };')
    script = """cat /proc/self/cgroup >/root/before; sluice run /etc/sluice/back.conf --state /run/back --runtime /run/back
        cat /proc/self/cgroup >/root/after; ls -F $(sed -n "s#^0::#{root}#p" /proc/self/cgroup) >/root/files; cat $(sed -n "s#^0::#{root}#p" /proc/self/cgroup)/cgroup.subtree_control >/root/control"""
    box.write("/root/back", script.format(root=folder_of(box, "")))
    box.do("systemd-run --scope -p Delegate=yes bash /root/back")
    assert box.read("/root/before") == box.read("/root/after")
    files = box.read("/root/files")
    assert "cgroup.procs" in files and "/" not in files and box.read("/root/control").strip() == ""


def test_one_tree_for_one(box):
    """Two in one group: the second touches nothing of the first."""
    for name in "first", "second":
        box.write(f"/etc/sluice/{name}.conf", 'stages = { read = { source = "sequence"; rate = "100/s"; }; save = { sink = "null"; from = "read"; tasks_max = 50; }; };')
    run = "sluice run /etc/sluice/{0}.conf --state /run/{0} --runtime /run/{0} 2>/run/{0}.log"
    box.write("/root/both", f"{run.format('first')} & sleep 1; {run.format('second')}")
    box.do("systemd-run --unit=both -p Delegate=yes bash /root/both")
    wait_for(lambda: "another pipeline has the cgroup" in box.run("cat /run/second.log")[1], what="the second")
    wait_for(lambda: len(re.findall("sluice-stage", box.do("systemd-cgls -l --no-pager -u both"))) == 4, what="all processes")
    assert set(groups(box, "both")) >= {"supervisor", "read.0", "save.0"}
    box.do("systemctl stop both")


def test_not_delegated(box):
    """Nothing is made, although root might; what can be held otherwise is."""
    box.write("/etc/sluice/plain.conf", """
stages = { read = { source = "sequence"; rate = "100/s"; }; save = { sink = "null"; from = "read"; memory_max = "100MiB"; cpu_weight = 10; tasks_max = 50; }; };""")
    box.do("systemd-run --unit=plain sluice run /etc/sluice/plain.conf --state /run/plain --runtime /run/plain")
    wait_for(lambda: len(box.stages("plain")) == 2, what="its stages")
    said = [message for message in box.messages("plain") if "RLIMIT_DATA" in message]
    assert len(said) == 1 and "plain.service is not delegated to it (Delegate=yes), so memory_max is held by RLIMIT_DATA" in said[0]
    assert "; cpu_weight is not held, nor is tasks_max" in said[0]
    folder = folder_of(box, box.show("plain", "ControlGroup"))
    assert box.run(f"ls -d {folder}/*/")[1] == ""
    pids = box.stages("plain")
    limit = int(re.search(r"Max data size\s+(\d+)", box.read(f"/proc/{pids['save.0']}/limits"))[1])
    assert 100 << 20 < limit <= 300 << 20
    assert re.search(r"Max data size\s+unlimited", box.read(f"/proc/{pids['read.0']}/limits"))
    box.do("systemctl stop plain")


# --- without groups ----------------------------------------------------------------------------------

EATERS = """
stages = {{ read = {{ source = "inline"; records = ( {records} ); }};
           eat = {{ transform = "hungry"; from = "read"; memory_max = "64MiB"; backoff = "10ms"; retain = "1MiB"; {more} }};
           save = {{ sink = "file"; from = "eat"; path = "out.ndjson"; }}; }};"""


def eaters(more="", wants=None):
    records = ", ".join("{ id = %d; mb = %d; }" % (i, (wants or {500: 500}).get(i, 1)) for i in range(1000))
    return EATERS.format(records=records, more=more)


@needs_true_memory
@pytest.mark.parametrize("more, impl", [("", "hungry"), ("abort = true;", "hungry"), ("threads = 4;", "hungry"), ("", "hungry_batch")])
def test_one_record_wants_too_much(bench, more, impl):
    """Its process ends of an error or aborts; it is a dead letter, and all others are there."""
    _, err = bench.run(eaters(more).replace('"hungry"', f'"{impl}"'), status=3)
    assert [json.loads(line)["id"] for line in (bench.path / "out.ndjson").read_text().splitlines()] == [i for i in range(1000) if i != 500]
    letter = json.loads(bench.sluice("dead", "export", "p.conf")[1])
    assert letter["record"]["id"] == 500
    if "abort" in more:
        assert "signal 6" in letter["reason"]
    else:
        assert letter["reason"] == "killed its process: out of memory (memory_max = 64 MiB)"
    assert "RLIMIT_DATA" in err


@needs_true_memory
def test_limits_that_suffice(bench):
    """A process with many threads and tasks starts under the smallest limit, and does its work."""
    bench.run("""
stages = { read = { source = "sequence"; count = 10000; retain = "1MiB"; memory_max = "32MiB"; };
           work = { transform = "delay"; from = "read"; wait = "1ms"; threads = 4; coroutines = 1000; retain = "1MiB"; memory_max = "16MiB"; tasks_max = 32; };
           save = { sink = "sqlite"; from = "work"; path = "out.db"; table = "t"; create = true; memory_max = "16MiB"; cpu_weight = 1; }; };""")


def test_graph_shows_limits(place):
    place.write("p.conf", 'stages = { read = { source = "sequence"; memory_max = "100MiB"; cpu_weight = 7; tasks_max = 40; }; save = { sink = "null"; from = "read"; }; };')
    code, out, _ = place.sluice("graph", "p.conf")
    assert code == 0 and ", memory at most 100 MiB, cpu weight 7, at most 40 threads and programs\n" in out


def test_status_without_groups(place):
    place.write("p.conf", 'stages = { read = { source = "sequence"; rate = "100/s"; }; save = { sink = "null"; from = "read"; }; };')
    process = place.start("run", "p.conf")
    wait_for(lambda: len(children(process.pid)) == 2, what="both")
    place.wait_for_socket()
    status = json.loads(place.sluice("status", "p.conf", "--json")[1])
    assert [i["group"] for s in status["stages"] for i in s["instances"]] == [None, None]
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0


# --- with controllers: tests/vm ----------------------------------------------------------------------


@vm
def test_limits_are_set(box):
    unit = unit_of(box, "set", """
stages = { read = { source = "sequence"; rate = "100/s"; };
           work = { transform = "delay"; from = "read"; wait = "1ms"; memory_max = "100MiB"; cpu_weight = 50; tasks_max = 40; };
           save = { sink = "null"; from = "work"; }; };""")
    box.do(f"systemctl start {unit}", 120)
    assert not any("RLIMIT" in message or "is not held" in message for message in box.messages(unit)), box.messages(unit)
    folder = folder_of(box, box.show(unit, "ControlGroup"))
    files = ("memory.max", "memory.swap.max", "cpu.weight", "pids.max")
    values = {name: box.do("cat " + " ".join(f"{folder}/{name}/{file}" for file in files if file != "memory.swap.max")).split() for name in ("work.0", "save.0")}
    assert values == {"work.0": [str(100 << 20), "50", "40"], "save.0": ["max", "100", "max"]}
    status = json.loads(box.do("sluice status /etc/sluice/set.conf --json"))
    group = status["stages"][1]["instances"][0]["group"]
    assert group["memory_max_bytes"] == 100 << 20 and group["cpu_weight"] == 50 and group["tasks_max"] == 40 and group["memory_kills"] == 0
    assert 500000 < group["memory_bytes"] <= group["memory_peak_bytes"] < 30 << 20 and 3 <= group["tasks"] <= 12
    assert status["stages"][2]["instances"][0]["group"]["memory_max_bytes"] is None
    assert re.search(r"^work\.0: \S+ MiB of memory, \S+ MiB at most, of memory_max = 100 MiB$", box.do("sluice status /etc/sluice/set.conf"), re.M)
    metrics = box.do("curl -s --unix-socket /run/sluice/set/control.sock http://x/v1/metrics")
    assert re.search(r'^sluice_memory_max_bytes\{pipeline="set",stage="work",instance="0"\} 104857600$', metrics, re.M)
    assert 'sluice_memory_max_bytes{pipeline="set",stage="save"' not in metrics
    assert 'sluice_memory_bytes{pipeline="set",stage="save",instance="0"}' in metrics
    # Without a weight anywhere nobody has one.
    box.write("/etc/sluice/set.conf", box.read("/etc/sluice/set.conf").replace("cpu_weight = 50;", "").replace("100MiB", "200MiB"))
    box.do(f"systemctl reload {unit}", 120)
    assert box.read(f"{folder}/work.0/memory.max").strip() == str(200 << 20)
    assert "cpu" not in box.read(f"{folder}/cgroup.subtree_control").split()
    box.do(f"systemctl stop {unit}", 120)


@vm
@pytest.mark.parametrize("more", ["", "threads = 4;"])
def test_the_limit_kills_one_stage(box, more):
    """Twice, for the record that wants too much, which is a dead letter then. Nobody else notices; nothing is lost or doubled."""
    name = "threads" if more else "kill"
    unit = unit_of(box, name, eaters(more + ' restart = 0; rate = "100/s";'))
    box.do(f"systemctl start {unit}", 120)
    pids = box.stages(unit)
    wait_for(lambda: box.journal(unit, f"MESSAGE_ID={IDS['NO_MEMORY']}", "STAGE=eat"), 60, "a death")
    now = wait_for(lambda: "eat.0" in box.stages(unit) and box.stages(unit), 60, "its successor")
    assert now["eat.0"] != pids["eat.0"] and now["read.0"] == pids["read.0"] and now["save.0"] == pids["save.0"]
    assert wait_for_end(box, unit), box.messages(unit)
    deaths = box.journal(unit, f"MESSAGE_ID={IDS['NO_MEMORY']}")
    assert len(deaths) == 2 and all(re.fullmatch(r"(eat\.0: )?out of memory: killed at memory_max = 64 MiB, it had 6[34]\S* MiB at most", d["MESSAGE"]) for d in deaths), deaths
    assert [entry["STAGE"] for entry in deaths] == ["eat", "eat"]
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['READY']}")) == 1
    assert [record["id"] for record in lines(box, name)] == [i for i in range(1000) if i != 500]
    letter = json.loads(box.do(f"SLUICE_STAGE_PATH=/usr/local/lib/modules sluice dead export /etc/sluice/{name}.conf --state /var/lib/sluice/{name}"))
    assert letter["record"]["id"] == 500 and letter["reason"] == "killed its process: out of memory (memory_max = 64 MiB)"


@vm
def test_a_batch_that_wants_too_much(box):
    """A stage that takes whole batches; and a SIGKILL from outside is nobody's fault."""
    unit = unit_of(box, "batch", eaters('rate = "60/s";').replace('"hungry"', '"hungry_batch"'))
    box.do(f"systemctl start {unit}", 120)
    box.do(f"kill -9 {box.stages(unit)['eat.0']}")
    assert wait_for_end(box, unit), box.messages(unit)
    assert len(box.journal(unit, f"MESSAGE_ID={IDS['NO_MEMORY']}")) == 2
    assert any("killed by signal 9 (Killed); restarting" in message for message in box.messages(unit))
    assert [record["id"] for record in lines(box, "batch")] == [i for i in range(1000) if i != 500]
    assert "out of memory" in json.loads(box.do("SLUICE_STAGE_PATH=/usr/local/lib/modules sluice dead export /etc/sluice/batch.conf --state /var/lib/sluice/batch"))["reason"]


@vm
def test_a_program_that_wants_too_much(box):
    """It is killed, not the process that runs it; and no more than tasks_max can be started."""
    unit = unit_of(box, "program", """
stages = { read = { source = "inline"; records = ( { mb = 1; }, { mb = 400; }, { mb = 2; } ); };
           eat = { transform = "exec"; from = "read"; mode = "once"; input = "none"; into = "size"; exit_reject = "1-255"; retries = 0; memory_max = "100MiB"; tasks_max = 30; retain = "1MiB";
                   command = [ "python3", "-c", "import sys; print(len(b'x' * (int(sys.argv[1]) << 20)))", "{mb}" ]; };
           many = { transform = "exec"; from = "eat"; mode = "once"; input = "none"; into = "count"; tasks_max = 30;
                    command = [ "bash", "-c", "n=0; for i in $(seq 100); do sleep 3 2>/dev/null & [ $! ] && n=$((n + 1)); done 2>/dev/null; cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/pids.max; kill $(jobs -p) 2>/dev/null" ]; retries = 0; on_error = "drop"; };
           save = { sink = "file"; from = "eat"; path = "out.ndjson"; };
           rest = { sink = "null"; from = "many"; }; };""")
    box.do(f"systemctl start --no-block {unit}")
    folder = folder_of(box, "/system.slice/system-sluice.slice/" + unit)
    wait_for(lambda: (box.run(f"cat {folder}/many.0/pids.events")[1].split() or ["", "0"])[1] != "0", 60, "a program too many")
    assert wait_for_end(box, unit), box.messages(unit)
    assert [record["mb"] for record in lines(box, "program")] == [1, 2]
    assert not any("restarting" in message for message in box.messages(unit))


@vm
def test_the_service_has_no_more(box):
    """Its own limit: said, and held against no record."""
    unit = unit_of(box, "service", eaters().replace('memory_max = "64MiB";', ""), "MemoryMax=200M\nMemorySwapMax=0\n")
    box.do(f"systemctl start {unit}", 120)
    wait_for_end(box, unit)
    deaths = box.journal(unit, f"MESSAGE_ID={IDS['NO_MEMORY']}")
    assert deaths and all("since all of the service or of the machine is used" in entry["MESSAGE"] for entry in deaths)
    assert box.journal(unit, f"MESSAGE_ID={IDS['FAILED']}") and not box.journal(unit, f"MESSAGE_ID={IDS['SUSPECT']}")
