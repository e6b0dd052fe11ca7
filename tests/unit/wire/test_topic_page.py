"""docs/change-topic.md shows what is sent: its JSON is what the code writes, byte for byte."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from grantlog.changelog.kafka import message
from grantlog.changelog.kafka.message import Fence, heartbeat_message
from grantlog.event.v1 import event_pb2
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.change import (
    AttributeChange,
    DataWritten,
    Operation,
    Transaction,
    TupleChange,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.wire.event import encode_transaction, event_as_json
from tests.pages.blocks import ROOT, blocks_of

PAGE = "docs/change-topic.md"
NOON = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
DOC = Entity("doc", "1")
WRITTEN = Transaction(
    tenant=TenantId("t1"),
    epoch=Epoch(1),
    revision=Revision(7),
    commit_time=NOON,
    body=DataWritten(
        (
            AttributeChange(
                Operation.DELETE, Attribute(DOC, "size", AttributeValue(AttributeType.INTEGER, 3))
            ),
            TupleChange(Operation.CREATE, RelationTuple(DOC, "viewer", Subject("user", "ann", ""))),
        ),
        SchemaVersion("v1"),
    ),
    salt=b"s" * 16,
    previous_digest=b"p" * 16,
    digest=b"d" * 16,
    write_id=b"w" * 16,
)


def ordered(text: str | bytes) -> str:
    return json.dumps(json.loads(text))


def test_the_json_on_the_page_is_what_is_sent() -> None:
    event, beat = (block.text for block in blocks_of(PAGE) if block.language == "json")
    (payload,) = encode_transaction(WRITTEN)
    assert ordered(event) == ordered(event_as_json(payload))
    sent = heartbeat_message(partition=3, fence=Fence(Epoch(1), 4), through=NOON, form="json")
    assert ordered(beat) == ordered(sent.value)


def test_the_page_names_every_field_body_and_header() -> None:
    page = "\n".join(
        line for line in (ROOT / PAGE).read_text().splitlines() if line.startswith("|")
    )
    named = set(re.findall(r"`([a-z_-]+)`", page))
    fields = {field.name for field in event_pb2.Event.DESCRIPTOR.fields}
    headers = {message.KIND, message.PUBLISHER, message.REVISION, message.PART}
    headers.add(message.CONTENT_TYPE)
    assert {f.removeprefix("header ") for f in headers} | fields <= named
