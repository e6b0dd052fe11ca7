"""The shelf keeps its bound, and what is asked for."""

from __future__ import annotations

import gc
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.cache.shelf import ENTRY_BYTES, Shelf
from grantlog.cache.sizes import size_of_key
from grantlog.model.ids import Revision

ONE = ENTRY_BYTES + size_of_key((1, "a" * 10)) + 100
AT = Revision(1)


def put(shelf: Shelf[int], number: int, value_bytes: int = 100) -> None:
    shelf.put((1, f"{number:010}"), number, AT, (), value_bytes)


def has(shelf: Shelf[int], number: int) -> bool:
    return shelf.find((1, f"{number:010}")) is not None


def test_what_is_put_is_found_until_there_is_no_room():
    shelf: Shelf[int] = Shelf(10 * ONE)
    for number in range(10):
        put(shelf, number)
    assert all(has(shelf, number) for number in range(10))
    assert len(shelf) == 10
    assert shelf.evicted == 0


def test_what_is_asked_for_outlives_a_crowd_that_is_asked_for_once():
    shelf: Shelf[int] = Shelf(100 * ONE)
    for number in range(50):
        put(shelf, number)
        has(shelf, number)
    for number in range(1_000, 3_000):
        put(shelf, number)
    assert sum(has(shelf, number) for number in range(50)) == 50


def test_who_comes_back_soon_is_kept():
    shelf: Shelf[int] = Shelf(20 * ONE)
    for number in range(30):
        put(shelf, number)
    assert not has(shelf, 0)
    put(shelf, 0)
    for number in range(100, 118):
        put(shelf, number)
    assert has(shelf, 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2_000), st.booleans())))
def test_the_bound_holds_whatever_is_put_and_sizes_add_up(acts: list[tuple[int, int, bool]]):
    shelf: Shelf[int] = Shelf(5 * ONE)
    for number, size, is_put in acts:
        if is_put:
            put(shelf, number, size)
        else:
            has(shelf, number)
        assert shelf.bytes <= 5 * ONE
        entries = shelf.entries.values()
        assert shelf.bytes == sum(entry.size for entry in entries)
        assert len(shelf._small) + len(shelf._main) == len(shelf)


def test_a_value_larger_than_all_is_not_kept():
    shelf: Shelf[int] = Shelf(ONE)
    put(shelf, 1, 10 * ONE)
    assert len(shelf) == 0
    assert shelf.bytes == 0


def test_bytes_are_what_the_interpreter_takes_for_them():
    gc.collect()
    tracemalloc.start()
    shelf: Shelf[tuple[int, ...]] = Shelf(1 << 30)
    for number in range(5_000):
        value = (number + 1_000_000,) * 3
        shelf.put((1, f"{number:020}"), value, Revision(number + 1_000), (), 64 + 32)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken * 0.8 < shelf.bytes < taken * 1.6
