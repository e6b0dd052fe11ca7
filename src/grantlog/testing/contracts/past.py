"""What every PastReader keeps."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from grantlog.errors import BehindWindowError, BeyondHeadError, InvalidInputError
from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.ports.writer import Committed
from grantlog.testing.contracts.places import ACME, Primary

SCHEMA = "entity user {}\nentity doc { relation viewer @user }"
_MICROSECOND = timedelta(microseconds=1)
_IDS = itertools.count(1)


async def write_schema(primary: Primary) -> Committed:
    """Put a schema version in force."""
    write_id = next(_IDS).to_bytes(16, "big")
    return await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=write_id)


def time_of(committed: Committed) -> datetime:
    """When a write was committed."""
    assert committed.commit_time is not None
    return committed.commit_time


class PastContract:
    """A past head is the revision that stood then, with the schema in force at it."""

    async def test_each_revision_has_the_schema_that_was_in_force(self, primary: Primary) -> None:
        first = await write_schema(primary)
        put = await primary.put("doc:1#viewer@user:1")
        second = await write_schema(primary)
        in_force = {
            Revision(0): SchemaVersion(""),
            first.revision: first.schema_version,
            put.revision: first.schema_version,
            second.revision: second.schema_version,
        }
        for revision, version in in_force.items():
            head = await primary.past.at_revision(ACME, revision)
            assert (head.revision, head.schema_version) == (revision, version)

    async def test_a_revision_beyond_the_head_is_refused(self, primary: Primary) -> None:
        put = await primary.put("doc:1#viewer@user:1")
        with pytest.raises(BeyondHeadError):
            await primary.past.at_revision(ACME, Revision(put.revision + 1))
        with pytest.raises(BeyondHeadError):
            await primary.past.at_revision(TenantId("nobody"), Revision(1))

    async def test_a_time_stands_at_the_last_revision_committed_by_then(
        self, primary: Primary
    ) -> None:
        puts = [await primary.put(f"doc:{n}#viewer@user:1") for n in range(1, 10)]
        for put in puts:
            at = await primary.past.at_time(ACME, time_of(put))
            just_before = await primary.past.at_time(ACME, time_of(put) - _MICROSECOND)
            assert (at.revision, just_before.revision) == (put.revision, put.revision - 1)

    async def test_before_the_first_write_and_without_any_it_is_revision_zero(
        self, primary: Primary
    ) -> None:
        put = await primary.put("doc:1#viewer@user:1")
        long_ago = time_of(put) - timedelta(days=9_000)
        assert (await primary.past.at_time(ACME, long_ago)).revision == 0
        assert (await primary.past.at_time(TenantId("nobody"), long_ago)).revision == 0

    async def test_a_future_time_is_refused(self, primary: Primary) -> None:
        with pytest.raises(InvalidInputError, match="future"):
            await primary.past.at_time(ACME, datetime(2999, 1, 1, tzinfo=UTC))

    async def test_what_was_before_a_deletion_is_refused(self, primary: Primary) -> None:
        put = await primary.put("doc:1#viewer@user:1")
        await primary.writer.delete_tenant(ACME, write_id=bytes(16))
        for past in (
            primary.past.at_revision(ACME, put.revision),
            primary.past.at_time(ACME, time_of(put)),
        ):
            with pytest.raises(BehindWindowError):
                await past
        deletion = await primary.past.at_revision(ACME, Revision(put.revision + 1))
        assert deletion.schema_version == ""

    async def test_history_that_was_collected_is_refused(self, primary: Primary) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.remove("doc:1#viewer@user:1")
        last = await primary.put("doc:2#viewer@user:1")
        await primary.collect(ACME, last.revision)
        with pytest.raises(BehindWindowError):
            await primary.past.at_revision(ACME, Revision(1))
        assert (await primary.past.at_revision(ACME, last.revision)).revision == last.revision
