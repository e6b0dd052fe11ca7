"""What a follower of the log may call complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.changelog.postgres.mark import LONG_AGO, Mark, decode_mark, next_mark
from grantlog.errors import InvalidInputError

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def step(last: Mark | None, second: int, *writers: str) -> Mark:
    return next_mark(last, life="life", xmin="5", now=at(second), writers=writers)


def test_without_writers_everything_up_to_now_is_promised():
    assert step(None, 3).through == at(3)


def test_with_a_writer_under_way_nothing_new_is_promised():
    mark = step(step(None, 1), 2, "a")
    assert mark.through == at(1)
    assert step(None, 1, "a").through == LONG_AGO


def test_a_time_is_promised_when_all_its_writers_have_ended():
    mark = step(None, 1, "a", "b")
    mark = step(mark, 2, "b", "c")
    assert mark.through == LONG_AGO
    mark = step(mark, 3, "c")
    assert mark.through == at(1)
    assert (mark.pending, mark.writers) == (at(3), ("c",))
    assert step(mark, 4, "d").through == at(3)


def test_the_promise_never_goes_back_with_the_clock():
    assert step(step(None, 9), 3).through == at(9)


_writers = st.lists(st.sampled_from("abcd"), unique=True)


@given(st.lists(_writers, min_size=1, max_size=12))
def test_a_writer_seen_at_two_calls_holds_back_all_times_between(calls: list[list[str]]):
    mark = None
    for second, writers in enumerate(calls):
        mark = step(mark, second, *writers)
        assert mark.through <= at(second)
        if mark.through == LONG_AGO:
            continue
        promised = int((mark.through - START).total_seconds())
        # None that was under way at the promised time has been under way at every call since.
        lasting = set(calls[promised]).intersection(*calls[promised : second + 1])
        assert not lasting


@given(
    st.builds(
        Mark,
        life=st.text(),
        xmin=st.integers(0, 2**64).map(str),
        through=st.datetimes(timezones=st.just(UTC)),
        pending=st.none() | st.datetimes(timezones=st.just(UTC)),
        writers=st.lists(st.text()).map(tuple),
    )
)
def test_a_mark_comes_back_from_its_text(mark: Mark):
    assert decode_mark(mark.encode()) == mark


@pytest.mark.parametrize("text", ["", "{}", "7", '["a"]', '["a", "b", "c", null, []]'])
def test_a_text_that_is_no_mark_is_refused(text: str):
    with pytest.raises(InvalidInputError):
        decode_mark(text)
