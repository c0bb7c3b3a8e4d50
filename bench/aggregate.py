# SPDX-License-Identifier: MIT
"""
Groups of 10 000 000 records, few and many: `aggregate` beside the same query in sqlite3, from CSV to CSV; and beside the query alone, of a table that sqlite3 has
loaded before.
"""
import argparse
import csv
import random
import subprocess

from common import PLACE, done, measure, sluice, table

SET = 'n = "count(*)"; total = "sum(amount)"; mean = "avg(amount)";'
QUERY = "SELECT key, count(*) AS n, sum(amount) AS total, avg(amount) AS mean FROM t GROUP BY key"


def feed(name, count, groups):
    chance = random.Random(count)
    with open(PLACE / name, "w") as file:
        file.write("id,key,amount\n")
        for begin in range(0, count, 100_000):
            end = min(begin + 100_000, count)
            file.write("".join(f"{n},k{chance.randrange(groups)},{chance.randrange(10_000_000) / 100}\n" for n in range(begin, end)))


def config(name, source, stages):
    (PLACE / name).write_text(f'name = "{name[:-5]}"; stages = {{ read = {{ source = "file"; path = "{source}"; }}; {stages} }};')
    return sluice(name)


def counted(source, target):
    return (f'sum = {{ transform = "aggregate"; from = "read"; by = "key"; set = {{ {SET} }}; }};'
            f'save = {{ sink = "file"; from = "sum"; path = "{target}"; }};')


def rows(name):
    return {row["key"]: (int(row["n"]), float(row["total"]), float(row["mean"])) for row in csv.DictReader(open(PLACE / name))}


def compare(count, groups, times):
    feed("in.csv", count, groups)
    subprocess.run(["sqlite3", "loaded.db", ".import --csv in.csv t"], cwd=PLACE, check=True)
    found = measure(times, {
        "aggregate": (config("sum.conf", "in.csv", counted("in.csv", "out.csv")), None),
        "sqlite3": (["sqlite3", "-csv", "-header", ":memory:", ".import --csv in.csv t", QUERY.replace("amount)", "CAST(amount AS REAL))")], PLACE / "sqlite.csv"),
        "sqlite3, loaded before": (["sqlite3", "-csv", "loaded.db", QUERY.replace("amount)", "CAST(amount AS REAL))")], None),
        "read and nothing else": (config("null.conf", "in.csv", 'save = { sink = "null"; from = "read"; };'), None),
    })
    ours, theirs = rows("out.csv"), rows("sqlite.csv")
    assert ours.keys() == theirs.keys() and len(ours) <= groups
    assert all(ours[k][0] == theirs[k][0] and abs(ours[k][1] - theirs[k][1]) < 1e-6 * abs(theirs[k][1]) for k in ours)
    print(f"{count:,} records, {len(ours):,} groups: results compared")
    table(found, "sqlite3")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--groups", type=int, nargs="*", default=[1000, 1_000_000])
    parser.add_argument("--times", type=int, default=1)
    args = parser.parse_args()
    try:
        for groups in args.groups:
            compare(args.count, groups, args.times)
    finally:
        done()


if __name__ == "__main__":
    main()
