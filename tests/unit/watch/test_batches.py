"""What waits for a node: each watcher's order is kept, and what many hear is sent once."""

from __future__ import annotations

from grantlog_watch.batches import Batches, Listener
from hypothesis import given
from hypothesis import strategies as st

from grantlog.errors import SlowReaderError
from grantlog.serving.watch_message import WatchMessage
from grantlog.watch.v1 import service_pb2 as pb
from grantlog.wire.status import Code, error_of, status_of

MESSAGES = [
    WatchMessage(f"t{number}", has_changes=True, raw=bytes([number]) * (number + 1))
    for number in range(6)
]


def drained(batches: Batches) -> list[pb.Told]:
    return [batches.take() for _ in range(len(batches))]


def heard(batches: list[pb.Told], number: int) -> list[bytes]:
    """What one watcher is told, as a node reads it."""
    return [
        message.response
        for told in batches
        for message in told.messages
        for watcher in message.watchers
        if watcher == number
    ]


def test_what_many_hear_is_sent_once() -> None:
    batches = Batches()
    for number in range(200):
        batches.say(Listener(number, 10), MESSAGES[3])
    (told,) = drained(batches)
    (message,) = told.messages
    assert list(message.watchers) == list(range(200))
    assert (message.response, message.snap_token) == (MESSAGES[3].SerializeToString(), "t3")


def test_what_many_hear_is_sent_once_even_if_it_fills_a_batch() -> None:
    batches = Batches(batch_bytes=2)
    for number in range(3):
        batches.say(Listener(number, 10), MESSAGES[5])
    (told,) = drained(batches)
    assert len(told.messages) == 1


def test_a_watcher_that_is_behind_hears_the_old_before_the_new() -> None:
    batches = Batches()
    first, behind = Listener(1, 100), Listener(2, 100)
    batches.say(first, MESSAGES[1])
    batches.say(behind, MESSAGES[0])
    batches.say(behind, MESSAGES[1])
    assert heard(drained(batches), 2) == [each.SerializeToString() for each in MESSAGES[:2]]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(MESSAGES), st.booleans()), max_size=40),
    st.integers(1, 12),
)
def test_each_watcher_hears_what_it_is_told_in_its_order(
    said: list[tuple[int, WatchMessage, bool]], batch_bytes: int
) -> None:
    batches, taken = Batches(batch_bytes), list[pb.Told]()
    listeners = [Listener(number, 1_000) for number in range(4)]
    for number, message, takes in said:
        batches.say(listeners[number], message)
        if takes:
            taken.append(batches.take())
    taken += drained(batches)
    for listener in listeners:
        own = [m.SerializeToString() for number, m, _ in said if number == listener.number]
        assert heard(taken, listener.number) == own
        assert listener.room == 1_000 - sum(map(len, own))
    for told in taken:
        size = sum(len(message.response) for message in told.messages)
        assert size <= batch_bytes or len(told.messages) == 1


def test_an_end_stands_behind_what_was_said_and_carries_the_error() -> None:
    batches = Batches(batch_bytes=1)
    listener = Listener(7, 10)
    error = SlowReaderError("too slow", facts={"snap_token": "9"})
    batches.say(listener, MESSAGES[1])
    batches.say(listener, MESSAGES[2])
    batches.end(7, status_of(error))
    first, second = drained(batches)
    assert not first.ends
    (end,) = second.ends
    told = error_of(end.code, end.text, end.details)
    assert (type(told), told and told.facts) == (SlowReaderError, {"snap_token": "9"})
    batches.end(8, None)
    assert batches.take().ends[0].code == Code.OK
