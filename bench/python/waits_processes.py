# SPDX-License-Identifier: MIT
"""COUNT one-second waits, each in a process of its own: multiprocessing."""
import multiprocessing
import sys
import time

from report import report


def wait(n):
    begin = time.monotonic()
    time.sleep(1)
    return n, begin, time.monotonic()


if __name__ == "__main__":
    count = int(sys.argv[1])
    with multiprocessing.Pool(count) as pool:
        done = pool.map(wait, range(count), chunksize=1)
    report(min(begin for _, begin, _ in done), max(end for _, _, end in done), [n for n, _, _ in done])
