#!/usr/bin/python3
"""
Kill storms in the long form (`make soak`): for each shape of pipeline one run over many records, from files to a file and an SQLite table, while
its processes, one time in ten the supervisor itself, are killed at random. Ends at the first record that is missing or there twice.

    SLUICE_BUILD=build bench/soak.py [--records 1000000] [--kills 1000] [--seed N] [SHAPE ...]
"""
import argparse
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "system"))
from conftest import Place  # noqa: E402
from storm import SHAPES, storm  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="kill storms, the long form")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    arguments = parser.parse_args()
    for shape in arguments.shapes or SHAPES:
        place = Place(tempfile.mkdtemp(prefix="soak"))
        try:
            begin = time.monotonic()
            # So slow that there is time for all the kills, were they not to cost any.
            rate = max(1, int(arguments.records / (arguments.kills * 0.05)))
            kills = storm(place, shape, arguments.records, arguments.kills, arguments.seed, rate=f"{rate}/s", timeout=3600)
            print(f"{shape}: {arguments.records} records, {kills} kills, {time.monotonic() - begin:.1f} s: each record exactly once",
                  flush=True)
        finally:
            place.close()


if __name__ == "__main__":
    main()
