"""Copying a tenant from the primary into an empty replica, in pages.

A copy is of one revision R, the head when it began, though writes go on: what was live at R is
live still, or has moved to history since. So live rows are copied first, then those that moved to
history behind R meanwhile (as live ones), then the history up to R. Every page is read in a short
transaction of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from grantlog.model.ids import NOTHING, Revision, SchemaVersion, TenantId
from grantlog.ports.log import Position


class Stage(IntEnum):
    """What is copied, in this order; the numbers are stored."""

    TUPLES = 1
    ATTRIBUTES = 2
    REVIVED_TUPLES = 3
    """Live at R, in history since."""
    REVIVED_ATTRIBUTES = 4
    PAST_TUPLES = 5
    PAST_ATTRIBUTES = 6
    SCHEMAS = 7
    WHOLE = 8
    """Nothing is left to be copied."""


@dataclass(frozen=True, slots=True)
class SourceHead:
    """A tenant's head row in the primary."""

    key: int
    """Of the rows of its present life."""
    position: Position
    begins: Revision
    floor: Revision
    """Reads below it are refused: history was collected."""
    salt: bytes
    commit_time: datetime
    schema_version: SchemaVersion


@dataclass(frozen=True, slots=True)
class Copying:
    """How far the copy of a tenant is."""

    tenant: TenantId
    key: int
    """Of the copied rows, in the replica."""
    head: SourceHead
    """As it was when the copy began: its revision is the copy's."""
    stage: Stage = Stage.TUPLES
    place: tuple[str, ...] = ()
    """The last key or revision of the stage that was copied; empty at its beginning."""
    bound: Revision = NOTHING
    """A head read when all live rows had been copied; 0 before."""
    rows: int = 0
    """Rows copied so far."""

    @property
    def revision(self) -> Revision:
        """R: the revision that the copy is of."""
        return self.head.position.revision


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a stage."""

    rows: int
    upto: tuple[str, ...] | None
    """Where the next page begins; None if it was the stage's last."""
    content: object
    """The rows, as the source's kind of store hands them to the target's."""


class CopySource(Protocol):
    """The primary's tables."""

    async def head(self, tenant: TenantId, seen: Position | None = None) -> SourceHead | None:
        """The tenant's head now; None if the tenant is not known, or `seen` is not in its log."""
        ...

    async def page(self, copying: Copying, rows_max: int) -> Page:
        """The rows behind `copying.place`, about `rows_max`, of what its stage copies.

        Raises:
            UnavailableError: the primary does not answer.
        """
        ...


class CopyTarget(Protocol):
    """The replica's tables. What is copied cannot be read before `finish`."""

    async def copies(self) -> dict[TenantId, Copying]:
        """The copies under way, with all that was added to them."""
        ...

    async def begin(self, tenant: TenantId, head: SourceHead) -> Copying | None:
        """Begin a tenant's copy, giving up the one under way if there is one.

        None if something has been folded of the tenant: it is not to be copied then.

        Raises:
            PreconditionError: the database is a primary.
        """
        ...

    async def add(self, copying: Copying, page: Page, following: Copying) -> bool:
        """Add a page and note how far the copy is then, both or neither.

        False if the copy does not stand at `copying` any more: somebody else went on with it.
        """
        ...

    async def finish(self, copying: Copying, floor: Revision) -> None:
        """Make a whole copy what the tenant's reads find, unless more has been folded by now.

        Args:
            copying: whole.
            floor: reads below it are refused: history below may be missing in the copy.
        """
        ...
