#!/usr/bin/python3
"""
Power cuts in the long form: for each shape of pipeline, `--cuts` of them over `--records` records from files to a file and an SQLite table, on an ext4
that is shut down without a flush. Wants root, a loop device and mkfs.ext4. Ends at the first record that is missing or there twice.

    SLUICE_BUILD=build bench/power.py [--records 400000] [--cuts 20] [--seed N] [SHAPE ...]
"""
import argparse
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "system"))
from power import power  # noqa: E402
from storm import SHAPES  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description="power cuts, the long form")
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    arguments = parser.parse_args()
    for shape in arguments.shapes or SHAPES:
        begin = time.monotonic()
        cuts = power(shape, arguments.records, arguments.cuts, arguments.seed, "40000/s")
        print(f"{shape}: {arguments.records} records, {cuts} power cuts, seed {arguments.seed}, {time.monotonic() - begin:.1f} s: each record "
              "exactly once", flush=True)


if __name__ == "__main__":
    main()
