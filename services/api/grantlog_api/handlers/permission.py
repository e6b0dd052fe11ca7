"""The Permission service's calls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import structlog

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.ask_many import BulkCheck, ItemAnswer, PermissionsQuery, SubjectPermissions
from grantlog.app.check import Check
from grantlog.app.expand import Expand
from grantlog.app.terms import Terms
from grantlog.engine.expand import ExpandQuery
from grantlog.engine.question import NO_CONTEXT, CheckQuery, CheckResult
from grantlog.errors import GrantlogError
from grantlog.model.ids import TenantId
from grantlog.serving.metadata import ITEM_ERRORS, say_with_answer
from grantlog.wire import convert
from grantlog.wire.at_once import BulkAsked
from grantlog.wire.expand import tree_message

_ALLOWED = base_pb2.CHECK_RESULT_ALLOWED
_DENIED = base_pb2.CHECK_RESULT_DENIED

_LOG: Final = structlog.get_logger("grantlog.api")


class PermissionHandlers:
    """Answers questions about permissions."""

    def __init__(
        self, check: Check, bulk: BulkCheck, permissions: SubjectPermissions, expand: Expand
    ) -> None:
        self._check = check
        self._bulk = bulk
        self._permissions = permissions
        self._expand = expand

    async def check(
        self, request: service_pb2.PermissionCheckRequest, terms: Terms
    ) -> service_pb2.PermissionCheckResponse:
        """base.v1.Permission/Check."""
        metadata = request.metadata
        query = CheckQuery(
            convert.entity(request.entity),
            request.permission,
            convert.subject(request.subject),
            convert.argument_names(request.arguments),
            convert.request_context(request.context) if request.HasField("context") else NO_CONTEXT,
            metadata.depth,
        )
        answer = await self._check(
            TenantId(request.tenant_id),
            query,
            terms.also(snap_token=metadata.snap_token, schema_version=metadata.schema_version),
        )
        return _check_response(answer.result)

    async def bulk_check(
        self, asked: BulkAsked, terms: Terms
    ) -> service_pb2.PermissionBulkCheckResponse:
        """base.v1.Permission/BulkCheck."""
        request = asked.request
        metadata = request.metadata
        depth = metadata.depth
        arguments = convert.argument_names(request.arguments)
        context = convert.request_context(request.context)
        queries = [CheckQuery(*each, arguments, context, depth) for each in asked.questions]
        answer = await self._bulk(
            TenantId(request.tenant_id),
            queries,
            terms.also(snap_token=metadata.snap_token, schema_version=metadata.schema_version),
        )
        wrong = {n: item for n, item in enumerate(answer.items) if isinstance(item, GrantlogError)}
        if wrong:
            _say_what_is_wrong(request.tenant_id, wrong)
        results = b"".join([_result_bytes(item) for item in answer.items])
        return service_pb2.PermissionBulkCheckResponse.FromString(results)

    async def subject_permission(
        self, request: service_pb2.PermissionSubjectPermissionRequest, terms: Terms
    ) -> service_pb2.PermissionSubjectPermissionResponse:
        """base.v1.Permission/SubjectPermission."""
        metadata = request.metadata
        query = PermissionsQuery(
            entity=convert.entity(request.entity),
            subject=convert.subject(request.subject),
            context=convert.request_context(request.context),
            depth=metadata.depth,
            only_permissions=metadata.only_permission,
        )
        answer = await self._permissions(
            TenantId(request.tenant_id),
            query,
            terms.also(snap_token=metadata.snap_token, schema_version=metadata.schema_version),
        )
        return service_pb2.PermissionSubjectPermissionResponse(
            results={name: _ALLOWED if yes else _DENIED for name, yes in answer.allowed.items()}
        )

    async def expand(
        self, request: service_pb2.PermissionExpandRequest, terms: Terms
    ) -> service_pb2.PermissionExpandResponse:
        """base.v1.Permission/Expand."""
        query = ExpandQuery(
            entity=convert.entity(request.entity),
            permission=request.permission,
            arguments=convert.argument_names(request.arguments),
            context=convert.request_context(request.context),
        )
        answer = await self._expand(
            TenantId(request.tenant_id),
            query,
            terms.also(
                snap_token=request.metadata.snap_token,
                schema_version=request.metadata.schema_version,
            ),
        )
        return service_pb2.PermissionExpandResponse(tree=tree_message(answer.tree))


def _check_response(item: ItemAnswer) -> service_pb2.PermissionCheckResponse:
    """A decision; what could not be asked is denied."""
    if isinstance(item, CheckResult):
        return _decision(_ALLOWED if item.allowed else _DENIED, item.check_count)
    return _decision(_DENIED, 1)


@lru_cache(maxsize=1_024)
def _decision(
    can: base_pb2.CheckResult.ValueType, count: int
) -> service_pb2.PermissionCheckResponse:
    """The message of a decision; few differ, and nobody changes one."""
    return service_pb2.PermissionCheckResponse(
        can=can,
        metadata=service_pb2.PermissionCheckResponseMetadata(check_count=count),
    )


def _result_bytes(item: ItemAnswer) -> bytes:
    """An item of a bulk check's answer as the answer has it in bytes.

    A message is these bytes of its items, one behind the other: it costs a fifth of one that is put
    together of messages (benchmarks/bulk_pieces.py).
    """
    if isinstance(item, CheckResult):
        return _decision_bytes(_ALLOWED if item.allowed else _DENIED, item.check_count)
    return _decision_bytes(_DENIED, 1)


@lru_cache(maxsize=1_024)
def _decision_bytes(can: base_pb2.CheckResult.ValueType, count: int) -> bytes:
    answer = service_pb2.PermissionBulkCheckResponse(results=[_decision(can, count)])
    return answer.SerializeToString()


def _say_what_is_wrong(tenant: str, wrong: Mapping[int, GrantlogError]) -> None:
    """Name the items, counted from 0, and their reasons: `3=ERROR_CODE_SCHEMA_NOT_FOUND`."""
    named = [f"{number}={error.reason}" for number, error in wrong.items()]
    say_with_answer(ITEM_ERRORS, ",".join(named))
    _LOG.warning("items of a bulk check denied", tenant=tenant, items=named)
