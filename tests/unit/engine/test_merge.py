"""Ids of many sources, in order: each once, whatever the pages are."""

from __future__ import annotations

import asyncio
import random

import pytest

from grantlog.engine import merge
from grantlog.engine.merge import Merge, Source
from grantlog.ports.reverse import EntitiesKey, IdPage


def key(name: str) -> EntitiesKey:
    return EntitiesKey("user", name, "", "doc", "viewer")


class Store:
    """Ids by the key's subject, in pages that may be shorter than asked for."""

    def __init__(self, ids: dict[str, list[str]], page_max: int = 1_000) -> None:
        self.ids = {name: sorted(each) for name, each in ids.items()}
        self.page_max = page_max
        self.reads: list[tuple[int, int]] = []

    def page(self, name: str, after: str, limit: int) -> IdPage:
        ids = [id_ for id_ in self.ids[name] if id_ > after]
        size = min(limit, self.page_max)
        return IdPage(ids[:size], len(ids) > size)

    async def read(self, keys, limit):
        self.reads.append((len(keys), limit))
        return [self.page(key.subject_id, key.after, limit) for key in keys]


def windows(sources, store: Store, *, after: str = "", wanted: int = 10):
    async def run():
        merged = Merge(sources, store.read, after=after, wanted=wanted)
        found = []
        while (window := await merged.window()) is not None:
            found.append(window)
            assert merged.buffered == sum(source.left for source in merged.sources)
        assert merged.buffered == 0
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("seed", range(40))
def test_they_are_the_sorted_union_with_the_marks_of_every_source(seed: int):
    rng = random.Random(seed)
    ids = {
        f"s{n}": [f"{rng.randrange(300):03}" for _ in range(rng.choice((0, 1, 5, 60)))]
        for n in range(rng.choice((1, 3, 12)))
    }
    ids = {name: sorted(set(each)) for name, each in ids.items()}
    store = Store(ids, page_max=rng.choice((1, 2, 7, 1_000)))
    after = rng.choice(("", "100", "250"))

    def read_of(name: str):
        async def read(after: str, limit: int) -> IdPage:
            return store.page(name, after, limit)

        return read

    ways = (
        lambda name: Source(name, key=key(name)),
        lambda name: Source(name, ids=reversed(ids[name])),
        lambda name: Source(name, read=read_of(name)),
    )
    sources = [rng.choice(ways)(name) for name in ids]
    found = windows(sources, store, after=after, wanted=rng.choice((1, 10, 500)))
    flat = [(id_, sorted(marks)) for window in found for id_, marks in window.items()]
    expected: dict[str, list[str]] = {}
    for name, each in ids.items():
        for id_ in each:
            if id_ > after:
                expected.setdefault(id_, []).append(name)
    assert flat == [(id_, sorted(expected[id_])) for id_ in sorted(expected)]


def test_a_window_is_bounded_however_much_is_buffered(monkeypatch):
    monkeypatch.setattr(merge, "WINDOW_MAX", 10)
    sources = [Source(n, ids=[f"{n:02}-{i}" for i in range(7)]) for n in range(5)]
    assert [len(window) for window in windows(sources, Store({}))] == [10, 10, 10, 5]


def test_first_pages_are_small_and_grow():
    store = Store({str(n): [f"{i:04}" for i in range(n, 4_000, 4)] for n in range(4)})
    windows([Source(n, key=key(str(n))) for n in range(4)], store, wanted=16)
    limits = [limit for _, limit in store.reads]
    assert limits[0] == 16
    assert limits == sorted(limits)
    assert limits[-1] == 1_000


def test_many_sources_are_read_in_small_pages_to_the_end():
    store = Store({str(n): [f"{n:04}"] for n in range(4_000)})
    found = windows([Source(n, key=key(str(n))) for n in range(4_000)], store, wanted=100_000)
    assert sum(map(len, found)) == 4_000
    assert store.reads == [(4_000, 16)]
