"""Bundles in the primary's tables: reached by their key, purged with their tenant's life."""

from __future__ import annotations

import json

import pytest

from grantlog.changelog.postgres.log import open_change_log
from grantlog.model.ids import TenantId
from grantlog.store.postgres.purge import purge_dead_lives
from grantlog.store.postgres.statements import load
from tests.integration.write.conftest import Place
from tests.integration.write.facts import put, write
from tests.integration.write.test_plans import _nodes, _rows_looked_at

ACME = TenantId("acme")


async def plan(place: Place, sql: str, *parameters: object) -> list[dict[str, object]]:
    async with place.pool.acquire() as connection, connection.transaction():
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *parameters)
    return list(_nodes(json.loads(text)[0]["Plan"]))


@pytest.fixture
async def filled(place: Place) -> Place:
    """A tenant with many bundles, never analysed, and another one."""
    await place.pool.execute("ALTER TABLE bundles SET (autovacuum_enabled = off)")
    for tenant in (ACME, TenantId("other")):
        many = {f"b{number}": "x" * 100 for number in range(900)}
        await place.writer.write_bundles(tenant, many, write_id=b"i" * 16)
    return place


async def test_a_bundle_is_reached_by_its_key(filled: Place):
    nodes = await plan(filled, load("bundles")["bundle"], "acme", "b7")
    assert _rows_looked_at(nodes) == 2
    key = await filled.pool.fetchval("SELECT tenant_key FROM heads WHERE tenant_id = 'acme'")
    nodes = await plan(filled, load("bundles")["stored"], key, ["b7", "b8"])
    assert _rows_looked_at(nodes) == 2


async def test_heads_of_a_few_tenants_are_reached_by_their_key(filled: Place):
    for number in range(50):
        await filled.writer.write(write(put("doc:1#viewer@user:1"), tenant=f"t{number}"))
    statement = load("log", package="grantlog.changelog.postgres")["heads_of"]
    nodes = await plan(filled, statement, ["acme", "t7"])
    assert _rows_looked_at(nodes) == 2


async def test_bundles_of_a_life_that_ended_are_purged(filled: Place):
    await filled.writer.delete_tenant(ACME, write_id=b"d" * 16)
    assert await purge_dead_lives(filled.pool) > 900
    rows = await filled.pool.fetch(
        "SELECT DISTINCT tenant_id FROM bundles JOIN heads USING (tenant_key)"
    )
    assert [row["tenant_id"] for row in rows] == ["other"]
    assert await filled.pool.fetchval("SELECT count(*) FROM bundles") == 900


async def test_a_request_of_several_bundles_is_one_database_transaction(place: Place):
    many = {f"b{number}": "x" for number in range(5)}
    done = await place.writer.write_bundles(ACME, many, write_id=b"i" * 16)
    xids = await place.pool.fetch("SELECT DISTINCT xmin::text FROM bundles")
    assert (done.revision, len(xids)) == (5, 1)
    async with open_change_log(place.pool, listen_dsn=place.dsn) as log:
        assert len(await log.read(ACME, after=0, changes_max=100)) == 5
