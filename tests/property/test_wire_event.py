"""Event payloads: what is written is what is read, in parts of bounded size, as JSON too."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from grantlog.changelog.kafka.message import JSON_MESSAGE_BYTES_MAX
from grantlog.errors import CorruptionError, LimitError
from grantlog.event.v1 import event_pb2
from grantlog.model.attributes import INT32_MAX, INT32_MIN, Attribute, AttributeType, AttributeValue
from grantlog.model.change import (
    AttributeChange,
    Body,
    BundleDeleted,
    BundleWritten,
    Change,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    Transaction,
    TupleChange,
)
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.wire.event import (
    PART_BYTES_MAX,
    PART_CHANGES_MAX,
    _pieces,
    decode_transaction,
    encode_transaction,
    event_as_json,
)

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
entities = st.builds(Entity, texts, texts)
subjects = st.builds(Subject, texts, texts, texts)
operations = st.sampled_from(Operation)
SCALARS = {
    AttributeType.BOOLEAN: st.booleans(),
    AttributeType.STRING: texts,
    AttributeType.INTEGER: st.integers(INT32_MIN, INT32_MAX),
    AttributeType.DOUBLE: st.floats(allow_nan=False),
}


def values_of(kind: AttributeType) -> st.SearchStrategy[AttributeValue]:
    scalar = SCALARS[kind.scalar]
    data = st.lists(scalar, max_size=3).map(tuple) if kind.is_array else scalar
    return data.map(lambda d: AttributeValue(kind, d))


attributes = st.builds(
    Attribute, entities, texts, st.sampled_from(AttributeType).flatmap(values_of)
)
changes = st.one_of(
    st.builds(TupleChange, operations, st.builds(RelationTuple, entities, texts, subjects)),
    st.builds(AttributeChange, operations, attributes),
)
versions = texts.map(SchemaVersion)
bodies: st.SearchStrategy[Body] = st.one_of(
    st.builds(DataWritten, st.lists(changes, max_size=5).map(tuple), versions),
    st.builds(SchemaWritten, versions, texts),
    st.builds(TenantCreated, texts),
    st.just(TenantDeleted()),
    st.builds(BundleWritten, texts, texts),
    st.builds(BundleDeleted, texts),
)
transactions = st.builds(
    Transaction,
    tenant=texts.map(TenantId),
    epoch=st.integers(1, 2**32 - 1).map(Epoch),
    revision=st.integers(1, 2**63 - 1).map(Revision),
    commit_time=st.integers(0, 2**57).map(lambda us: UNIX_EPOCH + timedelta(microseconds=us)),
    body=bodies,
    salt=st.binary(min_size=16, max_size=16),
    previous_digest=st.binary(min_size=16, max_size=16),
    digest=st.binary(min_size=16, max_size=16),
    write_id=st.binary(max_size=16),
    actor=texts,
    metadata=st.dictionaries(texts, texts, max_size=3),
)


def exact(transaction: Transaction) -> str:
    """Tells 1 from True and 1.0, which `==` does not."""
    return repr(replace(transaction, metadata=dict(sorted(transaction.metadata.items()))))


def sample(body: Body) -> Transaction:
    return Transaction(
        tenant=TenantId("t1"),
        epoch=Epoch(1),
        revision=Revision(7),
        commit_time=datetime(2026, 1, 1, tzinfo=UTC),
        body=body,
        salt=b"s" * 16,
        previous_digest=b"p" * 16,
        digest=b"d" * 16,
        write_id=b"w" * 16,
        actor="key:1",
        metadata={"why": "test"},
    )


def tuple_changes(count: int, *, id_bytes: int = 4) -> tuple[Change, ...]:
    return tuple(
        TupleChange(
            Operation.CREATE,
            RelationTuple(Entity("doc", f"{i:0{id_bytes}}"), "viewer", Subject("user", "1")),
        )
        for i in range(count)
    )


@given(transactions)
def test_decoding_gives_back_what_was_encoded(transaction: Transaction) -> None:
    assert exact(decode_transaction(encode_transaction(transaction))) == exact(transaction)


@given(transactions)
def test_json_and_protobuf_are_the_same_transaction(transaction: Transaction) -> None:
    payloads = encode_transaction(transaction)
    texts = [event_as_json(payload) for payload in payloads]
    assert exact(decode_transaction(texts)) == exact(transaction)
    assert [event_as_json(text) for text in texts] == texts
    standard = [json_format.Parse(text, event_pb2.Event()) for text in texts]
    assert [event.SerializeToString(deterministic=True) for event in standard] == payloads


@given(transactions, st.integers())
def test_members_of_the_json_that_are_not_known_are_ignored(
    transaction: Transaction, extra: int
) -> None:
    texts = [
        json.dumps(json.loads(event_as_json(part)) | {"later": extra}).encode()
        for part in encode_transaction(transaction)
    ]
    assert exact(decode_transaction(texts)) == exact(transaction)


@given(transactions)
def test_encoding_is_a_function_of_the_transaction(transaction: Transaction) -> None:
    again = replace(transaction, metadata=dict(reversed(transaction.metadata.items())))
    assert encode_transaction(transaction) == encode_transaction(again)


@given(transactions, st.binary(max_size=8))
def test_fields_that_are_not_known_are_ignored(transaction: Transaction, extra: bytes) -> None:
    unknown = bytes([0xC2, 0x3E, len(extra)]) + extra  # field 1000, bytes
    parts = [part + unknown for part in encode_transaction(transaction)]
    assert exact(decode_transaction(parts)) == exact(transaction)


@pytest.mark.parametrize(
    ("count", "id_bytes", "parts"),
    [
        (PART_CHANGES_MAX, 4, 1),
        (PART_CHANGES_MAX + 1, 4, 2),
        (9_000, 128, 3),  # 1.4 MB: the bytes decide
    ],
)
def test_large_writes_are_cut_by_count_and_by_bytes(count: int, id_bytes: int, parts: int) -> None:
    transaction = sample(DataWritten(tuple_changes(count, id_bytes=id_bytes), SchemaVersion("v")))
    payloads = encode_transaction(transaction)
    assert len(payloads) == parts
    assert all(len(payload) <= PART_BYTES_MAX for payload in payloads)
    assert decode_transaction(payloads[::-1]) == transaction


@pytest.mark.parametrize(
    "body",
    [
        SchemaWritten(SchemaVersion("v" * 20), "é€😀" * 150_000),
        BundleWritten("b", "x" + "é€😀" * 150_000),
    ],
)
def test_long_texts_are_cut_between_characters(body: Body) -> None:
    payloads = encode_transaction(sample(body))
    assert len(payloads) == 3
    assert all(len(payload) <= PART_BYTES_MAX for payload in payloads)
    assert decode_transaction(payloads) == sample(body)


@given(st.text(st.characters(codec="utf-8")), st.integers(4, 20))
def test_pieces_of_a_text_are_as_long_as_they_may_be(text: str, room: int) -> None:
    pieces = list(_pieces(text, room))
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= room for piece in pieces)
    for piece, following in pairwise(pieces):
        assert len((piece + following[0]).encode()) > room


def test_what_cannot_be_cut_is_refused() -> None:
    text = AttributeValue(AttributeType.STRING, "x" * PART_BYTES_MAX)
    change = AttributeChange(Operation.CREATE, Attribute(Entity("doc", "1"), "text", text))
    with pytest.raises(LimitError, match="one fact"):
        encode_transaction(sample(DataWritten((change,), SchemaVersion("v"))))
    with pytest.raises(LimitError, match="metadata"):
        encode_transaction(replace(sample(TenantDeleted()), metadata={"k": "x" * PART_BYTES_MAX}))


def test_missing_double_and_foreign_parts_are_corruption() -> None:
    transaction = sample(DataWritten(tuple_changes(PART_CHANGES_MAX + 1), SchemaVersion("v")))
    first, second = encode_transaction(transaction)
    other = encode_transaction(replace(transaction, revision=Revision(8)))
    for parts in ([], [first], [second], [first, first], [first, second, second]):
        with pytest.raises(CorruptionError):
            decode_transaction(parts)
    with pytest.raises(CorruptionError, match="different transactions"):
        decode_transaction([first, other[1]])


def test_unreadable_payloads_are_corruption() -> None:
    for part in (b"\xff\xff", b"{", b'{"tenant": 7}', b'{"revision": "-1"}'):
        with pytest.raises(CorruptionError, match="not readable"):
            decode_transaction([part])


def test_kinds_that_are_not_known_are_corruption_and_never_skipped() -> None:
    (payload,) = encode_transaction(sample(TenantDeleted()))
    event = event_pb2.Event.FromString(payload)
    event.ClearField("tenant_deleted")
    with pytest.raises(CorruptionError, match="kind that is not known"):
        decode_transaction([event.SerializeToString()])
    (payload,) = encode_transaction(sample(DataWritten(tuple_changes(1), SchemaVersion("v"))))
    for edit in ("operation", "fact", "value"):
        event = event_pb2.Event.FromString(payload)
        change = event.data_written.changes[0]
        if edit == "operation":
            change.operation = 3
        else:
            change.ClearField("tuple")
            if edit == "value":
                change.attribute.name = "public"
        with pytest.raises(CorruptionError, match="unknown"):
            decode_transaction([event.SerializeToString()])
        with pytest.raises(CorruptionError, match="unknown"):
            decode_transaction([event_as_json(event.SerializeToString())])


def test_kinds_that_json_names_and_this_version_does_not_know_are_never_skipped() -> None:
    (payload,) = encode_transaction(sample(DataWritten(tuple_changes(1), SchemaVersion("v"))))
    text = event_as_json(payload)
    for known, later, said in (
        (b'"data_written"', b'"data_merged"', "kind that is not known"),
        (b'"OPERATION_CREATE"', b'"OPERATION_RENAME"', "unknown operation"),
        (b'"tuple"', b'"triple"', "unknown kind of fact"),
    ):
        assert known in text
        with pytest.raises(CorruptionError, match=said):
            decode_transaction([text.replace(known, later)])


@pytest.mark.parametrize(
    "value",
    [
        AttributeValue(AttributeType.BOOLEAN_ARRAY, (False,) * 500_000),
        AttributeValue(AttributeType.STRING, "\x01" * 500_000),
        AttributeValue(AttributeType.DOUBLE_ARRAY, (-1.7976931348623157e308,) * 60_000),
        AttributeValue(AttributeType.INTEGER_ARRAY, (INT32_MIN,) * 50_000),
        AttributeValue(AttributeType.STRING_ARRAY, ("",) * 250_000),
    ],
    ids=lambda value: value.type.name,
)
def test_the_json_of_a_part_has_room_in_a_message(value: AttributeValue) -> None:
    change = AttributeChange(Operation.CREATE, Attribute(Entity("doc", "1"), "it", value))
    payloads = encode_transaction(sample(DataWritten((change,), SchemaVersion("v"))))
    assert all(len(event_as_json(part)) < JSON_MESSAGE_BYTES_MAX - 64_000 for part in payloads)


def test_the_json_of_many_small_changes_has_room_in_a_message() -> None:
    long = tuple(
        TupleChange(Operation.CREATE, RelationTuple(Entity("doc", "\x01" * 20), "viewer", subject))
        for subject in [Subject("user", "\x01" * 12)] * PART_CHANGES_MAX
    )
    payloads = encode_transaction(sample(DataWritten(long, SchemaVersion("v"))))
    assert all(len(event_as_json(part)) < JSON_MESSAGE_BYTES_MAX - 64_000 for part in payloads)
