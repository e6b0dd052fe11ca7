"""What nodes keep of a history that a restore lost answers no question about the new one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from grantlog.app.cached import Caches
from grantlog.cache.clocks import Clocks
from grantlog.changelog.postgres.log import open_change_log
from grantlog.errors import LostWriteError
from grantlog.model.ids import Revision
from grantlog.testing.contracts.places import ACME
from tests.integration.accidents.conftest import OwnPostgres, node
from tests.integration.api.test_caches import (
    FACT,
    check,
    nodes,
    numbers,
    ok,
    other_groups,
    question,
    remove,
    write,
)
from tests.waiting import until
from tests.whole_api import WholeApi, whole_api

OTHER = next(other_groups())


async def has_found_the_primary(api: WholeApi) -> bool:
    return (await api.post("Tenancy.List", {"page_size": 1})).status_code == 200


async def clocks_of(api: WholeApi) -> float:
    return numbers((await api.rest.get("/metrics")).text)["grantlog_cache_clocks"]


async def test_revisions_of_a_lost_history_are_not_taken_for_those_of_the_new_one(
    primary: OwnPostgres,
):
    async with AsyncExitStack() as stack:
        here, there = await nodes(stack, primary.dsn())
        backup = primary.back_up("backup")
        await remove(there)  # revision 4
        assert (await check(here))[0] is False
        await write(there, FACT)  # revision 5
        lost = await write(there, OTHER)  # revision 6
        for api in (here, there):
            assert (await check(api))[0] is True
            assert await check(api, lost) == (True, "cache")
        primary.kill()
        primary.put_back(backup)
        primary.start()
        for api in (here, there):
            await until(lambda api=api: has_found_the_primary(api))

        async def forgotten() -> bool:
            return await clocks_of(here) == await clocks_of(there) == 0

        await until(forgotten)
        assert (await check(here))[0] is True, "as it stood at revision 3"
        await ok(there, "Data.Write", metadata={}, tuples=[OTHER])  # revision 4 again
        assert await check(here) == (True, "cache")
        await remove(there)  # revision 5 again
        for api in (here, there):
            assert (await check(api))[0] is False
            assert (await check(api, grantlog_as_of="5"))[0] is False
            assert (await check(api, grantlog_as_of="4"))[0] is True
            assert await check(api) == (False, "cache")


@pytest.mark.parametrize("retried", [False, True])
async def test_a_node_that_only_read_what_was_lost_is_not_deceived_by_who_wrote_it_anew(
    primary: OwnPostgres, retried: bool
):
    """Nobody who is left wrote it, and the new history is as long as the lost one.

    A write that was tried again there, and changed nothing, tells it the same as a read.
    """
    async with AsyncExitStack() as stack:
        here, _ = await nodes(stack, primary.dsn())
        backup = primary.back_up("backup")
        async with whole_api(primary.dsn()) as there:
            await remove(there)  # revision 4
            lost = await write(there, FACT)  # revision 5
            if retried:
                assert await write(here, FACT) == lost
        for _ in range(2):
            assert (await check(here, lost))[0] is True
        await write_anew(primary, backup)
        await until(lambda: has_found_the_primary(here))
        assert (await check(here))[0] is False
        answer = await here.post("Permission.Check", question(lost))
        assert "lost when the database was restored" in answer.text


async def test_a_node_that_only_followed_what_was_lost_remembers_it(primary: OwnPostgres):
    """It was asked before all that; who wrote it is gone, and nobody read it."""
    dsn = primary.dsn()
    async with node(dsn) as follows:
        await follows.put("doc:1#viewer@user:1")
        clocks = Clocks()
        follows.memory.caches = Caches(clocks, None, None, None)
        clocks.at(ACME, await follows.resolver.refresh(ACME))
        backup = primary.back_up("backup")
        async with node(dsn) as writes:
            await writes.put("doc:lost#viewer@user:1")
        async with open_change_log(follows.pool, listen_dsn=dsn) as log:
            lost = await log.read(ACME, after=Revision(1), changes_max=10)
        assert clocks.follow(lost)
        primary.kill()
        primary.put_back(backup)
        with primary.beside(primary.data) as elsewhere:
            async with node(elsewhere) as ignorant:
                await ignorant.put("doc:new#viewer@user:1")
        primary.start()
        await until(follows.answers)
        with pytest.raises(LostWriteError):
            await follows.at(1, 2)
        assert clocks.find(ACME) is None


async def test_a_run_of_the_server_is_answered_from_nothing_that_another_run_told(
    primary: OwnPostgres,
):
    """Whoever knows that nothing was lost may ask again: no memory is good enough to say so."""
    async with AsyncExitStack() as stack:
        here, _ = await nodes(stack, primary.dsn())
        for source in ("primary", "cache"):
            assert await check(here) == (True, source)
        primary.kill()
        primary.start()
        await until(lambda: has_found_the_primary(here))
        for source in ("primary", "cache"):
            assert await check(here) == (True, source)


async def write_anew(primary: OwnPostgres, backup: Path) -> None:
    """Restore, and let one who remembers nothing give the lost revisions to other writes."""
    primary.kill()
    primary.put_back(backup)
    with primary.beside(primary.data) as elsewhere:
        async with whole_api(elsewhere) as ignorant:
            await write(ignorant, OTHER)  # revision 4 again
            await remove(ignorant)  # revision 5 again
    primary.start()
