# SPDX-License-Identifier: MIT
"""The page of worked examples, word for word; and its pipelines while servers and processes die in the middle: every row, each once."""
import contextlib
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

import pg
from conftest import BUILD, ROOT, children, finish, wait_for
from test_postgres_sink import own_server, server, shared_server  # noqa: F401 (fixtures)

EXAMPLES = ROOT / "etc/pipelines"
PAGE = ROOT / "doc/worked-examples.md"
needs_server = pytest.mark.skipif(not pg.PROGRAMS, reason="no PostgreSQL server here: install postgresql")
# As the page has them.
TABLES = {name: re.search(rf"CREATE TABLE {name} \(.*?\);", PAGE.read_text(), re.S)[0] for name in ("prices", "customers", "orders")}


def quiet_port():
    """A free one that nobody is given by chance before it is used: below those that the kernel hands out."""
    while True:
        with socket.socket() as it, contextlib.suppress(OSError):
            port = random.randrange(12000, 32000)
            it.bind(("127.0.0.1", port))
            return port


# --- the page --------------------------------------------------------------------------------------


class Shell:
    """A bash that is told one command after the other, and says all that came of each."""

    def __init__(self, place, env):
        self.process = subprocess.Popen(["bash"], cwd=place, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        start_new_session=True)

    def do(self, command):
        self.process.stdin.write(f"{command}\necho; echo 'END OF IT'\n")
        self.process.stdin.flush()
        lines = []
        deadline = threading.Timer(60, self.kill)
        deadline.start()
        while (line := self.process.stdout.readline()) != "END OF IT\n":
            assert line, f"it does not end: {command}\n" + "\n".join(lines)
            lines.append(line.rstrip())
        deadline.cancel()
        return "\n".join(lines).rstrip()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self):
        self.kill()
        self.process.communicate(timeout=30)


def commands_of(page):
    """(command, what comes out of it): a line behind `$`, to the end of its here-document."""
    lines = iter(page.splitlines())
    found = []
    for line in lines:
        if line.startswith("    $ "):
            command = line[6:]
            end = re.search(r"<<'(\w+)'", command)
            while end and not command.endswith(f"\n{end[1]}"):
                command += "\n" + next(lines)[4:]
            found.append([command, []])
        elif line.startswith("    "):
            found[-1][1].append(line[4:])
        elif line:
            found.append(["", []])  # nothing more belongs to the command before
    return [(command, "\n".join(out)) for command, out in found if command]


def pattern_of(line):
    """Times are other ones each time; `...` stands for anything."""
    text = re.escape(line).replace(r"\.\.\.", ".*")
    text = re.sub(r"\d{4}\\-\d\d\\-\d\d\\ \d\d:\d\d:\d\d(?=\\ (?:\\ |UTC))", r"\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d", text)
    return re.sub(r"(\d+\\\.)?\d+\\ m?s\b", r"[\\d.]+ m?s", text)


def is_as_it_says(said, expected):
    """What several processes say may come in another order."""
    said, expected = [line for line in said.splitlines() if line], [line for line in expected.splitlines() if line]
    if any(line.startswith("sluice: ") for line in expected):
        said, expected = sorted(said), sorted(expected)
    return len(said) == len(expected) and all(re.fullmatch(pattern_of(b), a) for a, b in zip(said, expected))


@needs_server
def test_the_page_word_for_word(place, server):  # noqa: F811
    web, log = quiet_port(), quiet_port()
    programs = f"{BUILD}:{pg.PROGRAMS[-1]}"
    server.psql("DROP DATABASE IF EXISTS shop")
    shell = Shell(place.path, dict(place.env, PATH=f"{programs}:{os.environ['PATH']}", PGHOST=str(server.home), PGUSER="test", LC_ALL="C.UTF-8",
                                   ORDERS_URL=f"http://localhost:{web}/orders.json", LOG_ADDRESS=f"tcp://127.0.0.1:{log}"))
    page = PAGE.read_text().replace("8000", str(web)).replace("127.0.0.1/5514", f"127.0.0.1/{log}")
    page = page.replace("/usr/local/share/doc/sluice/pipelines", str(EXAMPLES))
    commands = commands_of(page)
    assert len(commands) > 50
    try:
        for command, expected in commands:
            said = shell.do(command)
            assert is_as_it_says(said, expected), f"$ {command}\n--- the page says:\n{expected}\n--- it says:\n{said}"
    finally:
        shell.close()
        server.psql("DROP DATABASE IF EXISTS shop WITH (FORCE)")


# --- outages ---------------------------------------------------------------------------------------


def slowed(name, stage="read", rate="5000/s"):
    """The example, in which `stage` takes its time, so that there is a middle in which something may die."""
    text = (EXAMPLES / f"{name}.conf").read_text()
    found = re.subn(rf"(\b{stage} = {{ )", rf'\1rate = "{rate}"; ', text, count=1)
    assert found[1] == 1
    return found[0]


def kill_stage(process, name):
    """By its pid, with SIGKILL; when there is one."""
    def kill():
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            for pid in children(process.pid, {name}):
                os.kill(pid, signal.SIGKILL)
                return True
        return False
    wait_for(kill, what=f"a process of {name}")


def kill_supervisor(process):
    """Its stages end when they see that it is gone, and with them the pipe that they write to."""
    process.kill()
    process.communicate(timeout=30)


@contextlib.contextmanager
def outage(server, said, stage):  # noqa: F811
    """The server is killed, and comes back when that stage has said that it is away."""
    server.kill()
    try:
        yield
        wait_for(lambda: re.search(rf"{stage}\.0: .*it is tried again every second", said.read_text()), what=f"{stage} to notice")
    finally:
        server.start_again()


def begin(place, *arguments):
    """sluice run, and the file that has what it says."""
    said = place.path / "said"
    return place.start("run", *arguments, stderr=open(said, "w")), said


def count(server, table):  # noqa: F811
    return int(server.psql(f"SELECT count(*) FROM {table}"))


@needs_server
def test_prices_through_an_outage(place, server):  # noqa: F811
    """The server and a process die in the first list, the supervisor in the second one."""
    server.psql(TABLES["prices"])
    place.env["PG_CONNECTION"] = server.connection
    place.write("prices.conf", slowed("prices"))
    place.write("suppliers.csv", "id,name,country\n" + "".join(f"{n},Supplier {n},C{n % 7}\n" for n in range(50)))

    def write(articles, price):
        rows = [(f"article {n}", price(n), n % 50) for n in articles]
        place.write("prices.csv", "article,price,supplier\n" + "".join(f"{a},{p:.2f},{s}\n" for a, p, s in rows))
        return {a: [a, f"{p:.2f}", f"Supplier {s}", f"C{s % 7}"] for a, p, s in rows}

    def rows():
        return {row[0]: row for row in server.ask("SELECT article, price::text, supplier, country FROM prices")}
    expected = write(range(6000), lambda n: 1 + n / 100)
    process, said = begin(place, "prices.conf")
    wait_for(lambda: count(server, "prices") > 0, what="the first rows")
    with outage(server, said, "save"):
        kill_stage(process, "named")
    code, _, _ = finish(process)
    assert code == 0 and "leak" not in said.read_text(), said.read_text()
    assert rows() == expected

    expected |= write(range(3000, 9000), lambda n: 2 + n / 100)
    process = place.start("run", "prices.conf")
    wait_for(lambda: count(server, "prices WHERE price = 32 AND article = 'article 3000'"), what="the first change")
    kill_supervisor(process)
    code, _, err = place.sluice("run", "prices.conf")
    assert code == 0 and "goes on with the run" in err, err
    assert rows() == expected


@needs_server
def test_archive_through_an_outage(place, server):  # noqa: F811
    """The server, the sink and the supervisor die; then only what is new is read, and nothing when nothing is."""
    server.psql(f"""{TABLES["customers"]} {TABLES["orders"]} INSERT INTO customers VALUES (1, 'Ada');
        INSERT INTO orders (id, ordered, customer, amount, status) SELECT n * 7 % 25013, '2024-02-29Z'::timestamptz + n * interval '1 minute', 1, n / 100.0, 'new'
        FROM generate_series(1, 25000) AS n""")
    place.env["PG_CONNECTION"] = server.connection
    place.write("archive.conf", slowed("archive", rate="20000/s"))
    database = f"file:{place.path}/archive.db?mode=ro"

    def ask(sql):
        try:
            with sqlite3.connect(database, uri=True) as archive:
                return archive.execute(sql).fetchall()
        except sqlite3.OperationalError:  # it is not there yet
            return []

    def check(rows):
        assert ask("SELECT * FROM orders ORDER BY nr") == [tuple(row) for row in server.ask(
            "SELECT nr, id, to_char(ordered AT TIME ZONE 'UTC', 'YYYY-MM-DD'), customer, (amount * 100)::bigint, status FROM orders ORDER BY nr")]
        assert ask("SELECT count(*) FROM orders") == [(rows,)]
    process, said = begin(place, "--resume", "archive.conf")
    wait_for(lambda: ask("SELECT * FROM orders LIMIT 1"), what="the first rows")
    # The server is asked for 20 000 rows at a time, and again only then.
    with outage(server, said, "read"):
        kill_stage(process, "save")
    wait_for(lambda: ask("SELECT * FROM orders WHERE nr > 20000 LIMIT 1"), what="rows behind the outage")
    kill_supervisor(process)
    code, _, err = place.sluice("run", "--resume", "archive.conf")
    assert code == 0, err
    check(25000)
    server.psql("INSERT INTO orders (id, ordered, customer, amount, status) SELECT 30000 - n, now(), 1, n, 'paid' FROM generate_series(1, 500) AS n")
    for new in (500, 0):
        code, _, err = place.sluice("run", "--resume", "archive.conf")
        assert code == 0 and re.search(rf"^save +{new} +{new} +0 +0$", err, re.M), err
        check(25500)


class Api:
    """A web server, a process of its own, that can be killed."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, quiet_port(), None

    def start(self):
        self.process = subprocess.Popen(["/usr/bin/python3", "-m", "http.server", str(self.port), "--bind", "127.0.0.1", "--directory", self.folder],
                                        stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "a"))
        wait_for(self.answers, what="the API")

    def answers(self):
        with socket.socket() as it:
            return it.connect_ex(("127.0.0.1", self.port)) == 0

    def asked(self):
        """The pages that were asked for."""
        return re.findall(r"GET /(\S+) ", (self.folder / "log").read_text())

    def kill(self):
        self.process.kill()
        self.process.wait()


def write_pages(folder, orders, size):
    folder.mkdir(exist_ok=True)
    pages = [orders[at:at + size] for at in range(0, len(orders), size)]
    for n, page in enumerate(pages):
        following = f"orders-{n + 1}.json" if n + 1 < len(pages) else None
        (folder / ("orders.json" if n == 0 else f"orders-{n}.json")).write_text(json.dumps({"orders": page, "next": following}))


@needs_server
def test_orders_through_an_outage(place, server):  # noqa: F811
    """The API dies between two pages, the database later, and a process: every order is there once, or is a dead letter; then all are mended."""
    orders = [{"id": n, "ordered": "2024-02-29T09:00:00Z", "customer": 2 if n % 400 == 7 else 1, "amount": n / 100,
               "status": "returned" if n % 500 == 9 else "new"} for n in range(2000)]
    api = Api(place.path / "api")
    write_pages(api.folder, orders, 50)
    server.psql(f"{TABLES['customers']} {TABLES['orders']} INSERT INTO customers VALUES (1, 'Ada')")
    place.env.update(PG_CONNECTION=server.connection, ORDERS_URL=f"http://127.0.0.1:{api.port}/orders.json")
    place.write("orders.conf", slowed("orders", rate="2000/s"))

    def rows():
        return server.ask("SELECT id, customer, amount::float8, status FROM orders ORDER BY id")

    def letters():
        return sorted((letter["stage"], letter["record"]["id"]) for letter in map(json.loads, place.sluice("dead", "export", "orders.conf")[1].splitlines()))
    expected = [[order["id"], order["customer"], order["amount"], order["status"]] for order in orders]
    lost = [("save", order["id"]) for order in orders if order["customer"] == 2] + [("valid", order["id"]) for order in orders if order["status"] != "new"]
    api.start()
    try:
        process, said = begin(place, "orders.conf")
        wait_for(lambda: len(api.asked()) > 10, what="some pages")
        api.kill()
        wait_for(lambda: "trying until it works" in said.read_text(), what="the outage")
        api.start()
        kill_stage(process, "valid")
        before = len(api.asked())
        wait_for(lambda: len(api.asked()) > before, what="the next page")
        with outage(server, said, "save"):
            kill_stage(process, "save")
        code, _, _ = finish(process)
        err = said.read_text()
        assert code == 3 and "leak" not in err, err
        assert err.count("trying until it works") == err.count(": works again") == 1 and len(set(api.asked())) == 40
        assert rows() == [row for row in expected if row[1] == 1 and row[3] == "new"]
        assert letters() == lost
        # Mended: the rule, then what the table wants.
        place.write("orders.conf", slowed("orders").replace("new|paid|sent", "new|paid|sent|returned"))
        server.psql("INSERT INTO customers VALUES (2, 'Grace')")
        for stage in "valid", "save":
            code, _, err = place.sluice("dead", "replay", "orders.conf", "--stage", stage)
            assert code == 0, err
        assert rows() == expected and letters() == []
    finally:
        api.kill()


@needs_server
def test_orders_are_asked_for_again(place, server):  # noqa: F811
    """When the process that asks dies the run ends. The next one asks anew, and no order is there twice, nor as it was; so it is when the supervisor dies."""
    orders = [{"id": n, "ordered": "2024-02-29T09:00:00Z", "customer": 1, "amount": n / 100, "status": "new"} for n in range(3000)]
    api = Api(place.path / "api")
    write_pages(api.folder, orders, 100)
    server.psql(f"{TABLES['customers']} {TABLES['orders']} INSERT INTO customers VALUES (1, 'Ada')")
    place.env.update(PG_CONNECTION=server.connection, ORDERS_URL=f"http://127.0.0.1:{api.port}/orders.json")
    place.write("orders.conf", slowed("orders", rate="2000/s"))
    api.start()
    try:
        process = place.start("run", "orders.conf")
        wait_for(lambda: count(server, "orders") > 200, what="the first rows")
        kill_stage(process, "read")
        code, _, err = finish(process)
        assert code == 1 and 200 < count(server, "orders") < 3000, err
        # The same places, other records.
        orders = [{**order, "amount": order["amount"] + 50} for order in orders]
        write_pages(api.folder, orders, 100)
        before = count(server, "orders")
        process = place.start("run", "orders.conf")
        wait_for(lambda: count(server, "orders") > before, what="more rows")
        kill_supervisor(process)
        code, _, err = place.sluice("run", "orders.conf")
        assert code == 0, err
        assert server.ask("SELECT id, amount::float8 FROM orders ORDER BY id") == [[order["id"], round(order["amount"], 2)] for order in orders]
    finally:
        api.kill()


# --- syslog ----------------------------------------------------------------------------------------


class Sender:
    """Sends lines over connections of its own, as stages/listen/README.md says: what was not answered by an end is sent again."""

    def __init__(self, port):
        self.port, self.repeats = port, 0

    def try_once(self, lines):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as it:
            it.sendall("".join(f"{line}\n" for line in lines).encode())
            it.shutdown(socket.SHUT_WR)
            return it.recv(1) == b""

    def send(self, lines):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.try_once(lines):
                    return
            except OSError:
                time.sleep(0.02)
            self.repeats += 1
        pytest.fail("nobody takes the lines")


def test_log_minutes_through_deaths(place):
    """Who listens, who counts and the supervisor die; the sender sends again what it has heard nothing about: each line counts once."""
    lines, minutes = [], {}
    for n in range(4000):
        minute, app, status, ms = n // 400, ("shop", "api")[n % 3 == 0], (200, 503)[n % 11 == 0], n % 97 + 0.5
        lines.append(f"<14>1 2024-02-29T12:{minute:02}:{n % 400 // 7:02}.{n % 400:06}Z web{n % 4} {app} {n % 5} - - GET /{n % 10} {status} {ms}ms")
        found = minutes.setdefault((f"2024-02-29T12:{minute:02}:00Z", app), [0, 0, 0])
        minutes[f"2024-02-29T12:{minute:02}:00Z", app] = [found[0] + 1, found[1] + (status == 503), max(found[2], ms)]
    sender = Sender(quiet_port())
    place.env["LOG_ADDRESS"] = f"tcp://127.0.0.1:{sender.port}"
    place.write("log-minutes.conf", (EXAMPLES / "log-minutes.conf").read_text())
    process = place.start("run", "log-minutes.conf")
    for n, at in enumerate(range(0, len(lines), 250)):
        part = lines[at:at + 250]
        if n in (3, 7):  # what was sent over that connection may have arrived, or not
            with socket.create_connection(("127.0.0.1", sender.port)) as it:
                it.sendall("".join(f"{line}\n" for line in part).encode())
                kill_stage(process, "read~in" if n == 3 else "minutes~in")
        elif n == 11:
            kill_supervisor(process)
            process = place.start("run", "log-minutes.conf")
        sender.send(part)
    sender.send(["<14>1 2024-02-29T13:00:00Z web1 end 1 - - GET / 200 1ms"])

    def output():
        file = place.path / "minutes.ndjson"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    wait_for(lambda: len(output()) >= len(minutes), what="all minutes")
    process.terminate()
    code, _, err = finish(process)
    assert code == 0 and "leak" not in err, err
    assert {(r["window_start"], r["app"]): [r["requests"], r["failed"], r["slowest_ms"]] for r in output()} == minutes
    assert len(output()) == len(minutes) and sender.repeats > 0
