"""How long one check takes in the engine alone, over facts in dictionaries and a fetch that is
answered at once.

    python benchmarks/engine_micro.py [--rounds 20000]

The three-level check is doc -> folder -> group: `view` of a document whose folder's viewers include
a group that the user is a member of. The figure is CPU time, the median of five runs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from time import process_time

from grantlog.engine.check import check
from grantlog.engine.plan import build_plan
from grantlog.engine.question import CheckQuery
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.model.tuples import Entity, Subject, parse_tuple
from grantlog.ports.facts import (
    AttributeKey,
    DirectKey,
    FactAnswer,
    FactKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)
from grantlog.schema.compile import compile_schema

SCHEMA = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation parent @folder
  relation viewer @user @group#member
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation viewer @user @group#member
  relation blocked @user
  attribute public boolean
  attribute level integer
  permission view = viewer or parent.view
  permission read = (viewer or parent.view) not blocked
  permission open = public or view
  permission cleared = at_most(level) and viewer
}
rule at_most(level integer) {
  level <= context.data.clearance
}
"""
TUPLES = """
doc:1#parent@folder:1
folder:1#viewer@group:1#member
group:1#member@user:1
doc:2#viewer@user:1
"""
NOTHING = SubjectPage((), more=False)


class Facts:
    """Facts in dictionaries, each answer made in advance."""

    def __init__(self) -> None:
        tuples = [parse_tuple(line) for line in TUPLES.split()]
        self.direct = {(*t.entity, t.relation, *t.subject) for t in tuples}
        self.pages: dict[tuple[str, ...], SubjectPage] = {}
        for t in tuples:
            page = SubjectPage((t.subject,), more=False)
            self.pages["all", *t.entity, t.relation] = page
            if t.subject.relation:
                self.pages["usersets", *t.entity, t.relation] = page
        self.level = AttributeValue(AttributeType.INTEGER, 3)
        self.batches = self.keys = 0

    async def fetch(self, keys: Sequence[FactKey]) -> Sequence[FactAnswer]:
        self.batches += 1
        self.keys += len(keys)
        answers: list[FactAnswer] = []
        for key in keys:
            kind = type(key)
            if kind is DirectKey:
                answers.append(key in self.direct)
            elif kind is UsersetsKey:
                answers.append(self.pages.get(("usersets", *key[:3]), NOTHING))
            elif kind is SubjectsKey:
                answers.append(self.pages.get(("all", *key[:3]), NOTHING))
            elif kind is AttributeKey:
                answers.append(self.level if key[2] == "level" else None)
            else:
                answers.append(False)
        return answers


async def measure(query: CheckQuery, rounds: int) -> tuple[float, int, int, bool]:
    plan, facts = build_plan(compile_schema(SCHEMA)), Facts()
    result = await check(plan, query, facts.fetch)
    batches, keys = facts.batches, facts.keys
    times: list[float] = []
    for _ in range(5):
        start = process_time()
        for _ in range(rounds // 5):
            await check(plan, query, facts.fetch)
        times.append((process_time() - start) / (rounds // 5))
    return statistics.median(times) * 1e6, batches, keys, result.allowed


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20_000)
    rounds = parser.parse_args().rounds
    user, stranger = Subject("user", "1"), Subject("user", "2")
    questions = {
        "direct relation, allowed": CheckQuery(Entity("doc", "2"), "viewer", user),
        "three levels, allowed": CheckQuery(Entity("doc", "1"), "view", user),
        "three levels, denied": CheckQuery(Entity("doc", "1"), "view", stranger),
        "three levels and a not, allowed": CheckQuery(Entity("doc", "1"), "read", user),
        "attribute or three levels": CheckQuery(Entity("doc", "1"), "open", user),
    }
    print(f"{'check':36}{'us':>8}{'batches':>9}{'keys':>6}")
    for name, query in questions.items():
        time, batches, keys, _ = await measure(query, rounds)
        print(f"{name:36}{time:8.1f}{batches:9}{keys:6}")


if __name__ == "__main__":
    asyncio.run(main())
