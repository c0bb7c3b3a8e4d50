# SPDX-License-Identifier: MIT
"""
A GraphQL server that knows one query and answers LATENCY seconds later: server.py LATENCY. Says its port on its first line.
GET /stats gives what was served since the last /stats, the most at once, its processor time, how long an answer really took. Plain asyncio protocols: a server of aiohttp
would be what the client waits for.
"""
import asyncio
import json
import sys
import time

LATENCY = float(sys.argv[1])


class Stats:
    served = now = peak = bad = 0
    took = 0.0
    cpu = time.process_time()


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.data = b""

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            lines = self.data[:end].split(b"\r\n")
            size = 0
            for line in lines[1:]:
                if line[:15].lower() == b"content-length:":
                    size = int(line[15:])
            if len(self.data) < end + 4 + size:
                return
            body = self.data[end + 4:end + 4 + size]
            self.data = self.data[end + 4 + size:]
            self.request(lines[0], body)

    def request(self, line, body):
        loop = asyncio.get_running_loop()
        if line.startswith(b"GET /stats "):
            self.answer(b"200 OK", {"served": Stats.served, "peak": Stats.peak, "bad": Stats.bad, "cpu": time.process_time() - Stats.cpu,
                                    "took": Stats.took / max(1, Stats.served)})
            Stats.served, Stats.peak, Stats.bad, Stats.cpu, Stats.took = 0, Stats.now, 0, time.process_time(), 0.0
            return
        Stats.now += 1
        Stats.peak = max(Stats.peak, Stats.now)
        try:
            asked = json.loads(body)
            assert line.startswith(b"POST /graphql ") and "item(id: $id)" in asked["query"]
            n = int(asked["variables"]["id"])
            answer = b"200 OK", {"data": {"item": {"id": n, "name": f"item {n}"}}}
        except (AssertionError, ValueError, KeyError, TypeError) as error:
            Stats.bad += 1
            answer = b"400 Bad Request", {"errors": [{"message": f"{error!r}: {line!r} {body!r}"}]}
        loop.call_later(LATENCY, self.finish, loop.time(), *answer)

    def finish(self, begin, status, found):
        Stats.took += asyncio.get_running_loop().time() - begin
        Stats.now -= 1
        Stats.served += 1
        self.answer(status, found)

    def answer(self, status, found):
        body = json.dumps(found).encode()
        self.transport.write(b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
