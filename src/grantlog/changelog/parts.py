"""What both the outbox and the topic call a part. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from grantlog.model.ids import Epoch, Revision, TenantId


@dataclass(frozen=True, slots=True)
class Part:
    """A row of the log: one part of one transaction."""

    tenant: TenantId
    revision: Revision
    part: int
    parts: int
    epoch: Epoch
    payload: bytes

    @property
    def is_last(self) -> bool:
        """Whether its transaction is complete with it."""
        return self.part == self.parts - 1
