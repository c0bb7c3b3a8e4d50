# SPDX-License-Identifier: MIT
"""COUNT GraphQL queries, WORKERS at a time, by threads and urllib. post_threads.py URL COUNT WORKERS"""
import concurrent.futures
import json
import sys
import time
import urllib.request

from report import report

QUERY = "query ($id: Int!) { item(id: $id) { id name } }"
url, count, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def ask(n):
    body = json.dumps({"query": QUERY, "variables": {"id": n}}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["data"]["item"]


with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    first = time.monotonic()
    done = list(pool.map(ask, range(count)))
    last = time.monotonic()
report(first, last, done)
