"""Ids are found through indexes, each with one descent, however many rows it has."""

from __future__ import annotations

import re

import asyncpg
import pytest

from grantlog.store.postgres.lister import LISTING_PLANS
from grantlog.store.postgres.statements import load
from tests.integration.read.test_plans import FILL, connected, dsn, indexes

__all__ = ["dsn"]

CROWD = """
INSERT INTO relation_tuples SELECT tenant_key, 'doc', 'crowded', 'viewer', '', 'user', 'c' || n, 1
FROM heads, generate_series(1, 20000) AS n WHERE tenant_id = 'acme';
ANALYZE;
"""
KEYS = [["user"], ["u7"], [""], ["doc"], ["viewer"], [""]]
OF = [["doc"], ["d7"], ["viewer"], ["user"], [""], [""]]
ONE = (
    ("of_kind", (*OF, 100)),
    ("of_kind", (*([key[0]] * 900 for key in OF), 17)),
    ("entities", (*KEYS, 100)),
    ("entities", (*([key[0]] * 900 for key in KEYS), 17)),
    ("known", ("doc", "", 101)),
    ("known_among", ("doc", "", 101, ["d1", "d2"])),
    ("subjects", ("group", "member", "", 101)),
    ("subjects_among", ("group", "member", "", 101, ["g1", "none"])),
    ("having", ("doc", "level", "", 101)),
)


async def explain(connection: asyncpg.Connection, name: str, at: int, arguments) -> str:
    sql = {**load("reverse"), **load("reverse_pages")}
    statement = "EXPLAIN (ANALYZE, TIMING off) " + sql[name]
    rows = await connection.fetch(statement, "acme", at, *arguments)
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("filled", [False, True], ids=["fresh", "full"])
@pytest.mark.parametrize("at", [50, 20], ids=["head", "past"])
@pytest.mark.parametrize(("name", "arguments"), ONE)
async def test_every_statement_goes_through_indexes(
    dsn: str, name: str, arguments, at: int, *, filled: bool
) -> None:
    async for connection in connected(dsn, LISTING_PLANS):
        if filled:
            await connection.execute(FILL)
        plan = await explain(connection, name, at, arguments)
        assert "Seq Scan" not in plan, plan
        expected = {
            "relation_tuples": {"relation_tuples_pkey", "relation_tuples_by_subject"},
            "attributes": {"attributes_pkey"},
        }
        used = indexes(plan)
        for table, allowed in expected.items():
            assert used.get(table, set()) <= allowed, plan


async def test_an_id_with_many_rows_costs_no_more_than_one_with_few(
    dsn: str,
) -> None:
    async for connection in connected(dsn, LISTING_PLANS):
        await connection.execute(FILL)
        await connection.execute(CROWD)
        plan = await explain(connection, "known", 50, ("doc", "crowde", 3))
        live = re.findall(r"on relation_tuples live.*actual rows=([\d.]+) loops=(\d+)", plan)
        assert live, plan
        assert sum(float(rows) * int(loops) for rows, loops in live) < 20, plan
        assert "Rows Removed by Filter" not in plan, plan
