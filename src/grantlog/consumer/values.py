"""What a consumer is handed, and what it keeps to go on after any accident."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from grantlog.errors import PreconditionError
from grantlog.model.change import Body
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import decode_token


class RebuildNeededError(PreconditionError):
    """What is held of a tenant cannot be continued: it must be read anew from the API.

    Attributes:
        tenant: of whom.
        why: one sentence for a person.
    """

    def __init__(self, tenant: TenantId, why: str) -> None:
        self.tenant = tenant
        self.why = why
        super().__init__(f"the tenant {tenant} must be rebuilt: {why}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision of one tenant, whole.

    What came from an API node instead of the topic is `refilled`: it has no commit time, actor or
    metadata, and schema, bundle and tenant writes are not among such, but for a deletion.
    """

    tenant: TenantId
    epoch: Epoch
    revision: Revision
    body: Body
    """A `TenantDeleted` ends all that is held of the tenant."""
    commit_time: datetime | None = None
    actor: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    refilled: bool = False


@dataclass(frozen=True, slots=True)
class TenantPosition:
    """Everything of a tenant up to a revision has been applied."""

    epoch: int
    revision: int
    digest: bytes = b""
    """Of that revision; empty where it is not known (behind a refill or a rebuild)."""
    stopped: str = ""
    """Why nothing more of the tenant is applied, "" while all is well."""


@dataclass(frozen=True, slots=True)
class PartitionPlace:
    """Where reading a partition goes on."""

    offset: int
    """Of the next message."""
    publisher: tuple[int, int] = (0, 0)
    """The highest publisher met before it: log epoch, publisher epoch."""
    time_ms: int = -1
    """Kafka's time of the message before it: another one there means another topic. -1 if none."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Where a consumer stands, or what of that changed."""

    topic: str = ""
    """The topic that the places are of."""
    tenants: Mapping[TenantId, TenantPosition] = field(
        default_factory=dict[TenantId, TenantPosition]
    )
    partitions: Mapping[int, PartitionPlace] = field(default_factory=dict[int, PartitionPlace])


class Store(Protocol):
    """Your database. One consumer at a time may use it."""

    async def positions(self) -> Positions:
        """All that `apply` kept; an empty `Positions` at first."""
        ...

    async def apply(self, batch: Sequence[Entry], positions: Positions) -> None:
        """Apply the entries in their order and keep the positions, in one transaction.

        Args:
            batch: each tenant's in the order of revisions; may be empty.
            positions: those that changed, to be written over what is kept of the same tenant or
                partition. With another `topic` than before, forget the partitions kept.
        """
        ...


def position_of(tenant: str, snap_token: str) -> TenantPosition:
    """The position behind a rebuild: of the token that its reads stood at.

    Raises:
        InvalidTokenError: it is not a token of this tenant.
    """
    token = decode_token(TenantId(tenant), snap_token)
    return TenantPosition(token.epoch, token.revision)
