"""Folding what is short of several tenants: one read, and one transaction of the replica.

A transaction costs a replica more than the few rows that one tenant has for it, so that many
tenants with a short log would be slower than one with a long one. What cannot be folded together is
told, to be folded one by one: a tenant that stops stops alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from grantlog.app.slices import PIECES
from grantlog.background import background_tasks
from grantlog.errors import CorruptionError, GrantlogError
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import ChangeLog, ProjectionStore

TENANTS_MAX: Final = 200
"""Tenants of one transaction: so many heads are locked at once."""

Applied: TypeAlias = "dict[TenantId, Revision]"
"""The applied revision of each of some tenants."""


def grouped(
    behind: Mapping[TenantId, tuple[Revision, Revision]], changes_max: int
) -> list[Applied]:
    """The tenants whose logs are short, in groups that one transaction folds; none of one tenant.

    Args:
        behind: by tenant, where it stands and where its log ends.
        changes_max: changes of a slice, about. Revisions are counted, which most often have one.
    """
    revisions_max = max(changes_max // PIECES, 1)
    groups: list[Applied] = []
    room = 0
    for tenant, (at, end) in behind.items():
        revisions = end - at
        if revisions > revisions_max:
            continue
        if revisions > room or len(groups[-1]) == TENANTS_MAX:
            groups.append({})
            room = revisions_max
        groups[-1][tenant] = at
        room -= revisions
    return [group for group in groups if len(group) > 1]


async def fold_together(
    log: ChangeLog, store: ProjectionStore, groups: Sequence[Applied], changes_max: int
) -> AsyncGenerator[Sequence[Transaction]]:
    """Fold groups one after the other, and tell what of each is folded, whole tenants' at a time.

    Nothing, if it does not fit; tenants may also be missing that there was no room for.

    Args:
        log: what is read.
        store: the replica.
        groups: of `grouped`.
        changes_max: changes of a slice, about.

    Raises:
        UnavailableError: the replica does not answer.
    """
    changes_max = max(changes_max // PIECES, 1)
    following = iter(groups)
    page = await _read(log, following, changes_max)
    for _ in groups:
        async with background_tasks() as group:
            reading = group.create_task(_read(log, following, changes_max), name="read ahead")
            folded = await _is_applied(store, page)
        yield page if folded else ()
        page = reading.result()


async def _read(
    log: ChangeLog, following: Iterator[Applied], changes_max: int
) -> Sequence[Transaction]:
    """What the next group's logs say; nothing if that cannot be told: each is read again then."""
    places = next(following, None)
    if places is None:
        return ()
    try:
        return await log.read_several(places, changes_max=changes_max)
    except GrantlogError:
        return ()


async def _is_applied(store: ProjectionStore, page: Sequence[Transaction]) -> bool:
    try:
        await store.apply(page)
    except CorruptionError:
        return False
    return True
