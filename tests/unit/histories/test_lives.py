"""Each promise, broken by hand with attributes, filters, epochs and a tenant that begins anew."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from grantlog.changelog.memory.log import MemoryChangeLog
from grantlog.model.change import TenantDeleted
from grantlog.model.ids import Epoch, Revision
from grantlog.model.tuples import Subject, parse_entity, parse_tuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.testing.histories import (
    Act,
    Asked,
    Attributes,
    Checks,
    Entities,
    Promise,
    Refused,
    Told,
    Watched,
    Why,
    Write,
    violations,
)
from tests.contract.memory import memory_primary
from tests.unit.histories.noted import ACME, Noted
from tests.workload import SCHEMA, flag

BOB = Subject("user", "bob")
FOLDER = parse_entity("folder:f")
OPEN, SHUT = flag(FOLDER, is_open=True), flag(FOLDER, is_open=False)
FIRST, SECOND = parse_tuple("doc:1#parent@folder:f"), parse_tuple("doc:2#parent@folder:f")
ATTRIBUTES = Attributes(AttributeFilter("folder"))
DELETION, REBIRTH, HEAD = 6, 7, 8


def may_bob_see(doc: str) -> Checks:
    return Checks((Asked(parse_entity(doc), "view", BOB),))


@dataclass
class Story(Noted):
    """Schema (1), doc:1 in a folder (2) that is open (3), shut (4), then gets doc:2 (5).

    The tenant is deleted (6), has a schema again (7), and doc:1 in that folder (8).
    """

    async def tell(self) -> None:
        primary = memory_primary()

        async def schema() -> None:
            await primary.writer.write_schema(
                ACME, SCHEMA, based_on=None, write_id=primary.new_id()
            )

        await schema()
        for text in (str(FIRST), "folder:f$open|boolean:true", "folder:f$open|boolean:false"):
            await primary.put(text)
        await primary.put(str(SECOND))
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        await schema()
        await primary.put(str(FIRST))
        assert isinstance(primary.log, MemoryChangeLog)
        self.log = list(primary.log.ever(ACME))
        facts = {2: FIRST, 3: OPEN, 4: SHUT, 5: SECOND, 8: FIRST}
        for revision in range(2, HEAD + 1):
            write = Write("w", ACME, "a", 10 * revision, returned=10 * revision + 5)
            token = self.token(revision)
            if revision == DELETION:
                write = replace(write, act=Act.DELETION)
            elif revision == REBIRTH:
                write = replace(write, act=Act.SCHEMA, token=token)
            else:
                write = replace(write, creates=(facts[revision],), token=token)
            self.history.writes.append(write)

    def write(self, revision: int) -> Write:
        return self.history.writes[revision - 2]

    def note(self, revision: int, write: Write) -> None:
        """Another note of the write that made a revision."""
        self.history.writes[revision - 2] = write

    def refuse(self, why: Why, *, sent: int, when: float = 100) -> None:
        token = self.token(sent) if sent else ""
        self.history.refused.append(Refused("r", ACME, "b", when, when + 5, token, why))

    def watch(self, *told: Told) -> None:
        self.history.watched.append(Watched(ACME, "w1", self.token(4), list(told)))

    def told(self, revision: int, *, deleted: bool = False) -> Told:
        changes = getattr(self.log[revision - 1].body, "changes", ())
        return Told(self.token(revision), changes, deleted)


@pytest.fixture
async def story() -> Story:
    found = Story()
    await found.tell()
    return found


async def test_a_history_with_attributes_and_two_lives_that_keeps_its_promises(story: Story):
    story.ask(ATTRIBUTES, frozenset({OPEN}), at=3, sent=2)
    story.ask(Entities("doc", "view", BOB), frozenset({"1"}), at=3, sent=3)
    story.ask(may_bob_see("doc:2"), (False,), at=5, sent=4)
    story.history.answers[:] = [
        replace(one, client=f"r{number}") for number, one in enumerate(story.history.answers)
    ]
    story.ask(may_bob_see("doc:1"), (False,), at=8, sent=6)
    story.ask(ATTRIBUTES, frozenset(), at=8)
    story.refuse(Why.NO_SCHEMA, sent=5)
    story.refuse(Why.LIFE_ENDED, sent=5)
    story.refuse(Why.NO_SCHEMA, sent=0, when=66)
    story.watch(story.told(5), story.told(DELETION, deleted=True), story.told(8))
    story.watch(story.told(DELETION, deleted=True), story.told(8))
    assert story.broken() == set()


async def test_an_attribute_from_before_the_token(story: Story):
    story.ask(Entities("folder", "view", BOB), frozenset({"f"}), at=4, sent=4)
    assert story.broken() == {Promise.ONE_REVISION, Promise.READ_YOUR_TOKEN}


async def test_an_attribute_that_was_read_at_another_revision(story: Story):
    story.ask(ATTRIBUTES, frozenset({OPEN, SHUT}), at=4)
    assert Promise.ONE_REVISION in story.broken()


async def test_new_content_judged_by_an_old_attribute(story: Story):
    story.ask(may_bob_see("doc:2"), (True,), at=5, sent=5)
    assert story.broken() == {Promise.ONE_REVISION, Promise.NEW_ENEMY}


async def test_new_content_of_a_new_life_judged_by_the_former_life(story: Story):
    story.ask(may_bob_see("doc:1"), (True,), at=8, sent=8)
    assert story.broken() == {
        Promise.ONE_REVISION, Promise.NEW_ENEMY, Promise.READ_YOUR_TOKEN
    }  # fmt: skip


async def test_an_answer_at_a_revision_without_a_schema(story: Story):
    story.ask(may_bob_see("doc:1"), (False,), at=6, sent=6)
    assert story.broken() == {Promise.ONE_REVISION}


async def test_a_client_that_goes_back_into_the_former_life(story: Story):
    story.ask(may_bob_see("doc:1"), (False,), at=8, sent=4, when=100)
    story.ask(may_bob_see("doc:1"), (False,), at=5, sent=4, when=200)
    assert story.broken() == {Promise.MONOTONIC}


async def test_an_answer_from_before_a_deletion_that_was_acknowledged(story: Story):
    """Nobody has told a token behind it yet: the deletion itself is what must be seen."""
    story.ask(may_bob_see("doc:1"), (False,), at=5, when=66)
    assert story.broken() == {Promise.HEAD}


@pytest.mark.parametrize(("why", "sent"), [(Why.NO_SCHEMA, 7), (Why.LIFE_ENDED, 6)])
async def test_a_tenant_that_is_there_and_told_to_be_gone(story: Story, why: Why, sent: int):
    story.refuse(why, sent=sent)
    assert story.broken() == {Promise.ALIVE}


async def test_a_tenant_told_to_be_gone_before_its_deletion_began(story: Story):
    story.refuse(Why.NO_SCHEMA, sent=5, when=54)
    assert story.broken() == {Promise.ALIVE}


async def test_a_deletion_that_was_acknowledged_and_is_not_in_the_log(story: Story):
    again = replace(story.write(DELETION), invoked=90, returned=95)
    story.history.writes.append(again)
    assert story.broken() == {Promise.WRITTEN_ONCE}


async def test_a_deletion_is_not_taken_for_a_later_one(story: Story):
    """An earlier one, of which nobody knows what became, may have made the first revision too."""
    unknown = replace(story.write(DELETION), invoked=58, returned=math.inf)
    acknowledged = story.write(DELETION)
    again = [replace(story.log[-1], body=TenantDeleted(), revision=Revision(9))]
    story.log += [replace(one, previous_digest=story.log[-1].digest) for one in again]
    last = replace(acknowledged, invoked=90, returned=95)
    story.history.writes += [unknown, last]
    story.ask(may_bob_see("doc:1"), (False,), at=8, when=84)
    assert story.broken() == set()


async def test_a_deletion_that_nobody_made(story: Story):
    story.note(DELETION, replace(story.write(DELETION), act=Act.CREATION, returned=math.inf))
    assert story.broken() == {Promise.WRITTEN_ONCE}


async def test_a_write_that_was_told_that_nothing_was_committed_and_is_in_the_log(story: Story):
    unknown = replace(story.write(8), token="", returned=math.inf)
    story.note(8, unknown)
    assert story.broken() == set()
    story.note(8, replace(unknown, denied=True))
    (found,) = violations(story.history, {ACME: story.log})
    assert "was told that nothing was committed" in found.text


async def test_an_acknowledged_overwrite_that_is_another_revisions(story: Story):
    story.note(4, replace(story.write(4), token=story.token(3)))
    assert Promise.WRITTEN_ONCE in story.broken()


async def test_unknown_filters_that_overlap_are_paired_with_what_each_can_be(story: Story):
    """Either of the two may have removed revision 3's tuple, only the wide one revision 4's."""
    primary = memory_primary()
    await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=b"1")
    ann, bob = "folder:f#viewer@user:ann", "folder:f#viewer@user:bob"
    await primary.put(ann, bob)
    await primary.remove(ann)
    await primary.remove(bob)
    put = replace(story.write(2), creates=(parse_tuple(ann), parse_tuple(bob)))
    unknown = replace(story.write(2), creates=(), token="", returned=math.inf, invoked=26)
    wide = replace(unknown, where=(TupleFilter("folder"),))
    narrow = replace(unknown, deletes=(parse_tuple(ann),), invoked=27)
    story.log = list(await primary.history())
    story.history.writes = [put, wide, narrow]
    assert story.broken() == set()
    story.history.writes = [put, wide]
    assert story.broken() == {Promise.WRITTEN_ONCE}


@pytest.mark.parametrize(
    "told",
    [
        [(8, False)],  # passed over the deletion
        [(5, True)],  # told of a deletion where there is none
        [(6, True), (6, True)],  # told twice
    ],
)
async def test_a_watcher_that_is_told_wrongly_of_lives(story: Story, told: list[tuple[int, bool]]):
    story.watch(*(story.told(at, deleted=deleted) for at, deleted in told))
    assert story.broken() == {Promise.WATCHED_ONCE}


async def test_epochs_rise_and_tokens_name_revisions_of_theirs(story: Story):
    story.log = [replace(e, epoch=Epoch(2)) if e.revision == HEAD else e for e in story.log]
    story.note(HEAD, replace(story.write(HEAD), token=story.token(HEAD, epoch=2)))
    story.ask(may_bob_see("doc:1"), (False,), at=HEAD)
    assert story.broken() == {Promise.ONE_REVISION}
    story.history.answers[0] = replace(
        story.history.answers[0], token=story.token(HEAD, epoch=2), sent=story.token(5)
    )
    assert story.broken() == set()
    story.note(HEAD, replace(story.write(HEAD), token=story.token(HEAD)))
    assert story.broken() == {Promise.WRITTEN_ONCE}
    story.log = [replace(e, epoch=Epoch(2)) if e.revision < HEAD else e for e in story.log]
    story.log[-1] = replace(story.log[-1], epoch=Epoch(1))
    assert story.broken() == {Promise.DENSE_LOG}
