"""From "at least as fresh as" to one exact revision: nothing behind this module knows a token.

Design §5. A token is admitted or refused here; what is returned is a head: a revision together
with the schema version in force at it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import TypeVar

from grantlog.app.as_of import AsOf
from grantlog.app.known import KnownHeads
from grantlog.errors import BehindWindowError, BeyondHeadError, InvalidInputError, LostWriteError
from grantlog.model.ids import TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.ports.heads import Head, HeadReader, PastReader

T = TypeVar("T")


class Consistency(Enum):
    """Where an answer without a token stands."""

    HEAD = "head"
    """At or behind every write committed before the question arrived, whoever wrote it."""
    NODE = "node"
    """At or behind what this process acknowledged or answered; enough for the only writer."""


class Resolver:
    """Resolves the revision to answer at."""

    def __init__(
        self, heads: HeadReader, past: PastReader, known: KnownHeads, consistency: Consistency
    ) -> None:
        self._heads = heads
        self._past = past
        self._known = known
        self._consistency = consistency

    async def resolve(self, tenant: TenantId, snap_token: str, as_of: AsOf | None = None) -> Head:
        """The head to answer at: exactly as of, at least the token's, or as the consistency says.

        Raises:
            InvalidInputError: a token and an as-of at once, or an as-of in the future.
            BehindWindowError: the history of the as-of is no longer kept.
            InvalidTokenError: the token is garbled or another tenant's.
            BeyondHeadError: the token's write was never committed here.
            LostWriteError: the token's write was lost by a failover or restore.
            UnavailableError: the primary is needed and does not answer.
        """
        if as_of is not None:
            return await self._as_of(tenant, snap_token, as_of)
        if snap_token:
            return await self.admit(tenant, decode_token(tenant, snap_token))
        if self._consistency is Consistency.NODE:
            known = self._known.get(tenant)
            if known is not None:
                return known
        return await self.refresh(tenant)

    async def _as_of(self, tenant: TenantId, snap_token: str, as_of: AsOf) -> Head:
        if snap_token:
            raise InvalidInputError(
                "a snap token asks for a fresh answer and an as-of for a past one: give one",
                reason="INVALID_AS_OF",
            )
        if isinstance(as_of, datetime):
            return await self._past.at_time(tenant, as_of)
        return await self._past.at_revision(tenant, as_of)

    async def refresh(self, tenant: TenantId) -> Head:
        """The head by the primary, or what is known if that is newer."""
        return self._known.learn(tenant, await self._heads.head(tenant))

    async def resume(self, tenant: TenantId, place: SnapToken) -> Head:
        """A head at or behind the place of a first page, whose other pages may be read there.

        A replica may not have heard yet of the deletion that this node knows of.

        Raises:
            BehindWindowError: the tenant was deleted behind that place.
            GrantlogError: as `admit`.
        """
        head = await self.admit(tenant, place)
        if place.revision < head.begins:
            raise BehindWindowError(
                f"the tenant was deleted at revision {head.begins}, since the first page was read: "
                "begin anew"
            )
        return head

    async def admit(self, tenant: TenantId, token: SnapToken) -> Head:
        """A head at or behind a place in the log; raises as `resolve` where there is none."""
        known = self._known.get(tenant)
        if known is not None and known.epoch == token.epoch and known.revision >= token.revision:
            return known
        head = await self.refresh(tenant)
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
        return head


async def at_a_live_revision(
    resolver: Resolver, tenant: TenantId, answer: Callable[[], Awaitable[T]]
) -> T:
    """An answer that resolves its own revision; given once more if that one was overtaken.

    The tenant may be deleted, or history collected, between resolving and reading. Questions ask
    for "at least", so a newer revision is an answer too.
    """
    try:
        return await answer()
    except BehindWindowError:
        await resolver.refresh(tenant)
        return await answer()


def token_of(tenant: TenantId, head: Head) -> str:
    """The snap token of a head."""
    return encode_token(tenant, SnapToken(head.epoch, head.revision))
