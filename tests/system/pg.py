# SPDX-License-Identifier: MIT
"""A PostgreSQL server of the tests' own: a cluster in a temporary folder, on a Unix socket only. Used by test_postgres.py and bench/postgres.py."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
IS_ROOT = os.geteuid() == 0
USER = "postgres" if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name


class Server:
    """Root may not run one: then the user `postgres` does."""

    def __init__(self, *settings):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="slpg"))
        self.data = self.home / "data"
        if IS_ROOT:
            shutil.chown(self.home, USER, USER)
        self.home.chmod(0o755)
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "test", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write("listen_addresses = ''\nunix_socket_directories = '%s'\n" % self.home)
            # Servers of which several run at once under tests: small.
            file.write("shared_buffers = 32MB\nlog_line_prefix = '%m [%p] '\nmax_wal_size = 2GB\n" + "".join(f"{s}\n" for s in settings))
        self.connection = f"host={self.home} user=test dbname=postgres"
        self.start()

    def command(self, program, *arguments):
        words = [str(PROGRAMS[-1] / program), *map(str, arguments)]
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *words] if IS_ROOT else words

    def run(self, program, *arguments):
        subprocess.run(self.command(program, *arguments), cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-l", self.home / "log", "-w", "-t", "60", "start")

    def pid(self):
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def stop(self, mode="immediate"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop")

    def kill(self):
        """As if the machine's memory had run out: the server and its children are gone without a word."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        # Its children leave when they see that it is gone; a new one starts only then.
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.01)

    def start_again(self):
        """After a kill its children may hold its memory for a moment."""
        for _ in range(100):
            try:
                return self.start()
            except subprocess.CalledProcessError:
                time.sleep(0.1)
        raise RuntimeError((self.home / "log").read_text()[-2000:])

    def psql(self, sql, *arguments):
        done = subprocess.run([PROGRAMS[-1] / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.connection, *arguments],
                              input=sql, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, query):
        """Its rows, as JSON has them."""
        out = self.psql(f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) AS q;")
        return [list(row.values()) for row in json.loads(out)]

    def close(self):
        subprocess.run(self.command("pg_ctl", "-D", self.data, "-m", "immediate", "stop"), cwd="/", capture_output=True, check=False)
        shutil.rmtree(self.home, ignore_errors=True)
