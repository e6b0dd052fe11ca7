#!/usr/bin/env python3
"""Make a tree of random modes, owners and groups, with account files of its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from posixfs.ending import end_with
from posixfs.trees import TreeMaker


def main() -> int:
    """Make BASE/tree, BASE/passwd and BASE/group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="a directory that does not exist yet")
    parser.add_argument("--entries", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("generate: not run: needs root (it gives files to other users)", file=sys.stderr)
        return 2
    try:
        TreeMaker(options.base, entries=options.entries, seed=options.seed).make()
    except OSError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 2
    print(f"generated {options.base}/tree with {options.entries} entries (seed {options.seed})")
    return 0


if __name__ == "__main__":
    end_with(main)
