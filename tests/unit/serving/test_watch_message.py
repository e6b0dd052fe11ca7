"""Messages for watchers: made once for all who hear the same, and never for those who do not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from grantlog.api.v1 import service_pb2
from grantlog.app.watch import Told
from grantlog.model.attributes import parse_attribute
from grantlog.model.change import AttributeChange, Change, Operation, TupleChange
from grantlog.model.tuples import parse_tuple
from grantlog.serving.metadata import set_request_metadata
from grantlog.serving.watch_message import KeptMessages, WatchMessage
from grantlog.serving.watching import WatchHandlers

ONE = TupleChange(Operation.CREATE, parse_tuple("doc:1#viewer@user:1"))
TWO = TupleChange(Operation.CREATE, parse_tuple("doc:2#viewer@user:1"))


def told(*changes: Change, token: str = "own") -> Told:
    return Told(token, "previous", changes)


async def heard(handlers: WatchHandlers) -> list[WatchMessage]:
    set_request_metadata([])
    return [message async for message in handlers.watch(service_pb2.WatchRequest())]


def handlers(*answers: Told) -> WatchHandlers:
    """Each watcher hears the next of the answers."""
    waiting = list(answers)

    async def watch(*_: object, **__: object) -> AsyncIterator[Told]:
        yield waiting.pop(0)

    return WatchHandlers(watch)


async def test_watchers_that_hear_the_same_share_a_message() -> None:
    two = handlers(told(ONE, TWO), told(ONE, TWO))
    assert await heard(two) == await heard(two)


@pytest.mark.parametrize(
    "other",
    [
        told(ONE),
        told(ONE, ONE),
        told(ONE, TWO, token="later"),
        Told("own", "earlier", (ONE, TWO)),
        told(ONE, TupleChange(Operation.CREATE, parse_tuple("doc:2#viewer@user:1"))),
    ],
)
async def test_watchers_that_hear_something_else_do_not(other: Told) -> None:
    both = handlers(told(ONE, TWO), other)
    (first,), (second,) = await heard(both), await heard(both)
    assert first is not second
    assert second.snap_token == other.snap_token
    assert len(second.changes.data_changes) == len(other.changes)


def test_as_much_is_kept_as_may_be() -> None:
    kept = KeptMessages(entries_max=2, bytes_max=100)
    message = WatchMessage("t", has_changes=True, raw=b"x" * 30)
    revisions = [told(ONE, token=str(number)) for number in range(3)]
    for each in revisions:
        kept.keep(each, [message])
    assert [kept.get(each) is not None for each in revisions] == [False, True, True]
    kept.keep(revisions[0], [message, message, message])  # 90 bytes: no other fits beside it
    assert [kept.get(each) is not None for each in revisions] == [True, False, False]
    kept.keep(revisions[1], [message] * 4)  # more than may be kept at all
    assert [kept.get(each) is not None for each in revisions] == [True, False, False]
    kept.keep(revisions[0], [message])  # instead of the larger one
    kept.keep(revisions[1], [message])
    assert [kept.get(each) is not None for each in revisions] == [True, True, False]


def test_a_message_is_the_same_as_bytes_and_as_a_message() -> None:
    changes = [{"operation": 1, "attribute": {"attribute": "level"}}]
    message = service_pb2.WatchResponse(changes={"snap_token": "t", "data_changes": changes})
    made = WatchMessage.of(message)
    passed_on = WatchMessage("t", has_changes=True, raw=made.SerializeToString())
    assert made.SerializeToString() is made.SerializeToString()
    assert (made.snap_token, made.has_changes) == ("t", True)
    assert passed_on.message == message
    assert passed_on.changes == message.changes


async def test_a_heartbeat_is_no_change() -> None:
    (message,) = await heard(handlers(told()))
    assert not message.has_changes
    value = AttributeChange(Operation.CREATE, parse_attribute("doc:1$level|integer:3"))
    (message,) = await heard(handlers(told(value)))
    assert message.has_changes
