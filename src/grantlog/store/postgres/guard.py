"""The guard inside every read: where the tenant stood in the snapshot the rows came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from grantlog.errors import BehindWindowError, GrantlogError, ProjectionLaggingError
from grantlog.model.ids import Epoch, Revision, TenantId

NO_EPOCH: Final = Epoch(0)


class Guard(NamedTuple):
    """A tenant's head row as a read saw it; zeros for a tenant that was never written."""

    revision: Revision
    floor: Revision
    begins: Revision
    epoch: Epoch

    def refusal(self, at: Revision, epoch: Epoch = NO_EPOCH) -> GrantlogError | None:
        """Why a read at `at` cannot be answered from this snapshot, None if it can.

        At exactly `begins` the tenant is empty, at exactly `floor` its history is whole. In
        another epoch than `epoch` the same revision may name another history: a failover lies
        between them, or two servers that both believe to be the primary. 0 takes any.
        """
        if at and epoch not in {NO_EPOCH, self.epoch}:
            return ProjectionLaggingError(f"epoch {epoch} is asked for, {self.epoch} is here")
        if at > self.revision:
            return ProjectionLaggingError(f"revision {at} is not here yet: {self.revision} is")
        if at < self.begins:
            return BehindWindowError(f"the tenant was deleted at revision {self.begins}")
        if at < self.floor:
            return BehindWindowError(f"history before revision {self.floor} has been collected")
        return None


Admit: TypeAlias = "Callable[[TenantId, Revision, Guard], GrantlogError | None]"
"""Why what was read under a guard may not be answered, None if it may; called for every read."""


def admit_any(tenant: TenantId, at: Revision, guard: Guard) -> GrantlogError | None:
    """Whatever the guard allows: in the primary itself."""
    del tenant
    return guard.refusal(at)
