"""Collection never removes what any read, replica, hold or topic may still need; and does remove
what none does. Random pasts, windows, followers, marks; every revision is read before and after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.model.attributes import parse_attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import parse_tuple
from grantlog.ports.writer import PutFacts, RemoveFacts
from grantlog.store.postgres.collect import collect_window
from grantlog.store.postgres.followers import holding
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.testing.contracts.copying import BEHIND, what_held
from grantlog.testing.contracts.places import Primary
from tests.contract.postgres import postgres_primary
from tests.property.fold_histories import Act, Delete, Schema, live

NewDatabase = Callable[..., Awaitable[str]]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)

_tenants = count(1)

# A time by the log of the tenant under test: at a revision's commit, a tick before, a tick behind.
moments = st.tuples(st.integers(0, 13), st.sampled_from([-TICK, timedelta(0), TICK]))
followers = st.lists(
    st.tuples(
        st.sampled_from(["replica", "replica", "hold", "maintenance"]),
        st.one_of(st.none(), moments),
        st.booleans(),
    ),
    max_size=2,
)


@dataclass
class Setting:
    primary: Primary
    pool: Pool


@pytest.fixture
async def setting(migrated_database: NewDatabase) -> AsyncIterator[Setting]:
    dsn = await migrated_database()
    async with (
        postgres_primary(dsn) as primary,
        open_pool(dsn, size_max=1, application_name="test", settings=INDEX_PLANS) as pool,
    ):
        yield Setting(primary, pool)


def time_of(moment: tuple[int, timedelta]) -> datetime:
    return LONG_AGO + moment[0] * HOUR + moment[1]


async def arrange(pool: Pool, tenant: TenantId, told, published: int | None) -> None:
    """Commit times by the hour, the followers, the topic's mark."""
    await pool.execute(
        "UPDATE transactions SET commit_time = $2::timestamptz + revision * interval '1 hour' "
        "WHERE tenant_id = $1",
        tenant,
        LONG_AGO,
    )
    await pool.execute("DELETE FROM followers; DELETE FROM change_topic; DELETE FROM published")
    for number, (kind, through, fresh) in enumerate(told):
        await pool.execute(
            "INSERT INTO followers (name, kind, beat_at, applied_through) "
            "VALUES ($1, $2, clock_timestamp() - $3::interval, $4)",
            str(number),
            kind,
            timedelta(0) if fresh else timedelta(days=1, seconds=1),
            time_of(through) if through else None,
        )
    if published is not None:
        await pool.execute("INSERT INTO change_topic VALUES (true, 't', 1, 'c')")
        await pool.execute("INSERT INTO published VALUES ($1, 0, $2)", tenant, published)


def allowed(head: int, window: datetime, told, published: int | None) -> int:
    """The highest floor that takes nothing from anybody."""
    times = [window]
    for kind, through, fresh in told:
        if kind != "maintenance" and fresh:
            times.append(time_of(through) if through else datetime(1970, 1, 1, tzinfo=UTC))
    floor = max((r for r in range(head + 1) if LONG_AGO + r * HOUR <= min(times)), default=0)
    return min(floor, head if published is None else published)


@st.composite
def pasts(draw: st.DrawFn) -> list[Act]:
    """Lives in which nearly every revision ends something."""
    acts: list[Act] = []
    viewer = parse_tuple("doc:1#viewer@user:1")
    for number in range(draw(st.integers(4, 12))):
        level = PutFacts((), (parse_attribute(f"doc:1$level|integer:{number}"),))
        toggled = PutFacts((viewer,)) if number % 2 else RemoveFacts((viewer,))
        rare = draw(st.integers(0, 20))
        if rare == 0:
            acts.append(Delete())
        elif rare == 1:
            acts.append(Schema())
        else:
            acts.append([level, toggled])
    return acts


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    history=pasts(),
    window=moments,
    told=followers,
    mark=st.one_of(st.none(), st.none(), st.integers(0, 13)),
)
async def test_only_what_nobody_needs_is_collected(
    setting: Setting, history, window, told, mark
) -> None:
    tenant = TenantId(f"tenant-{next(_tenants)}")
    primary, pool = setting.primary, setting.pool
    await live(primary, tenant, history)
    head = await primary.heads.head(tenant)
    published = None if mark is None else min(mark, head.revision)
    await arrange(pool, tenant, told, published)
    before = [await what_held(primary, Revision(at), tenant) for at in range(head.revision + 1)]
    now: datetime = await pool.fetchval("SELECT clock_timestamp()")
    # A second is nothing beside an hour: the window's moment is well before or behind a commit.
    start = time_of(window) + (timedelta(minutes=1) if window[1] >= timedelta(0) else -HOUR / 2)
    await collect_window(pool, now - start)
    after = [await what_held(primary, Revision(at), tenant) for at in range(head.revision + 1)]
    limit = allowed(head.revision, start, told, published)
    for at in range(head.revision + 1):
        if at >= limit:
            assert after[at] == before[at]
        else:
            assert after[at] in (before[at], BEHIND)
    assert await useless_rows(pool, tenant, limit) == 0


async def useless_rows(pool: Pool, tenant: TenantId, limit: int) -> int:
    """Rows of the present life's history that no read at the limit or later can see."""
    return await pool.fetchval(
        "SELECT (SELECT count(*) FROM relation_tuples_history JOIN heads USING (tenant_key) "
        "        WHERE tenant_id = $1 AND expired_rev <= $2) "
        "     + (SELECT count(*) FROM attributes_history JOIN heads USING (tenant_key) "
        "        WHERE tenant_id = $1 AND expired_rev <= $2)",
        tenant,
        limit,
    )


async def test_a_hold_keeps_everything_until_it_ends(setting: Setting) -> None:
    primary, pool = setting.primary, setting.pool
    tenant = TenantId("held")
    await primary.put("doc:1$level|integer:1", tenant=tenant)
    await primary.put("doc:1$level|integer:2", tenant=tenant)

    async def fail() -> None:
        async with holding(pool, "a copy"):
            assert await collect_window(pool, timedelta(0)) == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await collect_window(pool, timedelta(0)) == 0, "its work is to be taken up again"
    async with holding(pool, "a copy"):
        assert await collect_window(pool, timedelta(0)) == 0
    assert await collect_window(pool, timedelta(0)) == 1
