"""What this process knows of each tenant's head: the floor below which it never answers again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from grantlog.app.recent import Recent
from grantlog.model.ids import NOTHING, Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, encode_token
from grantlog.ports.heads import Head
from grantlog.ports.standing import stand_at
from grantlog.ports.writer import Committed

TENANTS_MAX: Final = 100_000

LifeBegan: TypeAlias = "Callable[[TenantId, Revision], None]"
"""Told a tenant and the deletion that began its present life."""


def _nobody(tenant: TenantId, begins: Revision) -> None:
    """Nothing is kept of tenants' lives."""
    del tenant, begins


class Known(NamedTuple):
    """A head and how old the knowledge is."""

    head: Head
    complete_at: float
    """By the node's clock, in seconds: every write committed by then stands at or before it."""


class KnownHeads:
    """The newest head of each tenant that this process read, acknowledged or answered at.

    Used from the event loop's thread alone. A tenant that is evicted is asked for again, from the
    primary, so eviction never makes an answer older.

    Args:
        now: seconds by a clock that never goes back.
        life_began: is told when a head shows that a tenant was deleted since it was known.
        tenants_max: how many are kept.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        life_began: LifeBegan = _nobody,
        tenants_max: int = TENANTS_MAX,
    ) -> None:
        self.now = now
        self._life_began = life_began
        self._known: Recent[TenantId, Known] = Recent(tenants_max)

    def head(self, tenant: TenantId) -> Head | None:
        """The newest head known, None if there is none."""
        known = self._known.find(tenant)
        return known.head if known is not None else None

    def heads(self) -> dict[TenantId, Head]:
        """The newest head known of every tenant."""
        return {tenant: known.head for tenant, known in self._known.items()}

    def find(self, tenant: TenantId) -> Known | None:
        """The newest head known and its age, None if there is none."""
        return self._known.find(tenant)

    def learn(self, tenant: TenantId, head: Head, asked_at: float) -> Known:
        """Keep the newer of `head` and what is known, and return it.

        Args:
            tenant: whose head.
            head: what the primary answered, or a write made.
            asked_at: when the question, or the write, was sent; what was committed by then is in
                `head`, and so in any newer one.
        """
        known = self._known.find(tenant)
        life = NOTHING
        if known is not None:
            newest, complete_at = known
            life = newest.begins
            if head.epoch < newest.epoch:
                return known  # a database that was failed over says nothing about now
            if head.revision <= newest.revision and head.epoch == newest.epoch:
                if asked_at <= complete_at:
                    return known
                if newest.digest is not None or head.revision < newest.revision:
                    head = newest
            asked_at = max(asked_at, complete_at)
        learnt = Known(head, asked_at)
        self._known.set(tenant, learnt)
        if head.begins > life:
            self._life_began(tenant, head.begins)
        return learnt

    def acknowledge(self, tenant: TenantId, done: Committed, begun_at: float) -> Head:
        """Learn the head that a write made, or met, and note that its answer stands there.

        Args:
            tenant: whose head.
            done: what came of the write.
            begun_at: when the write was sent.
        """
        head = Head(done.epoch, done.revision, done.schema_version, done.begins, done.digest)
        stand_at(encode_token(tenant, SnapToken(done.epoch, done.revision)))
        self.learn(tenant, head, begun_at)
        return head

    def forget(self, tenant: TenantId) -> None:
        """Ask the primary the next time."""
        self._known.drop(tenant)

    def forget_before(self, epoch: Epoch) -> None:
        """Ask the primary about every tenant that is known from an earlier epoch only."""
        for tenant in [t for t, known in self._known.items() if known.head.epoch < epoch]:
            self.forget(tenant)
