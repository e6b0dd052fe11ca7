"""What every ChangeLog and every ProjectionStore keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import pytest

from grantlog.errors import BehindWindowError, CorruptionError, ProjectionLaggingError
from grantlog.model.chain import GENESIS
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import HeadsMoved, LogHead, Position
from grantlog.testing.contracts.places import (
    ACME,
    CHANGES_MAX,
    OTHER,
    Copy,
    Primary,
    direct,
    listed,
)

SCHEMA = "entity user {}\nentity doc { relation viewer @user }"


DELETION: Final = 5
"""The revision at which `write_lives` ends the first life."""


async def write_lives(primary: Primary) -> list[Transaction]:
    """Two lives of a tenant, and the log of both as one sees it who follows from the beginning."""
    await write_a_life(primary)
    first = list(await primary.history())
    await write_another_life(primary)
    return [*first, *await primary.log.read(ACME, after=first[-1].revision, changes_max=1_000)]


async def write_a_life(primary: Primary) -> None:
    """A few revisions of every kind."""
    await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
    await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())
    await primary.put("doc:1#viewer@user:1", "doc:2#viewer@user:1", "doc:1$level|integer:1")
    await primary.put("doc:1$level|integer:2")


async def write_another_life(primary: Primary) -> None:
    """The end of that life, and some of the next one."""
    await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
    await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())
    await primary.put("doc:1#viewer@user:1", "doc:1#viewer@user:2", "doc:1$level|integer:3")
    await primary.remove("doc:1#viewer@user:1", "doc:1$level")
    await primary.put("doc:1#viewer@user:1")


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


class ProjectionContract:
    """A replica that folds the log says at every revision what the primary says."""

    async def test_a_replica_has_the_digest_of_its_primary(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_lives(primary)
        await replica.projection.apply(await primary.history())
        assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)
        head = (await primary.heads.head(ACME)).revision
        assert await listed(replica, head) == await listed(primary, head)

    async def test_digests_of_earlier_revisions_agree_and_differ_from_each_other(
        self, primary: Primary, replica: Copy
    ) -> None:
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1", f"doc:1$level|integer:{number}")
        await replica.projection.apply(await primary.history())
        digests: set[bytes] = set()
        for at in range(4):
            _, ours = await primary.projection.digest(ACME, Revision(at))
            _, theirs = await replica.projection.digest(ACME, Revision(at))
            assert ours == theirs
            digests.add(ours)
        assert len(digests) == len(range(4))
        with pytest.raises(ProjectionLaggingError):
            await replica.projection.digest(ACME, Revision(4))

    async def test_any_split_of_the_log_and_any_repetition_folds_to_the_same(
        self, primary: Primary, replica: Copy
    ) -> None:
        log = await write_lives(primary)
        for split in range(1, len(log)):
            await replica.projection.clear()
            await replica.projection.apply(log[:split])
            await replica.projection.apply(log[: split - 1])
            await replica.projection.apply(log)
            await replica.projection.apply(log)
            assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)

    async def test_positions_tell_how_far_each_tenant_is(
        self, primary: Primary, replica: Copy
    ) -> None:
        assert await replica.projection.positions() == {}
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        await primary.put("doc:2#viewer@user:1", tenant=OTHER)
        for tenant in (ACME, OTHER):
            await replica.projection.apply(await primary.history(tenant))
        heads = (await primary.log.heads_moved(None)).heads
        positions = await replica.projection.positions()
        assert {tenant: heads[tenant] for tenant in positions} == positions
        assert set(positions) == {ACME, OTHER}

    async def test_a_gap_is_refused_and_nothing_is_applied(
        self, primary: Primary, replica: Copy
    ) -> None:
        for number in range(4):
            await primary.put(f"doc:{number}#viewer@user:1")
        log = list(await primary.history())
        with pytest.raises(CorruptionError):
            await replica.projection.apply(log[1:])
        await replica.projection.apply(log[:1])
        with pytest.raises(CorruptionError):
            await replica.projection.apply([log[1], log[3]])
        assert (await replica.projection.positions())[ACME].revision == 1

    async def test_a_deletion_drops_what_was_folded_however_much_is_missing_before_it(
        self, primary: Primary, replica: Copy
    ) -> None:
        log = await write_lives(primary)
        life = log[DELETION - 1 :]
        for folded in range(DELETION):
            await replica.projection.clear()
            await replica.projection.apply(log[:folded])
            await replica.projection.apply(life)
            assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)
        forged = replace(life[0], previous_digest=GENESIS)
        await replica.projection.clear()
        for wrong in (forged, life[1]):
            with pytest.raises(CorruptionError):
                await replica.projection.apply([wrong])

    async def test_another_history_is_refused(self, primary: Primary, replica: Copy) -> None:
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1")
        log = list(await primary.history())
        await replica.projection.apply(log[:2])
        forged = replace(log[2], body=log[1].body)
        unchained = replace(log[2], previous_digest=GENESIS)
        rewritten = replace(log[1], epoch=Epoch(log[1].epoch + 1))
        other = replace(log[1], digest=GENESIS)
        for wrong in (forged, unchained, rewritten, other):
            with pytest.raises(CorruptionError):
                await replica.projection.apply([wrong])
        await replica.projection.apply(log)
        assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)

    async def test_the_log_goes_on_in_another_epoch_from_where_it_stands(
        self, primary: Primary, replica: Copy
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        await replica.projection.apply(await primary.history())
        await primary.open_epoch()
        head = (await primary.log.heads_moved(None)).heads[ACME]
        ahead = replace(head, revision=Revision(head.revision + 1))
        assert not await replica.projection.adopt_epoch(ACME, ahead)
        assert not await replica.projection.adopt_epoch(ACME, replace(head, digest=b"x" * 16))
        assert not await replica.projection.adopt_epoch(OTHER, head)
        assert await replica.projection.adopt_epoch(ACME, head)
        assert (await replica.projection.positions())[ACME] == head
        await primary.put("doc:2#viewer@user:1")
        await replica.projection.apply(await primary.history())
        assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)

    async def test_a_tenant_that_is_forgotten_is_folded_from_its_beginning(
        self, primary: Primary, replica: Copy
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        history, others = await primary.history(), await primary.history(OTHER)
        await replica.projection.apply(history)
        await replica.projection.apply(others)
        stands = (await replica.projection.positions())[ACME]
        elsewhere = replace(stands, revision=Revision(stands.revision - 1))
        assert not await replica.projection.forget(ACME, elsewhere)
        assert not await replica.projection.forget(ACME, replace(stands, digest=GENESIS))
        assert await replica.projection.forget(ACME, stands)
        assert not await replica.projection.forget(ACME, stands)
        assert (await replica.projection.positions()).keys() == {OTHER}
        with pytest.raises(ProjectionLaggingError):
            await replica.facts.read(ACME, stands.revision, [direct("doc:1#viewer@user:1")])
        await replica.projection.apply(history)
        for tenant in (ACME, OTHER):
            ours = await primary.projection.digest(tenant)
            assert await replica.projection.digest(tenant) == ours

    async def test_a_replica_answers_at_every_revision_of_the_current_life(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_lives(primary)
        await replica.projection.apply(await primary.history())
        key = [direct("doc:1#viewer@user:1")]
        head = (await primary.heads.head(ACME)).revision
        for at in range(DELETION, head + 1):
            ours = await primary.facts.read(ACME, Revision(at), key)
            assert list(await replica.facts.read(ACME, Revision(at), key)) == list(ours)
        with pytest.raises(BehindWindowError):
            await replica.facts.read(ACME, Revision(DELETION - 1), key)
        with pytest.raises(ProjectionLaggingError):
            await replica.facts.read(ACME, Revision(head + 1), key)

    async def test_clear_forgets_everything(self, primary: Primary, replica: Copy) -> None:
        await write_lives(primary)
        await replica.projection.apply(await primary.history())
        await replica.projection.clear()
        assert await replica.projection.positions() == {}
        key = [direct("doc:1#viewer@user:1")]
        assert list(await replica.facts.read(ACME, Revision(0), key)) == [False]
