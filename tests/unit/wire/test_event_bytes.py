"""Changes of tuples in bytes are what the generated messages would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.event.v1 import event_pb2
from grantlog.model.attributes import parse_attribute
from grantlog.model.change import AttributeChange, Change, Operation, TupleChange
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.wire.event_bytes import TupleBytes, entry_of
from grantlog.wire.event_facts import fill_change

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["", "doc", "x" * 127, "x" * 128, "é" * 200]
)
FACTS = st.builds(
    RelationTuple, st.builds(Entity, TEXTS, TEXTS), TEXTS, st.builds(Subject, TEXTS, TEXTS, TEXTS)
)
CHANGES = st.builds(TupleChange, st.sampled_from(Operation), FACTS)


def message_of(change: Change) -> event_pb2.Change:
    message = event_pb2.Change()
    fill_change(message, change)
    return message


@given(st.lists(CHANGES, max_size=6))
def test_tuples_are_the_bytes_of_their_messages(changes: list[TupleChange]) -> None:
    made = TupleBytes()
    for change in changes:
        message = message_of(change)
        assert made.change(change) == message.SerializeToString(deterministic=True)
    entries = b"".join(entry_of(message_of(change).SerializeToString()) for change in changes)
    written = event_pb2.DataWritten(changes=map(message_of, changes))
    assert entries == written.SerializeToString(deterministic=True)


@pytest.mark.parametrize("length", [4_095, 4_096, 100_000])
def test_attributes_and_very_long_texts_are_left_to_their_messages(length: int) -> None:
    fact = RelationTuple(Entity("doc", "x" * length), "viewer", Subject("user", "1"))
    long = TupleChange(Operation.CREATE, fact)
    assert TupleBytes().change(long) is None
    raw = message_of(long).SerializeToString()
    assert entry_of(raw) == event_pb2.DataWritten(changes=[message_of(long)]).SerializeToString()
    attribute = AttributeChange(Operation.CREATE, parse_attribute("doc:1$a|boolean:true"))
    assert TupleBytes().change(attribute) is None
