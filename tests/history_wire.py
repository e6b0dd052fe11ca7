"""How the clients of histories say things to a node over gRPC, and understand what it says."""

from __future__ import annotations

from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.model.attributes import Attribute
from grantlog.model.change import Change, Operation
from grantlog.model.ids import TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.testing.histories import Attributes, Checks, Entities, Tuples
from grantlog.testing.histories.log import change_of
from grantlog.testing.histories.record import Answer, Question
from grantlog.wire import convert
from tests import workload

CALL_S_MAX = 10.0
DEPTH = 50
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
]


class Stubs:
    """A node as one client reaches it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.channel = aio.insecure_channel(address, options=_OPTIONS)
        self.data = service_pb2_grpc.DataStub(self.channel)
        self.permission = service_pb2_grpc.PermissionStub(self.channel)
        self.watch = service_pb2_grpc.WatchStub(self.channel)
        self.schema = service_pb2_grpc.SchemaStub(self.channel)
        self.tenancy = service_pb2_grpc.TenancyStub(self.channel)


def write_request(tenant: TenantId, change: workload.Change) -> service_pb2.DataWriteRequest:
    return service_pb2.DataWriteRequest(
        tenant_id=tenant,
        metadata=service_pb2.DataWriteRequestMetadata(),
        tuples=[
            convert.tuple_message(fact)
            for fact in change.creates
            if isinstance(fact, RelationTuple)
        ],
        attributes=[
            convert.attribute_message(fact)
            for fact in change.creates
            if isinstance(fact, Attribute)
        ],
    )


def delete_request(tenant: TenantId, change: workload.Change) -> service_pb2.DataDeleteRequest:
    """One filter that matches these tuples and no other (their ids differ), or its own."""
    tuples, attributes = change.filters().values()
    if change.deletes:
        first: RelationTuple = change.deletes[0]
        ids = tuple(fact.subject.id for fact in change.deletes)
        tuples = TupleFilter(
            first.entity.type, (first.entity.id,), first.relation, first.subject.type, ids,
            first.subject.relation,
        )  # fmt: skip
    return service_pb2.DataDeleteRequest(
        tenant_id=tenant,
        tuple_filter=_tuple_filter(tuples),
        attribute_filter=_attribute_filter(attributes),
    )


def _tuple_filter(where: TupleFilter) -> base_pb2.TupleFilter:
    return base_pb2.TupleFilter(
        entity=base_pb2.EntityFilter(type=where.entity_type, ids=where.entity_ids),
        relation=where.relation,
        subject=base_pb2.SubjectFilter(
            type=where.subject_type, ids=where.subject_ids, relation=where.subject_relation
        ),
    )


def _attribute_filter(where: AttributeFilter) -> base_pb2.AttributeFilter:
    return base_pb2.AttributeFilter(
        entity=base_pb2.EntityFilter(type=where.entity_type, ids=where.entity_ids),
        attributes=where.attributes,
    )


def question_call(
    node: Stubs, tenant: TenantId, question: Question, sent: str
) -> aio.UnaryUnaryCall:
    match question:
        case Checks((one,)):
            request = service_pb2.PermissionCheckRequest(
                tenant_id=tenant,
                metadata=service_pb2.PermissionCheckRequestMetadata(snap_token=sent, depth=DEPTH),
                entity=convert.entity_message(one.entity),
                permission=one.permission,
                subject=convert.subject_message(one.subject),
            )
            return node.permission.Check(request, timeout=CALL_S_MAX)
        case Checks(asked):
            items = [
                service_pb2.PermissionBulkCheckRequestItem(
                    entity=convert.entity_message(one.entity),
                    permission=one.permission,
                    subject=convert.subject_message(one.subject),
                )
                for one in asked
            ]
            request = service_pb2.PermissionBulkCheckRequest(
                tenant_id=tenant,
                metadata=service_pb2.PermissionCheckRequestMetadata(snap_token=sent, depth=DEPTH),
                items=items,
            )
            return node.permission.BulkCheck(request, timeout=CALL_S_MAX)
        case Entities(entity_type, permission, subject):
            request = service_pb2.PermissionLookupEntityRequest(
                tenant_id=tenant,
                metadata=service_pb2.PermissionLookupEntityRequestMetadata(
                    snap_token=sent, depth=DEPTH
                ),
                entity_type=entity_type,
                permission=permission,
                subject=convert.subject_message(subject),
                page_size=1000,
            )
            return node.permission.LookupEntity(request, timeout=CALL_S_MAX)
        case Tuples(condition):
            request = service_pb2.RelationshipReadRequest(
                tenant_id=tenant,
                metadata=service_pb2.RelationshipReadRequestMetadata(snap_token=sent),
                filter=_tuple_filter(condition),
                page_size=1000,
            )
            return node.data.ReadRelationships(request, timeout=CALL_S_MAX)
        case Attributes(condition):
            request = service_pb2.AttributeReadRequest(
                tenant_id=tenant,
                metadata=service_pb2.AttributeReadRequestMetadata(snap_token=sent),
                filter=_attribute_filter(condition),
                page_size=1000,
            )
            return node.data.ReadAttributes(request, timeout=CALL_S_MAX)


def answer_of(question: Question, reply: object) -> Answer:
    match reply:
        case service_pb2.PermissionCheckResponse():
            return (reply.can == base_pb2.CHECK_RESULT_ALLOWED,)
        case service_pb2.PermissionBulkCheckResponse():
            return tuple(one.can == base_pb2.CHECK_RESULT_ALLOWED for one in reply.results)
        case service_pb2.PermissionLookupEntityResponse():
            assert not reply.continuous_token
            return frozenset(reply.entity_ids)
        case service_pb2.RelationshipReadResponse():
            assert not reply.continuous_token
            return frozenset(convert.relation_tuple(fact) for fact in reply.tuples)
        case service_pb2.AttributeReadResponse():
            assert not reply.continuous_token
            return frozenset(convert.attribute(fact) for fact in reply.attributes)
        case _:
            raise AssertionError(f"{question}: {reply}")


def change_told(message: base_pb2.DataChange) -> Change:
    is_tuple = message.HasField("tuple")
    fact = (
        convert.relation_tuple(message.tuple) if is_tuple else convert.attribute(message.attribute)
    )
    return change_of(Operation(message.operation), fact)
