"""What every reader of a primary promises: a read stands in the epoch that it was resolved in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from grantlog.errors import OtherEpochError
from grantlog.model.ids import ANY_EPOCH, NOTHING, Epoch, Revision
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.reverse import EntitiesKey, OfKindKey
from grantlog.testing.contracts.places import ACME, Copy, Primary, direct

FACT = "doc:1#viewer@user:1"


class EpochContract:
    """Reads of a revision in one epoch of the log, and of the same number in another."""

    async def test_every_read_is_answered_in_its_own_epoch_and_refused_in_another(
        self, primary: Primary
    ) -> None:
        before = await primary.put(FACT, "doc:1$level|integer:1")
        assert await _refused(primary, before.revision, before.epoch) == []
        assert await _refused(primary, before.revision, ANY_EPOCH) == []
        await primary.open_epoch()
        now = (await primary.heads.head(ACME)).epoch
        assert await _refused(primary, before.revision, now) == []
        for other in (before.epoch, Epoch(now + 1)):
            refused = await _refused(primary, before.revision, other)
            assert refused == [OtherEpochError] * 9
        assert await _refused(primary, NOTHING, before.epoch) == []  # nothing held in all of them

    async def test_reads_of_several_epochs_may_share_a_statement(self, primary: Primary) -> None:
        before = await primary.put(FACT)
        await primary.open_epoch()
        now = (await primary.heads.head(ACME)).epoch
        keys = [direct(FACT)]
        async with asyncio.TaskGroup() as group:
            stale = group.create_task(
                _outcome(primary.facts.read(ACME, before.revision, keys, epoch=before.epoch))
            )
            fresh = group.create_task(primary.facts.read(ACME, before.revision, keys, epoch=now))
        assert stale.result() is OtherEpochError
        assert list(fresh.result()) == [True]

    async def test_a_tenant_that_is_not_there_in_this_epoch_is_refused(
        self, primary: Primary
    ) -> None:
        epoch = (await primary.heads.head(ACME)).epoch
        with pytest.raises(OtherEpochError):
            await primary.facts.read(ACME, Revision(3), [direct(FACT)], epoch=Epoch(epoch + 1))


async def _refused(copy: Copy, at: Revision, epoch: Epoch) -> list[type[BaseException]]:
    """What each way of reading raises."""
    entity = EntitiesKey("user", "1", "", "doc", "viewer")
    subject = OfKindKey("doc", "1", "viewer", "user", "")
    reverse = copy.reverse
    ways: list[Coroutine[Any, Any, object]] = [
        copy.facts.read(ACME, at, [direct(FACT)], epoch=epoch),
        copy.facts.read(ACME, at, [], epoch=epoch),
        copy.lister.tuples(ACME, at, TupleFilter(), limit=1, epoch=epoch),
        copy.lister.attributes(ACME, at, AttributeFilter(), limit=1, epoch=epoch),
        reverse.entities(ACME, at, [entity], limit=1, epoch=epoch),
        reverse.of_kind(ACME, at, [subject], limit=1, epoch=epoch),
        reverse.known(ACME, at, "doc", after="", limit=1, epoch=epoch),
        reverse.having(ACME, at, "doc", "level", after="", limit=1, epoch=epoch),
        reverse.subjects(ACME, at, "user", "", after="", limit=1, epoch=epoch),
    ]
    outcomes = [await _outcome(way) for way in ways]
    return [outcome for outcome in outcomes if outcome is not None]


async def _outcome(reading: Coroutine[Any, Any, object]) -> type[BaseException] | None:
    try:
        await reading
    except OtherEpochError as error:
        return type(error)
    return None
