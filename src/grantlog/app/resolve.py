"""From "at least as fresh as" to one exact revision: nothing behind this module knows a token.

Design §5. A token is admitted or refused here; what is returned is a head: a revision together
with the schema version in force at it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from grantlog.app.as_of import AsOf
from grantlog.app.known import Known, KnownHeads
from grantlog.app.terms import AS_OF, Consistency, Terms
from grantlog.errors import (
    BehindWindowError,
    BeyondHeadError,
    InvalidInputError,
    LostWriteError,
    OtherEpochError,
    UnavailableError,
)
from grantlog.model.ids import TenantId
from grantlog.model.token import SnapToken, decode_token, encode_place, encode_token
from grantlog.ports.heads import Head, HeadReader, PastReader
from grantlog.ports.standing import stand_at

T = TypeVar("T")

STALENESS_S_DEFAULT: Final = 5.0
"""Of `bounded` where nobody says another."""


class Resolver:
    """Resolves the revision to answer at.

    Args:
        heads: the primary's heads now.
        past: and earlier.
        known: what this process knows of them.
        consistency: of questions that say none.
        staleness_s_max: of `bounded`, for questions that say no bound.
    """

    def __init__(
        self,
        heads: HeadReader,
        past: PastReader,
        known: KnownHeads,
        consistency: Consistency,
        staleness_s_max: float = STALENESS_S_DEFAULT,
    ) -> None:
        self._heads = heads
        self._past = past
        self._known = known
        self._consistency = consistency
        self._staleness_s_max = staleness_s_max

    async def resolve(self, tenant: TenantId, terms: Terms) -> Head:
        """The head to answer at, on a question's terms; noted as where the answer stands.

        Raises:
            InvalidInputError: an as-of in the future.
            BehindWindowError: the history of the as-of is no longer kept.
            InvalidTokenError: the token is garbled or another tenant's.
            BeyondHeadError: the token's write was never committed here.
            LostWriteError: the token's write was lost by a failover or restore.
            UnavailableError: the primary is needed and does not answer.
        """
        if terms.as_of is not None:
            head = await self._past_head(tenant, terms.as_of)
            stand_at(token_of(tenant, head))
            return head
        known = await self._at_least(tenant, terms)
        stand_at(token_of(tenant, known.head), known.complete_at)
        return known.head

    def resolve_at_once(self, tenant: TenantId, terms: Terms) -> Head | None:
        """What `resolve` comes to, where nobody has to be asked; None where somebody has.

        Raises:
            InvalidTokenError: the token is garbled or another tenant's.
        """
        if terms.as_of is not None:
            return None
        known = self._known_to_do(tenant, terms)
        if known is None:
            return None
        stand_at(token_of(tenant, known.head), known.complete_at)
        return known.head

    async def resume(self, tenant: TenantId, at: SnapToken, terms: Terms) -> Head:
        """The tenant's head now, where a continuation's page at `at` may still be answered.

        The page stands at `at` whatever the terms say; an as-of must say the same. Where epochs
        passed since, `at`'s revision survived them all: the head's epoch has the same one.

        Raises:
            InvalidInputError: the as-of is another revision.
            BehindWindowError: the tenant was deleted since.
            GrantlogError: the place cannot be admitted, as `resolve`.
        """
        head = await self.admit(tenant, at)
        if at.revision < head.begins:  # a replica may not have heard of the deletion yet
            raise BehindWindowError(
                f"the tenant was deleted at revision {head.begins}, since the first page was read: "
                "begin anew"
            )
        as_of = terms.as_of
        if isinstance(as_of, datetime):
            as_of = (await self._past_head(tenant, as_of)).revision
        if as_of is not None and as_of != at.revision:
            raise InvalidInputError(
                f"the continuation token stands at revision {at.revision}, the as-of at {as_of}: "
                f"repeat {AS_OF} as it was for the first page, or leave it out",
                reason="INVALID_AS_OF",
            )
        stand_at(encode_token(tenant, SnapToken(head.epoch, at.revision)))
        return head

    async def refresh(self, tenant: TenantId) -> Head:
        """The head by the primary, or what is known if that is newer."""
        return (await self._ask(tenant)).head

    async def admit(self, tenant: TenantId, token: SnapToken) -> Head:
        """A head at or after a place in the log; raises as `resolve` where there is none."""
        known = self._known.find(tenant)
        if known is None or not _has_passed(known, token):
            known = await self._ask(tenant)
            await self._require_admissible(tenant, known.head, token)
        return known.head

    async def _at_least(self, tenant: TenantId, terms: Terms) -> Known:
        known = self._known_to_do(tenant, terms)
        if known is not None:
            return known
        try:
            known = await self._ask(tenant)
        except UnavailableError as error:
            raise self._explained(error, terms, self._known.find(tenant)) from error
        if terms.snap_token:
            token = decode_token(tenant, terms.snap_token)
            await self._require_admissible(tenant, known.head, token)
        return known

    def _known_to_do(self, tenant: TenantId, terms: Terms) -> Known | None:
        """What is known of the tenant's head, if that will do for a question."""
        token = decode_token(tenant, terms.snap_token) if terms.snap_token else None
        known = self._known.find(tenant)
        if known is None or (token is not None and not _has_passed(known, token)):
            return None
        return known if self._is_fresh(known, terms) else None

    def _is_fresh(self, known: Known, terms: Terms) -> bool:
        """Whether what is known will do without asking the primary."""
        match terms.consistency or self._consistency:
            case Consistency.NODE:
                return True
            case Consistency.HEAD:
                # A token says how fresh by itself, unless the question asks for both.
                return bool(terms.snap_token) and terms.consistency is None
            case Consistency.BOUNDED:
                return self._known.now() - known.complete_at < self._bound_s(terms)

    def _bound_s(self, terms: Terms) -> float:
        return self._staleness_s_max if terms.staleness_s_max is None else terms.staleness_s_max

    def _explained(
        self, error: UnavailableError, terms: Terms, known: Known | None
    ) -> UnavailableError:
        if (terms.consistency or self._consistency) is not Consistency.BOUNDED or known is None:
            return error
        age_ms = round(1000 * (self._known.now() - known.complete_at))
        return UnavailableError(
            f"{error.explanation}; what this node knows of the tenant's head is {age_ms} ms old, "
            f"and {round(1000 * self._bound_s(terms))} ms may be: allow more, or retry"
        )

    async def _ask(self, tenant: TenantId) -> Known:
        asked_at = self._known.now()
        return self._known.learn(tenant, await self._heads.head(tenant), asked_at)

    async def _past_head(self, tenant: TenantId, as_of: AsOf) -> Head:
        if isinstance(as_of, datetime):
            return await self._past.at_time(tenant, as_of)
        return await self._past.at_revision(tenant, as_of)

    async def _require_admissible(self, tenant: TenantId, head: Head, token: SnapToken) -> None:
        if token.epoch > head.epoch or (
            token.epoch == head.epoch and token.revision > head.revision
        ):
            raise BeyondHeadError(
                f"the snap token is beyond the tenant's head (revision {head.revision}): "
                "no write with that token was acknowledged here"
            )
        if token.epoch < head.epoch:
            survived = await self._heads.recorded_head(tenant, token.epoch)
            if token.revision > survived:
                raise LostWriteError(
                    "the write of this snap token was lost when the database was restored or "
                    "failed over; write it again"
                )


def _has_passed(known: Known, token: SnapToken) -> bool:
    head = known.head
    return head.epoch == token.epoch and head.revision >= token.revision


async def at_a_live_revision(
    resolver: Resolver, tenant: TenantId, answer: Callable[[], Awaitable[T]]
) -> T:
    """An answer that resolves its own revision; given once more if that one was overtaken.

    The tenant may be deleted, history collected, or the primary be another one, between resolving
    and reading. Questions ask for "at least", so a newer revision is an answer too.
    """
    try:
        return await answer()
    except (BehindWindowError, OtherEpochError):
        await resolver.refresh(tenant)
        return await answer()


def token_of(tenant: TenantId, head: Head) -> str:
    """The snap token of a head."""
    return encode_place(tenant, head.epoch, head.revision)
