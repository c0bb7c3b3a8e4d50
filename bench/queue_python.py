# SPDX-License-Identifier: MIT
"""What a Python programmer would write: three processes, two queues, None as the sentinel. COUNT numbers times 0.2 into a JSON array."""
import json
import multiprocessing
import sys


def produce(count, out):
    for n in range(count):
        out.put(n)
    out.put(None)


def transform(inp, out):
    while (n := inp.get()) is not None:
        out.put(n * 0.2)
    out.put(None)


def save(inp):
    found = []
    while (n := inp.get()) is not None:
        found.append(n)
    json.dump(found, open("python.json", "w"))


if __name__ == "__main__":
    one, two = multiprocessing.Queue(1000), multiprocessing.Queue(1000)
    processes = [multiprocessing.Process(target=produce, args=(int(sys.argv[1]), one)),
                 multiprocessing.Process(target=transform, args=(one, two)), multiprocessing.Process(target=save, args=(two,))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
