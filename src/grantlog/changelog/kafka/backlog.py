"""What a publisher still has to send, tenant by tenant, fairly. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog

from grantlog.changelog.parts import Part
from grantlog.changelog.postgres.outbox import WHOLE, Place
from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.projection.goal import Goal
from grantlog.wire.event import is_deletion

_LOG: Final = structlog.get_logger("grantlog.publish")
_START: Final = Place(NOTHING, WHOLE, complete=True)


class Backlog:
    """Tenants that are behind, in the order of their turns, and where each stands.

    Args:
        marks: the last published revision of each tenant; others begin at the beginning.
    """

    def __init__(self, marks: Mapping[TenantId, Revision] | None = None) -> None:
        self._places = {
            tenant: Place(revision, WHOLE, complete=True)
            for tenant, revision in (marks or {}).items()
        }
        self._behind: dict[TenantId, Revision] = {}
        self._goal = Goal()
        self.stopped: dict[TenantId, str] = {}
        """Tenants that are not sent any more, and why. They do not hold `through` back: a consumer
        that asks the primary for them is told the same."""

    @property
    def through(self) -> datetime | None:
        """Everything committed before it has been sent; None before the first time."""
        return self._goal.through

    def __bool__(self) -> bool:
        """Whether anything is left to send."""
        return bool(self._behind)

    def __len__(self) -> int:
        """How many tenants are behind."""
        return len(self._behind)

    def place(self, tenant: TenantId) -> Place:
        """The last part of a tenant that was sent."""
        return self._places.get(tenant, _START)

    def note(self, tenant: TenantId, head: Revision) -> None:
        """A tenant's log ends at `head`."""
        published = self.place(tenant).published
        if published > head:
            self._stop(
                tenant,
                f"revision {published} was published, the log ends at {head}: if the database was "
                "restored, run `grantlog epoch new` and `grantlog topic republish`",
            )
        elif published < head and tenant not in self.stopped:
            self._behind[tenant] = head

    def aim(self, through: datetime) -> None:
        """All heads up to a time are noted: remember to tell when they are sent."""
        self._goal.aim(through, self._behind)
        self._goal.arrive(self._is_done)

    def turn(self, tenants_max: int) -> list[tuple[TenantId, Place]]:
        """Whose turn it is, and behind which place; those go to the end of the queue."""
        tenants = list(self._behind)[:tenants_max]
        for tenant in tenants:
            self._behind[tenant] = self._behind.pop(tenant)
        return [(tenant, self.place(tenant)) for tenant in tenants]

    def sendable(self, parts: Sequence[Part], asked: Collection[TenantId]) -> list[Part]:
        """The parts that follow each other without a gap. A tenant with a gap is stopped.

        Args:
            parts: what the log has behind the places of `turn`, each tenant's in order; what does
                not fit into one batch is missing at the end.
            asked: the tenants of the first of whom nothing was found, if nothing was.
        """
        follows = {tenant: self.place(tenant) for tenant in asked}
        found: list[Part] = []
        for part in parts:
            before = follows[part.tenant]
            if part.tenant in self.stopped:
                continue
            if not _continues(before, part):
                self._stop(
                    part.tenant,
                    f"behind part {before.part} of revision {before.revision} the log has part "
                    f"{part.part} of revision {part.revision}",
                )
                continue
            follows[part.tenant] = Place(part.revision, part.part, part.is_last)
            found.append(part)
        if not parts:
            for tenant in asked:
                self._stop(
                    tenant,
                    f"the log ends at revision {self.place(tenant).revision}, not "
                    f"at its head {self._behind.get(tenant)}",
                )
        return found

    def sent(self, parts: Sequence[Part]) -> None:
        """These parts are on the topic."""
        for part in parts:
            self._places[part.tenant] = Place(part.revision, part.part, part.is_last)
        for tenant in {part.tenant for part in parts}:
            if self.place(tenant).published >= self._behind.get(tenant, NOTHING):
                self._behind.pop(tenant, None)
        self._goal.arrive(self._is_done)

    def _is_done(self, tenant: TenantId, revision: Revision) -> bool:
        """Whether a tenant is sent so far, or not sent any more."""
        return tenant in self.stopped or self.place(tenant).published >= revision

    def _stop(self, tenant: TenantId, why: str) -> None:
        if tenant not in self.stopped:
            _LOG.error("tenant not published any more", tenant=tenant, because=why)
        self.stopped[tenant] = why
        self._behind.pop(tenant, None)


def _continues(place: Place, part: Part) -> bool:
    """Whether a part may be sent behind a place: it is the next one, or a deletion of the tenant.

    The log of a life that ended goes away with it, whatever of it was sent.
    """
    if part.revision > place.revision + place.complete and part.part == 0:
        return is_deletion(part.payload)
    if place.complete:
        return (part.revision, part.part) == (place.revision + 1, 0)
    return (part.revision, part.part) == (place.revision, place.part + 1)
