"""A follower that looks many times a second is promised a time less often, and misses nothing."""

from __future__ import annotations

from dataclasses import replace

from grantlog.changelog.postgres.log import open_change_log
from grantlog.changelog.postgres.mark import decode_mark
from tests.integration.write.conftest import Place
from tests.integration.write.facts import put, write


async def test_between_two_promises_of_a_time_heads_are_told_all_the_same(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    listen = {"listen_dsn": place.dsn}
    async with open_change_log(place.pool, **listen, through_every_s=3600) as log:
        moved = await log.heads_moved(None)
        through = moved.through
        for number in (2, 3, 4):
            await place.writer.write(write(put(f"doc:{number}#viewer@user:1")))
            moved = await log.heads_moved(moved.mark)
            heads = {tenant: head.revision for tenant, head in moved.heads.items()}
            assert (heads, moved.through) == ({"acme": number}, through)
        assert (await log.heads_moved(moved.mark)).heads == {}
        assert (await log.heads_moved(None)).through > through
    async with open_change_log(place.pool, **listen, through_every_s=0.001) as log:
        assert (await log.heads_moved(moved.mark)).through > through


async def test_heads_told_by_another_server_between_two_promises_are_all_told_again(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    async with open_change_log(place.pool, listen_dsn=place.dsn, through_every_s=3600) as log:
        everything = await log.heads_moved(None)
        elsewhere = replace(decode_mark(everything.mark), life="another").encode()
        hardly = await log.heads_moved(elsewhere)
    assert (hardly.heads, hardly.through) == ({}, everything.through)
    async with open_change_log(place.pool, listen_dsn=place.dsn) as log:
        assert (await log.heads_moved(hardly.mark)).heads == everything.heads
