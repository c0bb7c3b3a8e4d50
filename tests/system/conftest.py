# SPDX-License-Identifier: MIT
"""What the system tests share: a folder of its own per test (short, since socket paths are), and sluice run in it."""
import ctypes
import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build")).resolve()
# With a sanitizer memory and times are other ones: tests whose figures mean nothing then are skipped, and say so.
SANITIZED = any(name in subprocess.run(["ldd", BUILD / "sluice-stage"], capture_output=True, text=True).stdout
                for name in ("libasan", "libtsan", "libubsan"))
# The version of the kernel's Landlock, as landlock_create_ruleset(2) tells it; below 1: none.
LANDLOCK = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)


def needs_true_figures(test):
    return pytest.mark.alone(pytest.mark.skipif(SANITIZED, reason="measures times or memory, which a sanitizer changes")(test))


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures times or memory: nothing runs beside it")
    config.addinivalue_line("markers", "xdist_group(name): one after the other, since they share what one of them makes")
    config.addinivalue_line("markers", "vm: wants cgroup v2 controllers, so a virtual machine: `make check-vm`")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("vm") and "SLUICE_VM" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="wants cgroup v2 controllers: `make check-vm` runs it in a virtual machine"))


class Place:
    """One folder; every program started here has its state and its sockets in it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.env = dict(os.environ, XDG_STATE_HOME=f"{path}/s", XDG_RUNTIME_DIR=f"{path}/r", TERM="dumb")
        self.env.pop("STATE_DIRECTORY", None)
        self.env.pop("SLUICE_STAGE_PATH", None)
        self.env.pop("RUNTIME_DIRECTORY", None)
        self.running = []

    def write(self, name, text):
        file = self.path / name
        file.write_text(text)
        return file

    def start(self, *arguments, program="sluice", **more):
        process = subprocess.Popen(
            [BUILD / program, *arguments], cwd=self.path, env=self.env, text=True,
            stdin=more.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=more.pop("stderr", subprocess.PIPE),
            **more)
        self.running.append(process)
        return process

    def sluice(self, *arguments, timeout=60, **more):
        """Runs to the end: exit status, stdout, stderr."""
        process = self.start(*arguments, **more)
        return finish(process, timeout)

    def run(self, config, status=0, timeout=60, **more):
        """Runs a pipeline; its exit status must be `status`."""
        self.write("p.conf", config)
        code, out, err = self.sluice("run", "p.conf", timeout=timeout, **more)
        assert code == status, f"exit status {code}, expected {status}\n{err}"
        assert "leak" not in err, err
        return out, err

    def wait_for_socket(self):
        return wait_for(lambda: list(self.path.glob("r/**/control.sock")), what="the control socket")

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
                say(process)
        shutil.rmtree(self.path, ignore_errors=True)


def say(process):
    """What it said so far is shown with a failure of the test."""
    if process.stderr and not process.stderr.closed:
        os.set_blocking(process.stderr.fileno(), False)
        print((os.read(process.stderr.fileno(), 1 << 16) if select.select([process.stderr], [], [], 0)[0] else b"").decode(errors="replace"))


def finish(process, timeout=60):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"still running after {timeout} s\n{err}")
    return process.returncode, out, err


def children(pid, stages=None):
    """{pid: "stage.n"} of the stage processes below a supervisor."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(stat[1]) != pid or len(words) < 3 or words[1] != b"--instance" or stat[0] == "Z":
            continue
        name = words[2].decode()
        if stages is None or name.rsplit(".", 1)[0] in stages:
            found[int(entry)] = name
    return found


def wait_for(condition, timeout=30, what="the condition"):
    """Polls until condition() is true; its value."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    pytest.fail(f"{what} did not come true within {timeout} s")


def resident(pid):
    """Kilobytes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def pause(pid):
    """Until SIGCONT. When it returns no thread of it runs any more."""
    os.kill(pid, signal.SIGSTOP)
    tasks = pathlib.Path(f"/proc/{pid}/task")
    wait_for(lambda: all(stat.read_text().rsplit(")", 1)[1].split()[0] == "T" for stat in tasks.glob("*/stat")), what="the process to stop")


def kill_some(process, stages, kills, seed):
    """Kill -9, at random times, of random instances; how many it came to."""
    chance = random.Random(seed)
    done = 0
    while done < kills and process.poll() is None:
        victims = sorted(children(process.pid, stages))
        if victims:
            try:
                os.kill(chance.choice(victims), signal.SIGKILL)
                done += 1
            except ProcessLookupError:
                pass
        time.sleep(chance.uniform(0.005, 0.04))
    return done


@pytest.fixture
def place():
    it = Place(tempfile.mkdtemp(prefix="sl"))
    yield it
    it.close()


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """The modules of tests/modules, built as their author would; the folder."""
    folder = tmp_path_factory.mktemp("modules")
    flags = subprocess.run(["pkg-config", "--cflags", "sluice"], env={"PKG_CONFIG_PATH": str(BUILD), "PATH": "/usr/bin:/bin"},
                           capture_output=True, text=True, check=True).stdout.split()
    for source in (ROOT / "tests/modules").glob("*.c"):
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", *flags, "-o",
                        folder / f"{source.stem}.so", source], check=True)
    return folder


@pytest.fixture
def bench(place, modules):
    place.env["SLUICE_STAGE_PATH"] = str(modules)
    return place
