"""The worlds of lookups: how many documents each user sees."""

import pytest
from lookup_world import SCHEMA, seen_by, world
from lookups import Looked

from grantlog.engine.check import check
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable


@pytest.mark.parametrize(
    ("user", "expected"),
    [("asking", 600), ("some", 200), ("most", 2_000), ("reader", 100), ("stranger", 0)],
)
async def test_a_user_sees_as_many_documents_as_the_lookup_expects(user, expected):
    tuples = [
        RelationTuple(Entity(**t["entity"]), t["relation"], Subject(**t["subject"]))
        for t in world(6_000)
    ]
    facts, plan, subject = (
        FactTable(tuples, []),
        build_plan(compile_schema(SCHEMA)),
        Subject("user", user),
    )
    seen = 0
    for folder in range(60):
        query = CheckQuery(Entity("folder", str(folder)), "view", subject)
        seen += 100 * (await check(plan, query, facts.fetch)).allowed
    assert seen == expected
    if user in ("some", "most"):
        assert seen_by(user, 6_000) == expected


def test_ten_thousand_of_three_hundred_thousand_have_bars_of_their_own():
    told = list(Looked("entities, 1 of 30", 300_000, 10_000, 29.0, 301.0, 400.0, 1.0).verdicts())
    assert [text.rpartition(": ")[2] for text in told] == ["met", "MISSED", "met"]
    (first, *_) = Looked("entities, 1 of 30", 10_000, 300, 29.0, 301.0, 400.0, 1.0).verdicts()
    assert "bar 100 ms" in first
