# SPDX-License-Identifier: MIT
"""A box: a real systemd, booted for a test (sdbox), with sluice installed in it. Commands run in it as root, one after the other."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT, SANITIZED, wait_for

# A box is made of namespaces, or, where $SLUICE_VM says with which kernel (tests/vm), a virtual machine.
BOX_IS_VM = "SLUICE_VM" in os.environ
SDBOX = ROOT / ("tests/vm/vm" if BOX_IS_VM else "tests/system/sdbox")
AGENT = r"""
import json, os, signal, subprocess, sys
print("ready", flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    child = subprocess.Popen(["/bin/bash", "-c", ask["command"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
    try:
        out, err = child.communicate(timeout=ask["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        err += b"\ntime is over"
    answer = [child.returncode, out.decode(errors="replace"), err.decode(errors="replace")]
    print(json.dumps(answer), flush=True)
"""


def why_not():
    """Why no box can be booted here; None: one can."""
    if SANITIZED:
        return "the units' walls do not let a sanitizer work"
    if os.geteuid() != 0:
        return "booting a systemd takes root"
    tried = subprocess.run([SDBOX, "run", "--timeout", "180" if BOX_IS_VM else "30", "--", "/bin/true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"no systemd can be booted here: {tried.stderr.strip()[-300:]}"


def install(folder):
    subprocess.run(["make", "-s", "-C", BUILD, "install", f"DESTDIR={folder}"], check=True, capture_output=True, text=True)


class Box:
    def __init__(self, installed, more=()):
        self.process = subprocess.Popen(
            [SDBOX, "run", "-i", "--timeout", "3600" if BOX_IS_VM else "900", "--bind-ro", f"{installed}:/installed", *more, "--", "/usr/bin/python3", "-c", AGENT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the box did not start"
        self.do("cd /installed && tar -cf - * | tar --keep-directory-symlink --no-overwrite-dir -xf - -C /")

    def run(self, command, timeout=60):
        """Exit status, stdout, stderr."""
        self.process.stdin.write(json.dumps({"command": command, "timeout": timeout}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the box has ended at: {command}"
        return tuple(json.loads(answer))

    def do(self, command, timeout=60):
        """stdout of what must succeed."""
        code, out, err = self.run(command, timeout)
        assert code == 0, f"{command}: exit status {code}\n{out}{err}"
        return out

    def prepare(self):
        """The three commands of README."""
        self.do("systemd-sysusers sluice.conf && systemd-tmpfiles --create sluice.conf && journalctl --update-catalog && systemctl daemon-reload")

    def write(self, path, text):
        self.do(f"mkdir -p {pathlib.Path(path).parent} && cat >{path} <<'ENDOFFILE'\n{text}\nENDOFFILE\n")

    def read(self, path):
        return self.do(f"cat {path}")

    def drop_in(self, unit, text, name="test"):
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.do("systemctl daemon-reload")

    def show(self, unit, name):
        return self.do(f"systemctl show -P {name} {unit}").strip()

    def wait_for(self, unit, name, value, timeout=30):
        """Until the unit's property matches the pattern."""
        return wait_for(lambda: re.search(value, self.show(unit, name)), timeout, f"{name} of {unit}: {value}")

    def journal(self, unit, *matches):
        """Entries, as dicts."""
        self.do("journalctl --sync")
        # Of a process that has gone already the journal does not know whose it was; what sluice tells names its pipeline.
        name = re.fullmatch(r"sluice(?:-run)?@(.+)\.service", unit or "")
        is_event = any(match.startswith("MESSAGE_ID=") for match in matches)
        which = f"PIPELINE={name[1]}" if name and is_event else f"-u {unit}" if unit else ""
        out = self.do(f"journalctl -o json --no-pager {which} {' '.join(matches)}")
        return [json.loads(line) for line in out.splitlines()]

    def messages(self, unit, *matches):
        return [entry.get("MESSAGE") or "" for entry in self.journal(unit, *matches)]

    def stages(self, unit):
        """{"stage.n": pid}"""
        found = {}
        for line in self.do(f"systemd-cgls -l --no-pager -u {unit} || true").splitlines():
            words = re.search(r"(\d+) sluice-stage --instance (\S+)", line)
            if words:
                found[words[2]] = int(words[1])
        return found

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("installed")
    install(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def box(installed):
    it = Box(installed)
    it.prepare()
    yield it
    it.close()
