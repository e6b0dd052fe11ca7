"""Facts that are put are taken for new; where they are not, nobody sees that they were."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from grantlog.ports.writer import Committed, Step
from grantlog.store.postgres.pool import Pool, open_pool
from grantlog.store.postgres.primary import open_primary_pool
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.writer import WriterLimits
from grantlog.store.postgres.writer.committing import Committer
from grantlog.store.postgres.writer.novelty import FACTS_MAX, LOOKS
from tests.integration.write.facts import live, log_of, put, remove, write

_SQL = load("write")
QUICK = ["begin", "lock_head", "put", "commit"]
NAMES = {text: name for name, text in _SQL.items()} | {
    text: name for name, text in load("rows").items()
}


@dataclass
class Listened:
    """A committer over one connection, whose statements are noted by name."""

    pool: Pool
    committer: Committer
    said: list[str]

    async def commit(self, *steps: Step) -> list[Committed]:
        """Write steps as one group; the statements are noted anew."""
        self.said.clear()
        outcomes = await self.committer.commit([write(step) for step in steps])
        assert all(isinstance(outcome, Committed) for outcome in outcomes)
        return outcomes


@pytest.fixture
async def listened(migrated_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Listened]:
    said: list[str] = []

    async def listen(connection) -> None:
        connection.add_query_logger(lambda query: said.append(NAMES.get(query.query, query.query)))

    dsn = await migrated_database()
    async with (
        open_primary_pool(dsn, size_max=1, application_name="test"),  # the log's epoch
        open_pool(dsn, size_max=1, application_name="test", on_connect=listen) as pool,
    ):
        place = Listened(pool, Committer(pool, WriterLimits(), lambda size: b"s" * size), said)
        await place.commit(put("doc:0#viewer@user:1"))
        yield place


async def test_new_facts_are_written_without_looking(listened: Listened) -> None:
    for number in range(1, 4):
        await listened.commit(put(f"doc:{number}#viewer@user:1"))
        assert listened.said == QUICK
    several = [put(f"doc:{number}#viewer@user:2") for number in range(4)]
    outcomes = await listened.commit(*several, put("doc:0#viewer@user:2"))
    assert listened.said == QUICK
    assert [outcome.revision for outcome in outcomes] == [5, 6, 7, 8, 8]
    assert len(await live(listened.pool)) == 8
    assert [entry.revision for entry in await log_of(listened.pool)] == list(range(1, 9))


async def test_so_are_many_also_where_one_of_them_holds(listened: Listened) -> None:
    """More than the event loop plans itself, so a thread does."""
    many = [f"doc:{number}#viewer@user:3" for number in range(2_000)]
    [written] = await listened.commit(put(*many))
    assert listened.said == QUICK
    [again] = await listened.commit(put("doc:0#viewer@user:4", *many))
    assert listened.said[:4] == [*QUICK[:-1], "rollback"]
    assert (written.revision, again.revision) == (2, 3)
    assert await live(listened.pool) == {"doc:0#viewer@user:1", "doc:0#viewer@user:4", *many}
    log = await log_of(listened.pool)
    assert [entry.size for entry in log] == [1, 2_000, 1]


async def test_what_holds_already_is_no_change_and_is_looked_up_from_then_on(
    listened: Listened,
) -> None:
    new, held = put("doc:1#viewer@user:1"), put("doc:0#viewer@user:1")
    [first, second] = await listened.commit(held, new)
    assert (first.revision, second.revision) == (1, 2)
    looked = ["begin", "lock_head", "read_facts", "create_tuples", "append", "commit"]
    assert listened.said == [*QUICK[:-1], "rollback", *looked]
    [standing] = await listened.commit(new)
    assert standing.commit_time is None
    assert listened.said == ["begin", "lock_head", "read_facts", "rollback"]
    for number in range(LOOKS - 1):
        await listened.commit(put(f"doc:{number}#editor@user:1"))
        assert listened.said == looked
    await listened.commit(put("doc:9#owner@user:1"))
    assert listened.said == QUICK
    assert [entry.revision for entry in await log_of(listened.pool)] == list(range(1, LOOKS + 3))


async def test_who_removes_sets_or_writes_much_looks_first(listened: Listened) -> None:
    many = (f"doc:{number}#viewer@user:3" for number in range(FACTS_MAX))
    for steps in (
        [remove("doc:0#viewer@user:1")],
        [put("doc:1$level|integer:1")],
        [put("doc:1#viewer@user:1"), remove("doc:2#viewer@user:1")],
        [put("doc:2#viewer@user:1", "doc:1$level|integer:2")],
        [put(*many), put("doc:3#viewer@user:1")],
    ):
        await listened.commit(*steps)
        assert "put" not in listened.said
        assert "read_facts" in listened.said
