#!/usr/bin/env python3
"""Measure lookups over REST: of a tenth of all documents, and of as many whatever the world's size.

`run.py` measures them too; alone: `benchmarks/lookups.py [--sizes 10000,300000]`.

The worlds are in lookup_world.py.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Final

from lookup_world import FEW, SCHEMA, seen_by, world
from server import HOST, Post, Server, ServerFailedError, running_server

SIZES: Final = (10_000, 300_000)
_ROUNDS: Final = 5
_LONG_ROUNDS: Final = 2
_LONG: Final = 20_000
"""Answers of more ids are asked for in fewer rounds."""
_CALLS: Final = 100
_PAGE: Final = 100
_PAGE_MAX: Final = 10_000
_WRITE: Final = 1_000
_KNOWN_MAX: Final = 100_000
"""A rule alone is asked about every document: not in larger worlds."""
_BARS_MS: Final = {"first page": 100.0, "all": 2_000.0}
_ISSUE_ROW: Final = ("entities, 1 of 30", 300_000)
_ISSUE_BARS_MS: Final = {"first page": 30.0, "all": 300.0}
"""Of 10,000 documents among 300,000."""
_PAGED_BAR: Final = 3.0

Ask = Callable[[Post, str, str, int], tuple[list[str], str]]
"""A page of ids and the token of the next one, of a tenant, behind a token, of a size."""


@dataclass(frozen=True)
class Looked:
    """One measurement; times are medians of some rounds, in milliseconds."""

    what: str
    size: int
    found: int
    first_ms: float
    """The first page of 100."""
    all_ms: float
    """All of it, in pages of 10,000."""
    paged_ms: float
    """All of it, in pages of 100."""
    lag_ms: float
    """The longest that another caller waited for `/healthz` meanwhile."""
    call_ms: float = 0.0
    """A check whose answer is known, by the same caller: no page can cost less."""

    @property
    def key(self) -> str:
        """What makes two rows of different runs comparable."""
        return f"{self.what}/{self.size}"

    def line(self, smallest: Looked) -> str:
        """A row of the table; growth is against the smallest world's."""
        return (
            f"{self.what:<28} {self.size:>9,} {self.found:>8,} {self.first_ms:>9.1f} "
            f"{self.all_ms:>9.1f} {self.paged_ms:>10.1f} {self.lag_ms:>8.1f} "
            f"{self.first_ms / smallest.first_ms:>7.2f}x {self.all_ms / smallest.all_ms:>7.2f}x"
        )

    @property
    def _calls_alone(self) -> float:
        """What calling costs alone, for as many pages, against all at once."""
        return self.call_ms * self.found / _PAGE / self.all_ms

    def verdicts(self) -> Iterator[str]:
        """How it stands against the bars."""
        bars = _ISSUE_BARS_MS if (self.what, self.size) == _ISSUE_ROW else _BARS_MS
        for name, ms in (("first page", self.first_ms), ("all", self.all_ms)):
            met = "met" if ms < bars[name] else "MISSED"
            yield f"{self.what}, {name}: {ms:,.1f} ms, bar {bars[name]:,.0f} ms: {met}"
        times = self.paged_ms / self.all_ms
        if self.found > _PAGE:
            met = "met" if times < _PAGED_BAR else "MISSED"
            yield (
                f"{self.what}, {self.found // _PAGE} pages: {times:.1f} times all at once "
                f"(as many checks: {self._calls_alone:.1f} times), bar {_PAGED_BAR:.0f}: {met}"
            )


HEADER: Final = (
    f"{'lookup':<28} {'documents':>9} {'found':>8} {'first ms':>9} {'all ms':>9} {'by 100 ms':>10} "
    f"{'lag ms':>8} {'first x':>8} {'all x':>8}"
)


def measure(server: Server, sizes: Iterable[int] = SIZES) -> Iterator[Looked]:
    """Load a world of each size and look up in it."""
    for size in sizes:
        tenant = f"lookups-{size}"
        server.post(f"/v1/tenants/{tenant}/schemas/write", {"schema": SCHEMA})
        facts = world(size)
        while part := list(islice(facts, _WRITE)):
            server.post(f"/v1/tenants/{tenant}/data/write", {"metadata": {}, "tuples": part})
        for what, found, ask in _questions(size):
            yield _measured(server, tenant, what, size, found, ask)


def show(rows: Iterable[Looked]) -> list[Looked]:
    """Print the table as it is measured; its rows."""
    print(HEADER)
    smallest: dict[str, Looked] = {}
    shown: list[Looked] = []
    for row in rows:
        print(row.line(smallest.setdefault(row.what, row)), flush=True)
        shown.append(row)
    return shown


def _questions(size: int) -> Iterator[tuple[str, int, Ask]]:
    """What is asked, how many ids are right, and how to ask."""
    tenth = size // 10
    for permission in ("view", "edit", "read"):
        yield f"entities, doc#{permission}", tenth, _entities(permission, "asking")
    for user, name in (("some", "1 of 30"), ("most", "1 of 3")):
        yield f"entities, {name}", seen_by(user, size), _entities("view", user)
    yield "entities, 100 of all", FEW, _entities("view", "reader")
    if size <= _KNOWN_MAX:
        yield "entities, a rule alone", size + 2, _entities("open", "asking")
    yield "subjects, doc#view", tenth, _subjects("crowded")
    yield "subjects, 100 of all", FEW, _subjects("quiet")


def _measured(server: Server, tenant: str, what: str, size: int, expected: int, ask: Ask) -> Looked:
    first: list[float] = []
    whole: list[float] = []
    paged: list[float] = []
    with _lag(server) as lags, server.rest() as post:
        for _ in range(_LONG_ROUNDS if expected > _LONG else _ROUNDS):
            begun = time.perf_counter()
            ask(post, tenant, "", _PAGE)
            first.append(time.perf_counter() - begun)
            for page, spent in ((_PAGE_MAX, whole), (_PAGE, paged)):
                begun = time.perf_counter()
                found, token = ask(post, tenant, "", page)
                while token:
                    more, token = ask(post, tenant, token, page)
                    found += more
                spent.append(time.perf_counter() - begun)
                if len(found) != expected or found != sorted(set(found)):
                    raise ServerFailedError(f"{what}: {len(found)} ids, expected {expected}")
        calls = list(_calls(post, tenant))
    times = [median(spent) * 1e3 for spent in (first, whole, paged)]
    return Looked(what, size, expected, *times, max(lags) * 1e3, median(calls) * 1e3)


def _calls(post: Post, tenant: str) -> Iterator[float]:
    """How long calls take in which the server has next to nothing to do, in seconds."""
    question = {
        "metadata": {"depth": 20},
        "entity": {"type": "doc", "id": "quiet"},
        "permission": "view",
        "subject": {"type": "user", "id": "nobody"},
    }
    for _ in range(_CALLS):
        begun = time.perf_counter()
        post(f"/v1/tenants/{tenant}/permissions/check", question)
        yield time.perf_counter() - begun


@contextmanager
def _lag(server: Server) -> Iterator[Sequence[float]]:
    """How long `/healthz` takes meanwhile, again and again, in seconds."""
    done = threading.Event()
    lags = [0.0]

    def probe() -> None:
        connection = http.client.HTTPConnection(HOST, server.http_port, timeout=60)
        while not done.wait(0.005):
            begun = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            lags.append(time.perf_counter() - begun)
        connection.close()

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield lags
    finally:
        done.set()
        thread.join()


def _entities(permission: str, user: str) -> Ask:
    def ask(post: Post, tenant: str, token: str, size: int) -> tuple[list[str], str]:
        answer = post(
            f"/v1/tenants/{tenant}/permissions/lookup-entity",
            {
                "metadata": {"depth": 20},
                "entity_type": "doc",
                "permission": permission,
                "subject": {"type": "user", "id": user},
                "page_size": size,
                "continuous_token": token,
            },
        )
        return answer.get("entity_ids", []), answer.get("continuous_token", "")

    return ask


def _subjects(doc: str) -> Ask:
    def ask(post: Post, tenant: str, token: str, size: int) -> tuple[list[str], str]:
        answer = post(
            f"/v1/tenants/{tenant}/permissions/lookup-subject",
            {
                "metadata": {"depth": 20},
                "entity": {"type": "doc", "id": doc},
                "permission": "view",
                "subject_reference": {"type": "user"},
                "page_size": size,
                "continuous_token": token,
            },
        )
        return answer.get("subject_ids", []), answer.get("continuous_token", "")

    return ask


def main() -> int:
    """Exit status: 0, or 2 if it could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="documents")
    parser.add_argument("serve", nargs="*", help="flags for grantlog serve, behind --")
    options = parser.parse_args()
    try:
        with running_server(options.serve) as server:
            rows = show(measure(server, [int(size) for size in options.sizes.split(",")]))
    except ServerFailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    for row in rows:
        for verdict in row.verdicts():
            print(f"- {row.size:,} documents: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
