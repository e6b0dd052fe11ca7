"""Every lookup is an index's, from one key to a thousand, on fresh tables and on full ones."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from grantlog.model.ids import Revision
from grantlog.ports.facts import AttributeKey, DirectKey, MemberOfUsersetKey, SubjectsKey
from grantlog.store.postgres.lister import LISTING_PLANS
from grantlog.store.postgres.pool import INDEX_PLANS
from grantlog.store.postgres.reader_batch import ReadBatch
from grantlog.store.postgres.statements import load
from grantlog.testing.contracts.places import ACME

NewDatabase = Callable[..., Awaitable[str]]
_INDEX = re.compile(r"using (\w+) on (\w+)")

FILL = """
INSERT INTO heads (tenant_id, epoch, revision, digest, salt, commit_time)
VALUES ('acme', 1, 50, '', '', now());
INSERT INTO relation_tuples SELECT tenant_key, 'doc', 'd' || n, 'viewer', '', 'user',
    'u' || n % 500, 1 + n % 50
FROM heads, generate_series(1, 20000) AS n WHERE tenant_id = 'acme';
INSERT INTO relation_tuples SELECT tenant_key, 'doc', 'd' || n, 'viewer', 'member', 'group',
    'g' || n % 50, 1 + n % 50
FROM heads, generate_series(1, 20000) AS n WHERE tenant_id = 'acme';
INSERT INTO relation_tuples_history SELECT tenant_key, 'doc', 'd' || n % 20, 'viewer', '', 'user',
    'u' || n, 1, 2 + n % 48
FROM heads, generate_series(1, 20000) AS n WHERE tenant_id = 'acme';
INSERT INTO attributes SELECT tenant_key, 'doc', 'd' || n, 'level', 5, '1', 1
FROM heads, generate_series(1, 20000) AS n WHERE tenant_id = 'acme';
INSERT INTO attributes_history SELECT tenant_key, 'doc', 'd' || n % 20, 'level', 5, '1', 1,
    2 + n % 48
FROM heads, generate_series(1, 20000) AS n WHERE tenant_id = 'acme';
ANALYZE;
"""


@pytest.fixture
async def dsn(migrated_database: NewDatabase) -> str:
    return await migrated_database()


async def connected(dsn: str, settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, server_settings={**settings, "jit": "off"})
    try:
        yield connection
    finally:
        await connection.close()


async def explain(connection: asyncpg.Connection, statement: str, *arguments) -> str:
    rows = await connection.fetch("EXPLAIN " + statement, *arguments)
    return "\n".join(row[0] for row in rows)


def read_arguments(keys: int):
    batch = ReadBatch()
    for n in range(keys):
        asked = [
            DirectKey("doc", f"d{n}", "viewer", "user", f"u{n}", ""),
            SubjectsKey("doc", f"d{n}", "viewer"),
            MemberOfUsersetKey("doc", f"d{n}", "viewer", "group", "member", "user", f"u{n}", ""),
            AttributeKey("doc", f"d{n}", "level"),
        ]
        batch.add(ACME, Revision(20), asked)
    return batch.arguments()


def indexes(plan: str) -> dict[str, set[str]]:
    """The indexes used, by table."""
    found: dict[str, set[str]] = {}
    for index, table in _INDEX.findall(plan):
        found.setdefault(table, set()).add(index)
    return found


@pytest.mark.parametrize("filled", [False, True], ids=["fresh", "full"])
@pytest.mark.parametrize("keys", [1, 1000])
async def test_reads_are_nested_loops_over_indexes(dsn: str, keys: int, *, filled: bool) -> None:
    async for connection in connected(dsn, INDEX_PLANS):
        if filled:
            await connection.execute(FILL)
        plan = await explain(connection, load("read")["read"], *read_arguments(keys))
        assert not re.search(r"Seq Scan|Hash|Merge Join|Bitmap|Materialize|SubPlan", plan), plan
        used = indexes(plan)
        assert used["relation_tuples"] <= {"relation_tuples_pkey", "relation_tuples_by_subject"}
        assert used["attributes"] == {"attributes_pkey"}
        assert plan.count("Index Only Scan") == 4, plan
        if filled:  # while they are nearly empty, any index of theirs will do
            assert used["relation_tuples_history"] <= {
                "relation_tuples_history_by_entity",
                "relation_tuples_history_by_subject",
            }
            assert used["attributes_history"] == {"attributes_history_by_entity"}


@pytest.mark.parametrize("filled", [False, True], ids=["fresh", "full"])
async def test_guards_are_found_by_the_heads_key(dsn: str, *, filled: bool) -> None:
    async for connection in connected(dsn, INDEX_PLANS):
        if filled:
            await connection.execute(FILL)
        plan = await explain(connection, load("read")["guards"], ["acme", "never"])
        assert not re.search(r"Seq Scan|Hash|Merge Join|Bitmap|Materialize", plan), plan
        assert indexes(plan) == {"heads": {"heads_pkey"}}, plan


@pytest.mark.parametrize(
    ("entity", "subject", "index"),
    [
        (("doc", ["d7"], "viewer"), ("", [], ""), "relation_tuples_pkey"),
        (("doc", [], ""), ("", [], ""), "relation_tuples_pkey"),
        (("", [], ""), ("", [], ""), "relation_tuples_pkey"),
        (("", [], ""), ("user", ["u7"], ""), "relation_tuples_by_subject"),
        (("doc", [], "viewer"), ("user", ["u7", "u8"], ""), "relation_tuples_by_subject"),
    ],
)
async def test_lists_use_the_index_that_serves_their_filter(
    dsn: str, entity, subject, index: str
) -> None:
    async for connection in connected(dsn, LISTING_PLANS):
        await connection.execute(FILL)
        plan = await explain(
            connection, load("list")["list_tuples"], "acme", 50, *entity, *subject, *[""] * 6, 51
        )
        assert "Seq Scan" not in plan
        assert indexes(plan)["relation_tuples"] == {index}, plan
