"""Where a tenant stands: its head in the primary, and epochs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from grantlog.errors import InvalidInputError
from grantlog.model.ids import NOTHING, Epoch, Revision, SchemaVersion, TenantId


@dataclass(frozen=True, slots=True)
class Head:
    """A tenant's place in its log with the schema in force there, always read together.

    A tenant that was never written has revision 0 and no schema.
    """

    epoch: Epoch
    revision: Revision
    schema_version: SchemaVersion
    """The schema version in force at `revision`; "" if there is none."""
    begins: Revision = NOTHING
    """The deletion that began the tenant's current life: what was written up to it is gone."""
    digest: bytes | None = field(default=None, compare=False, repr=False)
    """Of the transaction at `revision`, where it is known: another history has another one."""


class HeadReader(Protocol):
    """Reads heads from the primary; concurrent calls share a statement."""

    async def head(self, tenant: TenantId) -> Head:
        """The head, as of some moment after the call began.

        Raises:
            UnavailableError: the primary does not answer.
        """
        ...

    async def recorded_head(self, tenant: TenantId, epoch: Epoch) -> Revision:
        """The last revision that survived of `epoch`: what the next epoch recorded when it opened.

        Only for epochs older than the head's. A tenant that the next epoch did not know: 0; so of
        an epoch that the log never was in.
        """
        ...


class PastReader(Protocol):
    """Reads from the primary where a tenant stood earlier, with the schema in force then.

    Common errors: BehindWindowError (the history was collected, or the tenant deleted since),
    UnavailableError.
    """

    async def at_revision(self, tenant: TenantId, revision: Revision) -> Head:
        """The head as it was at exactly a revision.

        Raises:
            BeyondHeadError: the tenant has no such revision yet.
        """
        ...

    async def at_time(self, tenant: TenantId, time: datetime) -> Head:
        """The head as it was at a time (UTC), by the commit times of its transactions.

        Raises:
            InvalidInputError: the time is in the future, by the database's clock.
        """
        ...


def require_past(time: datetime, *, now: datetime) -> None:
    """Refuse a time of which it cannot be known yet what will be committed by then.

    Raises:
        InvalidInputError: it is in the future.
    """
    if time > now:
        raise InvalidInputError(
            f"{time.isoformat()} is in the future; it is {now.isoformat(timespec='milliseconds')} "
            "by the database's clock",
            reason="AS_OF_IN_FUTURE",
        )


@dataclass(frozen=True, slots=True)
class SchemaRecord:
    """A stored schema version."""

    version: SchemaVersion
    revision: Revision
    """The revision that wrote it."""
    created_at: datetime
    text: str


class SchemaReader(Protocol):
    """Reads stored schema versions. A version is immutable, so any copy that has it will do."""

    async def schema(self, tenant: TenantId, version: SchemaVersion) -> SchemaRecord | None:
        """The version, looked for in the primary before None is answered."""
        ...

    async def schemas(
        self, tenant: TenantId, *, limit: int, before: SchemaVersion | None = None
    ) -> list[SchemaRecord]:
        """Versions of the tenant, newest first, from the primary; `before` is the last one seen."""
        ...
