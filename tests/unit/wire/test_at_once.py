"""Requests that are read in one pass: as if they were validated first and converted then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.errors import FieldViolationError
from grantlog.wire import at_once, convert
from grantlog.wire.at_once import Question, read_bulk, read_data, read_relationships
from grantlog.wire.validate import validate

TEXTS = st.sampled_from(["doc", "view_", "u1", "*", "", "a b", "ä", "x" * 64, "x" * 129, "a\n"])
NAMES = st.sampled_from(["doc", "user", "x" * 128]) | TEXTS
IDS = st.sampled_from(["1", "a.b@c:d+e-f", "*"]) | TEXTS
RELATIONS = st.sampled_from(["", "member", "..."]) | TEXTS
MOSTLY = st.integers(0, 9).map(bool)


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Message]:
    """An entity and a subject, of which one may be missing and each text may be wrong."""
    made: dict[str, Message] = {}
    if draw(MOSTLY):
        made["entity"] = base_pb2.Entity(type=draw(NAMES), id=draw(IDS))
    if draw(MOSTLY):
        made["subject"] = base_pb2.Subject(type=draw(NAMES), id=draw(IDS), relation=draw(RELATIONS))
    return made


TUPLES = st.builds(lambda given, name: base_pb2.Tuple(relation=name, **given), parts(), NAMES)
ITEMS = st.builds(
    lambda given, name: service_pb2.PermissionBulkCheckRequestItem(permission=name, **given),
    parts(),
    NAMES,
)
GOOD = base_pb2.Tuple(
    entity=base_pb2.Entity(type="doc", id="1"),
    relation="viewer",
    subject=base_pb2.Subject(type="group", id="eng", relation="member"),
)


def same(read: Callable[[], object], request: Message, made: Callable[[], object]) -> None:
    """Compare what a reader says or makes with what validating and converting do."""
    if text_of(lambda: validate(request)):
        assert text_of(read) == text_of(lambda: validate(request))
    else:
        assert read() == made()


def text_of(do: Callable[[], object]) -> tuple[str, str] | None:
    """The violation's text and field, None if there is none."""
    try:
        do()
    except FieldViolationError as violation:
        return str(violation), violation.field
    return None


@given(st.lists(ITEMS, max_size=3), IDS, MOSTLY, st.integers(0, 3))
def test_bulk_checks(items: list[Message], tenant: str, has_metadata: bool, depth: int) -> None:
    request = service_pb2.PermissionBulkCheckRequest(tenant_id=tenant, items=items)
    if has_metadata:
        request.metadata.depth = depth

    def made() -> list[Question]:
        return [
            Question(convert.entity(i.entity), i.permission, convert.subject(i.subject))
            for i in request.items
        ]

    same(lambda: read_bulk(request).questions, request, made)


@given(st.lists(TUPLES, max_size=3), IDS, MOSTLY)
def test_writes(tuples: list[Message], tenant: str, has_metadata: bool) -> None:
    for kind, read in (
        (service_pb2.DataWriteRequest, read_data),
        (service_pb2.RelationshipWriteRequest, read_relationships),
    ):
        request = kind(tenant_id=tenant, tuples=tuples)
        if has_metadata:
            request.metadata.SetInParent()

        def made(request=request) -> list[object]:
            return [convert.relation_tuple(item) for item in request.tuples]

        same(lambda request=request, read=read: read(request).tuples, request, made)


@pytest.mark.parametrize("text", ["", "a b", "ä", "a\n", "...", "*", "x1", "x" * 64, "x" * 129])
@pytest.mark.parametrize(
    "place",
    ["entity.type", "entity.id", "relation", "subject.type", "subject.id", "subject.relation"],
)
def test_each_text_has_its_rule(place: str, text: str) -> None:
    wrong = base_pb2.Tuple()
    wrong.CopyFrom(GOOD)
    *path, name = place.split(".")
    setattr(getattr(wrong, path[0]) if path else wrong, name, text)
    request = service_pb2.DataWriteRequest(tenant_id="t1", metadata={}, tuples=[GOOD, wrong])
    same(
        lambda: read_data(request).tuples,
        request,
        lambda: [convert.relation_tuple(item) for item in request.tuples],
    )


def test_the_other_fields_are_validated_too() -> None:
    request = service_pb2.DataWriteRequest(tenant_id="t1", metadata={}, tuples=[GOOD])
    request.attributes.add(entity=base_pb2.Entity(type="doc", id="no id"))
    with pytest.raises(FieldViolationError) as refused:
        read_data(request)
    assert refused.value.field == "attributes[0].entity.id"


@pytest.mark.parametrize("count", [0, 1, 100, 101])
def test_bulk_checks_have_one_to_a_hundred_items(count: int) -> None:
    request = service_pb2.PermissionBulkCheckRequest(tenant_id="t1", metadata={"depth": 3})
    for _ in range(count):
        request.items.add(entity=GOOD.entity, permission="view", subject=GOOD.subject)
    same(lambda: len(read_bulk(request).questions), request, lambda: count)


def test_one_name_is_one_text_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "NAMES_MAX", 3)
    names = at_once._Names()
    one, other = (base_pb2.Entity(type="viewer").type for _ in range(2))
    assert names[one] is names[other]
    assert names["no name"] == ""
    for name in "abcdefg":
        assert names[name] == name
        assert len(names) <= 3
