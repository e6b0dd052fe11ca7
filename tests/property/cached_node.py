"""A node with caches in a life that a test directs: who goes on at which await is its choice.

Questions, writes and looks at the log run side by side over the stores in memory; each of their
waits ends when the director says so. Every answer is compared with the oracle's, on the facts of
the very revision that it says it stands at.
"""

from __future__ import annotations

import asyncio
import copy
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pytest

from grantlog.app.ask_many import BulkCheck
from grantlog.app.cached import Caches
from grantlog.app.check import Check
from grantlog.app.follow_clocks import ClockFollower, FollowLimits
from grantlog.app.known import KnownHeads
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver, token_of
from grantlog.app.schema_cache import LoadedSchema, SchemaCache
from grantlog.app.terms import Consistency, Terms
from grantlog.cache import clock as clock_module
from grantlog.cache import results as results_module
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import ResultCache
from grantlog.engine.question import CheckQuery, CheckResult
from grantlog.errors import (
    DepthExceededError,
    GrantlogError,
    RuleFailedError,
)
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.token import SnapToken, decode_token
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.heads import Head
from grantlog.ports.standing import follow_standing
from grantlog.ports.writer import Committed, DataIntent, PutFacts, RemoveFacts
from grantlog.store.memory import reader as reader_module
from grantlog.store.memory.reader import MemoryFactReader
from grantlog.store.memory.tables import MemoryTables
from grantlog.testing.oracle import Question, judge
from tests.contract.memory import memory_primary
from tests.property.asking import in_words
from tests.property.cached_world import (
    ATTRIBUTES,
    CONTEXTS,
    DEPTHS,
    FIRST,
    NAMES,
    OVERTAKEN,
    SCHEMAS,
    TUPLES,
    compiled,
    language,
)
from tests.property.turns import LaggingFacts, Turns

TENANT = TenantId("acme")
T = TypeVar("T")


class Chance(Protocol):
    """Where choices come from: `random.Random`, or hypothesis in its place."""

    def randrange(self, stop: int, /) -> int: ...


@dataclass(frozen=True)
class Stood:
    """What held at a revision."""

    schema: str
    tuples: frozenset[RelationTuple] = frozenset()
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class Setting:
    """How a node is set up."""

    results: bool = True
    relations: bool = True
    feeds_itself: bool = False
    reaches: bool = True
    replica: bool = False
    slots_max: int = 8
    bytes_max: int = 1 << 20
    dependencies_max: int = 64


@dataclass
class Node:
    """The node and its stores; `wrong` tells the answers that were."""

    chance: Chance
    setting: Setting
    turns: Turns = field(default_factory=Turns)
    wrong: list[str] = field(default_factory=list)
    answered: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        self.primary = memory_primary()
        self.tables: MemoryTables = self.primary.facts._tables
        setting, slow = self.setting, self.turns.around
        facts: Any = self.primary.facts
        self.replica = MemoryTables()
        if setting.replica:
            facts = LaggingFacts(MemoryFactReader(self.replica), facts)
        self.clocks = Clocks(slots_min=2, slots_max=setting.slots_max)
        limits = FollowLimits(behind_max=4, reach_max=3, page_changes_max=4)
        self.follower = ClockFollower(slow(self.primary.log), self.clocks, limits)
        self.caches = Caches(
            self.clocks,
            self.follower if setting.reaches else None,
            ResultCache(setting.bytes_max) if setting.results else None,
            RelationCache(setting.bytes_max, whole_subjects_max=2) if setting.relations else None,
        )
        self.known = KnownHeads(now=lambda: 0.0)
        heads, past = slow(self.primary.heads), slow(self.primary.past)
        resolver = Resolver(heads, past, self.known, Consistency.HEAD)
        self.schemas = SchemaCache(self.primary.schemas)
        self.check = Check(resolver, self.schemas, slow(facts), self.caches)
        places = Places(resolver, self.schemas, slow(facts), self.primary.reverse, self.caches)
        self.bulk = BulkCheck(places)
        self.history: dict[tuple[Epoch, Revision], Stood] = {}
        self.tokens = [""]
        self.versions: dict[SchemaVersion, str] = {}
        self.saved: Any = None

    def pick(self, choices: Any) -> Any:
        return choices[self.chance.randrange(len(choices))]

    @property
    def head(self) -> Head:
        state = self.tables.tenants[TENANT]
        return Head(state.epoch, state.revision, state.schema_version, state.begins)

    def _stood(self, now: Stood, done: Committed) -> None:
        head = self.head
        if (head.epoch, head.revision) not in self.history:
            self.history[head.epoch, head.revision] = now
            if self.setting.feeds_itself:
                self.clocks.follow(self.primary.log._tenants[TENANT][-1:])

    async def write_schema(self, text: str) -> None:
        before = self.history[self.head.epoch, self.head.revision] if self.history else Stood("")
        writer = self.primary.writer
        done = await writer.write_schema(
            TENANT, text, based_on=None, write_id=self.primary.new_id()
        )
        loaded = LoadedSchema(done.schema_version, done.revision, *compiled(text))
        self.schemas.keep(TENANT, loaded)
        self.versions[done.schema_version] = text
        self._stood(Stood(text, before.tuples, before.attributes), done)
        await self._acknowledged(done)

    async def _acknowledged(self, done: Committed) -> None:
        await self.turns.point()
        if done.epoch == self.tables.epoch:
            head = self.known.acknowledge(TENANT, done, 0.0)
            self.tokens.append(token_of(TENANT, head))

    async def write(self) -> None:
        """Put some facts and remove some others, at once."""
        before = self.history[self.head.epoch, self.head.revision]
        if not before.schema:
            return
        changed = {self.pick(TUPLES) for _ in range(1 + self.chance.randrange(2))}
        if not before.tuples:
            changed = {fact for fact in TUPLES if self.chance.randrange(2)}
        if self.chance.randrange(8) == 0:
            first = self.chance.randrange(len(TUPLES))
            changed = set(TUPLES[first : first + 3 + self.chance.randrange(8)])
        removed = changed & before.tuples
        put = changed - removed
        values = {(a.entity, a.name): a for a in before.attributes}
        given: tuple[Attribute, ...] = ()
        gone: tuple[tuple[Entity, str], ...] = ()
        if self.chance.randrange(3) == 0:
            attribute = self.pick(ATTRIBUTES)
            name = (attribute.entity, attribute.name)
            if values.get(name) == attribute:
                gone = (name,)
                del values[name]
            else:
                given = (attribute,)
                values[name] = attribute
        steps = (RemoveFacts(tuple(removed), gone), PutFacts(tuple(put), given))
        intent = DataIntent(TENANT, steps, self.head.schema_version, write_id=self.primary.new_id())
        done = await self.primary.writer.write(intent)
        after = Stood(before.schema, (before.tuples | put) - removed, tuple(values.values()))
        self._stood(after, done)
        await self._acknowledged(done)

    async def delete(self) -> None:
        """End the tenant's life, and begin the next one with a schema."""
        done = await self.primary.writer.delete_tenant(TENANT, write_id=self.primary.new_id())
        self._stood(Stood(""), done)
        await self.write_schema(FIRST)

    def save(self) -> None:
        log = self.primary.log
        self.saved = copy.deepcopy((self.tables.tenants, log._tenants))

    def restore(self) -> None:
        """Bring back what was saved: an older history, in a new epoch."""
        if self.saved is None:
            return
        ended, log = self.tables.epoch, self.primary.log
        if self.tables.tenants[TENANT].epoch != self.saved[0][TENANT].epoch:
            return
        self.tables.tenants, log._tenants = self.saved
        self.saved = None
        epoch = self.tables.open_epoch()
        log.heads_changed(epoch)
        self.replica.tenants.clear()
        for (of, revision), stood in list(self.history.items()):
            if of == ended and revision <= self.head.revision:
                self.history[epoch, revision] = stood
        self.tokens = [""]

    def fold(self) -> None:
        """Bring the replica a little forward."""
        state = self.replica.tenants.get(TENANT)
        reached = state.revision if state else 0
        more = self.primary.log._tenants[TENANT][reached:]
        self.replica.advance(more[: 1 + self.chance.randrange(3)])

    def _terms(self) -> Terms:
        kind = self.chance.randrange(7)
        if kind == 0:
            past = range(self.head.begins + 1, self.head.revision + 1)
            return Terms(as_of=Revision(self.pick(past))) if past else Terms()
        if kind == 1:
            return Terms(snap_token=self.pick(self.tokens))
        if kind == 2:
            return Terms(consistency=Consistency.NODE)
        if kind == 3:
            return Terms(schema_version=self.pick(list(self.versions)))
        return Terms()

    def _query(self) -> CheckQuery:
        entity = self.pick((Entity("doc", "1"), Entity("doc", "1"), Entity("folder", "1")))
        name = "view" if entity.type == "folder" else self.pick(NAMES)
        return CheckQuery(
            entity, name, Subject("user", self.pick("112")),
            context=self.pick(CONTEXTS), depth=self.pick(DEPTHS),
        )  # fmt: skip

    async def ask(self) -> None:
        """Ask something; note the answer if it is wrong."""
        terms, query = self._terms(), self._query()
        standing = follow_standing()
        try:
            if self.chance.randrange(5) == 0:
                bulk = await self.bulk(TENANT, [query, query], terms)
                said = _word(bulk.items[0])
            else:
                said = _word((await self.check(TENANT, query, terms)).result)
        except (DepthExceededError, RuleFailedError) as error:
            said = in_words(error)
        except OVERTAKEN:
            return  # overtaken by a deletion or a restore
        head = decode_token(TENANT, standing.snap_token)
        self.answered += 1
        text = self.versions.get(SchemaVersion(terms.schema_version), "")
        expected = self._expected(head, query, text)
        if said != expected:
            self.wrong.append(f"{query} at {head.revision}: {said}, not {expected}")

    def _expected(self, head: SnapToken, query: CheckQuery, version: str) -> str:
        stood = self.history[head.epoch, head.revision]
        return judge(
            language(version or stood.schema),
            Question(
                tuple(query.entity), query.permission, query.subject, query.depth,
                tuple(stood.tuples), stood.attributes,
                query.context.tuples, query.context.attributes, query.context.data or {},
            ),
        )  # fmt: skip

    async def live(self, steps: int) -> None:
        """A life of so many steps, in which the chance directs."""
        async with asyncio.TaskGroup() as group:
            beginning = group.create_task(self.write_schema(FIRST))
            await self._finish(beginning)
            await self._finish(group.create_task(self.write()))
            for _ in range(steps):
                self._step(group)
                await self.turns.settle()
                if self.wrong:
                    break
            while self.turns.waiting:
                self._go_on()
                await self.turns.settle()
        for cache in (self.caches.results, self.caches.relations):
            self.hits += cache.state.hits if cache is not None else 0

    async def _finish(self, task: asyncio.Task[None]) -> None:
        await self.turns.settle()
        while not task.done():
            self._go_on()
            await self.turns.settle()

    def _go_on(self) -> None:
        waiting = self.turns.waiting
        waiting.pop(self.chance.randrange(len(waiting))).set_result(None)

    def _step(self, group: asyncio.TaskGroup) -> None:
        drawn = self.chance.randrange(100)
        if self.turns.waiting and (drawn < 55 or len(self.turns.waiting) > 5):
            self._go_on()
        elif drawn < 80:
            group.create_task(self.ask())
        elif drawn < 90:
            group.create_task(self.write())
        elif drawn < 94:
            group.create_task(self.follower.look())
        elif drawn < 96:
            self.fold()
        elif drawn < 97:
            group.create_task(self.write_schema(self.pick(SCHEMAS)))
        elif drawn < 98:
            group.create_task(self.delete())
        elif drawn < 99 or self.saved is None:
            self.save()
        else:
            self.restore()


def _word(result: object) -> str:
    if isinstance(result, GrantlogError):
        return in_words(result)
    assert isinstance(result, CheckResult)
    return "allowed" if result.allowed else "denied"


@contextmanager
def small_bounds():
    """Bounds so small that a small world meets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_module, "PAGE_SUBJECTS_MAX", 2)
        patch.setattr(clock_module, "CHANGES_TOUCHED_MAX", 5)
        yield patch


def settings_of(chance: Chance) -> Setting:
    """Any way to set a node up that has a cache."""
    which = chance.randrange(4)
    return Setting(
        results=which != 1,
        relations=which != 2,
        feeds_itself=chance.randrange(2) == 0,
        reaches=chance.randrange(2) == 0,
        replica=chance.randrange(2) == 0,
        slots_max=(2, 8, 64)[chance.randrange(3)],
        bytes_max=(1 << 20, 6_000)[chance.randrange(4) == 0],
        dependencies_max=(3, 64)[chance.randrange(2)],
    )


def lived(chance: Chance, setting: Setting, steps: int) -> Node:
    """A node at the end of its life."""

    async def life() -> Node:
        node = Node(chance, setting)
        await node.live(steps)
        return node

    with (
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        patch.setattr(results_module, "DEPENDENCIES_MAX", setting.dependencies_max)
        return runner.run(life())
