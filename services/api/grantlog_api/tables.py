"""Which handler answers which call, by full method."""

from __future__ import annotations

from grantlog_api.calls import Handler, PastHandler, StreamHandler
from grantlog_api.handlers.bundle import BundleHandlers
from grantlog_api.handlers.data import DataHandlers
from grantlog_api.handlers.lookup import LookupHandlers
from grantlog_api.handlers.permission import PermissionHandlers
from grantlog_api.handlers.schema import SchemaHandlers
from grantlog_api.handlers.tenancy import TenancyHandlers
from grantlog_api.handlers.watch import WatchHandlers


def handler_table(
    *,
    permission: PermissionHandlers,
    lookup: LookupHandlers,
    schema: SchemaHandlers,
    data: DataHandlers,
    bundle: BundleHandlers,
    tenancy: TenancyHandlers,
) -> dict[str, Handler]:
    """The calls that are served as of now alone, by full method."""
    return {
        "/base.v1.Permission/BulkCheck": permission.bulk_check,
        "/base.v1.Permission/Expand": permission.expand,
        "/base.v1.Permission/LookupEntity": lookup.lookup_entity,
        "/base.v1.Permission/LookupSubject": lookup.lookup_subject,
        "/base.v1.Permission/SubjectPermission": permission.subject_permission,
        "/base.v1.Schema/Write": schema.write,
        "/base.v1.Schema/PartialWrite": schema.write_in_part,
        "/base.v1.Schema/List": schema.list,
        "/base.v1.Data/Write": data.write,
        "/base.v1.Data/WriteRelationships": data.write_relationships,
        "/base.v1.Data/Delete": data.delete,
        "/base.v1.Data/DeleteRelationships": data.delete_relationships,
        "/base.v1.Data/RunBundle": bundle.run,
        "/base.v1.Bundle/Write": bundle.write,
        "/base.v1.Bundle/Read": bundle.read,
        "/base.v1.Bundle/Delete": bundle.delete,
        "/base.v1.Tenancy/Create": tenancy.create,
        "/base.v1.Tenancy/List": tenancy.list,
        "/base.v1.Tenancy/Delete": tenancy.delete,
    }


def past_handler_table(
    *, permission: PermissionHandlers, schema: SchemaHandlers, data: DataHandlers
) -> dict[str, PastHandler]:
    """The calls that can be answered as of the past too, by full method."""
    return {
        "/base.v1.Permission/Check": permission.check,
        "/base.v1.Schema/Read": schema.read,
        "/base.v1.Data/ReadRelationships": data.read_relationships,
        "/base.v1.Data/ReadAttributes": data.read_attributes,
    }


def stream_table(*, lookup: LookupHandlers, watch: WatchHandlers) -> dict[str, StreamHandler]:
    """The calls that answer with a stream, by full method: async generator functions."""
    return {
        "/base.v1.Permission/LookupEntityStream": lookup.lookup_entity_stream,
        "/base.v1.Watch/Watch": watch.watch,
    }
