"""The primary's address leads to another server: between two steps, twice, or back again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from grantlog.background import background_tasks
from grantlog.cli.databases import Databases
from grantlog.cli.replica_status import status
from grantlog.errors import GrantlogError, LostWriteError, OtherEpochError, UnavailableError
from grantlog.ports.facts import TupleFilter
from grantlog.ports.reverse import EntitiesKey
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.followers import MAINTENANCE, beat
from grantlog.store.postgres.lister import open_fact_lister
from grantlog.store.postgres.lives import follow_life
from grantlog.store.postgres.pool import INDEX_PLANS, acquired, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.proof import Proof
from grantlog.store.postgres.reader import open_fact_reader
from grantlog.store.postgres.reverse import open_reverse_reader
from grantlog.testing.contracts.places import ACME, direct
from tests.integration.accidents.conftest import OPENED, node
from tests.own_postgres import OwnPostgres, one, own_postgres
from tests.waiting import until

OTHER_FACT = "doc:other#viewer@user:1"
Reading = Callable[[], Coroutine[Any, Any, object]]


async def test_what_was_resolved_before_a_restore_is_not_read_after_it(
    primary: OwnPostgres,
) -> None:
    """Revision 4 is there again when the reads land, and it is another one."""
    async with node(primary.dsn()) as ours:
        proof = ours.memory.proof
        for number in range(3):
            await ours.put(f"doc:{number}#viewer@user:1")
        backup = primary.back_up("backup")
        await ours.put("doc:lost#viewer@user:1")
        resolved = await ours.resolver.refresh(ACME)
        async with (
            open_pool(
                primary.dsn(), size_max=2, application_name="t", settings=INDEX_PLANS,
                on_connect=proof.prove,
            ) as pool,
            open_fact_reader(pool) as facts,
            open_fact_lister(primary.dsn(), on_connect=proof.prove) as lister,
            open_reverse_reader(primary.dsn(), on_connect=proof.prove) as reverse,
        ):  # fmt: skip
            primary.kill()
            primary.put_back(backup)
            primary.start()
            async with node(primary.dsn()) as ignorant:
                rewritten = await ignorant.put(OTHER_FACT)
                assert rewritten.revision == resolved.revision
            at = resolved.revision
            readings: list[Reading] = [
                lambda: facts.read(ACME, at, [direct(OTHER_FACT)], epoch=resolved.epoch),
                lambda: lister.tuples(ACME, at, TupleFilter(), limit=9, epoch=resolved.epoch),
                lambda: reverse.entities(
                    ACME, at, [EntitiesKey("user", "1", "", "doc", "viewer")], limit=9,
                    epoch=resolved.epoch,
                ),
            ]  # fmt: skip
            for reading in readings:
                assert isinstance(await lasting(reading), OtherEpochError)
            anew = await ours.resolver.refresh(ACME)
            assert anew.epoch > resolved.epoch
            assert list(
                await facts.read(ACME, anew.revision, [direct(OTHER_FACT)], epoch=anew.epoch)
            ) == [True]


async def lasting(reading: Reading) -> object:
    """What a read comes to once its connections stand again."""
    outcomes: list[object] = []

    async def settled() -> bool:
        try:
            outcomes.append(await reading())
        except GrantlogError as error:
            if type(error) is UnavailableError:
                return False
            outcomes.append(error)
        return True

    await until(settled)
    return outcomes[0]


async def test_tokens_of_one_restore_are_not_honoured_in_the_next_of_the_same_backup(
    primary: OwnPostgres,
) -> None:
    async with node(primary.dsn()) as before:
        for number in range(3):
            await before.put(f"doc:{number}#viewer@user:1")
    backup = primary.back_up("backup")
    first = await restored(primary, backup)
    async with node(primary.dsn()) as ours:
        lost = await ours.put("doc:first#viewer@user:1")
        assert (lost.epoch, lost.revision) == (first, 4)
    await until(
        lambda: one(primary.dsn(), "SELECT clock_timestamp() > to_timestamp($1)", first + 1)
    )
    second = await restored(primary, backup)
    assert second > first
    async with node(primary.dsn()) as ours:
        for number in range(3):
            await ours.put(f"doc:second{number}#viewer@user:1")
        for revision in (4, 3):  # of a history that this log never was in nothing is known
            with pytest.raises(LostWriteError):
                await ours.at(first, revision)
        assert (await ours.at(1, 3)).revision == 6
        with pytest.raises(LostWriteError):
            await ours.at(1, 4)


async def restored(primary: OwnPostgres, backup: Any) -> int:
    primary.kill()
    primary.put_back(backup)
    primary.start()
    return await open_epoch(primary.dsn(), reason="restored from a backup")


async def test_a_primary_that_was_left_is_refused_when_it_answers_again(
    primary: OwnPostgres,
) -> None:
    """Its successor was promoted, and nobody stopped it."""
    async with node(primary.dsn()) as ours:
        await ours.put("doc:1#viewer@user:1")
        proof = ours.memory.proof
        with own_postgres() as successor:
            successor.kill()
            successor.promote(primary.back_up("standby"))
            successor.start()
            await ours.put("doc:lost#viewer@user:1")
            async with open_primary_pool(
                successor.dsn(), size_max=1, application_name="t", proof=proof
            ) as leads:
                epoch = proof.epoch
                assert epoch > 1
                for _ in range(3):  # connections that stood are gone, new ones are refused
                    with pytest.raises(UnavailableError, match="two primaries: the server that"):
                        await ours.put("doc:astray#viewer@user:1")
                    assert "answers beside the one that took its place" in proof.rival
                    await proof.look(leads)
                assert proof.epoch == epoch
        assert await one(primary.dsn(), OPENED) == 1
        assert (
            await one(primary.dsn(), "SELECT revision FROM heads WHERE tenant_id = $1", ACME) == 2
        )


async def test_a_second_primary_is_told_of_for_a_while(primary: OwnPostgres) -> None:
    now = [0.0]
    proof = Proof(now=lambda: now[0])
    async with open_primary_pool(
        primary.dsn(), size_max=1, application_name="t", proof=proof
    ) as pool:
        assert proof.rival == ""
        with own_postgres() as successor:
            successor.kill()
            successor.promote(primary.back_up("standby"))
            successor.start()
            async with open_primary_pool(
                successor.dsn(), size_max=1, application_name="t", proof=proof
            ):
                with pytest.raises(UnavailableError):
                    async with acquired(pool, doing="trying"):
                        pass
                assert proof.rival
                now[0] = 61.0
                assert proof.rival == ""


async def test_a_node_that_lost_a_connection_looks_until_it_has_met_the_restored_primary(
    primary: OwnPostgres,
) -> None:
    """However long its looks are apart otherwise: so short it honours lost tokens from memory."""
    backup = primary.back_up("backup")
    async with node(primary.dsn()) as ours, background_tasks() as group:
        await ours.put("doc:lost#viewer@user:1")
        looking = group.create_task(ours.memory.proof.keep_looking(ours.pool, every_s=600.0))
        await until(lambda: ours.memory.known.head(ACME) is not None)
        primary.kill()
        primary.put_back(backup)
        primary.start()
        await until(lambda: ours.memory.known.head(ACME) is None)
        with pytest.raises(LostWriteError):
            await ours.at(1, 1)
        looking.cancel()


async def test_the_status_of_a_replica_tells_that_another_primary_took_over(
    primary: OwnPostgres, migrated_database: Callable[..., Awaitable[str]]
) -> None:
    """The old one was started again beside it, and the command is led there."""
    replica = await migrated_database(seed=False)
    async with open_pool(primary.dsn(), size_max=1, application_name="t") as pool:
        await beat(pool, MAINTENANCE, MAINTENANCE)
    backup = primary.back_up("standby")
    assert await shown(primary.dsn(), replica) == (True, "")
    with own_postgres() as successor:
        successor.kill()
        successor.promote(backup)
        successor.start()
        async with (
            open_primary_pool(successor.dsn(), size_max=1, application_name="t") as leads,
            open_pool(replica, size_max=1, application_name="t") as copy,
        ):
            await follow_life(leads, copy)
            await beat(leads, MAINTENANCE, MAINTENANCE)
        assert await shown(successor.dsn(), replica) == (True, "")
        well, foreign = await shown(primary.dsn(), replica)
        assert not well
        assert "timeline 2), which this primary's log never was in: the log here is" in foreign
        assert "two primaries take writes, or this one was put back" in foreign


async def shown(primary_dsn: str, replica_dsn: str) -> tuple[bool, str]:
    """Whether `grantlog projector status` finds all well, and what it says of the log."""
    lines: list[str] = []
    well = await status(Databases(primary_dsn, replica_dsn), lines.append)
    return well, "".join(line for line in lines if line.startswith("the replica follows"))
