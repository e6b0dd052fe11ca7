"""Reading facts by filter, in pages that stand at one revision."""

from __future__ import annotations

from typing import Final

from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.app.resolve import Resolver
from grantlog.errors import InvalidTokenError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.listing import FactLister

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 10_000
"""A larger `page_size` is served as this; the continuation token leads on."""


class ListFacts:
    """The data read calls."""

    def __init__(
        self, resolver: Resolver, lister: FactLister, continuations: Continuations
    ) -> None:
        self._resolver = resolver
        self._lister = lister
        self._continuations = continuations

    async def tuples(
        self,
        tenant: TenantId,
        where: TupleFilter,
        *,
        snap_token: str,
        page_size: int,
        continuation: str,
    ) -> tuple[list[RelationTuple], str]:
        """A page of tuples by key bytes, and the token of the next page, "" behind the last.

        Raises:
            InvalidTokenError: a token that is garbled or belongs to another request.
        """
        digest = request_digest("tuples", tenant, where)
        place = await self._place(tenant, snap_token, continuation, digest, parts=6)
        limit = _limit(page_size)
        found = await self._lister.tuples(
            tenant, place.revision, where, limit=limit + 1, after=_tuple_after(place.after)
        )
        page = list(found[:limit])
        if len(found) <= limit:
            return page, ""
        last = page[-1]
        after = (*last.entity, last.relation, *last.subject)
        return page, self._next(place, after, digest)

    async def attributes(
        self,
        tenant: TenantId,
        where: AttributeFilter,
        *,
        snap_token: str,
        page_size: int,
        continuation: str,
    ) -> tuple[list[Attribute], str]:
        """A page of attributes by key bytes; otherwise as `tuples`."""
        digest = request_digest("attributes", tenant, where)
        place = await self._place(tenant, snap_token, continuation, digest, parts=3)
        limit = _limit(page_size)
        after = (place.after[0], place.after[1], place.after[2]) if place.after else None
        found = await self._lister.attributes(
            tenant, place.revision, where, limit=limit + 1, after=after
        )
        page = list(found[:limit])
        if len(found) <= limit:
            return page, ""
        return page, self._next(place, (*page[-1].entity, page[-1].name), digest)

    async def _place(
        self, tenant: TenantId, snap_token: str, continuation: str, digest: str, *, parts: int
    ) -> Continuation:
        if continuation:
            place = self._continuations.open(continuation, digest)
            if len(place.after) != parts:
                raise InvalidTokenError(
                    "the continuation token cannot be used",
                    reason="ERROR_CODE_INVALID_CONTINUOUS_TOKEN",
                )
            await self._resolver.admit(tenant, SnapToken(place.epoch, place.revision))
            return place
        head = await self._resolver.resolve(tenant, snap_token)
        return Continuation(Epoch(head.epoch), Revision(head.revision), ())

    def _next(self, place: Continuation, after: tuple[str, ...], digest: str) -> str:
        return self._continuations.seal(Continuation(place.epoch, place.revision, after), digest)


def _limit(page_size: int) -> int:
    return min(page_size or PAGE_DEFAULT, PAGE_MAX)


def _tuple_after(after: tuple[str, ...]) -> RelationTuple | None:
    if not after:
        return None
    entity_type, entity_id, relation, subject_type, subject_id, subject_relation = after
    return RelationTuple(
        Entity(entity_type, entity_id),
        relation,
        Subject(subject_type, subject_id, subject_relation),
    )
