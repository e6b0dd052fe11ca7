"""Requests with their right answers, in gRPC's and in REST's bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count, cycle, islice
from typing import Final

from loadgen.loop import Call
from world import Fact, Question, World

from grantlog.api.v1 import base_pb2, service_pb2

CHECK_METHOD: Final = "/base.v1.Permission/Check"
WRITE_METHOD: Final = "/base.v1.Data/Write"
FACTS_PER_BULK: Final = 1000
_DEPTH: Final = 20
_PREPARED: Final = 20_000
"""So many different checks are encoded before the clock starts, and asked round and round."""
_SNAP_TOKEN: Final = b"\x0a"
"""How an answer begins whose first field is the token."""


def check_path(tenant: str) -> str:
    """REST's path of a check."""
    return f"/v1/tenants/{tenant}/permissions/check"


def write_path(tenant: str) -> str:
    """REST's path of a data write."""
    return f"/v1/tenants/{tenant}/data/write"


def checks(tenant: str, world: World, seed: int, *, rest: bool) -> Iterator[Call]:
    """Endless checks over three levels, half of them denied."""
    form = _rest_check if rest else _grpc_check
    prepared = [form(tenant, q) for q in islice(world.questions(seed), _PREPARED)]
    return cycle(prepared)


def single_writes(tenant: str, world: World, seed: int, *, rest: bool) -> Iterator[Call]:
    """Endless writes of one new tuple each: documents that no other seed writes."""
    form = _rest_write if rest else _grpc_write
    for number in count():
        folder = f"f{number % world.folders}"
        yield form(tenant, [Fact("doc", f"w{seed}-{number}", "folder", "folder", folder)])


def bulk_writes(tenant: str, facts: Iterable[Fact]) -> Iterator[Call]:
    """Writes of 1,000 tuples each."""
    for batch in _batches(facts):
        yield _grpc_write(tenant, batch)


def more_facts(world: World, seed: int) -> Iterator[Fact]:
    """Endless new documents, for bulk writes on top of a world."""
    for number in count():
        folder = f"f{number % world.folders}"
        yield Fact("doc", f"b{seed}-{number}", "folder", "folder", folder)


def _batches(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    iterator = iter(facts)
    while batch := list(islice(iterator, FACTS_PER_BULK)):
        yield batch


def _grpc_check(tenant: str, question: Question) -> Call:
    request = service_pb2.PermissionCheckRequest(
        tenant_id=tenant,
        metadata=service_pb2.PermissionCheckRequestMetadata(depth=_DEPTH),
        entity=base_pb2.Entity(type="doc", id=question.doc),
        permission="view",
        subject=base_pb2.Subject(type="user", id=question.user),
    )
    return Call(request.SerializeToString(), b"\x08\x01" if question.allowed else b"\x08\x02")


def _rest_check(_tenant: str, question: Question) -> Call:
    body = {
        "metadata": {"schema_version": "", "snap_token": "", "depth": _DEPTH},
        "entity": {"type": "doc", "id": question.doc},
        "permission": "view",
        "subject": {"type": "user", "id": question.user, "relation": ""},
    }
    can = b"CHECK_RESULT_ALLOWED" if question.allowed else b"CHECK_RESULT_DENIED"
    return Call(json.dumps(body).encode(), can)


def _grpc_write(tenant: str, facts: list[Fact]) -> Call:
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
    return Call(request.SerializeToString(), _SNAP_TOKEN)


def _rest_write(_tenant: str, facts: list[Fact]) -> Call:
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
