# SPDX-License-Identifier: MIT
"""COUNT items, each some computing and 1 ms of waiting. mixed.py processes|threads|coroutines WORKERS COUNT ROUNDS"""
import asyncio
import multiprocessing.pool
import sys
import time

from compute import compute
from report import report


def item(job):
    n, rounds = job
    begin = time.monotonic()
    compute(rounds)
    time.sleep(0.001)
    return n, begin, time.monotonic()


async def task(job, limit):
    async with limit:
        n, rounds = job
        begin = time.monotonic()
        compute(rounds)
        await asyncio.sleep(0.001)
        return n, begin, time.monotonic()


async def gather(jobs, workers):
    limit = asyncio.Semaphore(workers)
    return await asyncio.gather(*(task(job, limit) for job in jobs))


if __name__ == "__main__":
    model = sys.argv[1]
    workers, count, rounds = (int(word) for word in sys.argv[2:])
    jobs = [(n, rounds) for n in range(count)]
    if model == "coroutines":
        done = asyncio.run(gather(jobs, workers))
    else:
        pools = {"processes": multiprocessing.pool.Pool, "threads": multiprocessing.pool.ThreadPool}
        with pools[model](workers) as pool:
            done = pool.map(item, jobs)
    report(min(begin for _, begin, _ in done), max(end for _, _, end in done), [n for n, _, _ in done])
