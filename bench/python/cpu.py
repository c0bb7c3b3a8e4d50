# SPDX-License-Identifier: MIT
"""COUNT items of computing by WORKERS processes or threads: concurrent.futures. cpu.py processes|threads WORKERS COUNT ROUNDS"""
import concurrent.futures
import sys
import time

from compute import compute
from report import report

MODELS = {"processes": concurrent.futures.ProcessPoolExecutor, "threads": concurrent.futures.ThreadPoolExecutor}


def item(job):
    n, rounds = job
    begin = time.monotonic()
    compute(rounds)
    return n, begin, time.monotonic()


if __name__ == "__main__":
    workers, count, rounds = (int(word) for word in sys.argv[2:])
    with MODELS[sys.argv[1]](workers) as pool:
        done = list(pool.map(item, [(n, rounds) for n in range(count)]))
    report(min(begin for _, begin, _ in done), max(end for _, _, end in done), [n for n, _, _ in done])
