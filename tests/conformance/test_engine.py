"""Every case through the engine, over the store in memory."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from grantlog.engine.check import check
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.errors import GrantlogError
from grantlog.model.ids import TenantId
from grantlog.ports.writer import DataIntent, PutFacts
from grantlog.schema.compile import compile_schema
from grantlog.store.memory.reader import MemoryFactReader
from grantlog.store.memory.tables import MemoryTables
from grantlog.store.memory.writer import MemoryWriter
from tests.conformance.corpus import Case, Question, cases

TENANT = TenantId("t1")


async def stored(case: Case):
    """A fetch over the facts of a case."""
    tables = MemoryTables()
    writer = MemoryWriter(
        tables,
        lambda _: None,
        clock=lambda: datetime(2030, 1, 1, tzinfo=UTC),
        new_salt=lambda: bytes(16),
    )
    facts = PutFacts(case.tuples, case.attributes)
    intent = DataIntent(TENANT, (facts,), schema_version="", write_id=bytes(16))
    committed = await writer.write(intent)
    reader = MemoryFactReader(tables)

    async def fetch(keys):
        return await reader.read(TENANT, committed.revision, keys)

    return fetch


async def answer(plan, question: Question, fetch) -> bool | str:
    query = CheckQuery(
        entity=question.entity,
        permission=question.permission,
        subject=question.subject,
        arguments=question.arguments,
        context=RequestContext(question.tuples, question.attributes, question.data),
        depth=question.depth,
    )
    try:
        return (await check(plan, query, fetch)).allowed
    except GrantlogError as error:
        return error.reason


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
async def test_the_engine_answers_as_the_case_says(case):
    fetch = await stored(case)
    plan = build_plan(compile_schema(case.schemas[-1]))
    answers = [(str(q), await answer(plan, q, fetch)) for q in case.questions]
    assert answers == [(str(q), q.expected) for q in case.questions]
