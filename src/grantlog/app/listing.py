"""Reading facts by filter, in pages that stand at one revision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.app.resolve import Resolver, at_a_live_revision
from grantlog.app.terms import Terms
from grantlog.errors import InvalidTokenError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.listing import FactLister

T = TypeVar("T")

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 5_000
"""Tuples; a larger `page_size` is served as this, and the continuation token leads on."""
ATTRIBUTES_PAGE_MAX: Final = 500
"""The same for attributes, whose values may be large."""
PAGE_BYTES_MAX: Final = 2 * 1024 * 1024
"""A page of attributes ends when its values are longer: a gRPC message holds 4 MiB."""
ITEM_BYTES: Final = 12
"""Of an item that is no text."""


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
        terms: Terms,
        page_size: int,
        continuation: str,
    ) -> tuple[list[RelationTuple], str]:
        """A page of tuples by key bytes, and the token of the next page, "" behind the last.

        Raises:
            InvalidTokenError: a token that is garbled or belongs to another request.
            BehindWindowError: the continuation's revision is gone; begin anew.
        """
        digest = request_digest("tuples", tenant, where)
        limit = min(page_size or PAGE_DEFAULT, PAGE_MAX)

        async def page() -> tuple[list[RelationTuple], str]:
            place = await self._place(tenant, terms, continuation, digest, parts=6)
            found = await self._lister.tuples(
                tenant,
                place.revision,
                where,
                limit=limit + 1,
                after=_tuple_after(place.after),
                epoch=place.epoch,
            )
            return list(found[:limit]), self._next(place, digest, found, limit, _tuple_key)

        return await at_a_live_revision(self._resolver, tenant, page)

    async def attributes(
        self,
        tenant: TenantId,
        where: AttributeFilter,
        *,
        terms: Terms,
        page_size: int,
        continuation: str,
    ) -> tuple[list[Attribute], str]:
        """A page of attributes by key bytes; otherwise as `tuples`."""
        digest = request_digest("attributes", tenant, where)
        limit = min(page_size or PAGE_DEFAULT, ATTRIBUTES_PAGE_MAX)

        async def page() -> tuple[list[Attribute], str]:
            place = await self._place(tenant, terms, continuation, digest, parts=3)
            after = (place.after[0], place.after[1], place.after[2]) if place.after else None
            found = await self._lister.attributes(
                tenant, place.revision, where, limit=limit + 1, after=after, epoch=place.epoch
            )
            shown = _within_bytes(found[:limit])
            return list(found[:shown]), self._next(place, digest, found, shown, _attribute_key)

        return await at_a_live_revision(self._resolver, tenant, page)

    async def _place(
        self, tenant: TenantId, terms: Terms, continuation: str, digest: str, *, parts: int
    ) -> Continuation:
        if continuation:
            place = self._continuations.open(continuation, digest)
            if len(place.after) != parts:
                raise InvalidTokenError(
                    "the continuation token cannot be used",
                    reason="ERROR_CODE_INVALID_CONTINUOUS_TOKEN",
                )
            token = SnapToken(place.epoch, place.revision)
            head = await self._resolver.resume(tenant, token, terms)
            return replace(place, epoch=head.epoch)
        head = await self._resolver.resolve(tenant, terms)
        return Continuation(Epoch(head.epoch), Revision(head.revision), ())

    def _next(
        self,
        place: Continuation,
        digest: str,
        found: Sequence[T],
        shown: int,
        key: Callable[[T], tuple[str, ...]],
    ) -> str:
        """The token that leads on from the page's last item, "" if nothing follows it."""
        if len(found) <= shown:
            return ""
        after = key(found[shown - 1])
        return self._continuations.seal(Continuation(place.epoch, place.revision, after), digest)


def _within_bytes(attributes: Sequence[Attribute]) -> int:
    """How many of them fit a page; at least one."""
    size = 0
    for count, attribute in enumerate(attributes):
        data = attribute.value.data
        items = data if isinstance(data, tuple) else (data,)
        size += sum(4 * len(item) if isinstance(item, str) else ITEM_BYTES for item in items)
        if size > PAGE_BYTES_MAX and count:
            return count
    return len(attributes)


def _tuple_key(fact: RelationTuple) -> tuple[str, ...]:
    return (*fact.entity, fact.relation, *fact.subject)


def _attribute_key(fact: Attribute) -> tuple[str, ...]:
    return (*fact.entity, fact.name)


def _tuple_after(after: tuple[str, ...]) -> RelationTuple | None:
    if not after:
        return None
    entity_type, entity_id, relation, subject_type, subject_id, subject_relation = after
    return RelationTuple(
        Entity(entity_type, entity_id),
        relation,
        Subject(subject_type, subject_id, subject_relation),
    )
