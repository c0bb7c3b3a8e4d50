# SPDX-License-Identifier: MIT
"""COUNT pictures made small by a program, WORKERS at a time: concurrent.futures and subprocess. pictures.py processes|threads WORKERS COUNT COMMAND ..."""
import concurrent.futures
import subprocess
import sys
import time

from report import report

MODELS = {"processes": concurrent.futures.ProcessPoolExecutor, "threads": concurrent.futures.ThreadPoolExecutor}


def item(job):
    name, command = job
    begin = time.monotonic()
    subprocess.run([word.replace("{value}", name) for word in command], check=True)
    return name, begin, time.monotonic()


if __name__ == "__main__":
    workers, count, command = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    with MODELS[sys.argv[1]](workers) as pool:
        done = list(pool.map(item, [(f"{n}.png", command) for n in range(count)]))
    report(min(begin for _, begin, _ in done), max(end for _, _, end in done), [name for name, _, _ in done])
