"""What every ChangeLog and every TenantLog keeps."""

from __future__ import annotations

import asyncio

from grantlog.model.change import TenantDeleted
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import HeadsMoved, LogHead, Position
from grantlog.testing.contracts.lives import DELETION, write_lives
from grantlog.testing.contracts.places import (
    ACME,
    CHANGES_MAX,
    OTHER,
    Primary,
)


async def moved_to(
    primary: Primary, mark: str | None, tenant: TenantId, revision: int
) -> HeadsMoved:
    """What moved since a mark, as soon as the log tells that a tenant is at a revision."""
    async with asyncio.timeout(10):
        while True:
            moved = await primary.log.heads_moved(mark)
            head = moved.heads.get(tenant)
            if head is not None and head.revision >= revision:
                return moved
            await primary.log.wait(0.05)


class ChangeLogContract:
    """The ordered record."""

    async def test_all_heads_are_told_without_a_mark_and_moved_ones_with_it(
        self, primary: Primary
    ) -> None:
        first = await primary.put("doc:1#viewer@user:1")
        moved = await primary.log.heads_moved(None)
        assert moved.heads[ACME].revision == first.revision
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        later = await moved_to(primary, moved.mark, OTHER, 1)
        assert later.through >= moved.through
        last = (await primary.history(OTHER))[-1]
        assert later.heads[OTHER] == Position(last.epoch, last.revision, last.digest)

    async def test_no_head_is_missed_while_writes_go_on(self, primary: Primary) -> None:
        seen: dict[str, int] = {}
        mark = None
        async with asyncio.TaskGroup() as group:
            writes = [group.create_task(primary.put(f"doc:{n}#viewer@user:1")) for n in range(40)]
            while not all(write.done() for write in writes):
                moved = await primary.log.heads_moved(mark)
                mark = moved.mark
                seen.update({tenant: head.revision for tenant, head in moved.heads.items()})
                await primary.log.wait(0.005)
        last = max(write.result().revision for write in writes)
        if seen.get(ACME, 0) < last:
            moved = await moved_to(primary, mark, ACME, last)
            seen.update({tenant: head.revision for tenant, head in moved.heads.items()})
        assert seen[ACME] == last

    async def test_what_committed_before_through_is_in_the_heads_told(
        self, primary: Primary
    ) -> None:
        told = 0
        mark = None
        for number in range(10):
            done = await primary.put(f"doc:{number}#viewer@user:1")
            moved = await primary.log.heads_moved(mark)
            mark = moved.mark
            told = max(told, moved.heads[ACME].revision if ACME in moved.heads else 0)
            assert done.commit_time is not None
            if done.commit_time < moved.through:
                assert told >= done.revision

    async def test_several_tenants_are_read_in_one_go(self, primary: Primary) -> None:
        tenants = [TenantId(f"many-{number}") for number in range(4)]
        for number in range(12):
            facts = [f"doc:{number}#viewer@user:{n}" for n in range(10)]
            await primary.put(*facts, tenant=tenants[number % 4])
        for tenant in tenants:
            await moved_to(primary, None, tenant, 3)
        places = {tenant: Revision(number) for number, tenant in enumerate(tenants)}
        wanted = [
            entry
            for tenant, after in places.items()
            for entry in (await primary.history(tenant))[after:]
        ]
        nobody = {TenantId("nobody"): Revision(0)}
        found = await primary.log.read_several({**nobody, **places}, changes_max=CHANGES_MAX)
        assert list(found) == wanted
        assert await primary.log.read_several(nobody, changes_max=CHANGES_MAX) in ([], ())
        assert await primary.log.read_several({}, changes_max=CHANGES_MAX) in ([], ())
        some = await primary.log.read_several(places, changes_max=len(wanted) * 10 // 2)
        assert list(some) == wanted[: len(some)]
        assert 1 <= len(some) < len(wanted)
        assert list(await primary.log.read_several(places, changes_max=1)) == wanted[:1]

    async def test_transactions_are_read_whole_in_order_and_in_bounded_pages(
        self, primary: Primary
    ) -> None:
        for number in range(6):
            await primary.put(*(f"doc:{number}#viewer@user:{n}" for n in range(4)))
        page = await primary.log.read(ACME, after=Revision(1), changes_max=8)
        assert [entry.revision for entry in page] == [2, 3]
        small = await primary.log.read(ACME, after=Revision(1), changes_max=1)
        assert [entry.revision for entry in small] == [2]
        rest = await primary.log.read(ACME, after=Revision(3), changes_max=1_000)
        assert [entry.revision for entry in rest] == [4, 5, 6]
        assert list(await primary.log.read(ACME, after=Revision(6), changes_max=8)) == []
        assert list(await primary.log.read(OTHER, after=Revision(0), changes_max=8)) == []

    async def test_waiting_ends_by_itself(self, primary: Primary) -> None:
        await primary.log.heads_moved(None)
        async with asyncio.timeout(5):
            await primary.log.wait(0.01)

    async def test_a_write_ends_the_waiting(self, primary: Primary) -> None:
        moved = await primary.log.heads_moved(None)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(primary.put("doc:1#viewer@user:1"))
            while ACME not in moved.heads:
                await primary.log.wait(5.0)
                moved = await primary.log.heads_moved(moved.mark)

    async def test_a_log_begins_at_the_deletion_that_began_the_present_life(
        self, primary: Primary
    ) -> None:
        await write_lives(primary)
        for after in range(DELETION):
            page = await primary.log.read(ACME, after=Revision(after), changes_max=CHANGES_MAX)
            assert [entry.revision for entry in page] == [5, 6, 7, 8, 9]
            assert page[0].body == TenantDeleted()
        rest = await primary.log.read(ACME, after=Revision(DELETION), changes_max=CHANGES_MAX)
        assert [entry.revision for entry in rest] == [6, 7, 8, 9]


class TenantLogContract:
    """Where a few tenants stand."""

    async def test_only_the_tenants_asked_for_and_written_are_told(self, primary: Primary) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        heads = await primary.log.heads_of([ACME, TenantId("never")])
        moved = await primary.log.heads_moved(None)
        assert heads == {ACME: LogHead(moved.heads[ACME], Revision(0))}

    async def test_a_deletion_is_where_the_next_life_begins(self, primary: Primary) -> None:
        await write_lives(primary)
        head = (await primary.log.heads_of([ACME]))[ACME]
        assert head.begins == DELETION
        assert head.position.revision > head.begins
