"""The publisher on a real Kafka: every transaction is on the topic, in order, at least once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from grantlog.changelog.kafka.message import EventMessage, HeartbeatMessage, partition_of
from grantlog.errors import PreconditionError
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.contracts.lives import write_a_life, write_another_life
from grantlog.testing.contracts.places import ACME, OTHER
from grantlog.wire.event import decode_transaction
from tests.integration.kafka.conftest import Stage
from tests.waiting import until


async def test_every_transaction_is_on_its_tenants_partition_in_order(stage: Stage) -> None:
    for number in range(3):
        await stage.primary.put(f"doc:{number}#viewer@user:1")
    async with stage.publishing():
        await stage.reach({(ACME, 3, 0)})
        await stage.primary.put("doc:9#viewer@user:1")
        await stage.primary.put("doc:1#viewer@user:1", tenant=OTHER)
        await stage.reach({(ACME, 4, 0), (OTHER, 1, 0)})
    events = [each for each in await stage.messages() if isinstance(each, EventMessage)]
    ours = [each for each in events if each.tenant == ACME]
    assert [each.revision for each in ours] == [1, 2, 3, 4]
    assert [decode_transaction([each.payload]) for each in ours] == list(
        await stage.primary.history()
    )
    assert {each.tenant for each in events} == {ACME, OTHER, "t1"}


async def test_a_new_publisher_goes_on_at_the_watermark(stage: Stage) -> None:
    await stage.primary.put("doc:1#viewer@user:1")
    async with stage.publishing():
        await stage.reach({(ACME, 1, 0)})
    await stage.primary.put("doc:2#viewer@user:1")
    async with stage.publishing("two"):
        await stage.reach({(ACME, 2, 0)})
    events = await stage.events()
    assert sorted(event for event in events if event[0] == ACME) == [(ACME, 1, 0), (ACME, 2, 0)]


async def test_a_large_transaction_goes_out_in_parts_and_in_several_batches(stage: Stage) -> None:
    stage.limits = replace(stage.limits, batch_bytes_max=300_000)
    await stage.primary.put(*(f"doc:{n:0100}#viewer@user:{n:0100}" for n in range(8_000)))
    await stage.primary.put("doc:1#viewer@user:1")
    async with stage.publishing():
        await stage.reach({(ACME, 2, 0)})
    events = [each for each in await stage.messages() if isinstance(each, EventMessage)]
    large = [each for each in events if (each.tenant, each.revision) == (ACME, 1)]
    assert len(large) > 2
    assert [each.part for each in large] == list(range(large[0].parts))
    whole = decode_transaction([each.payload for each in large])
    assert whole == (await stage.primary.history())[0]


async def test_as_json_the_log_goes_over_a_topic_that_protobuf_began(stage: Stage) -> None:
    stage.limits = replace(stage.limits, batch_bytes_max=300_000)
    spec = replace(stage.spec, form="json")
    as_json = replace(stage, spec=spec)
    async with as_json.publishing():
        await stage.primary.put(*(f"doc:{n:0100}#viewer@user:{n:0100}" for n in range(8_000)))
        await stage.reach({(ACME, 1, 0)})
    async with stage.publishing("two"):
        await stage.primary.put("doc:1#viewer@user:1")
        await stage.reach({(ACME, 2, 0)})
    first: dict[tuple[int, int], bytes] = {}
    for each in await stage.messages():
        if isinstance(each, EventMessage) and each.tenant == ACME:
            first.setdefault((each.revision, each.part), each.payload)
    assert first[1, 0].startswith(b"{")
    assert not first[2, 0].startswith(b"{")
    log = await stage.primary.history()
    for revision in (1, 2):
        parts = [payload for (of, _), payload in first.items() if of == revision]
        assert decode_transaction(parts) == log[revision - 1]


async def test_heartbeats_tell_what_is_complete(stage: Stage) -> None:
    done = await stage.primary.put("doc:1#viewer@user:1")
    partition = partition_of(ACME, stage.spec.partitions)
    assert done.commit_time is not None

    async def told() -> bool:
        return any(
            isinstance(each, HeartbeatMessage) and each.through > done.commit_time
            for each in await stage.messages()
        )

    async with stage.publishing():
        await until(told)
    assert partition in (0, 1)
    seen = False
    for each in await stage.messages():
        if isinstance(each, EventMessage):
            seen = seen or (each.tenant, each.revision) == (ACME, 1)
            current = partition_of(each.tenant, stage.spec.partitions)
            continue
        if seen and current == partition:
            break
    assert seen


async def test_publishers_share_by_lease_and_one_takes_over_when_the_other_ends(
    stage: Stage,
) -> None:
    stage.limits = replace(stage.limits, lease_s=600.0)  # who ends gives them back
    async with stage.publishing("one") as one:
        await until(lambda: one.held == {0, 1})
        async with stage.publishing("two") as two:
            await stage.primary.put("doc:1#viewer@user:1")
            await stage.reach({(ACME, 1, 0)})
            assert two.held == frozenset()
        await stage.primary.put("doc:2#viewer@user:1")
        await stage.reach({(ACME, 2, 0)})
    async with stage.publishing("two") as two:
        await until(lambda: two.held == {0, 1})


async def test_a_topic_with_unsafe_settings_or_another_number_of_partitions_is_refused(
    stage: Stage,
) -> None:
    async with stage.publishing() as publisher:
        await until(lambda: publisher.held)
    for wrong, said in (
        (replace(stage.spec, partitions=3), "has 2 partitions"),
        (replace(stage.spec, name="another"), "is on the topic"),
    ):
        other = replace(stage, spec=wrong)
        with pytest.RaisesGroup(pytest.RaisesExc(PreconditionError, match=said)):
            async with other.publishing("two"):
                await asyncio.Event().wait()


async def test_of_a_life_that_ended_only_its_deletion_is_published(stage: Stage) -> None:
    await write_a_life(stage.primary)
    await write_another_life(stage.primary)
    async with open_pool(stage.dsn, size_max=1, application_name="test") as pool:
        # Half purged: rows go away in batches, in no order.
        await pool.execute("DELETE FROM transactions WHERE tenant_id = 'acme' AND revision = 2")
    async with stage.publishing() as publisher:
        head = (await stage.primary.heads.head(ACME)).revision
        await stage.reach({(ACME, head, 0)})
        assert publisher.stopped == {}
    ours = [event for event in await stage.events() if event[0] == ACME]
    assert ours == [(ACME, revision, 0) for revision in range(5, head + 1)]
