# SPDX-License-Identifier: MIT
"""Files of a journal, made by systemd-journal-remote from entries in systemd's export format."""
import json
import pathlib
import struct
import subprocess

REMOTE = pathlib.Path("/lib/systemd/systemd-journal-remote")
START = 1_700_000_000_000_000
BOOT = "ab" * 16


def field(name, value):
    value = value if isinstance(value, bytes) else str(value).encode()
    if b"\n" in value or not value.isascii():
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def entry(at, *fields, boot=BOOT):
    """`at`: microseconds behind START; fields: (name, value), a name may come again."""
    return b"".join([field("__REALTIME_TIMESTAMP", START + at), field("__MONOTONIC_TIMESTAMP", 1000 + at), field("_BOOT_ID", boot),
                     *(field(*one) for one in fields), b"\n"])


def numbered(numbers, more=()):
    return [entry(n, ("N", n), ("MESSAGE", f"message {n}"), *more) for n in numbers]


def append(path, entries):
    """To the file, which is made if it is not there; each file is a sequence of its own."""
    subprocess.run([REMOTE, "-o", path, "-"], input=b"".join(entries), check=True, capture_output=True)


def journalctl(folder, *options):
    out = subprocess.run(["journalctl", "-D", folder, "-o", "json", "--all", "--no-pager", "-q", *options], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]
