"""Every statement of the writer reaches rows by an index, also on tables nobody analysed yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.writer.filters import (
    attribute_parameters,
    attribute_statement,
    tuple_parameters,
    tuple_statement,
)
from tests.integration.write.conftest import Place
from tests.integration.write.facts import put, write

ROWS = 5_000


@pytest.fixture
async def filled(place: Place) -> Place:
    """One entity with many subjects, one subject with many entities, never analysed."""
    await place.pool.execute("ALTER TABLE relation_tuples SET (autovacuum_enabled = off)")
    await place.writer.write(
        write(
            put(
                *(f"group:big#member@user:{n}" for n in range(ROWS)),
                *(f"doc:{n}#parent@org:one" for n in range(ROWS)),
                "group:big#member@team:a#member",
                *(f"doc:{n}$level|integer:1" for n in range(200)),
            )
        )
    )
    return place


def _nodes(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


async def _plan(place: Place, sql: str, *parameters: object) -> list[dict[str, object]]:
    async with place.pool.acquire() as connection, connection.transaction():
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *parameters)
    return list(_nodes(json.loads(text)[0]["Plan"]))


def _rows_looked_at(nodes: list[dict[str, object]]) -> int:
    scans = [n for n in nodes if "Scan" in n["Node Type"] and "Relation Name" in n]
    assert scans
    assert not [n for n in scans if n["Node Type"] == "Seq Scan"]
    return sum(
        n["Actual Loops"] * (n["Actual Rows"] + n.get("Rows Removed by Filter", 0)) for n in scans
    )


POINT = {
    "a member of a big group": TupleFilter(
        entity_type="group",
        entity_ids=("big",),
        relation="member",
        subject_type="user",
        subject_ids=("7",),
    ),
    "a userset of a big group": TupleFilter(
        entity_type="group",
        entity_ids=("big",),
        relation="member",
        subject_type="team",
        subject_ids=("a",),
    ),
    "an entity of a subject that many have": TupleFilter(
        entity_type="doc",
        entity_ids=("7",),
        relation="parent",
        subject_type="org",
        subject_ids=("one",),
    ),
    "all of an entity": TupleFilter(entity_type="doc", entity_ids=("7",)),
    "all of a subject": TupleFilter(subject_type="user", subject_ids=("7",)),
}


@pytest.mark.parametrize("where", POINT.values(), ids=POINT.keys())
async def test_removals_look_at_what_they_name(filled: Place, where: TupleFilter):
    key = await filled.pool.fetchval("SELECT tenant_key FROM heads WHERE tenant_id = 'acme'")
    nodes = await _plan(filled, tuple_statement(where), key, *tuple_parameters(where), 100)
    assert _rows_looked_at(nodes) <= 3


async def test_removals_of_attributes_look_at_what_they_name(filled: Place):
    key = await filled.pool.fetchval("SELECT tenant_key FROM heads WHERE tenant_id = 'acme'")
    where = AttributeFilter(entity_type="doc", entity_ids=("7", "8"))
    nodes = await _plan(filled, attribute_statement(where), key, *attribute_parameters(where), 100)
    assert _rows_looked_at(nodes) == 2


@pytest.mark.parametrize("number", [1, 1000])
async def test_named_facts_are_read_one_by_one(filled: Place, number: int):
    key = await filled.pool.fetchval("SELECT tenant_key FROM heads WHERE tenant_id = 'acme'")
    ids = [str(n) for n in range(number)]
    columns = [["doc"] * number, ids, ["parent"] * number, [""] * number, ["org"] * number]
    names = [["doc"], ["1"], ["level"]]
    sql = load("write")["read_facts"]
    nodes = await _plan(filled, sql, key, *columns, ["one"] * number, *names)
    assert _rows_looked_at(nodes) == number + 1


async def test_rows_expire_one_by_one(filled: Place):
    key = await filled.pool.fetchval("SELECT tenant_key FROM heads WHERE tenant_id = 'acme'")
    columns = [["doc"] * 3, ["1", "2", "3"], ["parent"] * 3, [""] * 3, ["org"] * 3, ["one"] * 3]
    nodes = await _plan(filled, load("rows")["expire_tuples"], [key] * 3, *columns, [9] * 3)
    tids = [n for n in nodes if n["Node Type"] == "Tid Scan"]
    assert [n["Actual Loops"] for n in tids] == [3]
    assert _rows_looked_at(nodes) == 6


@pytest.mark.parametrize("name", ["lock_heads", "move_heads"])
async def test_heads_are_reached_by_their_key(filled: Place, name: str):
    tenants = [f"t{number}" for number in range(500)]
    statement = load("project")["insert_heads"]
    columns = [b""] * 500, [datetime(2026, 1, 1, tzinfo=UTC)] * 500
    await filled.pool.execute(statement, tenants, b"", *columns)
    few = tenants[:3]
    numbers, digests, times = [1] * 3, [b""] * 3, [datetime(2026, 1, 1, tzinfo=UTC)] * 3
    values = (few, numbers, numbers, numbers, digests, times, numbers, [""] * 3)
    parameters = (few,) if name == "lock_heads" else values
    nodes = await _plan(filled, load("project")[name], *parameters)
    assert _rows_looked_at([n for n in nodes if n.get("Relation Name") == "heads"]) in (3, 6)


async def test_the_logs_of_several_tenants_are_read_from_where_each_stands(filled: Place):
    for number in range(20):
        for tenant in ("acme", "other", "third"):
            await filled.writer.write(write(put(f"doc:n{number}#parent@org:1"), tenant=tenant))
    sql = load("log", package="grantlog.changelog.postgres")["read_several"]
    nodes = await _plan(filled, sql, ["acme", "other", "third"], [10, 15, 18], None)
    logged = [n for n in nodes if n.get("Relation Name") == "transactions"]
    assert _rows_looked_at(logged) == sum((11, 5, 2))
    assert not [n for n in nodes if n["Node Type"] == "Sort"], "rows come as they are asked for"
