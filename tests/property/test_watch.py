"""Whatever is written while watchers come and go, each hears exactly its part of the log.

A deletion of the tenant ends a watch, and what was not told by then is not told any more.
"""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.app.watch import WatchFilter
from grantlog.app.watch_hub import WatchLimits
from grantlog.errors import SlowReaderError, TenantDeletedError
from grantlog.model.change import DataWritten, Transaction
from grantlog.model.token import decode_token
from grantlog.testing.contracts.places import ACME
from tests.contract.memory import memory_primary
from tests.contract.watching import place, station, token

TIGHT = WatchLimits(heartbeat_s=0.02, poll_s=0.01, transactions_max=4, page_changes_max=3)
WHERE = {
    "everything": WatchFilter(),
    "docs": WatchFilter(entity_types=frozenset({"doc"})),
}

operations = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(["doc", "film"]), st.integers(0, 3)),
    st.tuples(st.just("remove"), st.sampled_from(["doc", "film"]), st.integers(0, 3)),
    st.tuples(st.just("set"), st.sampled_from(["doc", "film"]), st.integers(0, 3)),
    st.tuples(st.just("schema"), st.none(), st.none()),
    st.tuples(st.just("epoch"), st.none(), st.none()),
    st.tuples(st.just("delete"), st.none(), st.none()),
    st.tuples(st.just("watch"), st.sampled_from(list(WHERE)), st.integers(0, 100)),
    st.tuples(st.just("pause"), st.none(), st.integers(1, 5)),
)


@given(st.lists(operations, min_size=5, max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_watcher_hears_its_part_of_the_log_once_and_in_order(steps) -> None:
    asyncio.run(live(steps))


@given(st.lists(operations, min_size=5, max_size=40))
@settings(max_examples=20, deadline=None)
def test_so_does_one_behind_a_node_that_relays_a_watch_service(steps) -> None:
    asyncio.run(live(steps, relayed=True))


async def live(steps, *, relayed=False) -> None:
    primary = memory_primary()
    ended = asyncio.Event()
    written: list[Transaction] = []
    opened = station(primary, TIGHT, relayed=relayed)
    async with opened as open_, asyncio.TaskGroup() as group:
        watching = []
        for step in steps:
            if step[0] == "watch":
                head = (await primary.heads.head(ACME)).revision
                start = step[2] * head // 100
                heads = await primary.log.heads_of([ACME])
                if ACME not in heads or start >= heads[ACME].begins:
                    at = token(start, written[start - 1].epoch if start else 1)
                    watcher = follow(primary, open_, (start, at), WHERE[step[1]], ended)
                    watching.append(group.create_task(watcher))
            else:
                await act(primary, step, written)
                await note(primary, written)
        ended.set()
    for start, where, heard, last in (task.result() for task in watching):
        expected = [
            (entry.revision, changes)
            for entry in written[start:last]
            if isinstance(entry.body, DataWritten)
            and (changes := tuple(c for c in entry.body.changes if where.admits(c)))
        ]
        assert heard == expected


async def note(primary, written) -> None:
    """Keep what the log has behind what was kept: it goes away with the tenant."""
    written += await primary.log.read(ACME, after=len(written), changes_max=1_000)


async def act(primary, step, written) -> None:
    match step:
        case "put", kind, number:
            await primary.put(f"{kind}:{number}#viewer@user:1", f"{kind}:9#viewer@user:{number}")
        case "remove", kind, number:
            await primary.remove(f"{kind}:{number}#viewer@user:1", f"{kind}:{number}$level")
        case "set", kind, number:
            await primary.put(f"{kind}:1$level|integer:{number}")
        case "schema", _, _:
            await primary.writer.write_schema(
                ACME, "entity user {}", based_on=None, write_id=primary.new_id()
            )
        case "epoch", _, _:
            await primary.open_epoch()
        case "delete", _, _:
            if (await primary.heads.head(ACME)).revision:
                await primary.put("doc:1#viewer@user:gone")
                await note(primary, written)
                await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        case "pause", _, turns:
            for _ in range(turns):
                await asyncio.sleep(0)


async def follow(primary, open_, start, where, ended):
    """Hear all from a place on, beginning again wherever it is cut; what was heard, and how far."""
    heard = []
    first, at = start
    revision = first
    async with asyncio.timeout(60):
        while True:
            try:
                async with open_.watcher(at, where) as watcher:
                    async for told in watcher.messages:
                        assert place(told).revision >= revision
                        revision, at = place(told).revision, told.snap_token
                        if told.changes:
                            heard.append((revision, told.changes))
                        head = (await primary.heads.head(ACME)).revision
                        if ended.is_set() and revision == head:
                            return first, where, heard, revision
            except SlowReaderError as error:
                at = error.facts["snap_token"]
                revision = decode_token(ACME, at).revision
            except TenantDeletedError:
                # It may have passed revisions with nothing to tell since it last told its place.
                return first, where, heard, heard[-1][0] if heard else first
