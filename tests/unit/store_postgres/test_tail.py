"""The end of a log as a group extends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from grantlog.model.chain import GENESIS, transaction_digest
from grantlog.model.change import SchemaWritten, TenantCreated, TenantDeleted
from grantlog.store.postgres.writer.tail import LockedHead, Tail

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def head(*, revision: int = 0, before: timedelta = timedelta(days=1)) -> LockedHead:
    return LockedHead(
        tenant="acme",
        tenant_key=1,
        epoch=1,
        revision=revision,
        digest=GENESIS,
        salt=b"s" * 16,
        commit_time=NOW - before,
        begins_rev=0,
        schema_version="",
        now=NOW,
    )


def test_each_transaction_has_a_time_of_its_own():
    tail = Tail(head())
    for _ in range(3):
        tail.append(TenantCreated("x"), write_id=b"")
    assert [t.commit_time - NOW for t in tail.transactions] == [0 * TICK, TICK, 2 * TICK]
    assert [t.revision for t in tail.transactions] == [1, 2, 3]


def test_time_goes_on_from_a_head_that_is_ahead_of_the_clock():
    tail = Tail(head(revision=7, before=timedelta(hours=-1)))
    assert (
        tail.append(TenantCreated("x"), write_id=b"").commit_time == NOW + timedelta(hours=1) + TICK
    )


def test_digests_chain():
    tail = Tail(head())
    tail.append(TenantCreated("x"), write_id=b"")
    tail.append(TenantCreated("x"), write_id=b"")
    one, other = tail.transactions
    assert (one.previous_digest, other.previous_digest) == (GENESIS, one.digest)
    assert other.digest == transaction_digest(
        one.digest,
        tenant="acme",
        epoch=1,
        revision=2,
        commit_time=other.commit_time,
        body=other.body,
        salt=b"s" * 16,
    )


def test_the_schema_in_force_follows_schemas_and_deletion():
    tail = Tail(head())
    assert tail.append(SchemaWritten("v1", "text"), write_id=b"").schema_version == "v1"
    assert tail.standing().schema_version == "v1"
    assert tail.append(TenantDeleted(), write_id=b"").schema_version == ""
    assert (tail.standing().revision, tail.standing().commit_time) == (2, None)
