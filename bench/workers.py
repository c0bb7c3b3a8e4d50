# SPDX-License-Identifier: MIT
"""
Processes, threads and coroutines, each beside the Python that does the same: workers.py [DEMO ...]. One table; how to read it:
bench/README.md.
"""
import functools
import json
import os
import random
import shutil
import statistics
import struct
import sys
import time
import zlib

import beside
from beside import Table, check, counted, fed, medians, python, server
from common import ENV, PLACE, done

sys.path.insert(0, str(beside.SCRIPTS))
from compute import compute  # noqa: E402

CORES = len(os.sched_getaffinity(0))
SECOND = 'transform = "delay"; wait = "1s";'
table = Table()


def whole_number(run, count):
    """The integers from 0 on, each once and in order."""
    check(run.lines == list(range(count)), f"{len(run.lines)} records, wanted 0 to {count - 1} in order")
    return run


def waits(demo, script, model, count, aim, memory=False):
    """`count` one-second waits: a row without start-up, one with."""
    work = f"{SECOND} {model} = {count};"
    with table.guard(demo):
        theirs, ours, whole = medians(3, lambda: whole_number(python(script, count), count),
                                      lambda: whole_number(fed(work, range(count)), count),
                                      lambda: whole_number(counted(work, count), count))
        table.row(demo, theirs.inner, ours.inner, aim)
        table.row("   with start-up and end", theirs.whole, whole.whole)
        if memory:
            one = fed(f"{SECOND} {model} = 1;", range(1))
            table.row("   memory of one waiting task", theirs.memory / count / 1024, (ours.memory - one.memory) / count / 1024,
                      "8", unit="KiB")


def eight():
    """Eight waits share eight threads."""
    waits("8 waits of 1 s, 8 threads", "waits_threads.py", "threads", 8, "1.0")


def five():
    """Five waits by each model."""
    waits("5 waits of 1 s, 5 processes", "waits_processes.py", "processes", 5, "1.38")
    waits("5 waits of 1 s, 5 threads", "waits_threads.py", "threads", 5, "1.003")
    waits("5 waits of 1 s, 5 coroutines", "waits_coroutines.py", "coroutines", 5, "1.002")


def many():
    """A hundred, ten thousand, a hundred thousand waits in one process."""
    for count, aim in ((100, "1.01"), (10_000, "1.03"), (100_000, "1.30")):
        waits(f"{count:_} waits of 1 s, coroutines".replace("_", " "), "waits_coroutines.py", "coroutines", count, aim, memory=True)


@functools.cache
def rounds_per_ms():
    """(of the stage cpu, of Python's compute): how much of each is a millisecond on this machine, now."""
    took = min(fed('transform = "cpu"; iterations = 100000000;', range(1)).inner for _ in range(3))
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        compute(100_000)
        best = min(best, time.perf_counter() - begin)
    return int(100_000_000 / took / 1000), int(100_000 / best / 1000)


def cpu():
    """Twenty items of 100 ms of computing: how many times faster with more workers than with one."""
    ours_ms, theirs_ms = rounds_per_ms()
    count = 20
    work = f'transform = "cpu"; iterations = {ours_ms * 100};'

    def theirs(model, workers):
        return lambda: whole_number(python("cpu.py", model, workers, count, theirs_ms * 100), count)

    def ours(more):
        return lambda: whole_number(fed(f"{work} {more}", range(count)), count)

    sizes = [("half of the cores", max(1, CORES // 2)), ("all cores", CORES)]
    kinds = [(model, text, size) for model in ("processes", "threads") for text, size in sizes]
    sides = [theirs("processes", 1), ours("")]
    for model, _, size in kinds:
        sides += [theirs(model, size), ours(f"{model} = {size};")]
    alone_theirs, alone_ours, *found = medians(3, *sides)
    table.row("20 items of 100 ms computing, 1 worker", alone_theirs.inner, alone_ours.inner)
    for n, (model, text, size) in enumerate(kinds):
        one, two = found[2 * n:2 * n + 2]
        table.row(f"   {size} {model}, {text}", one.inner, two.inner)
        table.row("   speed-up", alone_theirs.inner / one.inner, alone_ours.inner / two.inner, f"{0.9 * size:.2f}", unit="x", least=True)


def answers(run, count, stats, workers, seen=None):
    """Every answer, in order; and the server saw as many requests, and never more at once than it should."""
    check(run.lines == [{"id": n, "name": f"item {n}"} for n in range(count)], f"answers are not what was asked: {run.lines[:2]}")
    found = stats()
    check(found["served"] == count and found["bad"] == 0 and found["peak"] <= workers,
          f"the server saw {found}, wanted {count}, at most {workers} at once")
    if seen is not None:
        seen.append(found)
    return run


def post(url, more):
    query = "query ($id: Int!) { item(id: $id) { id name } }"
    return f'transform = "http"; method = "POST"; url = "{url}"; query = "{query}"; variables = [ "id" ]; ' \
           f'merge = "replace"; pick = "/data/item"; {more}'


def http():
    """Fifteen GraphQL queries that take 0.5 s each."""
    count = 15
    records = [{"id": n} for n in range(count)]
    for text, script, workers, more, aim, rounds in (
            ("1 at a time", "post_threads.py", 1, "", "7.5", 1),
            ("5 threads", "post_threads.py", 5, "threads = 5;", "1.5", 3),
            ("15 coroutines", "post_aiohttp.py", 15, "coroutines = 15;", "0.5", 3),
            ("semaphore of 2 (threads = 2)", "post_aiohttp.py", 2, "threads = 2;", "4.0", 1)):
        demo = f"15 GraphQL POSTs, {text}"
        with table.guard(demo), server(0.5) as (url, stats):
            theirs, ours = medians(rounds, lambda: answers(python(script, url, count, workers), count, stats, workers),
                                   lambda: answers(fed(post(url, more), records), count, stats, workers))
            table.row(demo, theirs.inner, ours.inner, aim)


def requests():
    """Five thousand requests, 500 at once, to a server that takes 100 ms."""
    count, workers = 5000, 500
    records = [{"id": n} for n in range(count)]
    of_theirs, of_ours = [], []
    with server(0.1) as (url, stats):
        theirs, ours = medians(3, lambda: answers(python("post_aiohttp.py", url, count, workers), count, stats, workers, of_theirs),
                               lambda: answers(fed(post(url, f"coroutines = {workers};"), records), count, stats, workers, of_ours))
    table.row("5 000 requests of 100 ms, 500 coroutines", theirs.inner, ours.inner, "1.05")
    table.row("   processor time of the client", theirs.cpu, ours.cpu, "a fifth", limit=theirs.cpu / 5)
    for text, name in (("processor time of the server meanwhile", "cpu"), ("what the server really took, mean", "took")):
        table.row(f"   {text}", *(statistics.median(found[name] for found in side) for side in (of_theirs, of_ours)))


def mixed():
    """Half computing, half waiting: the three models together, and each alone."""
    ours_ms, theirs_ms = rounds_per_ms()
    count = 2000
    work = f'transform = "cpu"; iterations = {ours_ms}; wait = "1ms";'
    # Each alone in the size that suits it best here, as far as these try.
    singles = [f"processes = {2 * CORES};", f"processes = {4 * CORES};", f"threads = {2 * CORES};", f"threads = {4 * CORES};",
               "coroutines = 1000;"]
    scripts = [("processes", 2 * CORES), ("threads", 2 * CORES), ("coroutines", 1000)]
    sides = [lambda more=more: whole_number(fed(f"{work} {more}", range(count)), count)
             for more in ["processes = 2; threads = 2; coroutines = 250;", *singles]]
    sides += [lambda model=model, size=size: whole_number(python("mixed.py", model, size, count, theirs_ms), count)
              for model, size in scripts]
    together, *rest = medians(3, *sides)
    alone, theirs = rest[:len(singles)], rest[len(singles):]
    for more, run in zip(singles, alone):
        same = [other.inner for (model, size), other in zip(scripts, theirs) if more == f"{model} = {size};"]
        table.row(f"2 000 x (1 ms computing, 1 ms waiting), {more[:-1]}"[-44:], same[0] if same else None, run.inner)
    best = min(run.inner for run in alone)
    table.row("   2 processes x 2 threads x 250 coroutines", min(run.inner for run in theirs), together.inner,
              f"{best:.3f} s +3 %", limit=best * 1.03)


def png(path, seed, width=320, height=240):
    """A picture of noise and stripes: real work for whoever reads it."""
    chance = random.Random(seed)
    row = chance.randbytes(3 * width)
    rows = b"".join(b"\0" + row[y % 97:] + row[:y % 97] for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def pictures():
    """A thousand pictures made small by ImageMagick's convert, one run of it for each."""
    count = 1000
    names = [f"{n}.png" for n in range(count)]
    command = ["/usr/bin/convert", "pictures/{value}", "-resize", "80x60", "small/{value}"]
    work = f'transform = "exec"; mode = "once"; input = "none"; output = "none"; command = {json.dumps(command)};'
    ENV["MAGICK_THREAD_LIMIT"] = "1"
    (PLACE / "pictures").mkdir()
    for n, name in enumerate(names):
        png(PLACE / "pictures" / name, n)

    def all_small(run):
        made = list((PLACE / "small").iterdir())
        check(run.lines == names and len(made) == count and all(file.stat().st_size > 1000 for file in made),
              f"{len(run.lines)} names came out, {len(made)} pictures are there")
        return run

    def emptied(side):
        shutil.rmtree(PLACE / "small", ignore_errors=True)
        (PLACE / "small").mkdir()
        return all_small(side())

    kinds = [(model, size) for model in ("processes", "threads") for size in (1, CORES)]
    sides = [side for model, size in kinds
             for side in (lambda model=model, size=size: emptied(lambda: python("pictures.py", model, size, count, *command)),
                          lambda model=model, size=size: emptied(lambda: fed(f"{work} {model} = {size};", names)))]
    found = medians(1, *sides)
    for n, (model, size) in enumerate(kinds):
        theirs, ours = found[2 * n:2 * n + 2]
        table.row(f"1 000 pictures, {size} {model}", theirs.inner, ours.inner)
        if size == CORES and CORES > 1:
            table.row("   speed-up", found[2 * n - 2].inner / theirs.inner, found[2 * n - 1].inner / ours.inner, f"{0.9 * CORES:.2f}",
                      unit="x", least=True)


DEMOS = {demo.__name__: demo for demo in (eight, five, many, cpu, http, requests, mixed, pictures)}


def main():
    names = sys.argv[1:] or list(DEMOS)
    if set(names) - set(DEMOS):
        sys.exit(f"there is no such demo; there are: {' '.join(DEMOS)}")
    table.head()
    for name in names:
        with table.guard(name):
            DEMOS[name]()
    print(f"reached {table.reached} of {table.aims} aims, {table.wrong} wrong; {CORES} cores, load {os.getloadavg()[0]:.1f}")
    done()
    sys.exit(1 if table.wrong else 0)


main()
