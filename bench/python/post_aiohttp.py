# SPDX-License-Identifier: MIT
"""COUNT GraphQL queries, WORKERS at a time, by asyncio and aiohttp. post_aiohttp.py URL COUNT WORKERS"""
import asyncio
import sys
import time

import aiohttp

from report import report

QUERY = "query ($id: Int!) { item(id: $id) { id name } }"
url, count, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def ask(session, limit, n):
    async with limit, session.post(url, json={"query": QUERY, "variables": {"id": n}}) as response:
        return (await response.json())["data"]["item"]


async def main():
    limit = asyncio.Semaphore(workers)
    # Its default would be 100 connections: the semaphore is the limit here.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        first = time.monotonic()
        done = await asyncio.gather(*(ask(session, limit, n) for n in range(count)))
        last = time.monotonic()
    report(first, last, done)


asyncio.run(main())
