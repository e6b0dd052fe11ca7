"""The guard inside every read: where the tenant stood in the snapshot the rows came from."""

from __future__ import annotations

from typing import NamedTuple

from grantlog.errors import BehindWindowError, GrantlogError, ProjectionLaggingError
from grantlog.model.ids import Epoch, Revision


class Guard(NamedTuple):
    """A tenant's head row as a read saw it; zeros for a tenant that was never written."""

    revision: Revision
    floor: Revision
    begins: Revision
    epoch: Epoch

    def refusal(self, at: Revision) -> GrantlogError | None:
        """Why a read at `at` cannot be answered from this snapshot, None if it can.

        At exactly `begins` the tenant is empty, at exactly `floor` its history is whole.
        """
        if at > self.revision:
            return ProjectionLaggingError(f"revision {at} is not here yet: {self.revision} is")
        if at < self.begins:
            return BehindWindowError(f"the tenant was deleted at revision {self.begins}")
        if at < self.floor:
            return BehindWindowError(f"history before revision {self.floor} has been collected")
        return None
