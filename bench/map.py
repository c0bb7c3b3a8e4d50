# SPDX-License-Identifier: MIT
"""1 000 000 NDJSON records of about 165 bytes, rename a field, multiply another, file to file: `map` beside a program written by hand, `sql`, jq, Miller, Python.

Then where the processes of sluice spend their time, if perf is there. An argument: how many rounds (3).
"""
import json
import os
import shutil
import subprocess
import sys

from common import ENV, PLACE, done, measure, sluice, table

HERE = os.path.dirname(os.path.abspath(__file__))
with open(PLACE / "in.ndjson", "w") as file:
    for i in range(1_000_000):
        file.write(json.dumps({"id": i, "user": f"user{i % 1000}", "amount": round(i * 0.37, 2), "paid": i % 3 == 0,
                               "city": "Zürich" if i % 7 == 0 else "Paris", "tags": ["a", "b"],
                               "note": 'line "q" x, and what else somebody wrote beside it'}, ensure_ascii=False, separators=(",", ":")) + "\n")
CONFIG = """stages = {
  read = { source = "file"; path = "in.ndjson"; };
  work = { transform = %s from = "read"; };
  save = { sink = "file"; from = "work"; path = "%s.ndjson"; };
};"""
STAGES = {"map": '"map"; rename = { user = "customer"; }; set = { amount = "amount * 1.2"; };',
          "rename": '"map"; rename = { user = "customer"; };',
          "sql": '"sql"; query = "SELECT id, user AS customer, amount * 1.2 AS amount, paid, city, tags, note FROM input";'}
for name, stage in STAGES.items():
    (PLACE / f"{name}.conf").write_text(CONFIG % (stage, name))
flags = subprocess.run(["pkg-config", "--cflags", "--libs", "simdjson"], capture_output=True, text=True, check=True).stdout.split()
subprocess.run(["g++", "-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-o", PLACE / "hand", f"{HERE}/map.cc", *flags], check=True)
(PLACE / "same.py").write_text("""
import json, sys
for line in open("in.ndjson"):
    r = json.loads(line)
    sys.stdout.write(json.dumps({"customer" if k == "user" else k: v * 1.2 if k == "amount" else v for k, v in r.items()},
                                ensure_ascii=False, separators=(",", ":")) + "\\n")
""")
commands = {"by hand": ([PLACE / "hand", "in.ndjson", "hand.ndjson"], None), "map": (sluice("map.conf"), None),
            "map, rename only": (sluice("rename.conf"), None), "sql": (sluice("sql.conf"), None),
            "python": ([sys.executable, "same.py"], PLACE / "python.ndjson")}
if shutil.which("jq"):
    commands["jq"] = (["jq", "-c", "{id, customer: .user, amount: (.amount * 1.2), paid, city, tags, note}", "in.ndjson"], PLACE / "jq.ndjson")
if shutil.which("mlr"):
    commands["miller"] = (["mlr", "--ijsonl", "--ojsonl", "rename", "user,customer", "then", "put", "$amount = $amount * 1.2", "in.ndjson"],
                          PLACE / "mlr.ndjson")
table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3, commands), "by hand")
right = [json.loads(line) for line in open(PLACE / "python.ndjson")]
for name in ("map", "sql", "hand"):
    assert [json.loads(line) for line in open(PLACE / f"{name}.ndjson")] == right, name
print("  every record compared with Python's, field by field, in order")

if shutil.which("perf"):
    subprocess.run(["perf", "record", "-q", "-F", "2000", "-o", "perf.data", *sluice("map.conf")], cwd=PLACE, env=ENV, check=True,
                   stderr=subprocess.DEVNULL)
    for columns in ("pid,comm", "comm,dso", "sym"):
        found = subprocess.run(["perf", "report", "-i", "perf.data", "--stdio", "-q", "--percent-limit", "1", "--sort", columns], cwd=PLACE,
                               capture_output=True, text=True).stdout
        print(f"  -- by {columns}", *[line for line in found.splitlines() if line.strip()][:16], sep="\n  ")
done()
