# SPDX-License-Identifier: MIT
"""COUNT one-second waits as coroutines: asyncio."""
import asyncio
import sys
import time

from report import memory, report


async def wait(n):
    await asyncio.sleep(1)
    return n


async def main(count):
    before = memory()
    first = time.monotonic()
    done = await asyncio.gather(*(wait(n) for n in range(count)))
    last = time.monotonic()
    report(first, last, done, memory=memory() - before)


asyncio.run(main(int(sys.argv[1])))
