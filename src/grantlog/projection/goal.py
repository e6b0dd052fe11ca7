"""Up to which time everything is done, told from how far each tenant is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from grantlog.model.ids import Revision, TenantId


class Goal:
    """Reaching some revisions means that everything before a time is done.

    One goal at a time, and it stays until it is reached: a tenant that is always behind its head
    must not keep the time from moving.
    """

    def __init__(self) -> None:
        self.through: datetime | None = None
        """Everything committed before it is done; None before the first goal was reached."""
        self._next: datetime | None = None
        self._ahead: dict[TenantId, Revision] = {}

    def aim(self, through: datetime, ahead: Mapping[TenantId, Revision]) -> None:
        """Take these as the goal, unless an earlier one is still to be reached.

        Args:
            through: what reaching it means.
            ahead: of each tenant that is behind, how far it is to come.
        """
        if self._next is None:
            self._next, self._ahead = through, dict(ahead)

    def arrive(self, is_reached: Callable[[TenantId, Revision], bool]) -> None:
        """Look how far the tenants are; `is_reached` also of those that are given up."""
        if self._next is None:
            return
        self._ahead = {
            tenant: revision
            for tenant, revision in self._ahead.items()
            if not is_reached(tenant, revision)
        }
        if not self._ahead:
            self.through, self._next = self._next, None

    def drop(self) -> None:
        """Forget the goal: everything is looked at anew."""
        self._next = None
