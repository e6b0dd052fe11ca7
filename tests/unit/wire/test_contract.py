"""The protos hold the whole public contract: counted, and each RPC's address by name."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor

from grantlog.api.v1 import base_pb2, errors_pb2, service_pb2, validate_pb2
from grantlog.wire.transcode import ROUTES

FILES = (base_pb2.DESCRIPTOR, service_pb2.DESCRIPTOR, errors_pb2.DESCRIPTOR)

RPCS = """
Permission Check POST /v1/tenants/{tenant_id}/permissions/check permissions.check
Permission BulkCheck POST /v1/tenants/{tenant_id}/permissions/bulk-check permissions.bulk-check
Permission Expand POST /v1/tenants/{tenant_id}/permissions/expand permissions.expand
Permission LookupEntity POST /v1/tenants/{tenant_id}/permissions/lookup-entity permissions.lookupEntity
Permission LookupEntityStream POST /v1/tenants/{tenant_id}/permissions/lookup-entity-stream permissions.lookupEntityStream
Permission LookupSubject POST /v1/tenants/{tenant_id}/permissions/lookup-subject permissions.lookupSubject
Permission SubjectPermission POST /v1/tenants/{tenant_id}/permissions/subject-permission permissions.subjectPermission
Watch Watch POST /v1/tenants/{tenant_id}/watch watch.watch
Schema Write POST /v1/tenants/{tenant_id}/schemas/write schemas.write
Schema PartialWrite PATCH /v1/tenants/{tenant_id}/schemas/partial-write schemas.partial-write
Schema Read POST /v1/tenants/{tenant_id}/schemas/read schemas.read
Schema List POST /v1/tenants/{tenant_id}/schemas/list schemas.list
Data Write POST /v1/tenants/{tenant_id}/data/write data.write
Data WriteRelationships POST /v1/tenants/{tenant_id}/relationships/write relationships.write
Data ReadRelationships POST /v1/tenants/{tenant_id}/data/relationships/read data.relationships.read
Data ReadAttributes POST /v1/tenants/{tenant_id}/data/attributes/read data.attributes.read
Data Delete POST /v1/tenants/{tenant_id}/data/delete data.delete
Data DeleteRelationships POST /v1/tenants/{tenant_id}/relationships/delete relationships.delete
Data RunBundle POST /v1/tenants/{tenant_id}/data/run-bundle bundle.run
Bundle Write POST /v1/tenants/{tenant_id}/bundle/write bundle.write
Bundle Read POST /v1/tenants/{tenant_id}/bundle/read bundle.read
Bundle Delete POST /v1/tenants/{tenant_id}/bundle/delete bundle.delete
Tenancy Create POST /v1/tenants/create tenants.create
Tenancy Delete DELETE /v1/tenants/{id} tenants.delete
Tenancy List POST /v1/tenants/list tenants.list
"""  # noqa: E501 - a table


def messages() -> list[Descriptor]:
    return [m for file in FILES for m in file.message_types_by_name.values()]


def enums() -> Iterator[EnumDescriptor]:
    for file in FILES:
        yield from file.enum_types_by_name.values()
    for message in messages():
        yield from message.enum_types


def test_the_contract_is_complete() -> None:
    fields = [f for m in messages() for f in m.fields]
    oneofs = [o for m in messages() for o in m.oneofs]
    counted = {
        "services": sum(len(file.services_by_name) for file in FILES),
        "rpcs": sum(len(s.methods) for f in FILES for s in f.services_by_name.values()),
        "messages": len(messages()),
        "fields": len(fields),
        "map fields": sum(
            f.message_type is not None and f.message_type.GetOptions().map_entry for f in fields
        ),
        "enums": len(list(enums())),
        "enum values": sum(len(e.values) for e in enums()),
        "rules": sum(f.GetOptions().HasExtension(validate_pb2.rules) for f in fields),
        "required oneofs": sum(o.GetOptions().Extensions[validate_pb2.required] for o in oneofs),
    }
    assert counted == {
        "services": 6,
        "rpcs": 25,
        "messages": 114,
        "fields": 265,
        "map fields": 14,
        "enums": 8,
        "enum values": 101,
        "rules": 111,
        "required oneofs": 4,
    }


def test_every_rpc_has_its_address_and_operation_id() -> None:
    ours = [f"{r.service} {r.method} {r.verb} {r.path_template} {r.operation_id}" for r in ROUTES]
    assert ours == RPCS.strip().splitlines()


def test_only_two_calls_stream_and_only_deletion_has_no_body() -> None:
    assert [r.full_method for r in ROUTES if r.server_streaming] == [
        "/base.v1.Permission/LookupEntityStream",
        "/base.v1.Watch/Watch",
    ]
    assert [r.full_method for r in ROUTES if not r.body] == ["/base.v1.Tenancy/Delete"]
    assert {r.tag for r in ROUTES} == {
        "Permission",
        "Watch",
        "Schema",
        "Data",
        "Bundle",
        "Tenancy",
    }


def test_requests_declare_snake_case_json_names_and_schema_messages_do_not() -> None:
    request = service_pb2.PermissionCheckRequestMetadata.DESCRIPTOR
    assert request.fields_by_name["snap_token"].json_name == "snap_token"
    assert base_pb2.Leaf.DESCRIPTOR.fields_by_name["tuple_to_user_set"].json_name == (
        "tupleToUserSet"
    )
    assert "tupleSet" in base_pb2.TupleToUserSet.DESCRIPTOR.fields_by_name


def test_error_numbers_are_the_contract() -> None:
    names = errors_pb2.ErrorCode.DESCRIPTOR.values_by_name
    assert names["ERROR_CODE_DEPTH_NOT_ENOUGH"].number == 2009
    assert names["ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH"].number == 4011
    assert names["ERROR_CODE_SERIALIZATION"].number == 5019
