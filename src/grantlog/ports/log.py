"""Following the change log, and folding it into a replica."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from grantlog.model.chain import GENESIS
from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, Revision, TenantId


@dataclass(frozen=True, slots=True)
class Position:
    """How far a tenant's log goes, or how far a reader of it got."""

    epoch: Epoch
    revision: Revision
    digest: bytes
    """Of the transaction at `revision`; GENESIS at 0."""

    @classmethod
    def of(cls, last: Transaction) -> Position:
        """Behind a transaction."""
        return cls(last.epoch, last.revision, last.digest)


NOWHERE: Final = Position(Epoch(0), Revision(0), GENESIS)
"""Before the first transaction."""


@dataclass(frozen=True, slots=True)
class HeadsMoved:
    """The heads that may have moved since a mark. None may be missing; extra ones may be there."""

    heads: dict[TenantId, Position]
    mark: str
    """Pass it to the next call; opaque."""
    through: datetime
    """The primary's time T: everything committed before T is in these heads or earlier ones."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where a tenant's log ends now."""

    position: Position
    begins: Revision
    """The deletion that began the tenant's present life, 0 in its first."""


class TenantLog(Protocol):
    """The ordered record of some tenants, for those who follow a few of many."""

    async def heads_of(
        self, tenants: Collection[TenantId], *, now: bool = False
    ) -> dict[TenantId, LogHead]:
        """Where these tenants' logs end; one that was never written is not in it.

        A log that is distributed may tell an end that is a moment old; with `now` the primary's
        is told. For one follower, which asks for all the tenants that it follows, or with `now`.
        """
        ...

    async def read(
        self, tenant: TenantId, *, after: Revision, changes_max: int
    ) -> Sequence[Transaction]:
        """Whole transactions behind `after`, in order; at least one if there is any.

        The log of a life that ended goes away with it: behind a place in such a life comes the
        deletion that began the present one, whatever lay between.

        Raises:
            CorruptionError: a revision is missing, or an event kind is unknown.
        """
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return when something may have been committed, at the latest after `timeout_s`.

        For one follower, which has looked at heads before: a log serves one.
        """
        ...


class ChangeLog(TenantLog, Protocol):
    """The ordered record of all tenants."""

    async def heads_moved(self, mark: str | None) -> HeadsMoved:
        """Heads that moved since `mark`; None means all heads.

        A log that is distributed may tell a move a moment late; `through` is not before it then.
        """
        ...

    async def read_several(
        self, places: Mapping[TenantId, Revision], *, changes_max: int
    ) -> Sequence[Transaction]:
        """As `read`, of several tenants in one go: each one's transactions stand together.

        Args:
            places: by tenant, behind which revision.
            changes_max: of all of them, about; tenants for which there is no room are left out.

        Raises:
            CorruptionError: as `read`, of one of them.
        """
        ...


class ProjectionStore(Protocol):
    """A replica's tables."""

    async def positions(self) -> dict[TenantId, Position]:
        """How far each tenant has been folded."""
        ...

    async def apply(self, transactions: Sequence[Transaction]) -> None:
        """Fold transactions, each tenant's in order; rows and positions in one transaction.

        Idempotent: what is already folded is skipped. A deletion of the tenant may follow any
        revision before it.

        Raises:
            CorruptionError: another gap, or a predecessor digest that does not fit, of one of the
                tenants; nothing was applied.
            UnavailableError: the replica does not answer; nothing was applied.
        """
        ...

    async def adopt_epoch(self, tenant: TenantId, head: Position) -> bool:
        """Go on in the head's epoch, if what is folded here is exactly what the head stands on.

        A new epoch moves heads without writing to them. False: revision or digest differ.
        """
        ...

    async def digest(self, tenant: TenantId, at: Revision | None = None) -> tuple[Position, bytes]:
        """The tenant's position, and a digest of its facts and schemas, from one snapshot.

        Of those that hold at `at`, an earlier revision, or at the position. Two stores with the
        same digest hold the same facts, created at the same revisions, and the same schemas.

        Raises:
            ProjectionLaggingError: `at` is not folded yet.
            BehindWindowError: history at `at` has been collected.
        """
        ...

    async def forget(self, tenant: TenantId, at: Position) -> bool:
        """Forget one tenant if it stands there, to be folded from its log's beginning.

        False, and nothing happened: it stands elsewhere by now.
        """
        ...

    async def clear(self) -> None:
        """Forget everything, to be rebuilt from nothing."""
        ...
