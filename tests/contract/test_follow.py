"""The follower over both kinds of store: it catches up, stays fair, stops what cannot be right."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from grantlog.app.project import Projector
from grantlog.app.replicas import Progress, Standing, rebuild, status, verify
from grantlog.app.slices import PIECES
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.log import HeadsMoved
from grantlog.testing.contracts.lives import write_a_life
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary
from tests.contract.following import SMALL, CountedStore, TamperedLog, equal, followed, rewritten
from tests.waiting import until


async def test_a_follower_catches_up_and_goes_on(primary: Primary, replica: Copy) -> None:
    await write_a_life(primary)
    stop = asyncio.Event()
    projector = Projector(primary.log, replica.projection, SMALL)
    async with asyncio.TaskGroup() as group:
        group.create_task(projector.run(stop))
        await until(lambda: equal(primary, replica))
        done = await primary.put("doc:9#viewer@user:9", "doc:9$level|integer:9")
        await until(lambda: equal(primary, replica))
        await primary.put("doc:9#viewer@user:9", tenant=OTHER)
        await until(lambda: equal(primary, replica, OTHER))
        through = projector.status.applied_through
        assert through is not None
        assert done.commit_time is not None
        await until(lambda: projector.status.applied_through > done.commit_time)
        stop.set()
    assert projector.status.behind == 0
    assert projector.status.stopped == {}


async def test_a_busy_tenant_does_not_starve_the_others(primary: Primary, replica: Copy) -> None:
    for number in range(12):
        await primary.put(*(f"doc:{number}#viewer@user:{n}" for n in range(3)))
    await primary.put("doc:1#viewer@user:1", tenant=OTHER)
    log = TamperedLog(primary.log)
    projector = Projector(log, replica.projection, SMALL)
    await projector.start()
    await projector.round()
    assert {ACME, OTHER} <= set(log.reads)
    assert log.reads.count(ACME) <= PIECES
    assert await equal(primary, replica, OTHER)
    assert not await equal(primary, replica)
    assert projector.status.applied_through is None
    while projector.status.behind:
        await projector.round()
    assert projector.status.applied_through is not None
    assert await equal(primary, replica)


async def test_where_tenants_stand_is_asked_once_and_again_after_an_interruption(
    primary: Primary, replica: Copy
) -> None:
    await write_a_life(primary)
    log, store = TamperedLog(primary.log), CountedStore(replica.projection)
    projector = Projector(log, store, SMALL)
    await projector.start()
    await followed(projector, lambda: equal(primary, replica))
    assert store.asked == 1
    await primary.put("doc:9#viewer@user:9")
    log.failures = 1
    await followed(projector, lambda: equal(primary, replica))
    assert (log.failures, store.asked) == (0, 2)


async def test_a_lost_connection_is_retried_and_nothing_is_folded_twice(
    primary: Primary, replica: Copy
) -> None:
    await write_a_life(primary)
    log = TamperedLog(primary.log)
    log.failures = 3
    projector = Projector(log, replica.projection, SMALL)
    await followed(projector, lambda: equal(primary, replica))
    assert log.failures == 0


async def test_a_tenant_whose_log_does_not_fit_stops_alone_and_goes_on_when_rebuilt(
    primary: Primary, replica: Copy
) -> None:
    for number in range(4):
        await primary.put(f"doc:{number}#viewer@user:1")
    await primary.put("doc:1#viewer@user:1", tenant=OTHER)
    log = TamperedLog(primary.log)
    log.forged = {(ACME, Revision(3))}
    projector = Projector(log, replica.projection, SMALL)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(projector.run(stop))
        await until(lambda: ACME in projector.status.stopped)
        assert "does not continue" in projector.status.stopped[ACME]
        await until(lambda: equal(primary, replica, OTHER))
        await primary.put("doc:2#viewer@user:1", tenant=OTHER)
        await until(lambda: equal(primary, replica, OTHER))
        standing = {row.tenant: row.standing for row in await status(log, replica.projection)}
        assert standing[ACME] is Standing.BEHIND
        log.forged = set()
        await rebuild(log, replica.projection)
        await until(lambda: ACME not in projector.status.stopped)
        await until(lambda: equal(primary, replica))
        stop.set()


async def test_a_replica_that_is_ahead_of_its_log_is_stopped(
    primary: Primary, replica: Copy
) -> None:
    for number in range(3):
        await primary.put(f"doc:{number}#viewer@user:1")
    whole = list(await primary.history())
    await replica.projection.apply(whole)

    class Shortened(TamperedLog):
        async def heads_moved(self, mark: str | None) -> HeadsMoved:
            moved = await self.log.heads_moved(mark)
            cut = whole[1]
            head = moved.heads.get(ACME)
            if head is None:
                return moved
            shorter = replace(head, revision=cut.revision, digest=cut.digest)
            return replace(moved, heads={**moved.heads, ACME: shorter})

    log = Shortened(primary.log)
    projector = Projector(log, replica.projection, SMALL)
    await projector.start()
    await projector.round()
    assert projector.status.stopped == {}
    await projector.round()
    assert "the log ends at 2" in projector.status.stopped[ACME]
    rows = {row.tenant: row.standing for row in await status(log, replica.projection)}
    assert rows[ACME] is Standing.AHEAD


async def test_a_tenant_that_stands_in_a_lost_history_is_folded_anew(
    primary: Primary, replica: Copy
) -> None:
    """As after a restore: the replica folded what the log, put back, does not hold."""
    for number in range(3):
        await primary.put(f"doc:{number}#viewer@user:1")
    await primary.put("doc:1#viewer@user:1", tenant=OTHER)
    await replica.projection.apply(rewritten(await primary.history()))
    projector = Projector(primary.log, replica.projection, SMALL)
    await projector.start()
    for _ in range(4):
        await projector.round()
    assert ACME in projector.status.stopped, "within one epoch it is damage"
    await primary.open_epoch()
    projector = Projector(primary.log, replica.projection, SMALL)
    await followed(projector, lambda: equal(primary, replica))
    assert projector.status.stopped == {}
    assert await equal(primary, replica, OTHER)


async def test_a_log_that_cannot_be_folded_is_begun_anew_once_for_an_epoch(
    primary: Primary, replica: Copy
) -> None:
    for number in range(3):
        await primary.put(f"doc:{number}#viewer@user:1")
    await replica.projection.apply(await primary.history())
    await primary.open_epoch()
    await primary.put("doc:9#viewer@user:1")
    log = TamperedLog(primary.log)
    log.forged = {(ACME, Revision(2)), (ACME, Revision(4)), (ACME, Revision(5))}
    projector = Projector(log, replica.projection, SMALL)
    await projector.start()
    for _ in range(10):
        await projector.round()
    assert "does not continue" in projector.status.stopped[ACME]


async def test_a_new_epoch_without_writes_is_adopted(primary: Primary, replica: Copy) -> None:
    await primary.put("doc:1#viewer@user:1")
    projector = Projector(primary.log, replica.projection, SMALL)

    async def same_position() -> bool:
        head = (await primary.log.heads_moved(None)).heads[ACME]
        return (await replica.projection.positions()).get(ACME) == head

    await followed(projector, same_position)
    await primary.open_epoch()
    await followed(projector, same_position)
    await primary.open_epoch()
    await primary.put("doc:2#viewer@user:1")
    await followed(projector, same_position)
    assert projector.status.stopped == {}


async def test_a_rebuild_reaches_the_head_reports_progress_and_can_be_resumed(
    primary: Primary, replica: Copy
) -> None:
    await write_a_life(primary)
    log = TamperedLog(primary.log)
    seen: list[Progress] = []
    await rebuild(log, replica.projection, progress=seen.append, limits=SMALL)
    assert await equal(primary, replica)
    assert seen[-1].revisions_done == seen[-1].revisions
    assert [step.revisions_done for step in seen] == sorted(step.revisions_done for step in seen)
    await primary.put("doc:8#viewer@user:1")
    before = len(log.reads)
    await rebuild(log, replica.projection, resume=True)
    assert log.reads[before:] == [ACME]
    assert await equal(primary, replica)


async def test_verification_tells_equal_from_different_while_writes_go_on(
    primary: Primary, replica: Copy
) -> None:
    await write_a_life(primary)
    await primary.put("doc:1#viewer@user:1", tenant=OTHER)
    await rebuild(primary.log, replica.projection)
    await primary.put("doc:2#viewer@user:1", tenant=OTHER)
    verdicts = {
        verdict.tenant: verdict
        for verdict in await verify(
            primary.log, primary.projection, replica.projection, wait_s_max=0.05
        )
    }
    assert verdicts[ACME].equal
    assert not verdicts[OTHER].equal
    assert "not here yet" in verdicts[OTHER].problem
    assert {row.lag for row in await status(primary.log, replica.projection)} == {0, 1}

    class Liar:
        async def digest(self, tenant: TenantId, at: Revision | None = None):
            position, _ = await replica.projection.digest(tenant, at)
            return position, b"other"

    await rebuild(primary.log, replica.projection, resume=True)
    liars = await verify(primary.log, primary.projection, Liar(), wait_s_max=0.05)
    assert not any(verdict.equal for verdict in liars)
    assert all(v.equal for v in await verify(primary.log, primary.projection, replica.projection))
