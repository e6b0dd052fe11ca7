"""The guard inside every read: where the tenant stood in the snapshot the rows came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from grantlog.errors import (
    BehindWindowError,
    GrantlogError,
    OtherEpochError,
    ProjectionLaggingError,
)
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId


class Guard(NamedTuple):
    """A tenant's head row as a read saw it; zeros for a tenant that was never written."""

    revision: Revision
    floor: Revision
    begins: Revision
    epoch: Epoch

    def refusal(self, at: Revision, epoch: Epoch = ANY_EPOCH) -> GrantlogError | None:
        """Why a read at `at` cannot be answered from this snapshot, None if it can.

        At exactly `begins` the tenant is empty, at exactly `floor` its history is whole. In
        another epoch than `epoch` the same revision may name another history: a failover lies
        between them, or two servers that both believe to be the primary.
        """
        if at and epoch not in {ANY_EPOCH, self.epoch}:
            return OtherEpochError(
                f"revision {at} was resolved in epoch {epoch} of the log, epoch {self.epoch} is "
                "here: a failover or restore lies between them; ask again"
            )
        if at > self.revision:
            return ProjectionLaggingError(f"revision {at} is not here yet: {self.revision} is")
        if at < self.begins:
            return BehindWindowError(f"the tenant was deleted at revision {self.begins}")
        if at < self.floor:
            return BehindWindowError(f"history before revision {self.floor} has been collected")
        return None


Admit: TypeAlias = "Callable[[TenantId, Revision, Epoch, Guard], GrantlogError | None]"
"""Why what was read under a guard may not be answered, None if it may; called for every read."""


def admit_any(tenant: TenantId, at: Revision, epoch: Epoch, guard: Guard) -> GrantlogError | None:
    """Whatever the guard allows: in the primary itself."""
    del tenant
    return guard.refusal(at, epoch)
