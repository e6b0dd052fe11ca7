"""A primary that comes back without its last commits: nobody takes the new history for the old."""

from __future__ import annotations

from pathlib import Path

import pytest

from grantlog.errors import BeyondHeadError, GrantlogError, LostWriteError, UnavailableError
from grantlog.model.ids import Epoch, Revision, SchemaVersion
from grantlog.ports.heads import Head
from grantlog.store.postgres.epoch import open_epoch
from grantlog.testing.contracts.places import ACME, OTHER
from tests.contract.postgres import postgres_primary
from tests.contract.watching import Station, station, token
from tests.integration.accidents.conftest import NEWEST, OPENED, REASON, node
from tests.own_postgres import OwnPostgres, one
from tests.waiting import until


async def test_a_restored_copy_is_told_from_the_log_before_anybody_writes(
    primary: OwnPostgres,
) -> None:
    """Identifier and timeline are the same: only who remembers can tell."""
    async with node(primary.dsn()) as writer, node(primary.dsn()) as reader:
        for number in range(3):
            await writer.put(f"doc:{number}#viewer@user:1")
            await writer.put(f"doc:{number}#viewer@user:1", OTHER)
        backup = primary.back_up("backup")
        await writer.put("doc:lost#viewer@user:1")
        await writer.put("doc:lost#viewer@user:1", OTHER)
        await reader.at(1, 4, OTHER)  # it only read, and only this tenant
        primary.restore(backup)
        await until(reader.answers)
        # The epoch is there before anyone wrote, and for tenants that the reader never saw.
        heads = await reader.resolver.refresh(ACME)
        new = await one(primary.dsn(), NEWEST)
        assert new != 1
        assert (heads.epoch, heads.revision) == (new, 3)
        reason = await one(primary.dsn(), REASON)
        assert "an API node saw revision 4 of epoch 1 of tenant" in str(reason)
        for each in (reader, writer):
            await each.look()
            for tenant in (ACME, OTHER):
                with pytest.raises(LostWriteError):
                    await each.at(1, 4, tenant)
                assert (await each.at(1, 3, tenant)).revision >= 3
        done = await writer.put("doc:new#viewer@user:1")
        assert (done.epoch, done.revision) == (new, 4)
        assert (await reader.at(done.epoch, 4)).revision == 4
        with pytest.raises(LostWriteError):
            await reader.at(1, 4)
        assert await one(primary.dsn(), OPENED) == 2


async def test_a_node_that_wrote_before_anyone_remembered_is_told_apart_too(
    primary: OwnPostgres,
) -> None:
    """Who knows nothing writes revision 4 anew; who knows better opens the epoch below it."""
    async with node(primary.dsn()) as knows:
        for number in range(3):
            await knows.put(f"doc:{number}#viewer@user:1")
        backup = primary.back_up("backup")
        await knows.put("doc:lost#viewer@user:1")
        await rewrite(primary, backup, 4)
        await until(knows.answers)
        async with node(primary.dsn()) as another:
            for each in (knows, another):
                with pytest.raises(LostWriteError):
                    await each.at(1, 4)
        assert await one(primary.dsn(), OPENED) == 2


async def test_who_read_what_was_lost_knows_it_from_what_was_written_in_its_place(
    primary: OwnPostgres,
) -> None:
    """Who wrote it is gone; that the revision is there again says nothing."""
    async with node(primary.dsn()) as knows:
        backup = primary.back_up("backup")
        async with node(primary.dsn()) as writer:
            await writer.put("doc:lost#viewer@user:1")
        assert (await knows.at(1, 1)).revision == 1
        await rewrite(primary, backup, 1)
        await until(knows.answers)
        async with node(primary.dsn()) as another:
            for each in (knows, another):
                with pytest.raises(LostWriteError):
                    await each.at(1, 1)
        assert await one(primary.dsn(), OPENED) == 2


async def test_a_promoted_standby_that_lost_the_last_commits_opens_an_epoch(
    primary: OwnPostgres,
) -> None:
    async with node(primary.dsn()) as ours:
        await ours.put("doc:1#viewer@user:1")
        standby = primary.back_up("standby")
        await ours.put("doc:lost#viewer@user:1")
        primary.kill()
        primary.promote(standby)
        primary.start()
        await until(ours.answers)
        reason = await one(primary.dsn(), REASON)
        assert "timeline 1 became 2" in str(reason)
        with pytest.raises(LostWriteError):
            await ours.at(1, 2)
        done = await ours.put("doc:new#viewer@user:1")
        assert (done.epoch, done.revision) == (await one(primary.dsn(), NEWEST), 2)
        assert await one(primary.dsn(), OPENED) == 2


async def test_a_restart_that_lost_nothing_keeps_its_epoch(primary: OwnPostgres) -> None:
    async with node(primary.dsn()) as ours:
        await ours.put("doc:1#viewer@user:1")
        primary.kill()
        primary.start()
        await until(ours.answers)
        done = await ours.put("doc:2#viewer@user:1")
        assert (done.epoch, done.revision) == (1, 2)
        with pytest.raises(BeyondHeadError):
            await ours.at(1, 3)


async def test_an_epoch_that_somebody_opens_reaches_a_node_that_nobody_asks(
    primary: OwnPostgres,
) -> None:
    async with node(primary.dsn()) as ours:
        await ours.put("doc:1#viewer@user:1")
        new = await open_epoch(primary.dsn(), reason="a test")
        assert ours.memory.known.head(ACME).epoch == 1
        await ours.look()
        assert ours.memory.known.head(ACME) is None
        assert (await ours.at(1, 1)).epoch == new


async def test_watchers_of_what_was_lost_are_told_what_to_do(primary: OwnPostgres) -> None:
    async with postgres_primary(primary.dsn()) as ours:
        await ours.put("doc:1#viewer@user:1")
        backup = primary.back_up("backup")
        await ours.put("doc:lost#viewer@user:1")
        async with station(ours) as opened, opened.watcher() as live, opened.watcher() as quiet:
            await live.until_revision(2)
            await quiet.until_revision(2)
            primary.restore(backup)
            await open_epoch(primary.dsn(), reason="restored from a backup")
            async with node(primary.dsn()) as other:
                for number in range(3):  # the new history overtakes the old one
                    await other.put(f"doc:new{number}#viewer@user:1")
            for watcher in (live, quiet):
                failure = await watcher.failure()
                assert isinstance(failure, LostWriteError | UnavailableError)
        async with station(ours) as opened:
            await until(lambda: reaches(opened))
            for place in (token(2), token(3, epoch=1)):
                async with opened.watcher(place) as lost:
                    failure = await lost.failure()
                    assert isinstance(failure, LostWriteError), failure
            async with opened.watcher(token(1)) as kept:
                await kept.until_revision(4)
                assert len(kept.changes()) == 3


async def test_a_watcher_does_not_go_on_in_a_history_that_is_not_its_own(
    primary: OwnPostgres,
) -> None:
    """Its node has not heard of the new epoch, and the head is beyond its token again."""
    async with postgres_primary(primary.dsn()) as ours:
        await ours.put("doc:1#viewer@user:1")
        backup = primary.back_up("backup")
        await ours.put("doc:lost#viewer@user:1")
        primary.restore(backup)
        await open_epoch(primary.dsn(), reason="restored from a backup")
        async with node(primary.dsn()) as other:
            await other.put("doc:new#viewer@user:1")
            await other.put("doc:newer#viewer@user:1")
        async with station(ours) as opened:
            await until(lambda: reaches(opened))
            opened.believe(ACME, Head(Epoch(1), Revision(2), SchemaVersion(""), Revision(0)))
            async with opened.watcher(token(2)) as watcher:
                failure = await watcher.failure()
                assert isinstance(failure, LostWriteError)
                assert watcher.changes() == []


async def rewrite(primary: OwnPostgres, backup: Path, revision: int) -> None:
    """Restore, and have one who knows nothing write a lost revision anew, where nobody looks."""
    primary.kill()
    primary.put_back(backup)
    with primary.beside(primary.data) as elsewhere:
        async with node(elsewhere) as ignorant:
            rewritten = await ignorant.put("doc:other#viewer@user:1")
            assert (rewritten.epoch, rewritten.revision) == (1, revision)
    primary.start()


async def reaches(opened: Station) -> bool:
    """Whether its connections stand again."""
    try:
        async with opened.watcher() as any_one:
            await anext(any_one.messages)
    except GrantlogError:
        return False
    return True
