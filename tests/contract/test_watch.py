"""Watching over both kinds of store: every change once, in order, from any place."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from grantlog.app.watch import WatchedSubject, WatchFilter
from grantlog.app.watch_hub import Place, WatchHub, WatchLimits
from grantlog.errors import (
    BeyondHeadError,
    InvalidTokenError,
    SlowReaderError,
    TenantDeletedError,
    UnavailableError,
)
from grantlog.model.ids import Epoch, Revision
from grantlog.model.token import SnapToken, decode_token, encode_token
from grantlog.testing.contracts.places import ACME, OTHER, Primary
from tests.contract import watching
from tests.contract.watching import Watcher, data_of, place, token
from tests.waiting import until

QUICK = WatchLimits(heartbeat_s=0.1, poll_s=0.05, transactions_max=8, page_changes_max=4)
EVERYTHING = WatchFilter()


async def test_the_first_message_is_the_place_and_then_comes_what_happens(
    primary: Primary, station
) -> None:
    await primary.put("doc:0#viewer@user:1")
    async with station(primary) as open_, open_.watcher() as watcher:
        await watcher.until_revision(1)
        await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        await primary.put("doc:1$level|integer:2")
        await watcher.until_revision(3)
    assert watcher.heard[0].changes == ()
    assert place(watcher.heard[0]).revision == 1
    assert watcher.changes() == (await data_of(primary))[1:]


async def test_a_tenant_that_was_never_written_can_be_watched(primary: Primary, station) -> None:
    async with station(primary) as open_, open_.watcher() as watcher:
        await watcher.until_revision(0)
        await primary.put("doc:1#viewer@user:1")
        await watcher.until_revision(1)
    assert watcher.changes() == await data_of(primary)


async def test_a_watcher_of_a_dead_life_does_not_end_those_of_the_next(primary: Primary) -> None:
    await primary.put("doc:0#viewer@user:1")
    hub = WatchHub(primary.log, QUICK)
    with hub.joined(ACME, Place(Epoch(1), Revision(1), None)) as of_the_dead:
        await primary.put("doc:1#viewer@user:1")
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        await primary.put("doc:2#viewer@user:1")
        with hub.joined(ACME, Place(Epoch(1), Revision(3), None)) as of_the_living:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(hub.run())
                for subscription in (of_the_dead, of_the_living):
                    told = [await subscription.next(30) for _ in range(2)]
                    assert [each and each.revision for each in told] == [3, 4]
                following.cancel()


async def test_from_every_token_exactly_the_rest_is_told(primary: Primary, station) -> None:
    for number in range(30):
        await primary.put(f"doc:{number}#viewer@user:1", f"doc:1$level|integer:{number}")
    everything = await data_of(primary)
    async with station(primary) as open_:
        for revision in range(len(everything) + 1):
            async with open_.watcher(token(revision)) as watcher:
                await watcher.until_revision(len(everything))
            assert watcher.changes() == everything[revision:]


async def test_history_meets_what_happens_without_a_gap_or_a_duplicate(
    primary: Primary, station
) -> None:
    for number in range(20):
        await primary.put(f"doc:{number}#viewer@user:1")
    unhurried = replace(QUICK, transactions_max=100)  # nobody is to be cut here
    async with station(primary, unhurried) as open_, asyncio.TaskGroup() as group:

        async def watch(start: int) -> Watcher:
            async with open_.watcher(token(start)) as watcher:
                await watcher.until_revision(80)
            return watcher

        watching = [group.create_task(watch(start)) for start in (0, 7, 19, 20)]
        for number in range(20, 80):
            await primary.put(f"doc:{number}#viewer@user:1")
            if number % 10 == 0:
                watching.append(group.create_task(watch(number - 3)))
    everything = await data_of(primary)
    for watcher in (task.result() for task in watching):
        start = place(watcher.heard[0]).revision
        assert watcher.changes() == everything[start:80]
        tokens = [place(told).revision for told in watcher.heard]
        assert tokens == sorted(tokens)


async def test_who_is_idle_hears_where_it_stands(primary: Primary, station) -> None:
    async with station(primary) as open_, open_.watcher() as watcher:
        await watcher.until_revision(0)
        schema = "entity user {}"
        await primary.writer.write_schema(ACME, schema, based_on=None, write_id=primary.new_id())
        await watcher.until_revision(1)
    assert watcher.changes() == []
    assert place(watcher.heard[-1]).revision == 1


async def test_filters_leave_out_what_was_not_asked_for(primary: Primary, station) -> None:
    await primary.put(
        "doc:1#viewer@user:1",
        "doc:1#owner@user:2",
        "doc:1#viewer@group:eng#member",
        "group:eng#member@user:1",
        "doc:1$level|integer:1",
    )
    cases = {
        WatchFilter(entity_types=frozenset({"group"})): {"group:eng#member@user:1"},
        WatchFilter(relations=frozenset({"owner", "level"})): {
            "doc:1#owner@user:2",
            "doc:1$level|integer:1",
        },
        WatchFilter(subjects=(WatchedSubject("user", "1"),)): {
            "doc:1#viewer@user:1",
            "group:eng#member@user:1",
        },
        WatchFilter(subjects=(WatchedSubject("group"),)): {"doc:1#viewer@group:eng#member"},
        WatchFilter(
            entity_types=frozenset({"doc"}),
            subjects=(WatchedSubject("group", "eng", "member"), WatchedSubject("user", "2")),
        ): {"doc:1#viewer@group:eng#member", "doc:1#owner@user:2"},
    }
    async with station(primary) as open_:
        for where, expected in cases.items():
            async with open_.watcher(token(0), where) as watcher:
                await watcher.until_revision(1)
            ((*changes,),) = watcher.changes()
            facts = {str(getattr(c, "tuple", None) or getattr(c, "attribute", 0)) for c in changes}
            assert facts == expected


async def test_a_filtered_watcher_still_learns_how_far_it_is(primary: Primary, station) -> None:
    where = WatchFilter(entity_types=frozenset({"film"}))
    async with station(primary) as open_, open_.watcher(token(0), where) as watcher:
        for number in range(5):
            await primary.put(f"doc:{number}#viewer@user:1")
        await watcher.until_revision(5)
    assert watcher.changes() == []


async def test_a_watcher_that_does_not_keep_up_is_cut_and_goes_on_from_its_token(
    primary: Primary,
) -> None:
    async with watching.station(primary) as open_:
        async with open_.watcher() as slow, open_.watcher() as quick:
            await slow.until_revision(0)
            await quick.until_revision(0)
            for number in range(30):
                await primary.put(f"doc:{number}#viewer@user:1")
                if number == 0:
                    await slow.until_revision(1)  # it is in the hub now
                await quick.until_revision(number + 1)
            error = await slow.failure()
        assert isinstance(error, SlowReaderError)
        last = slow.heard[-1].snap_token
        assert error.facts == {"snap_token": last}
        assert last in error.explanation
        async with open_.watcher(last) as again:
            await again.until_revision(30)
    everything = await data_of(primary)
    assert quick.changes() == everything
    assert slow.changes() + again.changes() == everything


async def test_tokens_that_cannot_be_honoured_are_refused(primary: Primary, station) -> None:
    await primary.put("doc:1#viewer@user:1")
    async with station(primary) as open_:
        for text, expected in (
            ("garbled", InvalidTokenError),
            (encode_token(OTHER, SnapToken(Epoch(1), Revision(1))), InvalidTokenError),
            (token(2), BeyondHeadError),
            (token(1, epoch=2), BeyondHeadError),
        ):
            async with open_.watcher(text) as watcher:
                assert type(await watcher.failure()) is expected
            assert watcher.heard == []


async def test_a_deletion_ends_the_watch_and_its_token_leads_into_the_next_life(
    primary: Primary,
    station,
) -> None:
    await primary.put("doc:1#viewer@user:1")
    async with station(primary) as open_:
        async with open_.watcher(token(0)) as watcher:
            await watcher.until_revision(1)
            await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
            error = await watcher.failure()
        assert isinstance(error, TenantDeletedError)
        async with open_.watcher(token(1)) as dead:
            refused = await dead.failure()
        assert isinstance(refused, TenantDeletedError)
        assert refused.facts == error.facts == {"snap_token": token(2)}
        await primary.put("doc:2#viewer@user:1")
        async with open_.watcher(error.facts["snap_token"]) as following:
            await following.until_revision(3)
    assert following.changes() == (await data_of(primary))[-1:]


async def test_the_end_of_the_process_is_told_with_the_place(primary: Primary, station) -> None:
    async with station(primary) as open_:
        async with open_.watcher() as watcher:
            await watcher.until_revision(0)
            open_.hub.close()
            error = await watcher.failure()
        assert isinstance(error, UnavailableError)
        assert decode_token(ACME, error.facts["snap_token"]).revision == 0
        async with open_.watcher() as late:
            assert isinstance(await late.failure(), UnavailableError)


async def test_nothing_is_kept_of_watchers_that_left(primary: Primary, station) -> None:
    async with station(primary) as open_:
        for _ in range(3):
            async with open_.watcher() as watcher:
                await watcher.until_revision(0)
                await primary.put("doc:1#viewer@user:1")
                await primary.remove("doc:1#viewer@user:1")
                await watcher.until_revision(1)
        await until(lambda: open_.hub.watched == 0)
