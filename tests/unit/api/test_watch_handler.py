"""Watching on the wire: filters from metadata, revisions as messages that clients accept."""

from __future__ import annotations

import pytest

from grantlog.api.v1 import service_pb2
from grantlog.app.watch import Told, WatchedSubject, WatchFilter
from grantlog.errors import InvalidInputError
from grantlog.model.attributes import parse_attribute
from grantlog.model.change import AttributeChange, Operation, TupleChange
from grantlog.model.tuples import parse_tuple
from grantlog.serving.metadata import request_metadata, set_request_metadata
from grantlog.serving.watching import MESSAGE_BYTES_MAX, VALUES_MAX, WatchHandlers, watch_filter


def test_metadata_of_others_are_not_kept_and_lists_are_joined():
    set_request_metadata(
        [("grantlog-watch-relations", "a"), ("x", "y"), ("grantlog-watch-relations", "b"),
         ("grantlog-bin", b"raw")]
    )  # fmt: skip
    assert request_metadata() == {"grantlog-watch-relations": "a,b"}


def test_filters_are_read_from_metadata():
    assert watch_filter({"grantlog-as-of": "7"}) == WatchFilter()
    assert watch_filter(
        {
            "grantlog-watch-entity-types": "doc, folder,",
            "grantlog-watch-relations": "viewer",
            "grantlog-watch-subjects": "user,user:a@b:c,team:eng#member",
        }
    ) == WatchFilter(
        frozenset({"doc", "folder"}),
        frozenset({"viewer"}),
        (
            WatchedSubject("user"),
            WatchedSubject("user", "a@b:c"),
            WatchedSubject("team", "eng", "member"),
        ),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("entity-type", "doc"),
        ("entity-types", "d0c"),
        ("relations", "a b"),
        ("subjects", "user:a/b"),
        ("subjects", "user:"),
        ("relations", ",".join(["a"] * (VALUES_MAX + 1))),
    ],
)
def test_a_filter_that_is_none_is_refused(name, value):
    with pytest.raises(InvalidInputError):
        watch_filter({f"grantlog-watch-{name}": value})


def told(*changes):
    return Told("own", "previous", tuple(changes))


async def messages(*heard):
    async def watch(tenant, *, snap_token, where, heartbeat_s):
        for each in heard:
            yield each

    set_request_metadata([])
    return [m.changes async for m in WatchHandlers(watch).watch(service_pb2.WatchRequest())]


async def test_a_revision_is_one_message_with_its_changes_in_order():
    tuple_ = parse_tuple("doc:1#viewer@team:eng#member")
    attribute = parse_attribute("doc:1$level|integer:3")
    (message,) = await messages(
        told(TupleChange(Operation.DELETE, tuple_), AttributeChange(Operation.CREATE, attribute))
    )
    assert message.snap_token == "own"
    first, second = message.data_changes
    assert (first.operation, first.tuple.subject.relation) == (2, "member")
    assert (second.operation, second.attribute.attribute) == (1, "level")


async def test_a_heartbeat_is_a_message_without_changes():
    (message,) = await messages(told())
    assert (message.snap_token, len(message.data_changes)) == ("own", 0)


async def test_a_large_revision_is_cut_and_only_its_last_message_has_its_token():
    value = "x" * 200_000
    changes = [
        AttributeChange(Operation.CREATE, parse_attribute(f"doc:{n}$note|string:{value}"))
        for n in range(40)
    ]
    found = await messages(told(*changes))
    assert len(found) == 3
    assert [m.snap_token for m in found] == ["previous", "previous", "own"]
    assert max(m.ByteSize() for m in found) < MESSAGE_BYTES_MAX + 1_000
    ids = [c.attribute.entity.id for m in found for c in m.data_changes]
    assert ids == [str(n) for n in range(40)]


async def test_many_changes_are_one_message_all_the_same():
    changes = [
        TupleChange(Operation.CREATE, parse_tuple(f"doc:{n}#viewer@user:1")) for n in range(2_000)
    ]
    (message,) = await messages(told(*changes))
    assert len(message.data_changes) == 2_000
