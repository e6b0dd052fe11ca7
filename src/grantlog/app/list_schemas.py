"""Listing a tenant's schema versions, in pages that stand at one revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.app.resolve import Resolver
from grantlog.app.terms import NO_TERMS
from grantlog.errors import InvalidTokenError, NotFoundError
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.model.token import SnapToken
from grantlog.ports.heads import SchemaReader, SchemaRecord

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 1_000
"""A larger `page_size` is served as this; the continuation token leads on."""


@dataclass(frozen=True, slots=True)
class SchemaPage:
    """A page of versions, newest first.

    Attributes:
        in_force: the version in force where the first page stood.
        records: the versions.
        continuation: the token of the next page, "" behind the last.
    """

    in_force: SchemaVersion
    records: list[SchemaRecord]
    continuation: str


class ListSchemas:
    """The call that lists schema versions."""

    def __init__(
        self, resolver: Resolver, reader: SchemaReader, continuations: Continuations
    ) -> None:
        self._resolver = resolver
        self._reader = reader
        self._continuations = continuations

    async def __call__(self, tenant: TenantId, *, page_size: int, continuation: str) -> SchemaPage:
        """A page; versions that come into force between pages are in none of them.

        Raises:
            NotFoundError: the tenant has no schema.
            InvalidTokenError: a token that is garbled or belongs to another request.
            BehindWindowError: the tenant was deleted since the first page.
        """
        digest = request_digest("schemas", tenant)
        place = await self._place(tenant, continuation, digest)
        limit = min(page_size or PAGE_DEFAULT, PAGE_MAX)
        before = SchemaVersion(place.after[0])
        found = await self._reader.schemas(tenant, limit=limit + 1, before=before)
        page = found[:limit]
        token = ""
        if len(found) > limit:
            after = (page[-1].version,)
            at = Continuation(place.epoch, place.revision, after, place.schema_version)
            token = self._continuations.seal(at, digest)
        return SchemaPage(place.schema_version, page, token)

    async def _place(self, tenant: TenantId, continuation: str, digest: str) -> Continuation:
        if continuation:
            place = self._continuations.open(continuation, digest)
            if len(place.after) != 1:
                raise InvalidTokenError(
                    "the continuation token cannot be used",
                    reason="ERROR_CODE_INVALID_CONTINUOUS_TOKEN",
                )
            await self._resolver.resume(tenant, SnapToken(place.epoch, place.revision), NO_TERMS)
            return place
        head = await self._resolver.refresh(tenant)
        if not head.schema_version:
            raise NotFoundError(
                f"tenant {tenant} has no schema: write one, or is it another tenant?",
                reason="ERROR_CODE_SCHEMA_NOT_FOUND",
            )
        just_behind = f"{head.schema_version}~"  # versions sort as they were written
        return Continuation(head.epoch, head.revision, (just_behind,), head.schema_version)
