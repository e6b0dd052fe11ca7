"""Write the tables of docs/errors.md and docs/limits.md; `--check` only compares.

Codes come from `wire/status.py`, numbers from the constants of the code, so that the pages cannot
say something else than the programs do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping

from error_reasons import CONTRACT, OURS, Reason
from gen_settings_docs import BLOCK, PAGE, table
from limits import GROUPS, Limit

from grantlog.api.v1 import errors_pb2
from grantlog.wire.status import status_of

DOCS = PAGE.parent
KIB = 1024


def reasons(of: Mapping[str, Reason]) -> str:
    """The rows of reasons, by gRPC code and name."""
    rows: list[tuple[int, str, str]] = []
    for name, reason in of.items():
        status = status_of(reason.family("", reason=name))
        codes = f"{status.code.name} | {status.http}"
        rows.append((status.code, name, f"| `{name}` | {codes} | {reason.when} | {reason.do} |"))
    return table("| reason | gRPC | HTTP | when | what to do |", [row for *_, row in sorted(rows)])


def never() -> str:
    """The contract's names that nothing raises, as a sentence."""
    names = [n for n, number in errors_pb2.ErrorCode.items() if number and n not in CONTRACT]
    return ", ".join(f"`{name.removeprefix('ERROR_CODE_')}`" for name in names) + ".\n"


def limits(of: Iterable[Limit]) -> str:
    """The rows of bounds."""
    rows = [
        f"| {row.what} | {quantity(row)} | {row.beyond} |"
        + (f" `{row.setting}` |" if row.setting else " |")
        for row in of
    ]
    return table("| of what | at most | beyond it | setting |", rows)


def quantity(row: Limit) -> str:
    """A bound as people read it."""
    if row.unit == "bytes":
        for size, unit in ((KIB * KIB, "MiB"), (KIB, "KiB")):
            if row.most >= size:
                return f"{row.most / size:g} {unit}"
    return f"{row.most:,.10g} {row.unit}".strip()


def group(name: str) -> Callable[[], str]:
    """What writes a group of bounds."""
    return lambda: limits(GROUPS[name].values())


PAGES = {
    "errors.md": {
        "contract": lambda: reasons(CONTRACT),
        "ours": lambda: reasons(OURS),
        "never": never,
    },
    "limits.md": {name: group(name) for name in GROUPS},
}


def main() -> int:
    """Write the pages, or compare; the exit code tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    only_compare = parser.parse_args().check
    stale = 0
    for name, tables in PAGES.items():
        page = DOCS / name
        text = page.read_text()
        fresh = BLOCK.sub(lambda found, of=tables: found[1] + of[found[2]]() + found[3], text)
        if fresh == text:
            continue
        if only_compare:
            stale = 1
            sys.stderr.write(f"{name} is not what the programs say: make fix writes it anew\n")
        else:
            page.write_text(fresh)
    return stale


if __name__ == "__main__":
    sys.exit(main())
