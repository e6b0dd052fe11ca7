#!/usr/bin/env python3
"""Measure lookups over REST: a tenth of all documents, through groups and folders.

`run.py` measures them too; alone: `benchmarks/lookups.py [--sizes 10000,100000]`.

The world of a size has that many documents, a hundred to a folder. A user is in groups of groups
that view a tenth of the folders, so a tenth of the documents is what the user may view. As many
users are in a hundred groups that view one folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any, Final

from server import Server, ServerFailedError, running_server

SIZES: Final = (10_000, 100_000)
_PER_FOLDER: Final = 100
_GROUPS: Final = 10
_CROWDS: Final = 100
_ROUNDS: Final = 5
_PAGE: Final = 100
_WRITE: Final = 1_000
_BARS_MS: Final = {"first page": 100.0, "all": 2_000.0}

_SCHEMA: Final = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation parent @folder
  relation viewer @group#member
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation banned @user
  attribute level integer
  permission view = parent.view
  permission edit = view not banned
  permission read = view and is_low(level)
}
rule is_low(level integer) { level < 3 }
"""


@dataclass(frozen=True)
class Looked:
    """One measurement."""

    what: str
    size: int
    found: int
    first_ms: float
    """The first page of 100."""
    all_ms: float
    """All pages of the default size, one after the other."""

    def __str__(self) -> str:
        return (
            f"{self.what:<28} {self.size:>9,} {self.found:>8,} "
            f"{self.first_ms:>12.1f} {self.all_ms:>12.1f}"
        )

    def verdicts(self) -> Iterator[str]:
        """How it stands against the bars."""
        for name, ms in (("first page", self.first_ms), ("all", self.all_ms)):
            met = "met" if ms < _BARS_MS[name] else "MISSED"
            yield f"{self.what}, {name}: {ms:,.0f} ms, bar {_BARS_MS[name]:,.0f} ms: {met}"


HEADER: Final = f"{'lookup':<28} {'documents':>9} {'found':>8} {'first 100 ms':>12} {'all ms':>12}"


def measure(server: Server, sizes: Iterable[int] = SIZES) -> Iterator[Looked]:
    """Load a world of each size and look up in it."""
    for size in sizes:
        tenant = f"lookups-{size}"
        server.post(f"/v1/tenants/{tenant}/schemas/write", {"schema": _SCHEMA})
        facts = _world(size)
        while part := list(islice(facts, _WRITE)):
            server.post(f"/v1/tenants/{tenant}/data/write", {"metadata": {}, "tuples": part})
        found = size // 10
        for permission in ("view", "edit", "read"):
            entities = _entities(permission)
            yield _measured(server, tenant, f"entities, doc#{permission}", size, found, entities)
        yield _measured(server, tenant, "subjects, doc#view", size, found, _subjects())


def _measured(
    server: Server, tenant: str, what: str, size: int, expected: int, ask: Callable[..., Any]
) -> Looked:
    first, whole = [], []
    found: list[str] = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        page, _ = ask(server, tenant, "", _PAGE)
        first.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        found, token = ask(server, tenant, "", 0)
        while token:
            page, token = ask(server, tenant, token, 0)
            found += page
        whole.append(time.perf_counter() - begun)
    if len(found) != expected or found != sorted(set(found)):
        raise ServerFailedError(f"{what}: {len(found)} ids, expected {expected} in order")
    return Looked(what, size, len(found), median(first) * 1e3, median(whole) * 1e3)


def _entities(permission: str) -> Callable[..., tuple[list[str], str]]:
    def ask(server: Server, tenant: str, token: str, size: int) -> tuple[list[str], str]:
        answer = server.post(
            f"/v1/tenants/{tenant}/permissions/lookup-entity",
            {
                "metadata": {"depth": 20},
                "entity_type": "doc",
                "permission": permission,
                "subject": {"type": "user", "id": "asking"},
                **({"page_size": size} if size else {}),
                "continuous_token": token,
            },
        )
        return answer.get("entity_ids", []), answer.get("continuous_token", "")

    return ask


def _subjects() -> Callable[..., tuple[list[str], str]]:
    def ask(server: Server, tenant: str, token: str, size: int) -> tuple[list[str], str]:
        answer = server.post(
            f"/v1/tenants/{tenant}/permissions/lookup-subject",
            {
                "metadata": {"depth": 20},
                "entity": {"type": "doc", "id": "crowded"},
                "permission": "view",
                "subject_reference": {"type": "user"},
                **({"page_size": size} if size else {}),
                "continuous_token": token,
            },
        )
        return answer.get("subject_ids", []), answer.get("continuous_token", "")

    return ask


def _world(size: int) -> Iterator[dict[str, Any]]:
    folders = size // _PER_FOLDER
    for number in range(size):
        yield _fact(f"doc:{number:08}", "parent", f"folder:{number % folders}")
    for number in range(folders // 10):
        yield _fact(f"folder:{10 * number}", "viewer", f"group:{number % _GROUPS}#member")
    for number in range(_GROUPS):
        yield _fact(f"group:{number}", "member", f"group:root{number % 2}#member")
    for number in range(2):
        yield _fact(f"group:root{number}", "member", "user:asking")
    yield _fact("doc:crowded", "parent", "folder:crowded")
    for number in range(_CROWDS):
        yield _fact("folder:crowded", "viewer", f"group:crowd{number}#member")
    for number in range(size // 10):
        yield _fact(f"group:crowd{number % _CROWDS}", "member", f"user:{number:08}")


def _fact(entity: str, relation: str, subject: str) -> dict[str, Any]:
    type_, _, id_ = entity.partition(":")
    kind, _, rest = subject.partition(":")
    subject_id, _, userset = rest.partition("#")
    return {
        "entity": {"type": type_, "id": id_},
        "relation": relation,
        "subject": {"type": kind, "id": subject_id, "relation": userset},
    }


def main() -> int:
    """Exit status: 0, or 2 if it could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="documents")
    parser.add_argument("serve", nargs="*", help="flags for grantlog serve, behind --")
    options = parser.parse_args()
    rows: list[Looked] = []
    try:
        with running_server(options.serve) as server:
            print(HEADER)
            for row in measure(server, [int(size) for size in options.sizes.split(",")]):
                print(row, flush=True)
                rows.append(row)
    except ServerFailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    for row in rows:
        for verdict in row.verdicts():
            print(f"- {row.size:,} documents: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
