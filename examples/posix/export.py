#!/usr/bin/env python3
"""Write a directory tree and the system's users as facts for `grantlog data import`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from posixfs.accounts import read_accounts
from posixfs.ending import end_with
from posixfs.facts import facts
from posixfs.walk import Skipped, walk


def main() -> int:
    """Export ROOT to a file or to standard output, one fact per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="the tree; directories above it are exported too")
    parser.add_argument("-o", "--output", type=Path, help="default: standard output")
    parser.add_argument("--passwd", type=Path, default=Path("/etc/passwd"))
    parser.add_argument("--group", type=Path, default=Path("/etc/group"))
    options = parser.parse_args()
    skipped = Skipped()
    lines = 0
    try:
        users = read_accounts(options.passwd, options.group)
        with options.output.open("w") if options.output else sys.stdout as out:
            for fact in facts(users.values(), walk(options.root, skipped)):
                out.write(fact + "\n")
                lines += 1
    except OSError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    for reason, path in skipped.notable:
        print(f"export: left out: {reason}: {path!r}", file=sys.stderr)
    left_out = ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.counts.items()))
    print(f"exported {lines} facts; left out: {left_out or 'nothing'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    end_with(main)
