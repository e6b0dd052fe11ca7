"""The guard inside every read: where the tenant stood in the snapshot the rows came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from grantlog.errors import BehindWindowError, GrantlogError, ProjectionLaggingError
from grantlog.model.ids import Epoch, Revision, TenantId

NO_EPOCH: Final = Epoch(0)
EpochFloor: TypeAlias = "Callable[[TenantId], Epoch]"
"""The epoch that the primary is known to have for a tenant."""


def no_floor(tenant: TenantId) -> Epoch:
    """Any epoch will do: in the primary itself."""
    del tenant
    return NO_EPOCH


class Guard(NamedTuple):
    """A tenant's head row as a read saw it; zeros for a tenant that was never written."""

    revision: Revision
    floor: Revision
    begins: Revision
    epoch: Epoch

    def refusal(self, at: Revision, epoch_floor: Epoch = NO_EPOCH) -> GrantlogError | None:
        """Why a read at `at` cannot be answered from this snapshot, None if it can.

        At exactly `begins` the tenant is empty, at exactly `floor` its history is whole. In an
        epoch before `epoch_floor`, a failover's, the same revision may name another history.
        """
        if at and self.epoch < epoch_floor:
            return ProjectionLaggingError(f"epoch {epoch_floor} is not here yet: {self.epoch} is")
        if at > self.revision:
            return ProjectionLaggingError(f"revision {at} is not here yet: {self.revision} is")
        if at < self.begins:
            return BehindWindowError(f"the tenant was deleted at revision {self.begins}")
        if at < self.floor:
            return BehindWindowError(f"history before revision {self.floor} has been collected")
        return None
