"""A replica as a witness: what it folded was committed once, whatever its primary says now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grantlog.model.ids import TenantId
from grantlog.ports.log import Position
from grantlog.store.postgres.epoch import Seen
from grantlog.store.postgres.proof import Proof

Positions = Callable[[], Mapping[TenantId, Position]]


class ReplicaWitness:
    """Holds every run of the primary against the replica's positions."""

    def __init__(self) -> None:
        self.proof = Proof(self._seen, who="a replica")
        self._positions: Positions = dict[TenantId, Position]

    def stand_at(self, positions: Positions) -> None:
        """From now on, what `positions` tells is what the replica folded."""
        self._positions = positions
        self.proof.forget_server()

    def _seen(self) -> Mapping[TenantId, Seen]:
        return {
            tenant: Seen(at.epoch, at.revision, at.digest)
            for tenant, at in self._positions().items()
        }
