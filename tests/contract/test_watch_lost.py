"""Watching a log that goes away, comes back, or lost what was told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grantlog.app.watch import WatchFilter
from grantlog.app.watch_hub import WatchLimits
from grantlog.errors import (
    LostWriteError,
    UnavailableError,
)
from grantlog.model.ids import Revision
from grantlog.model.token import SnapToken
from grantlog.testing.contracts.places import ACME, Primary
from tests.contract.watching import data_of, place, token
from tests.waiting import until

QUICK = WatchLimits(heartbeat_s=0.1, poll_s=0.05, transactions_max=8, page_changes_max=4)
EVERYTHING = WatchFilter()


async def test_a_new_epoch_that_lost_nothing_is_not_noticed(primary: Primary, station) -> None:
    await primary.put("doc:1#viewer@user:1")
    async with station(primary) as open_, open_.watcher(token(0)) as watcher:
        await watcher.until_revision(1)
        await primary.open_epoch()
        await primary.put("doc:2#viewer@user:1")
        await watcher.until_revision(2)
    assert watcher.changes() == await data_of(primary)
    assert place(watcher.heard[-1]) == SnapToken(
        (await primary.heads.head(ACME)).epoch, Revision(2)
    )


class Disturbed:
    """A log that a test can rewrite or make unreachable."""

    def __init__(self, log) -> None:
        self.log = log
        self.gone = False
        self.refused = 0
        self.rewritten = False

    async def heads_of(self, tenants, *, now=False):
        if self.gone:
            self.refused += 1
            raise UnavailableError("a test cut the line")
        heads = await self.log.heads_of(tenants)
        if not self.rewritten:
            return heads
        return {
            tenant: replace(head, position=replace(head.position, digest=b"o" * 16))
            for tenant, head in heads.items()
        }

    async def read(self, tenant, *, after, changes_max):
        page = await self.log.read(tenant, after=after, changes_max=changes_max)
        if not self.rewritten:
            return page
        return [replace(entry, previous_digest=b"o" * 16) for entry in page]

    async def wait(self, timeout_s):
        await self.log.wait(min(timeout_s, 0.02))


@pytest.mark.parametrize("more", [0, 1])
async def test_history_that_was_told_and_then_lost_is_told_as_lost(
    primary: Primary, station, more
) -> None:
    log = Disturbed(primary.log)
    await primary.put("doc:1#viewer@user:1")
    async with station(primary, log=log) as open_, open_.watcher(token(0)) as watcher:
        await watcher.until_revision(1)
        log.rewritten = True
        for number in range(more):
            await primary.put(f"doc:2#viewer@user:{number}")
        error = await watcher.failure()
    assert type(error) is LostWriteError
    assert watcher.changes() == (await data_of(primary))[:1]


async def test_watchers_wait_for_a_log_that_comes_back_and_are_told_if_it_does_not(
    primary: Primary,
    station,
) -> None:
    log = Disturbed(primary.log)
    patient = replace(QUICK, unreachable_s_max=60.0, retry_s=0.02)
    async with station(primary, patient, log) as open_, open_.watcher() as watcher:
        await watcher.until_revision(0)
        await primary.put("doc:0#viewer@user:1")
        await watcher.until_revision(1)  # it is in the hub now
        log.gone = True
        await until(lambda: log.refused)
        await primary.put("doc:1#viewer@user:1")
        log.gone = False
        await watcher.until_revision(2)
    hasty = replace(patient, unreachable_s_max=0.3)
    async with station(primary, hasty, log) as open_, open_.watcher() as watcher:
        await watcher.until_revision(2)
        log.gone = True
        error = await watcher.failure()
    assert type(error) is UnavailableError
    assert error.facts == {"snap_token": watcher.heard[-1].snap_token}
