# SPDX-License-Identifier: MIT
"""What every script here ends with: when its first item began and its last one ended, and what came out, for bench/workers.py to check."""
import json
import sys


def memory():
    """The most memory that this process has had, its page tables included, in bytes."""
    sizes = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * sum(int(sizes[name].split()[0]) for name in ("VmHWM", "VmPTE"))


def report(first, last, results, **more):
    json.dump({"first": first, "last": last, "results": results, **more}, sys.stdout)
