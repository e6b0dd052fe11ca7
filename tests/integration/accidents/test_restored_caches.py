"""What nodes keep of a history that a restore lost answers no question about the new one."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.integration.accidents.conftest import OwnPostgres
from tests.integration.api.test_caches import (
    FACT,
    check,
    nodes,
    numbers,
    ok,
    other_groups,
    remove,
    write,
)
from tests.waiting import until
from tests.whole_api import WholeApi

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
