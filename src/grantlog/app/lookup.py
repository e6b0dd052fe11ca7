"""The lookup use cases: pages, and a stream, of one answer at one revision."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.app.open_lookups import Ids, OpenLookup, OpenLookups, close
from grantlog.app.places import FactsAt, Place, Places
from grantlog.app.resolve import at_a_live_revision
from grantlog.app.terms import NO_TERMS, Terms
from grantlog.engine.lookup_entity.lookup import EntityLookup, EntityQuery
from grantlog.engine.lookup_entity.walk import NO_SCOPE
from grantlog.engine.lookup_subject.lookup import SubjectLookup, SubjectQuery
from grantlog.engine.many import one_by_one
from grantlog.engine.question import RequestContext
from grantlog.errors import InvalidTokenError
from grantlog.model.ids import TenantId

PAGE_DEFAULT: Final = 1_000
PAGE_MAX: Final = 10_000
"""A larger `page_size` is served as this; the continuation token leads on."""

STREAM_AHEAD: Final = 1_000
"""How far a stream without a page size reads ahead."""

Opening: TypeAlias = "Callable[[Place, FactsAt, str, int], Ids]"
"""Begins a lookup at a place, behind an id, of which about so many ids will be taken."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of an answer is asked for.

    Attributes:
        terms: as of a check; where a continuation is given, its place is the answer's.
        page_size: how many ids at most; 0 is the default of the call.
        continuation: the token of the page before.
    """

    terms: Terms = NO_TERMS
    page_size: int = 0
    continuation: str = ""


@dataclass(frozen=True, slots=True)
class IdsAnswer:
    """A page of ids, the token of the next one ("" behind the last) and where they stand."""

    ids: list[str]
    continuation: str
    place: Place


class Lookup:
    """The lookup calls."""

    def __init__(
        self, places: Places, continuations: Continuations, clock: Callable[[], float]
    ) -> None:
        """Answer at places; the clock gives seconds that never go back."""
        self._places = places
        self._continuations = continuations
        self._open = OpenLookups(clock)

    async def entities(self, tenant: TenantId, query: EntityQuery, window: Window) -> IdsAnswer:
        """A page of the entities on which the subject holds the permission.

        Raises:
            InvalidTokenError: a token that is garbled or belongs to another request.
            BehindWindowError: the continuation's revision is gone; begin anew.
            GrantlogError: as `EntityLookup`, and as a check for the terms.
        """
        return await self._page(
            tenant, window, _entity_digest(tenant, query, window), _entities(query)
        )

    async def subjects(self, tenant: TenantId, query: SubjectQuery, window: Window) -> IdsAnswer:
        """A page of the subjects that hold the permission; errors likewise."""
        return await self._page(
            tenant, window, _subject_digest(tenant, query, window), _subjects(query)
        )

    async def stream_entities(
        self, tenant: TenantId, query: EntityQuery, window: Window
    ) -> AsyncGenerator[tuple[str, str]]:
        """The entities one by one, each with the token that leads on from it; errors likewise.

        All of them, unless the window says how many. The last one's token is "" if nothing follows.
        """
        digest = _entity_digest(tenant, query, window)
        after = self._opened(window, digest)
        place = await self._place(tenant, window, after)
        facts = self._places.facts_at(tenant, place)
        wanted = window.page_size or STREAM_AHEAD
        begin = after.after[0] if after else ""
        previous = ""
        sent = 0
        lookup = _entities(query)(place, facts, begin, wanted)
        async with aclosing(one_by_one(lookup.parts())) as ids:
            async for id_ in ids:
                if previous:
                    yield previous, self._seal(place, previous, digest)
                    sent += 1
                    if sent == window.page_size:
                        return
                previous = id_
        if previous:
            yield previous, ""

    async def _page(
        self, tenant: TenantId, window: Window, digest: str, opening: Opening
    ) -> IdsAnswer:
        size = min(window.page_size or PAGE_DEFAULT, PAGE_MAX)
        after = self._opened(window, digest)

        async def page() -> IdsAnswer:
            place = await self._place(tenant, window, after)
            opened = await self._begin(tenant, place, after, digest, size, opening)
            ids = list(opened.ahead)
            try:
                while len(ids) <= size:
                    part = await anext(opened.parts, None)
                    if part is None:
                        return IdsAnswer(ids, "", place)
                    ids += part
                left_open = replace(opened, ahead=ids[size:])
                return await self._ended(place, digest, left_open, ids[:size])
            except BaseException:
                await close(opened)
                raise

        return await at_a_live_revision(self._places.resolver, tenant, page)

    async def _begin(
        self,
        tenant: TenantId,
        place: Place,
        after: Continuation | None,
        digest: str,
        size: int,
        opening: Opening,
    ) -> OpenLookup:
        """The lookup of a page: the one that the page before left open, or a new one."""
        facts = self._places.facts_at(tenant, place)
        behind = after.after[0] if after else ""
        if after is not None:
            kept = self._open.take(_page_key(place, digest, behind))
            if kept is not None:
                try:
                    # It may hold ids that were read before their tenant was deleted.
                    await facts.require()
                except BaseException:
                    await close(kept)
                    raise
                return kept
        lookup = opening(place, facts, behind, size + 1)
        return OpenLookup(lookup, lookup.parts())

    async def _ended(
        self, place: Place, digest: str, opened: OpenLookup, shown: list[str]
    ) -> IdsAnswer:
        """A page behind which others follow."""
        await self._open.keep(_page_key(place, digest, shown[-1]), opened)
        return IdsAnswer(shown, self._seal(place, shown[-1], digest), place)

    def _opened(self, window: Window, digest: str) -> Continuation | None:
        if not window.continuation:
            return None
        place = self._continuations.open(window.continuation, digest)
        if len(place.after) != 1:
            raise InvalidTokenError(
                "the continuation token cannot be used",
                reason="ERROR_CODE_INVALID_CONTINUOUS_TOKEN",
            )
        return place

    async def _place(self, tenant: TenantId, window: Window, after: Continuation | None) -> Place:
        if after is not None:
            return await self._places.resume(tenant, after, window.terms)
        return await self._places.resolve(tenant, window.terms)

    def _seal(self, place: Place, after: str, digest: str) -> str:
        head = place.head
        at = Continuation(head.epoch, head.revision, (after,), place.loaded.version)
        return self._continuations.seal(at, digest)


def _page_key(place: Place, digest: str, after: str) -> Hashable:
    """What a page has in common with the one before; the digest has the tenant and the request."""
    head = place.head
    return (digest, head.epoch, head.revision, place.loaded.version, after)


def _entities(query: EntityQuery) -> Opening:
    def opening(place: Place, facts: FactsAt, after: str, wanted: int) -> Ids:
        return EntityLookup(place.plan, query, facts, after=after, wanted=wanted)

    return opening


def _subjects(query: SubjectQuery) -> Opening:
    def opening(place: Place, facts: FactsAt, after: str, wanted: int) -> Ids:
        return SubjectLookup(place.plan, query, facts, after=after, wanted=wanted)

    return opening


def _entity_digest(tenant: TenantId, query: EntityQuery, window: Window) -> str:
    scope = sorted((type_, sorted(ids)) for type_, ids in query.scope.items())
    plain = replace(query, context=_canonical_context(query.context), scope=NO_SCOPE)
    return request_digest("entities", tenant, window.terms.schema_version, plain, scope)


def _subject_digest(tenant: TenantId, query: SubjectQuery, window: Window) -> str:
    plain = replace(query, context=_canonical_context(query.context))
    return request_digest("subjects", tenant, window.terms.schema_version, plain)


def _canonical_context(context: RequestContext) -> RequestContext:
    """The context with its data in one order, however the client's map was sent."""
    return replace(context, data=_canonical(context.data))


def _canonical(value: object) -> object:
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return ("map", *sorted((key, _canonical(item)) for key, item in items))
    if isinstance(value, list | tuple):
        return ("list", *map(_canonical, cast("list[object]", value)))
    return value
