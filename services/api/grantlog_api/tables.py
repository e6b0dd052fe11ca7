"""Which handler answers which call, by full method."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from grantlog.api.v1 import service_pb2
from grantlog.app.terms import OfNow
from grantlog.serving.calls import Handler, StreamHandler
from grantlog.serving.watch_message import WatchMessage
from grantlog_api.handlers.bundle import BundleHandlers
from grantlog_api.handlers.data import DataHandlers
from grantlog_api.handlers.lookup import LookupHandlers
from grantlog_api.handlers.permission import PermissionHandlers
from grantlog_api.handlers.schema import SchemaHandlers
from grantlog_api.handlers.tenancy import TenancyHandlers

WatchCall = Callable[[service_pb2.WatchRequest], AsyncGenerator[WatchMessage]]
"""What answers watchers: the log itself, or watch services."""


def handler_table(
    *,
    permission: PermissionHandlers,
    lookup: LookupHandlers,
    schema: SchemaHandlers,
    data: DataHandlers,
    bundle: BundleHandlers,
    tenancy: TenancyHandlers,
) -> dict[str, Handler]:
    """The calls with one answer, by full method."""
    return {
        "/base.v1.Permission/Check": permission.check,
        "/base.v1.Permission/BulkCheck": permission.bulk_check,
        "/base.v1.Permission/Expand": permission.expand,
        "/base.v1.Permission/LookupEntity": lookup.lookup_entity,
        "/base.v1.Permission/LookupSubject": lookup.lookup_subject,
        "/base.v1.Permission/SubjectPermission": permission.subject_permission,
        "/base.v1.Schema/Write": OfNow(schema.write),
        "/base.v1.Schema/PartialWrite": OfNow(schema.write_in_part),
        "/base.v1.Schema/Read": schema.read,
        "/base.v1.Schema/List": OfNow(schema.list),
        "/base.v1.Data/Write": OfNow(data.write),
        "/base.v1.Data/WriteRelationships": OfNow(data.write_relationships),
        "/base.v1.Data/ReadRelationships": data.read_relationships,
        "/base.v1.Data/ReadAttributes": data.read_attributes,
        "/base.v1.Data/Delete": OfNow(data.delete),
        "/base.v1.Data/DeleteRelationships": OfNow(data.delete_relationships),
        "/base.v1.Data/RunBundle": OfNow(bundle.run),
        "/base.v1.Bundle/Write": OfNow(bundle.write),
        "/base.v1.Bundle/Read": OfNow(bundle.read),
        "/base.v1.Bundle/Delete": OfNow(bundle.delete),
        "/base.v1.Tenancy/Create": OfNow(tenancy.create),
        "/base.v1.Tenancy/List": OfNow(tenancy.list),
        "/base.v1.Tenancy/Delete": OfNow(tenancy.delete),
    }


def stream_table(*, lookup: LookupHandlers, watch: WatchCall) -> dict[str, StreamHandler]:
    """The calls that answer with a stream, by full method: async generator functions."""
    return {
        "/base.v1.Permission/LookupEntityStream": lookup.lookup_entity_stream,
        "/base.v1.Watch/Watch": OfNow(watch),
    }
