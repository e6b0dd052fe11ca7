"""Watching a tenant's changes: from head or any token, without a gap, a duplicate or disorder.

History comes from the log, page by page, at the watcher's own pace; at its end the watcher joins
the hub, reads what the hub passed meanwhile, and from the exact next revision on takes what the hub
pushes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from grantlog.app.resolve import Resolver
from grantlog.app.watch_hub import Place, WatchHub, WatchLimits, lost_behind
from grantlog.errors import CorruptionError, GrantlogError, LostWriteError, TenantDeletedError
from grantlog.model.change import Change, DataWritten, TenantDeleted, Transaction, TupleChange
from grantlog.model.ids import NOTHING, Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.model.tuples import Subject
from grantlog.ports.log import TenantLog


@dataclass(frozen=True, slots=True)
class WatchedSubject:
    """`user`: any of the type; `user:1`, `group:eng#member`: exactly that subject."""

    type: str
    id: str = ""
    relation: str = ""

    def admits(self, subject: Subject) -> bool:
        """Whether a tuple's subject is meant."""
        return subject.type == self.type and (
            not self.id or (subject.id, subject.relation) == (self.id, self.relation)
        )


@dataclass(frozen=True, slots=True)
class WatchFilter:
    """Which changes are told: conditions are ANDed, each one's values ORed; empty is no condition.

    Attributes:
        entity_types: types of the entity that the fact is about.
        relations: names of relations and of attributes, which share one namespace.
        subjects: of tuples; attributes have none, so this condition leaves them out.
    """

    entity_types: frozenset[str] = frozenset()
    relations: frozenset[str] = frozenset()
    subjects: tuple[WatchedSubject, ...] = ()

    def admits(self, change: Change) -> bool:
        """Whether a change is told."""
        if isinstance(change, TupleChange):
            entity, name, subject = change.tuple
        else:
            entity, name, subject = change.attribute.entity, change.attribute.name, None
        if self.entity_types and entity.type not in self.entity_types:
            return False
        if self.relations and name not in self.relations:
            return False
        if not self.subjects:
            return True
        return subject is not None and any(each.admits(subject) for each in self.subjects)


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a watcher hears: the changes of a revision, or none: where it stands."""

    snap_token: str
    """Everything up to it has been told: watching again from it goes on exactly behind."""
    previous_token: str
    """Where the watcher stood before."""
    changes: tuple[Change, ...]


class Watch:
    """Tells the changes of a tenant as they happen."""

    def __init__(
        self,
        resolver: Resolver,
        log: TenantLog,
        hub: WatchHub,
        limits: WatchLimits,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds, for heartbeats."""
        self._resolver = resolver
        self._log = log
        self._hub = hub
        self._limits = limits
        self._clock = clock
        self._reading = asyncio.Semaphore(limits.history_reads_max)

    async def __call__(
        self,
        tenant: TenantId,
        *,
        snap_token: str,
        where: WatchFilter,
        heartbeat_s: float | None = None,
    ) -> AsyncGenerator[Told]:
        """Tell the admitted changes of every revision behind the token, or behind the head.

        At once, and whenever nothing was told for `heartbeat_s`, or for as long as the limits say
        if that is less, it tells where it stands.

        Raises:
            InvalidTokenError, BeyondHeadError, LostWriteError: the token cannot be honoured.
            TenantDeletedError: the tenant was deleted behind the token, or is now.
            SlowReaderError: more happened than is kept for a watcher. Where to go on is its fact
                `snap_token`, as it is of TenantDeletedError and UnavailableError.
            UnavailableError: the log cannot be read, or this node is going to stop.
        """
        silent_s_max = self._limits.heartbeat_s
        if heartbeat_s is not None:
            silent_s_max = min(silent_s_max, heartbeat_s)
        place = await self._start(tenant, snap_token)
        token = _token(tenant, place)
        yield Told(token, token, ())
        told_at, told = self._clock(), place
        try:
            async with aclosing(self._follow(tenant, place, silent_s_max)) as transactions:
                async for transaction in transactions:
                    changes: tuple[Change, ...] = ()
                    if transaction is not None:
                        place = place.then(transaction)
                        changes = _changes(transaction, where)
                    if changes or self._clock() - told_at >= silent_s_max:
                        yield Told(_token(tenant, place), _token(tenant, told), changes)
                        told_at, told = self._clock(), place
        except GrantlogError as error:
            raise await self._ended(tenant, place, error) from error

    async def _start(self, tenant: TenantId, snap_token: str) -> Place:
        """Where to begin: at the token, or at the head as the primary has it now."""
        if snap_token:
            token = decode_token(tenant, snap_token)
            await self._resolver.admit(tenant, token)
        else:
            head = await self._resolver.refresh(tenant)
            token = SnapToken(head.epoch, head.revision)
        place = Place(token.epoch, token.revision, None)
        await self._require_alive(tenant, place)
        return await self._anchored(tenant, place)

    async def _anchored(self, tenant: TenantId, place: Place) -> Place:
        """The place with the digest of its transaction: what follows must continue that one.

        Raises:
            LostWriteError: the log holds another transaction there than the token's, or none.
        """
        if place.revision == NOTHING:
            return place
        page = await self._log.read(tenant, after=Revision(place.revision - 1), changes_max=1)
        held = page[0] if page else None
        if held is None or held.revision < place.revision or held.epoch > place.epoch:
            raise lost_behind(place)
        if held.revision > place.revision:  # a deletion since, behind which nothing is left
            raise _deleted(tenant, held.epoch, held.revision)
        return Place(place.epoch, place.revision, held.digest)

    async def _follow(
        self, tenant: TenantId, place: Place, silent_s_max: float
    ) -> AsyncGenerator[Transaction | None]:
        """Transactions behind a place, in order; None when none came for a while."""
        while not await self._is_near_the_end(tenant, place):
            for transaction in await self._history(tenant, place):
                place = place.then(transaction)
                yield transaction
        with self._hub.joined(tenant, place) as subscription:
            while place.revision < subscription.joined_at.revision:
                page = await self._history(tenant, place)
                if not page:
                    raise lost_behind(subscription.joined_at)
                for transaction in page:
                    place = place.then(transaction)
                    yield transaction
            while True:
                following = await subscription.next(silent_s_max)
                if following is None:
                    yield None
                elif following.revision > place.revision:
                    place = place.then(following)
                    yield following

    async def _is_near_the_end(self, tenant: TenantId, place: Place) -> bool:
        """Whether what follows a place in the log fits well into a watcher's buffer."""
        head = (await self._log.heads_of([tenant])).get(tenant)
        near = self._limits.transactions_max // 4
        return head is None or head.position.revision - place.revision <= near

    async def _history(self, tenant: TenantId, place: Place) -> Sequence[Transaction]:
        async with self._reading:
            return await self._log.read(
                tenant, after=place.revision, changes_max=self._limits.page_changes_max
            )

    async def _require_alive(self, tenant: TenantId, place: Place) -> None:
        """Refuse a place in a life of the tenant that has ended.

        Raises:
            TenantDeletedError: it does lie there.
        """
        head = (await self._log.heads_of([tenant])).get(tenant)
        if head is not None and head.begins > place.revision:
            raise _deleted(tenant, head.position.epoch, head.begins)

    async def _ended(self, tenant: TenantId, place: Place, error: GrantlogError) -> GrantlogError:
        """The error that a watcher at `place` is told, with the token to go on from."""
        if isinstance(error, TenantDeletedError | LostWriteError):
            return error
        if isinstance(error, CorruptionError):
            await self._require_alive(tenant, place)  # a deleted tenant's log goes away
            return error
        token = _token(tenant, place)
        told = f"{error.explanation}; all was told up to the snap token {token}, watch from there"
        return type(error)(told, reason=error.reason, facts={"snap_token": token})


def _changes(transaction: Transaction, where: WatchFilter) -> tuple[Change, ...]:
    """The changes to tell of a transaction.

    Raises:
        TenantDeletedError: it ends the tenant's life.
    """
    body = transaction.body
    if isinstance(body, TenantDeleted):
        raise _deleted(transaction.tenant, transaction.epoch, transaction.revision)
    if not isinstance(body, DataWritten):
        return ()
    return tuple(change for change in body.changes if where.admits(change))


def _deleted(tenant: TenantId, epoch: Epoch, begins: Revision) -> TenantDeletedError:
    token = encode_token(tenant, SnapToken(epoch, begins))
    return TenantDeletedError(
        f"the tenant was deleted at revision {begins} and everything of it with it; watch from the "
        f"snap token {token} to hear of its next life",
        facts={"snap_token": token},
    )


def _token(tenant: TenantId, place: Place) -> str:
    return encode_token(tenant, SnapToken(place.epoch, place.revision))
