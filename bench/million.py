# SPDX-License-Identifier: MIT
"""1 000 000 NDJSON records, file -> sql (rename a field, multiply another) -> file, beside jq, Miller and Python."""
import json
import shutil
import sys

from common import PLACE, done, measure, sluice, table

with open(PLACE / "in.ndjson", "w") as file:
    for i in range(1_000_000):
        file.write(json.dumps({"id": i, "user": f"user{i % 1000}", "amount": round(i * 0.37, 2), "paid": i % 3 == 0,
                               "city": "Zürich" if i % 7 == 0 else "Paris", "tags": ["a", "b"], "note": 'line "q" x'},
                              ensure_ascii=False) + "\n")
CONFIG = """stages = {
  read = { source = "file"; path = "in.ndjson"; };
  vat  = { transform = "sql"; from = "read"; %s
           query = "SELECT id, user AS customer, amount * 1.2 AS amount, paid, city, tags, note FROM input"; };
  save = { sink = "file"; from = "vat"; %s path = "%s.ndjson"; };
};"""
(PLACE / "one.conf").write_text(CONFIG % ("", "", "one"))
(PLACE / "three.conf").write_text(CONFIG % ("processes = 3;", "", "three"))
(PLACE / "any.conf").write_text(CONFIG % ('processes = 3; order = "any";', 'order = "any";', "any"))
(PLACE / "same.py").write_text("""
import json, sys
for line in open("in.ndjson"):
    r = json.loads(line)
    r["customer"] = r.pop("user")
    r["amount"] *= 1.2
    sys.stdout.write(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\\n")
""")
commands = {"sluice": (sluice("one.conf"), None), "sluice, 3 processes": (sluice("three.conf"), None),
            "sluice, 3 processes, any": (sluice("any.conf"), None),
            "python": ([sys.executable, "same.py"], PLACE / "python.ndjson")}
if shutil.which("jq"):
    commands["jq"] = (["jq", "-c", "{id, customer: .user, amount: (.amount * 1.2), paid, city, tags, note}", "in.ndjson"], PLACE / "jq.ndjson")
if shutil.which("mlr"):
    commands["miller"] = (["mlr", "--ijsonl", "--ojsonl", "rename", "user,customer", "then", "put", "$amount = $amount * 1.2", "in.ndjson"],
                          PLACE / "mlr.ndjson")
table(measure(2, commands), "sluice")
right = [json.loads(line) for line in open(PLACE / "python.ndjson")]
for name in ("one", "three"):
    assert [json.loads(line) for line in open(PLACE / f"{name}.ndjson")] == right, name
assert sorted((json.loads(line) for line in open(PLACE / "any.ndjson")), key=lambda r: r["id"]) == right
print("  every record compared with Python's, field by field, in order (any: as a set)")
done()
