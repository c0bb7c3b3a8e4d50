# SPDX-License-Identifier: MIT
"""The http transform and source against a real server on a loopback port."""
import base64
import contextlib
import email.utils
import http.server
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from conftest import children, finish, wait_for


# --- a server ------------------------------------------------------------------------------------

class Request:
    def __init__(self, handler, body):
        self.method = handler.command
        self.raw = handler.path
        self.path, _, query = handler.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.headers = handler.headers
        self.body = body
        self.at = time.monotonic()

    def json(self):
        return json.loads(self.body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        request = Request(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))
        with self.server.lock:
            self.server.requests.append(request)
        found = self.server.answer(request)
        status, headers, body = found if isinstance(found, tuple) else (200, {}, found)
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """answer(request) gives what json.dumps takes, or (status, headers, body)."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer, port=0, tls=None):
        self.answer = answer
        self.requests = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        """Handshakes that fail, and clients that go away."""


@contextlib.contextmanager
def serve(answer, **more):
    server = Server(answer, **more)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


# --- a pipeline ----------------------------------------------------------------------------------

TRANSFORM = """
stages = { read = { source = "file"; path = "in.ndjson"; };
           ask  = { transform = "http"; from = "read"; backoff = "10ms"; %s };
           save = { sink = "file"; from = "ask"; path = "out.ndjson"; }; };
"""
SOURCE = """
stages = { read = { source = "http"; %s };
           save = { sink = "file"; from = "read"; path = "out.ndjson"; %s }; };
"""


def records(place):
    return [json.loads(line) for line in (place.path / "out.ndjson").read_text().splitlines()]


def transform(place, given, options, status=0):
    """What came out, and what was said."""
    place.write("in.ndjson", "".join(json.dumps(record) + "\n" for record in given))
    out, err = place.run(TRANSFORM % options, status)
    return records(place), out + err


def source(place, options, status=0):
    out, err = place.run(SOURCE % (options, ""), status)
    return (records(place) if status == 0 else None), out + err


CUSTOMER = {"data": {"id": 7, "name": "Zoë", "tags": ["a", "b/c"]}, "a/b": {"m~n": 1}}


@pytest.mark.parametrize("options, expected", [
    ("", {"id": 7, "name": "old", **CUSTOMER}),
    ('pick = "/data";', {"id": 7, "name": "Zoë", "tags": ["a", "b/c"]}),
    ('merge = "replace";', CUSTOMER),
    ('merge = "replace"; pick = "/data/tags/1";', "b/c"),
    ('merge = "replace"; pick = "/a~1b/m~0n";', 1),
    ('merge = "field"; into = "name"; pick = "/data/name";', {"id": 7, "name": "Zoë"}),
    ('merge = "field"; into = "answer";', {"id": 7, "name": "old", "answer": CUSTOMER}),
    ('merge = "none";', {"id": 7, "name": "old"}),
    ('merge = "field"; into = "raw"; parse = "text";', {"id": 7, "name": "old", "raw": json.dumps(CUSTOMER)}),
])
def test_answer_goes_into_the_record(place, options, expected):
    with serve(lambda request: CUSTOMER) as server:
        found, _ = transform(place, [{"id": 7, "name": "old"}], f'url = "{server.url}/{{id}}"; {options}')
        assert found == [expected]
        assert [(r.method, r.path) for r in server.requests] == [("GET", "/7")]


def test_no_content_adds_nothing(place):
    with serve(lambda request: (204, {}, b"")) as server:
        found, _ = transform(place, [{"id": 1}], f'url = "{server.url}/"; pick = "/a/b";')
    assert found == [{"id": 1}]


@pytest.mark.parametrize("record, expected", [(5, {"value": 5, "seen": True}), ("a b", {"value": "a b", "seen": True})])
def test_bare_values(place, record, expected):
    with serve(lambda request: {"seen": True}) as server:
        found, _ = transform(place, [record], f'url = "{server.url}/{{value}}";')
        assert found == [expected]
        assert urllib.parse.unquote(server.requests[0].path) == f"/{record}"


def test_fields_are_encoded(place):
    odd = "a/b c?d&e=f#g%é..{x}\"\\"
    record = {"id": odd, "n": -5, "half": 0.5, "deep": {"list": [False, True]}, "with.dot": "w", "b": "{}"}
    with serve(lambda request: {}) as server:
        transform(place, [record],
                  f'url = "{server.url}/x/{{id}}/{{n}}/{{half}}/{{deep.list.1}}/{{with.dot}}?q={{id}}&b={{{{{{b}}}}}}";'
                  'headers = [ "X-Id: {n} {{x}}", "X-Dot: {with.dot}" ];')
        request = server.requests[0]
    assert urllib.parse.unquote(request.path) == f"/x/{odd}/-5/0.5/true/w"
    assert request.path.count("/") == 6
    assert request.query == {"q": odd, "b": "{{}}"}
    assert request.headers["X-Id"] == "-5 {x}"
    assert request.headers["X-Dot"] == "w"
    assert request.headers["Accept"] == "application/json"


def test_a_field_that_is_an_address(place):
    with serve(lambda request: {"path": request.raw}) as server:
        found, _ = transform(place, [{"link": server.url + "/a/b?c=d e&f=%20"}], 'url = "{+link}"; merge = "replace";')
    assert found == [{"path": "/a/b?c=d%20e&f=%20"}]


@pytest.mark.parametrize("record, reason", [
    ({"id": "1"}, "the record has no field `user.name`"),
    ({"user": {"name": None}}, "the field `user.name` (null) has no place there"),
    ({"user": {"name": {"a": 1}}}, "the field `user.name` (map) has no place there"),
    ({"user": {"name": ".."}}, 'a field is "." or ".."'),
    ({"user": {"name": "x"}}, "`headers`: X-Id needs a field"),
    ({"user": {"name": "x"}, "id": "a\r\nX-Evil: 1"}, "`headers`: X-Id needs a field"),
])
def test_what_cannot_be_asked_is_rejected(place, record, reason):
    with serve(lambda request: {}) as server:
        found, said = transform(place, [record, {"user": {"name": "x"}, "id": 1}],
                                f'url = "{server.url}/u/{{user.name}}/x"; headers = "X-Id: {{id}}";', 3)
        assert found == [{"user": {"name": "x"}, "id": 1}]
        assert reason in said
        assert len(server.requests) == 1


def test_bodies(place):
    record = {"id": "q\"\\ü\n", "n": 1.5, "list": [1, None, {"a": True}]}
    url = 'url = "%s"; merge = "none";'
    with serve(lambda request: {}) as server:
        transform(place, [record], url % server.url + r'body = "{{\"id\": {id}, \"all\": [{n}, {list}]}}";')
        transform(place, [record], url % server.url + 'send = "record"; method = "PUT";')
        transform(place, [record], url % server.url + 'body = "id={id}&n={n}"; body_type = "application/x-www-form-urlencoded";')
        transform(place, [record], url % server.url + 'body = "<{n}>"; body_type = "text/plain"; headers = "Content-Type: text/odd";')
        one, two, three, four = server.requests
    assert (one.method, one.headers["Content-Type"]) == ("POST", "application/json")
    assert one.json() == {"id": record["id"], "all": [1.5, record["list"]]}
    assert (two.method, two.json(), two.headers["Content-Type"]) == ("PUT", record, "application/json")
    assert dict(urllib.parse.parse_qsl(three.body.decode())) == {"id": record["id"], "n": "1.5"}
    assert (four.body, four.headers["Content-Type"]) == (b"<1.5>", "text/odd")


GRAPHQL = ('query = "query ($id: ID!, $city: String) { customer(id: $id) { name } }"; '
           'variables = [ "id", "city=address.city" ]; pick = "/data/customer"; ')


def test_graphql(place):
    def answer(request):
        variables = request.json()["variables"]
        if variables["id"] == 2:
            return {"errors": [{"message": "no customer 2 for you, s3cr3t-token"}], "data": None}
        return {"data": {"customer": {"name": f"n{variables['id']} {variables['city']}"}}}

    given = [{"id": i, "address": {"city": "Bern"}} for i in (1, 2, 3)]
    with serve(answer) as server:
        found, said = transform(place, given, f'url = "{server.url}/graphql"; bearer = "s3cr3t-token"; {GRAPHQL}', 3)
        assert found == [{"id": i, "address": {"city": "Bern"}, "name": f"n{i} Bern"} for i in (1, 3)]
        assert "GraphQL: no customer 2 for you, ****" in said
        assert "s3cr3t" not in said
        assert server.requests[0].json()["query"].startswith("query ($id: ID!")
        assert server.requests[0].headers["Authorization"] == "Bearer s3cr3t-token"


def test_other_statuses_are_rejected(place):
    def answer(request):
        return (404, {}, {"error": "no such\nthing"}) if request.path == "/2" else {"ok": True}

    with serve(answer) as server:
        found, said = transform(place, [{"id": i} for i in (1, 2, 3)], f'url = "{server.url}/{{id}}?key=hidden";', 3)
        assert found == [{"id": 1, "ok": True}, {"id": 3, "ok": True}]
        assert f'GET {server.url}/2: status 404: {{"error": "no such\\nthing"}}' in said
        assert "hidden" not in said
        assert len(server.requests) == 3
        found, _ = transform(place, [{"id": 2}], f'url = "{server.url}/{{id}}"; ok_status = [ "2xx", "404" ];')
        assert found == [{"id": 2, "error": "no such\nthing"}]


@pytest.mark.parametrize("options, body, reason", [
    ("", b"[1, 2]", "only a map can be merged, not this (array)"),
    ('pick = "/data/x";', b'{"data": {}}', "the answer has nothing at /data/x"),
    ("", b"<html>hello</html>", "the answer is no JSON"),
    ("", b'{"cut": ', "the answer is no JSON"),
    ('body_max = "1KiB";', json.dumps({"a": "x" * 5000}).encode(), "the answer is larger than 1024 bytes"),
], ids=["array", "nothing-there", "html", "cut", "too-large"])
def test_answers_that_do_not_fit(place, options, body, reason):
    with serve(lambda request: (200, {}, body)) as server:
        found, said = transform(place, [{"id": 1}], f'url = "{server.url}/"; {options}', 3)
        assert found == []
        assert reason in said
        assert len(server.requests) == 1


@pytest.mark.parametrize("coroutines", ["", "coroutines = 4;"])
def test_busy_server_is_asked_again(place, coroutines):
    seen = {}

    def answer(request):
        seen[request.path] = seen.get(request.path, 0) + 1
        return (503, {}, "busy") if seen[request.path] < 3 else {"done": True}

    with serve(answer) as server:
        found, _ = transform(place, [{"id": i} for i in range(10)], f'url = "{server.url}/{{id}}"; {coroutines}')
    assert found == [{"id": i, "done": True} for i in range(10)]
    assert set(seen.values()) == {3}


def test_after_all_retries_it_is_rejected(place):
    with serve(lambda request: (503, {}, "busy") if request.path == "/1" else {}) as server:
        found, said = transform(place, [{"id": 1}, {"id": 2}], f'url = "{server.url}/{{id}}"; retries = 2;', 3)
        assert found == [{"id": 2}]
        assert f"GET {server.url}/1: status 503: busy" in said
        assert sum(r.path == "/1" for r in server.requests) == 3


def test_statuses_that_are_tried_again_can_be_said(place):
    with serve(lambda request: (500, {}, "")) as server:
        transform(place, [{"id": 1}], f'url = "{server.url}/{{id}}"; retries = 3; retry_status = "429";', 3)
        assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after(place, how):
    def answer(request):
        if len(server.requests) > 1:
            return {"done": True}
        # A date has whole seconds: two from now is one and something.
        after = "1" if how == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
        return 429, {"Retry-After": after}, "slowly"

    with serve(answer) as server:
        found, _ = transform(place, [{"id": 1}], f'url = "{server.url}/";')
        assert found == [{"id": 1, "done": True}]
        first, second = server.requests
        assert 0.95 <= second.at - first.at < 15


def test_redirects(place):
    def answer(request):
        left = int(request.path[1:])
        return (302, {"Location": f"/{left - 1}"}, "") if left else {"done": True}

    with serve(answer) as server:
        found, _ = transform(place, [{"n": 3}], f'url = "{server.url}/{{n}}";')
        assert found == [{"n": 3, "done": True}]
        _, said = transform(place, [{"n": 3}], f'url = "{server.url}/{{n}}"; redirects = 0;', 3)
        assert "status 302" in said
        _, said = transform(place, [{"n": 9}], f'url = "{server.url}/{{n}}"; redirects = 2; retries = 0;', 3)
        assert "redirect" in said


def test_a_redirect_leads_to_the_web_only(place):
    place.write("secret", "do not read")
    with serve(lambda request: (302, {"Location": f"file://{place.path}/secret"}, "")) as server:
        found, said = transform(place, [{"n": 1}], f'url = "{server.url}/"; parse = "text"; merge = "replace"; retries = 0;', 3)
    assert found == []
    assert "do not read" not in said


def test_credentials_do_not_follow_to_another_host(place):
    with serve(lambda request: {"done": True}) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with serve(lambda request: (302, {"Location": elsewhere + "/"}, "")) as server:
            transform(place, [{"n": 1}], f'url = "{server.url}/"; bearer = "s3cr3t-token";')
            assert server.requests[0].headers["Authorization"] == "Bearer s3cr3t-token"
        assert [r.headers["Authorization"] for r in other.requests] == [None]


def test_nothing_is_lost_while_the_server_is_down(place):
    port = free_port()
    place.write("in.ndjson", "".join(f'{{"id": {i}}}\n' for i in range(50)))
    place.write("p.conf", TRANSFORM % f'url = "http://127.0.0.1:{port}/{{id}}"; retries = 100000; backoff = "20ms"; coroutines = 4;'
                .replace('backoff = "10ms";', ""))
    text = (place.path / "p.conf").read_text().replace('backoff = "10ms"; ', "")
    process = place.start("run", place.write("p.conf", text).name)
    wait_for(lambda: children(process.pid, {"ask"}), what="the stage")
    time.sleep(0.5)  # an outage
    with serve(lambda request: {"path": request.path}, port=port):
        code, _, err = finish(process)
    assert code == 0, err
    assert records(place) == [{"id": i, "path": f"/{i}"} for i in range(50)]


# As a process of its own, so that it can be killed: pages of 10 of 600 records, and what is asked about one.
SERVER = """
import http.server, json, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        n = int(self.path[1:])
        page = {"items": [{"id": n * 10 + i} for i in range(10)], "next": f"/{n + 1}" if n < 59 else None, "half": n}
        body = json.dumps(page).encode()
        time.sleep(0.005)
        print(n, flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def killed_again_and_again(place, config, times):
    """Runs the pipeline of a server that dies so often in the middle; what sluice said."""
    port = free_port()
    place.write("server.py", SERVER)
    place.write("p.conf", config.replace("PORT", str(port)))
    log = place.path / "log"
    log.write_text("")
    process = place.start("run", "p.conf")
    for n in range(times + 1):
        server = subprocess.Popen(["/usr/bin/python3", "server.py", str(port)], cwd=place.path, stdout=open(log, "a"))
        try:
            if n < times:
                wait_for(lambda least=(n + 1) * 15: len(log.read_text().splitlines()) >= least, what="requests")
            else:
                code, _, err = finish(process)
        finally:
            server.kill()
            server.wait()
    assert code == 0 and "leak" not in err, err
    return err


@pytest.mark.parametrize("more", ["", "coroutines = 4;"])
def test_nothing_is_lost_when_the_server_is_killed_in_the_middle(place, more):
    place.write("in.ndjson", "".join(f'{{"id": {i}}}\n' for i in range(60)))
    killed_again_and_again(place, TRANSFORM.replace('backoff = "10ms"; ', "") %
                           f'url = "http://127.0.0.1:PORT/{{id}}"; pick = "/half"; merge = "field"; into = "n"; retries = 100000; backoff = "20ms"; {more}', 2)
    assert records(place) == [{"id": i, "n": i} for i in range(60)]


def test_connection_that_breaks_is_tried_again(place):
    port_listener = socket.create_server(("127.0.0.1", 0))
    port = port_listener.getsockname()[1]

    def break_two():
        for _ in range(2):
            port_listener.accept()[0].close()
        connection = port_listener.accept()[0]
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        connection.close()

    thread = threading.Thread(target=break_two, daemon=True)
    thread.start()
    found, _ = transform(place, [{"id": 1}], f'url = "http://127.0.0.1:{port}/";')
    assert found == [{"id": 1}]
    port_listener.close()


def test_server_that_speaks_something_else(place):
    listener = socket.create_server(("127.0.0.1", 0))

    def talk():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.close()

    threading.Thread(target=talk, daemon=True).start()
    found, _ = transform(place, [{"id": 1}], f'url = "http://127.0.0.1:{listener.getsockname()[1]}/"; retries = 0;', 3)
    assert found == []
    listener.close()


def test_slow_answer(place):
    release = threading.Event()
    with serve(lambda request: release.wait(20) and {} if request.path == "/1" else {}) as server:
        found, said = transform(place, [{"id": 1}, {"id": 2}],
                                f'url = "{server.url}/{{id}}"; request_timeout = "200ms"; retries = 1;', 3)
        release.set()
        assert found == [{"id": 2}]
        assert f"GET {server.url}/1: no answer within `request_timeout`" in said
        assert sum(r.path == "/1" for r in server.requests) == 2


def test_no_such_host_is_rejected_in_the_end(place):
    found, said = transform(place, [{"id": 1}], 'url = "http://no-such-host.invalid/x"; retries = 0;', 3)
    assert found == []
    assert "no-such-host.invalid" in said


def test_many_at_once_in_order(place):
    at_once = set()
    most = 0
    lock = threading.Lock()

    def answer(request):
        nonlocal most
        with lock:
            at_once.add(request.path)
            most = max(most, len(at_once))
        time.sleep(0.05)
        with lock:
            at_once.remove(request.path)
        return {"path": request.path}

    with serve(answer) as server:
        found, _ = transform(place, [{"id": i} for i in range(200)], f'url = "{server.url}/{{id}}"; coroutines = 20;')
        assert found == [{"id": i, "path": f"/{i}"} for i in range(200)]
        assert 5 < most <= 20
        most = 0
        transform(place, [{"id": i} for i in range(40)], f'url = "{server.url}/{{id}}"; coroutines = 20; connections = 3;')
        assert most <= 3


# --- secrets and certificates --------------------------------------------------------------------

def test_secrets_are_not_said(place):
    folder = place.path / "credentials"
    folder.mkdir()
    (folder / "password").write_text("pa55word!\n")
    place.env["CREDENTIALS_DIRECTORY"] = str(folder)

    def answer(request):  # says back all that it was told
        sent = "; ".join(f"{k}={v}" for k, v in request.headers.items())
        return (403 if request.path == "/1" else 503), {}, f"{sent} pa55word!"

    with serve(answer) as server:
        _, said = transform(place, [{"id": 1}, {"id": 2}],
                            f'url = "{server.url}/{{id}}?key=k3yk3y"; retries = 1; username = "me"; '
                            'password = "${credential:password}"; headers = [ "X-Api-Key: Token v4lue" ];', 3)
        token = base64.b64encode(b"me:pa55word!").decode()
        assert server.requests[0].headers["Authorization"] == f"Basic {token}"
        assert server.requests[0].headers["X-Api-Key"] == "Token v4lue"
    assert "status 403" in said and "status 503" in said
    for secret in ("pa55word!", token, "v4lue", "k3yk3y"):
        assert secret not in said
    # Nor when nothing answers.
    _, said = transform(place, [{"id": 1}], f'url = "http://127.0.0.1:{free_port()}/?key=k3yk3y"; retries = 0; '
                        'username = "me"; password = "${credential:password}";', 3)
    for secret in ("pa55word!", token, "k3yk3y"):
        assert secret not in said


@pytest.fixture
def certificate(place):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
                   cwd=place.path, check=True, capture_output=True)
    return place.path / "cert.pem", place.path / "key.pem"


def test_certificates(place, certificate):
    with serve(lambda request: {"done": True}, tls=certificate) as server:
        found, said = transform(place, [{"id": 1}], f'url = "{server.url}/"; retries = 3;', 3)
        assert found == []
        assert "certificate" in said.lower()
        assert not server.requests
        for options in (f'ca_file = "{certificate[0]}";', "insecure = true;"):
            found, _ = transform(place, [{"id": 1}], f'url = "{server.url}/"; {options}')
            assert found == [{"id": 1, "done": True}]
        # The certificate is not for this name.
        found, said = transform(place, [{"id": 1}], f'url = "{server.url.replace("127.0.0.1", "localhost")}/"; retries = 0; '
                                f'ca_file = "{certificate[0]}";', 3)
        assert found == []
    place.write("in.ndjson", "{}\n")
    _, err = place.run(TRANSFORM % 'url = "https://127.0.0.1:1/"; ca_file = "/nowhere.pem"; restart = 0;', 1)
    assert "`ca_file`: /nowhere.pem: No such file or directory" in err


# --- the source ----------------------------------------------------------------------------------

ITEMS = [{"id": i} for i in range(25)]


def test_one_document(place):
    with serve(lambda request: {"/list": ITEMS, "/one": ITEMS[3], "/in": {"data": {"items": ITEMS}}, "/none": []}[request.path]) as server:
        assert source(place, f'url = "{server.url}/list";')[0] == ITEMS
        assert source(place, f'url = "{server.url}/one";')[0] == [ITEMS[3]]
        assert source(place, f'url = "{server.url}/in"; records = "/data/items";')[0] == ITEMS
        assert source(place, f'url = "{server.url}/none";')[0] == []
        assert len(server.requests) == 4


def test_pages_by_link(place):
    def answer(request):
        page = int(request.query.get("page", 0))
        links = ['<https://example.org/?page=1,2>; rel="first"; title="a, b; rel=next"']
        if page < 2:
            links.append(f'</items?size=10&page={page + 1}>; foo=bar; rel="last next"')
        return 200, {"Link": ", ".join(links)}, {"items": ITEMS[page * 10:page * 10 + 10]}

    with serve(answer) as server:
        found, _ = source(place, f'url = "{server.url}/items?size=10"; records = "/items"; next = "link"; headers = "X-Team: a";')
        assert found == ITEMS
        assert [r.raw for r in server.requests] == ["/items?size=10", "/items?size=10&page=1", "/items?size=10&page=2"]
        assert {r.headers["X-Team"] for r in server.requests} == {"a"}


@pytest.mark.parametrize("end", [None, "", False, "absent"])
def test_pages_by_cursor(place, end):
    def answer(request):
        start = int(request.query.get("after", "=0&").strip("=&"))
        more = f"={start + 10}&" if start < 20 else end
        return {"items": ITEMS[start:start + 10], "meta": {} if more == "absent" else {"next": more}}

    with serve(answer) as server:
        found, _ = source(place, f'url = "{server.url}/i?size=10"; records = "/items"; next = "cursor"; '
                          'cursor = "/meta/next"; cursor_param = "after";')
        assert found == ITEMS
        assert len(server.requests) == 3
        assert all(r.query["size"] == "10" for r in server.requests)


def test_pages_by_address_in_the_answer(place):
    def answer(request):
        start = int(request.query.get("from", 0))
        return {"results": ITEMS[start:start + 10],
                "next": f"{server.url}/?from={start + 10}" if start < 20 else None}

    with serve(answer) as server:
        found, _ = source(place, f'url = "{server.url}/"; records = "/results"; next = "cursor"; cursor = "/next";')
        assert found == ITEMS


def test_pages_by_number(place):
    def answer(request):
        page = int(request.query["p"])
        return ITEMS[page * 10:page * 10 + 10]

    with serve(answer) as server:
        found, _ = source(place, f'url = "{server.url}/"; next = "page"; page_param = "p"; page_first = 0;')
        assert found == ITEMS
        assert [r.query["p"] for r in server.requests] == ["0", "1", "2", "3"]
        found, said = source(place, f'url = "{server.url}/"; next = "page"; page_param = "p"; page_first = 0; pages_max = 2;')
        assert found == ITEMS[:20]
        assert "there are more pages than `pages_max` = 2" in said


def test_pages_that_do_not_end(place):
    with serve(lambda request: (200, {"Link": f"<{request.raw}>; rel=next"}, ITEMS)) as server:
        _, said = source(place, f'url = "{server.url}/x"; next = "link";', 1)
    assert "it names itself as the next page" in said


def test_large_page_is_cut(place):
    large = [{"id": i, "text": "x" * 100} for i in range(20_000)]
    with serve(lambda request: large) as server:
        assert source(place, f'url = "{server.url}/";')[0] == large


def test_credentials_stay_with_their_server(place):
    with serve(lambda request: ITEMS) as other:
        with serve(lambda request: (200, {"Link": f"<{other.url}/next?key=k3y>; rel=next"}, ITEMS)) as server:
            _, said = source(place, f'url = "{server.url}/"; next = "link"; bearer = "s3cr3t-token";', 1)
            assert f"the next page is at another server, {other.url}/next," in said
            assert "s3cr3t" not in said and "k3y" not in said
            assert not other.requests
            found, _ = source(place, f'url = "{server.url}/"; next = "link";')
            assert found == ITEMS + ITEMS


@pytest.mark.parametrize("answer, reason", [
    ((404, {}, "not here"), "status 404: not here"),
    ((200, {}, "<html>"), "the answer is no JSON"),
    ((200, {}, {"data": 1}), "the answer has nothing at `records` /items"),
    ((200, {}, {"items": 1}), "`records` leads to something else than an array (integer)"),
])
def test_what_stops_the_source(place, answer, reason):
    with serve(lambda request: answer) as server:
        _, said = source(place, f'url = "{server.url}/"; records = "/items"; restart = 0;', 1)
        assert reason in said


def test_polling(place):
    with serve(lambda request: [{"poll": len(server.requests)}]) as server:
        place.write("p.conf", SOURCE % (f'url = "{server.url}/"; interval = "100ms";', "append = true;"))
        process = place.start("run", "p.conf")
        wait_for(lambda: len(server.requests) >= 5, what="five polls")
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process, 10)
        assert code == 0, err
        gaps = [b.at - a.at for a, b in zip(server.requests, server.requests[1:])]
    assert sum(gaps) / len(gaps) >= 0.095
    polls = [record["poll"] for record in records(place)]
    assert polls == list(range(1, len(polls) + 1))
    assert len(polls) >= 4


def test_source_waits_for_its_server(place):
    port = free_port()
    down = 2

    def answer(request):
        nonlocal down
        if request.path == "/x" and down:
            down -= 1
            return 503, {"Retry-After": "0"}, "starting"
        return ITEMS

    place.write("p.conf", SOURCE % (f'url = "http://127.0.0.1:{port}/x"; next = "none";', ""))
    process = place.start("run", "p.conf")
    wait_for(lambda: children(process.pid, {"read"}), what="the stage")
    time.sleep(0.3)  # an outage
    with serve(answer, port=port):
        code, out, err = finish(process, 60)
    assert code == 0, err
    assert records(place) == ITEMS
    assert (out + err).count("trying until it works") == 1
    assert (out + err).count("works again") == 1


def test_source_whose_server_is_killed_between_pages(place):
    """It goes on with the page that it had asked for: each record once, in order."""
    err = killed_again_and_again(place, SOURCE % ('url = "http://127.0.0.1:PORT/0"; records = "/items"; next = "cursor"; cursor = "/next"; rate = "600/s";', ""), 1)
    assert records(place) == [{"id": i} for i in range(600)]
    # The first server may come later than the first request.
    assert err.count("trying until it works") == err.count(": works again") in (1, 2)


@pytest.mark.parametrize("what", ["outage", "interval", "answer"])
def test_source_stops_at_once(place, what):
    release = threading.Event()

    def answer(request):
        if what == "answer":
            release.wait(20)
        return (503, {}, "") if what == "outage" else ITEMS

    with serve(answer) as server:
        place.write("p.conf", SOURCE % (f'url = "{server.url}/"; interval = "1h";', "append = true;"))
        process = place.start("run", "p.conf")
        wait_for(lambda: server.requests, what="a request")
        time.sleep(0.1)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process, 15)
        release.set()
        assert code == 0, err
        assert time.monotonic() - begin < 5
