# SPDX-License-Identifier: MIT
"""The sink `http` against a real server on a loopback port: what it is sent, what becomes of what it refuses, and who may die meanwhile."""
import contextlib
import csv
import gzip
import hashlib
import hmac
import io
import json
import random
import re
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

from conftest import children, finish, kill_some, wait_for
from test_http import free_port, serve

HARDY = 'restart = 1000000; restart_within = "100ms"; backoff = "2ms";'
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def pipeline(url, options, others=""):
    if "retry_wait " not in options:
        options = 'retry_wait = "10ms"; ' + options
    return f"""stages = {{
      read = {{ source = "file"; path = "in.ndjson"; {others} }};
      save = {{ sink = "http"; from = "read"; url = "{url}"; {options} }};
    }};"""


def feed(place, records):
    place.write("in.ndjson", "".join(json.dumps(record) + "\n" for record in records))


def send(place, records, url, options="", status=0):
    """What was said."""
    feed(place, records)
    out, err = place.run(pipeline(url, options), status)
    return out + err


def letters(place):
    code, out, err = place.sluice("dead", "export", "p.conf")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def lines(request):
    return [json.loads(line) for line in request.body.splitlines()]


def key(request):
    return request.headers["Idempotency-Key"]


class Store:
    """A server that keeps what it is sent, once for each key."""

    def __init__(self):
        self.kept = {}
        self.requests = 0
        self.lock = threading.Lock()

    def __call__(self, request):
        with self.lock:
            self.requests += 1
            kept = self.kept.setdefault(key(request), request.body)
        assert kept == request.body, "another body under the same key"
        return {}

    def records(self):
        return [json.loads(line) for body in self.kept.values() for line in body.splitlines()]


# --- what is sent --------------------------------------------------------------------------------

RECORDS = [{"id": 1, "name": "Zoë, \"x\""}, {"id": 2, "name": None}]


@pytest.mark.parametrize("options, kind, bodies", [
    ("", "application/x-ndjson", ['{"id":1,"name":"Zoë, \\"x\\""}\n{"id":2,"name":null}\n']),
    ('body = "json";', "application/json", ['[{"id":1,"name":"Zoë, \\"x\\""},{"id":2,"name":null}]']),
    ('body = "record";', "application/json", ['{"id":1,"name":"Zoë, \\"x\\""}', '{"id":2,"name":null}']),
    ('body = "csv";', "text/csv", ['id,name\n1,"Zoë, ""x"""\n2,\n']),
    ('body = "csv"; columns = [ "name", "id", "a,b" ];', "text/csv", ['name,id,"a,b"\n"Zoë, ""x""",1,\n,2,\n']),
    ('before = "{{\\"index\\": {{\\"_id\\": {id}}}}}"; headers = "Content-Type: application/vnd.x";', "application/vnd.x",
     ['{"index": {"_id": 1}}\n{"id":1,"name":"Zoë, \\"x\\""}\n{"index": {"_id": 2}}\n{"id":2,"name":null}\n']),
    ("batch_records = 1;", "application/x-ndjson", ['{"id":1,"name":"Zoë, \\"x\\""}\n', '{"id":2,"name":null}\n']),
    ("batch_bytes = 30;", "application/x-ndjson", ['{"id":1,"name":"Zoë, \\"x\\""}\n', '{"id":2,"name":null}\n']),
    ('method = "PUT"; key_header = "";', "application/x-ndjson", ['{"id":1,"name":"Zoë, \\"x\\""}\n{"id":2,"name":null}\n']),
])
def test_bodies(place, options, kind, bodies):
    with serve(lambda request: (204, {}, b"")) as server:
        send(place, RECORDS, server.url + "/in?a=b", options)
        assert [request.body.decode() for request in server.requests] == bodies
        for request in server.requests:
            assert request.method == ("PUT" if "PUT" in options else "POST") and request.raw == "/in?a=b"
            assert request.headers["Content-Type"] == kind
            assert "key_header" in options or UUID.fullmatch(key(request))
            assert "Expect" not in request.headers and "Content-Encoding" not in request.headers
        keys = {request.headers["Idempotency-Key"] for request in server.requests}
        assert len(keys) == len(bodies) and ("key_header" in options) == (None in keys)


def test_records_that_differ_in_the_address_go_apart(place):
    records = [{"id": i, "day": f"2024-0{i % 3 + 1}", "team": "ab"[i // 6]} for i in range(12)]
    with serve(lambda request: {}) as server:
        send(place, records, server.url + "/{day}/{!key}.ndjson", 'headers = [ "X-Team: {team}", "X-Copy: {!key}" ]; batch_records = 100;')
        found = {(r.path.split("/")[1], r.headers["X-Team"]): lines(r) for r in server.requests}
        assert len(server.requests) == 6
        for request in server.requests:
            assert request.path.split("/")[2] == key(request) + ".ndjson" and request.headers["X-Copy"] == key(request)
    assert found == {(day, team): [r for r in records if (r["day"], r["team"]) == (day, team)]
                     for day in ("2024-01", "2024-02", "2024-03") for team in "ab"}


def test_each_record_in_its_order(place):
    with serve(lambda request: {}) as server:
        send(place, [{"id": i % 3, "n": i} for i in range(20)], server.url + "/o/{id}", 'body = "record"; method = "PUT";')
        assert [(r.method, r.path, r.json()["n"]) for r in server.requests] == [("PUT", f"/o/{i % 3}", i) for i in range(20)]


def test_packed(place):
    records = [{"id": i, "text": "again and again"} for i in range(1000)]
    with serve(lambda request: {}) as server:
        send(place, records, server.url + "/in", 'compress = "gzip";')
        send(place, records, server.url + "/in/{!key}.gz", 'compress = "gzip";')
        half = len(server.requests) // 2
        for i, request in enumerate(server.requests):
            assert request.headers["Content-Encoding"] == ("gzip" if i < half else None)
            assert len(request.body) < len(gzip.decompress(request.body)) / 3
        for part in server.requests[:half], server.requests[half:]:
            assert [json.loads(line) for r in part for line in gzip.decompress(r.body).splitlines()] == records


def test_what_cannot_be_sent(place):
    with serve(lambda request: {}) as server:
        said = send(place, [{"id": 1}, {"no": 2}, {"id": ".."}, {"id": 3}, {"id": "a\nb"}], server.url + "/x/{id}/y", "", 3)
        assert "the record has no field `id`" in said and 'a field is "." or ".."' in said
        assert sorted(r.path for r in server.requests) == ["/x/1/y", "/x/3/y", "/x/a%0Ab/y"]
        del server.requests[:]
        said = send(place, [{"a": 1}, {"a": 2, "b": 3}, {"a": 4}], server.url, 'body = "csv";', 3)
        assert "no form in CSV: field `b` is no column" in said
        assert list(csv.reader(io.StringIO(server.requests[0].body.decode()))) == [["a"], ["1"], ["4"]]


def test_several_at_once(place):
    most = now = 0
    lock = threading.Lock()

    def answer(_):
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return {}

    records = [{"id": i} for i in range(60)]
    with serve(answer) as server:
        send(place, records, server.url, 'body = "record"; requests = 6;')
        assert sorted(r.json()["id"] for r in server.requests) == list(range(60))
    assert 3 <= most <= 6


def test_slow_server_gets_large_requests(place):
    """How long an answer takes says nothing about how many records it should be for."""
    def answer(_):
        time.sleep(0.06)
        return {}

    with serve(answer) as server:
        send(place, [{"id": i} for i in range(40000)], server.url, "batch_records = 1000000;")
        assert sum(len(lines(r)) for r in server.requests) == 40000
        assert len(server.requests) < 25


# --- what is refused -----------------------------------------------------------------------------

def choosy(bad, status=400):
    def answer(request):
        found = [record["id"] for record in lines(request) if record["id"] in bad]
        return (status, {}, f"no: {found[0]}") if found else (200, {}, "{}")
    return answer


def test_the_bad_ones_are_found(place):
    bad = {0, 17, 18, 99}
    with serve(choosy(bad)) as server:
        said = send(place, [{"id": i} for i in range(100)], server.url, "", 3)
        taken = [record["id"] for r in server.requests for record in lines(r) if not bad & {x["id"] for x in lines(r)}]
        assert taken == [i for i in range(100) if i not in bad]
        assert len({key(r) for r in server.requests}) == len(server.requests)
    assert f"POST {server.url}: status 400: no: 17" in said
    assert sorted(letter["record"]["id"] for letter in letters(place)) == sorted(bad)


def test_a_predecessor_s_request_may_be_under_way(place):
    with serve(lambda request: (409, {}, "busy with that") if len(server.requests) < 4 else {}) as server:
        send(place, RECORDS, server.url)
        assert len(server.requests) == 4 and len({key(r) for r in server.requests}) == 1


def test_a_conflict_may_be_for_good(place):
    with serve(choosy({5}, 409)) as server:
        send(place, [{"id": i} for i in range(8)], server.url, 'retry_wait_max = "10ms";', 3)
        assert [letter["record"]["id"] for letter in letters(place)] == [5]
        del server.requests[:]
        send(place, [{"id": 5}], server.url, 'key_header = "";', 3)
        assert len(server.requests) == 1


@pytest.mark.parametrize("options, status", [('on_refused = "dead-letter";', 400), ("", 403), ("", 404)])
def test_all_are_given_up_together(place, options, status):
    with serve(choosy({5}, status)) as server:
        said = send(place, [{"id": i} for i in range(10)], server.url, options + "batch_records = 4;", 3)
        gone = sorted(letter["record"]["id"] for letter in letters(place))
        of = next(lines(r) for r in server.requests if {"id": 5} in lines(r))
        assert gone == [record["id"] for record in of]
    assert f"status {status}: no: 5" in said


def test_stop_at_the_first(place):
    with serve(choosy({3}, 401)) as server:
        said = send(place, [{"id": 3}], server.url, 'on_error = "stop";', 1)
    assert "status 401: no: 3" in said


def test_secrets_are_not_said(place):
    with serve(lambda request: (403, {}, "got " + request.headers["Authorization"] + " and " + request.headers["X-Token"])) as server:
        said = send(place, [{"id": 1}], server.url + "/?secret=verysecret", 'bearer = "topsecret"; headers = "X-Token: alsosecret";', 3)
    assert "status 403: got " in said
    for secret in "topsecret", "alsosecret", "verysecret":
        assert secret not in said and secret not in json.dumps(letters(place))


def test_each_record_has_its_status(place):
    """As Elasticsearch answers _bulk."""
    tries = {}

    def answer(request):
        items = []
        for line in lines(request)[1::2]:
            tries[line["id"]] = tries.get(line["id"], 0) + 1
            status = 400 if line["id"] == 3 else 429 if line["id"] in (4, 5) and tries[line["id"]] < 3 else 201
            item = {"_id": "x", "status": status}
            if status == 400:
                item["error"] = {"type": "mapper_parsing_exception", "reason": "no number"}
            items.append({"index": item})
        return {"took": 1, "errors": True, "items": items}

    with serve(answer) as server:
        said = send(place, [{"id": i} for i in range(8)], server.url + "/orders/_bulk",
                    'before = "{{\\"index\\": {{}}}}"; items = "/items"; batch_records = 100;', 3)
        assert server.requests[0].headers["Accept"] == "application/json"
        assert [len(lines(r)) for r in server.requests][-2:] == [4, 4]
        assert key(server.requests[-1]) == key(server.requests[-2]) != key(server.requests[0])
    assert tries == {i: 3 if i in (4, 5) else 1 for i in range(8)}
    assert 'status 400 of the record: {"type":"mapper_parsing_exception","reason":"no number"}' in said
    assert [letter["record"] for letter in letters(place)] == [{"id": 3}]


@pytest.mark.parametrize("answer, reason", [
    ({"items": [{"status": 200}]}, "has not as many members as it had records"),
    ({"took": 1}, "leads to no array in it"),
    ("oops", "is for JSON, which it is not"),
])
def test_answers_that_do_not_speak_of_each(place, answer, reason):
    with serve(lambda request: (200, {}, answer)) as server:
        assert reason in send(place, [{"id": 1}, {"id": 2}], server.url, 'items = "/items";', 3)
    assert len(letters(place)) == 2


# --- what does not work now ----------------------------------------------------------------------

@pytest.mark.parametrize("status", [429, 500, 503, 520])
def test_busy_server_is_asked_again_with_the_same(place, status):
    with serve(lambda request: (status, {}, "busy") if len(server.requests) < 4 else {}) as server:
        said = send(place, RECORDS, server.url)
        assert len(server.requests) == 4
        assert len({(key(r), r.body) for r in server.requests}) == 1
    assert said.count("trying until it works") == 1 and said.count("works again") == 1


def test_retry_after(place):
    with serve(lambda request: (429, {"Retry-After": "1"}, "") if len(server.requests) == 1 else {}) as server:
        send(place, [{"id": 1}], server.url)
        one, two = server.requests
        assert two.at - one.at >= 0.95


def test_answer_that_does_not_come(place):
    def answer(_):
        if len(server.requests) == 1:
            time.sleep(1)
        return {}

    with serve(answer) as server:
        said = send(place, [{"id": 1}], server.url, 'request_timeout = "200ms";')
        assert len(server.requests) == 2 and key(server.requests[0]) == key(server.requests[1])
    assert "no answer within `request_timeout`: trying until it works" in said


def test_it_waits_longer_each_time(place):
    with serve(lambda request: (503, {}, "") if len(server.requests) <= 6 else {}) as server:
        send(place, [{"id": 1}], server.url, 'retry_wait = "20ms"; retry_wait_max = "160ms";')
        at = [r.at for r in server.requests]
    gaps = [b - a for a, b in zip(at, at[1:])]
    for gap, wait in zip(gaps, [0.02, 0.04, 0.08, 0.16, 0.16, 0.16]):
        assert gap >= wait / 2 * 0.95


def test_it_can_give_up(place):
    with serve(lambda request: (500, {}, "broken")) as server:
        said = send(place, RECORDS, server.url, 'give_up = "200ms";', 3)
        assert len(server.requests) > 2
    assert said.count("status 500: broken") >= 2 and len(letters(place)) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_body_along(place, status):
    with serve(lambda request: (status, {"Location": "/new"}, "") if request.path == "/old" else {}) as server:
        send(place, RECORDS, server.url + "/old")
        assert [(r.method, r.path, lines(r)) for r in server.requests] == [("POST", "/old", RECORDS), ("POST", "/new", RECORDS)]


SERVER = """
import asyncio, os, sys
from aiohttp import web

async def take(request):
    body = await request.read()
    path = "kept/" + request.headers["Idempotency-Key"]
    with open(path + ".part", "wb") as file:
        file.write(body)
    os.rename(path + ".part", path)
    await asyncio.sleep(0.002)
    return web.Response()

app = web.Application(client_max_size=1 << 30)
app.router.add_post("/", take)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, reuse_address=True)
"""


def test_server_that_goes_and_comes_back(place):
    """It is not there at first, and killed twice in the middle: nothing is lost, and the key makes it exactly once."""
    port = free_port()
    kept = place.path / "kept"
    kept.mkdir()
    place.write("server.py", SERVER)
    feed(place, [{"id": i} for i in range(20000)])
    place.write("p.conf", pipeline(f"http://127.0.0.1:{port}/", 'batch_records = 50; retry_wait_max = "50ms";'))
    process = place.start("run", "p.conf")
    wait_for(lambda: children(process.pid, {"save"}), what="the stage")
    time.sleep(0.2)  # an outage
    for n in 1, 2, 3:
        server = subprocess.Popen(["/usr/bin/python3", "server.py", str(port)], cwd=place.path)
        try:
            if n < 3:
                wait_for(lambda least=n * 60: len(list(kept.iterdir())) >= least, what="requests")
            else:
                code, _, err = finish(process)
        finally:
            server.kill()
            server.wait()
    assert code == 0, err
    found = [json.loads(line) for path in kept.glob("*") for line in path.read_text().splitlines()]
    assert sorted(record["id"] for record in found) == list(range(20000))
    assert err.count("trying until it works") == err.count("works again") == 3


def test_stopped_while_the_server_is_away(place):
    """The first Ctrl-C waits for what was read, the second does not, and the next run goes on there."""
    port = free_port()
    store = Store()
    feed(place, [{"id": i} for i in range(3000)])
    place.write("p.conf", pipeline(f"http://127.0.0.1:{port}/", "batch_records = 100;"))
    process = place.start("run", "p.conf")
    place.wait_for_socket()
    wait_for(lambda: json.loads(place.sluice("status", "p.conf", "--json")[1])["stages"][0]["records_out"] >= 100, what="batches")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    code, _, err = finish(process)
    assert code != 0 and not store.kept, err
    with serve(store, port=port):
        code, _, err = place.sluice("run", "p.conf")
    assert code == 0, err
    assert sorted(record["id"] for record in store.records()) == list(range(3000))


# --- who dies ------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, victims", [("", {"save"}), ('requests = 4; processes = 2;', {"save", "read"})])
def test_killed_at_any_instant(place, options, victims):
    seed = random.randrange(1_000_000)
    store = Store()
    count = 20000
    feed(place, [{"id": i} for i in range(count)])

    def answer(request):
        time.sleep(0.002)
        return store(request)

    with serve(answer) as server:
        place.write("p.conf", pipeline(server.url, f"batch_records = 50; {HARDY} {options}", HARDY))
        process = place.start("run", "p.conf")
        kills = kill_some(process, victims, 20, seed)
        code, _, err = finish(process)
        assert code == 0, f"seed {seed}, {kills} kills\n{err}"
    assert kills > 0 and store.requests >= len(store.kept)
    assert sorted(record["id"] for record in store.records()) == list(range(count)), f"seed {seed}"


def test_refused_ones_are_refused_once(place):
    """Killed while it looks for them: each is one dead letter, and the others arrive."""
    seed = random.randrange(1_000_000)
    bad = set(range(0, 3000, 50))
    answer = choosy(bad)
    feed(place, [{"id": i} for i in range(3000)])
    with serve(answer) as server:
        place.write("p.conf", pipeline(server.url, f"batch_records = 100; {HARDY}", HARDY))
        process = place.start("run", "p.conf")
        kill_some(process, {"save"}, 8, seed)
        code, _, err = finish(process)
        assert code == 3, err
        taken = {record["id"] for r in server.requests if not bad & {x["id"] for x in lines(r)} for record in lines(r)}
    assert taken == set(range(3000)) - bad, f"seed {seed}"
    assert sorted(letter["record"]["id"] for letter in letters(place)) == sorted(bad)


# --- signatures ----------------------------------------------------------------------------------

ACCESS, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"


def signature(request, service):
    """What the signature of the request should be, by the rules that AWS gives; and what it is."""
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", request.headers["Authorization"])
    scope, names, given = found.groups()
    stamp = request.headers["X-Amz-Date"]
    assert scope == f"{ACCESS}/{stamp[:8]}/{REGION}/{service}/aws4_request"
    path, _, query = request.raw.partition("?")
    digest = hashlib.sha256(request.body).hexdigest()
    if service == "s3":
        assert request.headers["X-Amz-Content-Sha256"] == digest
    assert {"host", "x-amz-date"} <= set(names.split(";"))
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names.split(";"))
    parameters = "&".join(sorted(urllib.parse.quote(k, safe="-_.~") + "=" + urllib.parse.quote(v, safe="-_.~")
                                 for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True)))
    canonical = "\n".join([request.method, path, parameters, headers, names, digest])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope.split("/", 1)[1], hashlib.sha256(canonical.encode()).hexdigest()])
    secret = b"AWS4" + SECRET.encode()
    for word in scope.split("/")[1:]:
        secret = hmac.new(secret, word.encode(), "sha256").digest()
    return hmac.new(secret, text.encode(), "sha256").hexdigest(), given


def s3_options(service="s3"):
    return f'sigv4 = "aws:amz:{REGION}:{service}"; username = "{ACCESS}"; password = "{SECRET}"; method = "PUT"; '


@pytest.mark.parametrize("service, options", [
    ("s3", ""), ("s3", 'compress = "gzip";'), ("s3", 'headers = [ "X-Amz-Storage-Class: STANDARD_IA", "X-Amz-Security-Token: some/token==" ];'),
    ("es", 'items = "/items";'), ("s3", 'key_header = "";'),
])
def test_signed_requests(place, service, options):
    def answer(request):
        expected, given = signature(request, service)
        return (200 if expected == given else 403, {}, json.dumps({"items": [{"status": 200}] * 2}))

    with serve(answer) as server:
        send(place, [{"id": 1, "day": "2024-01-02"}, {"id": 2, "day": "2024-01-02"}], server.url + "/bucket/{day}/{!key}.ndjson.gz",
             s3_options(service) + options)
        assert len({r.path for r in server.requests}) == len(server.requests) >= 1
        assert all(SECRET not in str(r.headers) for r in server.requests)


def test_another_secret_is_seen(place):
    """The check above can fail."""
    with serve(lambda request: {}) as server:
        send(place, RECORDS, server.url + "/bucket/{!key}", s3_options().replace("EXAMPLEKEY", "ANOTHERKEY"))
        expected, given = signature(server.requests[0], "s3")
        assert expected != given


def test_objects_are_written_once_by_name(place):
    """A repeat overwrites the same object with the same bytes."""
    seed = random.randrange(1_000_000)
    objects = {}
    feed(place, [{"id": i, "day": i % 3} for i in range(9000)])

    def answer(request):
        assert signature(request, "s3")[0] == signature(request, "s3")[1]
        assert objects.setdefault(request.path, request.body) == request.body
        time.sleep(0.002)
        return (200, {}, b"")

    with serve(answer) as server:
        place.write("p.conf", pipeline(server.url + "/bucket/day={day}/{!key}.ndjson.gz",
                                       s3_options() + f'compress = "gzip"; batch_records = 100; {HARDY}', HARDY))
        process = place.start("run", "p.conf")
        kill_some(process, {"save"}, 10, seed)
        code, _, err = finish(process)
        assert code == 0, err
    found = [(path, json.loads(line)) for path, body in objects.items() for line in gzip.decompress(body).splitlines()]
    assert sorted(record["id"] for _, record in found) == list(range(9000)), f"seed {seed}"
    assert all(path.startswith(f"/bucket/day={record['day']}/") for path, record in found)
