"""The Permission service's calls."""

from __future__ import annotations

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.as_of import AsOf
from grantlog.app.check import Check
from grantlog.engine.question import CheckQuery
from grantlog.model.ids import TenantId
from grantlog.wire import convert

_ALLOWED = base_pb2.CHECK_RESULT_ALLOWED
_DENIED = base_pb2.CHECK_RESULT_DENIED


class PermissionHandlers:
    """Answers questions about permissions."""

    def __init__(self, check: Check) -> None:
        self._check = check

    async def check(
        self, request: service_pb2.PermissionCheckRequest, as_of: AsOf | None
    ) -> service_pb2.PermissionCheckResponse:
        """base.v1.Permission/Check."""
        metadata = request.metadata
        query = CheckQuery(
            entity=convert.entity(request.entity),
            permission=request.permission,
            subject=convert.subject(request.subject),
            arguments=convert.argument_names(request.arguments),
            context=convert.request_context(request.context),
            depth=metadata.depth,
        )
        answer = await self._check(
            TenantId(request.tenant_id),
            query,
            snap_token=metadata.snap_token,
            schema_version=metadata.schema_version,
            as_of=as_of,
        )
        result = answer.result
        return service_pb2.PermissionCheckResponse(
            can=_ALLOWED if result.allowed else _DENIED,
            metadata=service_pb2.PermissionCheckResponseMetadata(check_count=result.check_count),
        )
