"""Deletion is complete: of a tenant only its head row and the deletion itself are left."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from grantlog.app.project import Projector
from grantlog.errors import BehindWindowError, UnavailableError
from grantlog.model.change import TenantDeleted
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.facts import TupleFilter
from grantlog.ports.writer import RemoveWhere
from grantlog.store.postgres.collect import collect_window
from grantlog.store.postgres.pool import INDEX_PLANS, Pool, open_pool
from grantlog.store.postgres.purge import purge_dead_lives
from grantlog.store.postgres.statements import load
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary, listed
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.integration.tenancy.rows import Left, count_deleted_rows, keys_of, left_of

SECRET = "secretsecret"
SCHEMA = f"entity user {{}}\nentity {SECRET} {{ relation viewer @user }}"
LEFT = {"heads": 1, "transactions": 1, "epoch_heads": 1}
"""Its head row, the deletion, and where its log stood when an epoch opened."""


@dataclass
class Pair:
    """A primary with a replica that follows when told to."""

    primary: Primary
    replica: Copy
    dsns: dict[str, str]
    pools: dict[str, Pool]

    async def follow(self) -> None:
        projector = Projector(self.primary.log, self.replica.projection)
        await projector.start()
        await projector.round()
        while projector.status.behind:
            await projector.round()
        assert not projector.status.stopped

    async def purge(self, **bounds: int) -> None:
        for pool in self.pools.values():
            await purge_dead_lives(pool, **bounds)

    async def left(self, keys: dict[str, set[int]], tenant: TenantId = ACME) -> dict[str, Left]:
        return {
            name: await left_of(dsn, tenant, keys=keys[name], secret=SECRET)
            for name, dsn in self.dsns.items()
        }

    async def keys(self, tenant: TenantId = ACME) -> dict[str, set[int]]:
        return {name: await keys_of(dsn, tenant) for name, dsn in self.dsns.items()}

    async def delete(self, tenant: TenantId = ACME) -> None:
        await self.primary.writer.delete_tenant(tenant, write_id=self.primary.new_id())


@pytest.fixture
async def pair(migrated_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Pair]:
    dsns = {"primary": await migrated_database(), "replica": await migrated_database(seed=False)}
    async with (
        postgres_primary(dsns["primary"]) as primary,
        postgres_replica(dsns["replica"]) as replica,
        open_pool(
            dsns["primary"], size_max=2, application_name="test", settings=INDEX_PLANS
        ) as one,
        open_pool(
            dsns["replica"], size_max=2, application_name="test", settings=INDEX_PLANS
        ) as other,
    ):
        yield Pair(primary, replica, dsns, {"primary": one, "replica": other})


async def live(pair: Pair, tenant: TenantId = ACME, number: int = 30) -> None:
    """A life that leaves rows in every table there is."""
    primary = pair.primary
    await primary.writer.create_tenant(tenant, SECRET, write_id=primary.new_id())
    for _ in range(2):
        await primary.writer.write_schema(tenant, SCHEMA, based_on=None, write_id=primary.new_id())
    bundles = {f"{SECRET}{n}": SECRET for n in range(3)}
    await primary.writer.write_bundles(tenant, bundles, write_id=primary.new_id())
    for value in range(2):
        await primary.put(
            *(f"{SECRET}:{n}#viewer@user:1" for n in range(number)),
            *(f"doc:{n}${SECRET}|integer:{value}" for n in range(number)),
            tenant=tenant,
        )
    await primary.apply(
        RemoveWhere(TupleFilter(entity_type=SECRET, entity_ids=("1", "2"))), tenant=tenant
    )
    await primary.put(f"{SECRET}:1#viewer@user:1", tenant=tenant)


async def test_nothing_of_a_tenant_is_left_but_its_head_and_the_deletion(pair: Pair):
    await live(pair)
    await live(pair, OTHER)
    await pair.primary.open_epoch()
    await pair.follow()
    before = await pair.left(await pair.keys())
    owned = {"bundles", "tenants", "transactions", "epoch_heads"}
    copied = {"heads", "schemas", "relation_tuples", "relation_tuples_history", "attributes"}
    copied |= {"attributes_history"}
    assert before["primary"].rows.keys() == owned | copied
    assert before["replica"].rows.keys() == copied
    bystander = await pair.left(await pair.keys(OTHER), OTHER)

    await pair.delete()
    await pair.follow()
    keys = await pair.keys()
    await pair.purge()
    assert await pair.left(await pair.keys(OTHER), OTHER) == bystander
    await pair.delete(OTHER)
    await pair.follow()
    await pair.purge()

    after = await pair.left(keys)
    assert after["primary"] == Left(LEFT, set())
    assert after["replica"] == Left({"heads": 1}, set())
    log = await pair.primary.history()
    assert [type(entry.body) for entry in log] == [TenantDeleted]


async def test_lives_that_follow_each_other_are_purged_together_or_one_by_one(pair: Pair):
    for purged in (True, False, False):
        await live(pair)
        await pair.delete()
        if purged:
            await pair.purge()
    await pair.follow()
    keys = await pair.keys()
    await live(pair)
    await pair.follow()
    head = (await pair.primary.heads.head(ACME)).revision
    found = await listed(pair.primary, head)
    await pair.purge()
    assert found == await listed(pair.primary, head) == await listed(pair.replica, head)
    assert await pair.primary.projection.digest(ACME) == await pair.replica.projection.digest(ACME)
    assert len(await pair.primary.history()) == 11
    await pair.delete()
    await pair.follow()
    keys = {name: keys[name] | more for name, more in (await pair.keys()).items()}
    await pair.purge()
    after = await pair.left(keys)
    assert after["primary"] == Left({"heads": 1, "transactions": 1}, set())
    assert after["replica"] == Left({"heads": 1}, set())


async def test_no_statement_of_a_purge_takes_more_rows_than_its_bound(pair: Pair):
    await live(pair, number=300)
    for number in range(150):
        await pair.primary.put(f"doc:{number}#viewer@user:9")
    await pair.follow()
    await pair.delete()
    await pair.follow()
    for name, dsn in pair.dsns.items():
        await count_deleted_rows(dsn)
        assert await purge_dead_lives(pair.pools[name], rows_max=70) > 1_000
        most = await pair.pools[name].fetchval("SELECT max(rows) FROM deleted")
        assert most == 70
    assert [type(entry.body) for entry in await pair.primary.history()] == [TenantDeleted]


async def test_a_purge_that_was_interrupted_goes_on(pair: Pair):
    await live(pair)
    await pair.delete()
    keys = await pair.keys()
    pool = pair.pools["primary"]
    await pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57P01'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON attributes_history EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(UnavailableError):
        await purge_dead_lives(pool)
    assert await pool.fetchval("SELECT count(*) FROM dead_lives") == 1
    await pool.execute("DROP TRIGGER refuse ON attributes_history")
    await purge_dead_lives(pool)
    assert (await pair.left(keys))["primary"] == Left({"heads": 1, "transactions": 1}, set())


@pytest.mark.parametrize("purged", [False, True], ids=["not purged yet", "purged"])
async def test_a_replica_that_missed_the_whole_life_takes_the_deletion(pair: Pair, purged: bool):
    await live(pair)
    await pair.follow()
    for _ in range(3):
        await pair.primary.put("doc:missed#viewer@user:1")
    await pair.delete()
    await pair.primary.put("doc:new#viewer@user:1")
    if purged:
        await pair.purge()
    await pair.follow()
    head = (await pair.primary.heads.head(ACME)).revision
    assert await listed(pair.replica, head) == ["doc:new#viewer@user:1"]
    assert await pair.primary.projection.digest(ACME) == await pair.replica.projection.digest(ACME)
    await pair.replica.projection.clear()  # and so does one that is built from nothing
    await pair.follow()
    assert await listed(pair.replica, head) == ["doc:new#viewer@user:1"]
    with pytest.raises(BehindWindowError):
        await listed(pair.replica, Revision(head - 2))


async def test_the_past_of_the_present_life_is_found_after_the_purge(pair: Pair):
    for number in range(40):  # of somebody whose log lies before, with the same revisions
        await pair.primary.put(f"doc:{number}#viewer@user:1", tenant=TenantId("aaa"))
    for _ in range(9):
        await pair.primary.put("doc:old#viewer@user:1")
        await pair.primary.remove("doc:old#viewer@user:1")
    before = await pair.primary.put("doc:old#viewer@user:1")
    await pair.delete()
    first = await pair.primary.put("doc:1#viewer@user:1")
    for number in range(2, 9):
        await pair.primary.put(f"doc:{number}#viewer@user:1")
    await pair.purge()
    head = (await pair.primary.heads.head(ACME)).revision
    assert before.commit_time is not None
    assert first.commit_time is not None
    for at in (before.commit_time, first.commit_time - timedelta(days=1)):
        with pytest.raises(BehindWindowError):
            await pair.primary.past.at_time(ACME, at)
    assert (await pair.primary.past.at_time(ACME, first.commit_time)).revision == first.revision
    log = await pair.primary.history()
    for entry in log:
        found = await pair.primary.past.at_time(ACME, entry.commit_time)
        assert found.revision == entry.revision
    assert log[-1].revision == head


async def test_history_of_the_present_life_is_collected_after_the_purge(pair: Pair):
    for _ in range(9):
        await pair.primary.put("doc:old#viewer@user:1")
        await pair.primary.remove("doc:old#viewer@user:1")
    await pair.delete()
    for _ in range(3):
        await pair.primary.put("doc:1#viewer@user:1")
        await pair.primary.remove("doc:1#viewer@user:1")
    await pair.purge()
    pool = pair.pools["primary"]
    assert await collect_window(pool, timedelta(0)) == 3
    assert await pool.fetchval("SELECT count(*) FROM relation_tuples_history") == 0


async def test_the_log_is_purged_and_read_by_its_key(pair: Pair):
    for tenant in (ACME, OTHER):
        for number in range(40):
            await pair.primary.put(f"doc:{number}#viewer@user:1", tenant=tenant)
    await pair.delete()
    await pair.primary.put("doc:1#viewer@user:1")
    pool = pair.pools["primary"]
    log = load("log", package="grantlog.changelog.postgres")
    for sql, parameters, rows in (
        (log["read"], (ACME, 0, None), 2 + 1),
        (log["read"], (OTHER, 30, None), 10 + 1),
        (load("collect")["purge_log"], (ACME, 41, 5), 5 + 5),
    ):
        async with pool.acquire() as connection, connection.transaction():
            text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *parameters)
        assert rows_looked_at(json.loads(text)[0]["Plan"]) == rows


def rows_looked_at(plan: dict) -> int:
    """Rows that its scans met; a scan of a whole table is an error."""
    below = sum(map(rows_looked_at, plan.get("Plans", ())))
    if "Relation Name" not in plan or "Scan" not in plan["Node Type"]:
        return below
    assert plan["Node Type"] != "Seq Scan"
    met = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return below + int(plan["Actual Loops"] * met)


async def test_t1_is_there_from_the_start_and_can_be_deleted_and_created_anew(pair: Pair):
    t1 = TenantId("t1")
    names = [record.id for record in await pair.primary.tenants.tenants(limit=9)]
    assert names == [t1]
    await pair.delete(t1)
    assert await pair.primary.tenants.tenants(limit=9) == []
    record = await pair.primary.writer.create_tenant(t1, "again", write_id=pair.primary.new_id())
    assert record.name == "again"
    assert (await pair.primary.heads.head(t1)).revision > 1
