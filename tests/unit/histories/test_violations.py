"""Each promise, broken by hand in a history that keeps them all."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from grantlog.model.tuples import Subject, parse_entity, parse_tuple
from grantlog.ports.facts import TupleFilter
from grantlog.testing.contracts.places import Primary
from grantlog.testing.histories import (
    Asked,
    Checks,
    Entities,
    Promise,
    Told,
    Tuples,
    Watched,
    Write,
    violations,
)
from tests.contract.memory import memory_primary
from tests.unit.histories.noted import ACME, Noted
from tests.workload import SCHEMA

BOB = Subject("user", "bob")
MAY_BOB_SEE_THE_DOC = Checks((Asked(parse_entity("doc:1"), "view", BOB),))
GRANT = "folder:f#viewer@user:bob"
CONTENT = "doc:1#parent@folder:f"


async def with_schema(primary: Primary) -> None:
    await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())


@dataclass
class Story(Noted):
    """The schema, then: bob may see the folder (2), no more (3), and a doc comes into it (4)."""

    async def tell(self) -> None:
        primary = memory_primary()
        await with_schema(primary)
        await primary.put(GRANT)
        await primary.remove(GRANT)
        await primary.put(CONTENT)
        self.log = list(await primary.history())
        for revision, write in enumerate(
            (
                Write("w", ACME, "a", 20, (parse_tuple(GRANT),)),
                Write("w", ACME, "a", 30, (), (parse_tuple(GRANT),)),
                Write("w", ACME, "a", 40, (parse_tuple(CONTENT),)),
            ),
            2,
        ):
            self.history.writes.append(
                replace(write, returned=write.invoked + 5, token=self.token(revision))
            )

    def watch(self, *told: tuple[int, int]) -> None:
        """A watcher from revision 1, told at each revision the changes of one; 0 is none."""
        by_revision = {int(e.revision): e.body for e in self.log}
        self.history.watched.append(
            Watched(
                ACME,
                "w1",
                self.token(1),
                [
                    Told(self.token(at), getattr(by_revision.get(of), "changes", ()))
                    for at, of in told
                ],
            )
        )


@pytest.fixture
async def story() -> Story:
    found = Story()
    await found.tell()
    return found


async def test_a_history_that_keeps_its_promises(story: Story):
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=4)
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=3, sent=3)
    story.ask(Entities("folder", "view", BOB), frozenset({"f"}), at=2, sent=2, when=0)
    story.history.answers[-1] = replace(story.history.answers[-1], client="r2", returned=26)
    story.ask(Tuples(TupleFilter()), frozenset({parse_tuple(CONTENT)}), at=4, sent=4)
    story.watch((1, 0), (2, 2), (3, 3), (4, 4), (4, 0))
    story.history.answers[1] = replace(story.history.answers[1], client="r3")
    assert story.broken() == set()


async def test_a_hole_in_the_log(story: Story):
    del story.log[2]
    assert story.broken() == {Promise.DENSE_LOG}


async def test_a_write_that_the_log_lost(story: Story):
    del story.log[3]
    assert story.broken() == {Promise.WRITTEN_ONCE}


async def test_a_write_acknowledged_at_anothers_revision(story: Story):
    last = story.history.writes[-1]
    story.history.writes[-1] = replace(last, token=story.token(3))
    assert Promise.WRITTEN_ONCE in story.broken()


async def test_a_revision_that_nobody_wrote(story: Story):
    story.history.writes.pop()
    assert story.broken() == {Promise.WRITTEN_ONCE}


async def test_a_write_of_unknown_outcome_explains_one_revision(story: Story):
    last = story.history.writes[-1]
    story.history.writes[-1] = replace(last, token="", returned=math.inf)
    assert story.broken() == set()


async def test_a_write_of_unknown_outcome_that_was_made_twice(story: Story):
    primary = memory_primary()
    await with_schema(primary)
    for _ in range(2):
        await primary.put(GRANT)
        await primary.remove(GRANT)
    story.log = list(await primary.history())
    grant, removal, _ = story.history.writes
    unknown = replace(grant, token="", returned=math.inf)
    later = replace(removal, invoked=50, returned=55, token=story.token(5))
    story.history.writes = [unknown, removal, later]
    assert story.broken() == {Promise.WRITTEN_ONCE}
    story.history.writes.append(unknown)
    story.history.writes[-1] = replace(unknown, invoked=41)
    assert story.broken() == set()


async def test_a_write_that_changed_nothing_is_acknowledged_at_the_head(story: Story):
    again = replace(story.history.writes[-1], invoked=50, returned=55)
    story.history.writes.append(again)
    assert story.broken() == set()


async def test_writes_out_of_order_in_real_time(story: Story):
    first, *_ = story.history.writes
    story.history.writes[0] = replace(first, invoked=60, returned=65)
    assert Promise.REAL_TIME in story.broken()


async def test_an_answer_from_before_its_token(story: Story):
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=3, sent=4)
    assert story.broken() == {Promise.READ_YOUR_TOKEN}


async def test_an_answer_without_a_token_that_lacks_a_write(story: Story):
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=3)
    assert story.broken() == {Promise.HEAD}


async def test_a_client_that_goes_back(story: Story):
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=4, sent=2, when=100)
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=3, sent=2, when=200)
    assert story.broken() == {Promise.MONOTONIC}


async def test_an_answer_from_the_future(story: Story):
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=4, sent=2, when=33)
    assert story.broken() == {Promise.REAL_TIME}


async def test_an_answer_of_another_revision_than_it_names(story: Story):
    story.ask(Entities("folder", "view", BOB), frozenset({"f"}), at=3, sent=2)
    assert story.broken() == {Promise.ONE_REVISION}


async def test_an_answer_of_a_revision_from_before_the_token(story: Story):
    story.ask(Entities("folder", "view", BOB), frozenset({"f"}), at=3, sent=3)
    assert story.broken() == {Promise.ONE_REVISION, Promise.READ_YOUR_TOKEN}


async def test_an_answer_of_a_revision_that_is_not_there(story: Story):
    story.ask(MAY_BOB_SEE_THE_DOC, (False,), at=5)
    assert story.broken() == {Promise.ONE_REVISION}


async def test_new_content_judged_by_old_grants(story: Story):
    """At no revision bob could see the doc: it came after he had lost the folder."""
    story.ask(MAY_BOB_SEE_THE_DOC, (True,), at=4, sent=4)
    assert story.broken() == {Promise.ONE_REVISION, Promise.NEW_ENEMY}


async def test_two_states_in_one_answer(story: Story):
    both = frozenset({parse_tuple(GRANT), parse_tuple(CONTENT)})
    story.ask(Tuples(TupleFilter()), both, at=4)
    (found,) = violations(story.history, {ACME: story.log})
    assert found.promise is Promise.ONE_REVISION
    assert "two states in one answer: no revision ever said so" in found.text


@pytest.mark.parametrize(
    "told",
    [
        ((2, 2), (4, 4)),  # missed
        ((2, 2), (2, 2), (3, 3)),  # twice
        ((3, 3), (2, 2)),  # out of order
        ((2, 3),),  # another's changes
        ((2, 2), (4, 0)),  # passed over
        ((5, 4),),  # of no revision
    ],
)
async def test_a_watcher_that_is_told_wrongly(story: Story, told: tuple[tuple[int, int], ...]):
    story.watch(*told)
    assert story.broken() == {Promise.WATCHED_ONCE}
