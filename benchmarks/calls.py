"""Requests with their right answers, in gRPC's and in REST's bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, cycle, islice
from typing import Final, TypeVar

from loadgen.line import Call
from questions import Question, asked_docs
from world import Fact, Trait, World

from grantlog.api.v1 import base_pb2, service_pb2

_Item = TypeVar("_Item")

CHECK_METHOD: Final = "/base.v1.Permission/Check"
BULK_METHOD: Final = "/base.v1.Permission/BulkCheck"
WRITE_METHOD: Final = "/base.v1.Data/Write"
FACTS_PER_BULK: Final = 1000
ITEMS_PER_BULK: Final = 100
_DEPTH: Final = 20
_SNAP_TOKEN: Final = b"\x0a"
"""How an answer begins whose first field is the token."""


def check_path(tenant: str) -> str:
    """REST's path of a check."""
    return f"/v1/tenants/{tenant}/permissions/check"


def write_path(tenant: str) -> str:
    """REST's path of a data write."""
    return f"/v1/tenants/{tenant}/data/write"


def check(tenant: str, question: Question, *, rest: bool) -> Call:
    """One check; the tenant stands in REST's path."""
    return _rest_check(question) if rest else _grpc_check(tenant, question)


def bulk_checks(tenant: str, asked: Iterable[Question]) -> Iterator[Call]:
    """Bulk checks of 100 questions each."""
    for batch in _batches(asked, ITEMS_PER_BULK):
        request = service_pb2.PermissionBulkCheckRequest(
            tenant_id=tenant, metadata=service_pb2.PermissionCheckRequestMetadata(depth=_DEPTH)
        )
        for question in batch:
            request.items.add(
                entity=base_pb2.Entity(type=question.entity_type, id=question.entity_id),
                permission=question.permission,
                subject=base_pb2.Subject(type="user", id=question.user),
            )
        right = bytes(1 if question.allowed else 2 for question in batch)
        yield Call(request.SerializeToString(), right, judge=_says_all)


def touching_writes(tenant: str, world: World, fresh: str, *, docs: int = 0) -> Iterator[Call]:
    """Endless writes of one tuple each that move what checks read, and none of their answers.

    In turn: a member of a group, a viewer of a folder, a second, empty folder of a document; all
    around the first `docs` documents (0: all), which are those that checks ask for.
    """
    for number in count():
        doc = number * 97 % asked_docs(world, docs)
        folder = world.folder(doc)
        new = f"w{fresh}-{number}"
        group = world.viewers(folder)[0]
        fact = (
            Fact("group", f"g{group}", "member", "user", new),
            Fact("folder", f"f{folder}", "viewer", "user", new),
            Fact("doc", f"d{doc}", "folder", "folder", new),
        )[number % 3]
        yield _grpc_write(tenant, [fact], [])


def single_writes(tenant: str, world: World, fresh: str, *, rest: bool) -> Iterator[Call]:
    """Endless writes of one new tuple each: documents whose ids have `fresh` in them."""
    for number in count():
        folder = f"f{number % world.folders}"
        facts = [Fact("doc", f"w{fresh}-{number}", "folder", "folder", folder)]
        yield _rest_write(facts) if rest else _grpc_write(tenant, facts, [])


def bulk_writes(tenant: str, facts: Iterable[Fact], traits: Iterable[Trait] = ()) -> Iterator[Call]:
    """Writes of 1,000 tuples each, then of 1,000 attributes each."""
    for batch in _batches(facts, FACTS_PER_BULK):
        yield _grpc_write(tenant, batch, [])
    for some in _batches(traits, FACTS_PER_BULK):
        yield _grpc_write(tenant, [], some)


def more_facts(world: World, fresh: str) -> Iterator[Fact]:
    """Endless new documents, for bulk writes on top of a world."""
    for number in count():
        folder = f"f{number % world.folders}"
        yield Fact("doc", f"b{fresh}-{number}", "folder", "folder", folder)


def blended(most: Iterator[Call], few: Iterator[Call], every: int) -> Iterator[Call]:
    """Calls of `most`, but each `every`th of `few`, whose method is the connection's second."""
    while True:
        yield from islice(most, every - 1)
        yield next(few)._replace(method=1)


def round_and_round(made: Iterator[Call], number: int) -> Iterator[Call]:
    """The first so many calls again and again, all of them made before the first is asked."""
    return cycle(list(islice(made, number)))


def encoded_ahead(made: Iterator[Call], number: int) -> Iterator[Call]:
    """All calls, the first so many of them made before the first is asked."""
    return chain(list(islice(made, number)), made)


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _says_all(message: bytes, expected: bytes) -> bool:
    """Whether the answer to a bulk check has these results, a byte each, in order."""
    answer = service_pb2.PermissionBulkCheckResponse.FromString(message)
    return bytes(result.can for result in answer.results) == expected


def _grpc_check(tenant: str, question: Question) -> Call:
    request = service_pb2.PermissionCheckRequest(
        tenant_id=tenant,
        metadata=service_pb2.PermissionCheckRequestMetadata(depth=_DEPTH),
        entity=base_pb2.Entity(type=question.entity_type, id=question.entity_id),
        permission=question.permission,
        subject=base_pb2.Subject(type="user", id=question.user),
    )
    return Call(request.SerializeToString(), b"\x08\x01" if question.allowed else b"\x08\x02")


def _rest_check(question: Question) -> Call:
    body = {
        "metadata": {"schema_version": "", "snap_token": "", "depth": _DEPTH},
        "entity": {"type": question.entity_type, "id": question.entity_id},
        "permission": question.permission,
        "subject": {"type": "user", "id": question.user, "relation": ""},
    }
    can = b"CHECK_RESULT_ALLOWED" if question.allowed else b"CHECK_RESULT_DENIED"
    return Call(json.dumps(body).encode(), can)


def _grpc_write(tenant: str, facts: Sequence[Fact], traits: Sequence[Trait]) -> Call:
    request = service_pb2.DataWriteRequest(
        tenant_id=tenant, metadata=service_pb2.DataWriteRequestMetadata()
    )
    for fact in facts:
        request.tuples.add(
            entity=base_pb2.Entity(type=fact.entity_type, id=fact.entity_id),
            relation=fact.relation,
            subject=base_pb2.Subject(
                type=fact.subject_type, id=fact.subject_id, relation=fact.subject_relation
            ),
        )
    for trait in traits:
        attribute = request.attributes.add(
            entity=base_pb2.Entity(type="doc", id=trait.doc), attribute=trait.name
        )
        if isinstance(trait.value, bool):
            attribute.value.Pack(base_pb2.BooleanValue(data=trait.value))
        else:
            attribute.value.Pack(base_pb2.IntegerValue(data=trait.value))
    return Call(request.SerializeToString(), _SNAP_TOKEN)


def _rest_write(facts: Sequence[Fact]) -> Call:
    tuples = [
        {
            "entity": {"type": fact.entity_type, "id": fact.entity_id},
            "relation": fact.relation,
            "subject": {
                "type": fact.subject_type,
                "id": fact.subject_id,
                "relation": fact.subject_relation,
            },
        }
        for fact in facts
    ]
    body = {"metadata": {"schema_version": ""}, "tuples": tuples, "attributes": []}
    return Call(json.dumps(body).encode(), b'"snap_token":')
