# SPDX-License-Identifier: MIT
"""COUNT one-second waits, each in a thread of its own: threading."""
import sys
import threading
import time

from report import report

count = int(sys.argv[1])
done = []


def wait(n):
    begin = time.monotonic()
    time.sleep(1)
    done.append((n, begin, time.monotonic()))


threads = [threading.Thread(target=wait, args=(n,)) for n in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
report(min(begin for _, begin, _ in done), max(end for _, _, end in done), sorted(n for n, _, _ in done))
