"""Nodes of an API over one store in memory, perhaps faulty, and clients that note what happens.

Each client is a task; nodes give way at random between any two reads, so calls overlap. Time is a
count of what was noted. A seed names the choices, but not when a schema, compiled beside the loop,
is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from grantlog.app.ask_many import BulkCheck
from grantlog.app.continuation import Continuations
from grantlog.app.data import WriteData
from grantlog.app.known import KnownHeads
from grantlog.app.listing import PAGE_MAX, ListFacts
from grantlog.app.lookup import Lookup, Window
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver, token_of
from grantlog.app.schema_cache import SchemaCache
from grantlog.app.schemas import Schemas
from grantlog.app.tenants import Tenants
from grantlog.app.terms import NO_TERMS, Consistency
from grantlog.changelog.memory.log import MemoryChangeLog
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.question import CheckQuery, CheckResult
from grantlog.errors import BehindWindowError, NotFoundError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.facts import FactAnswer, FactKey, FactReader
from grantlog.ports.standing import follow_standing
from grantlog.ports.writer import PutFacts, RemoveFacts
from grantlog.testing.contracts.places import Primary
from grantlog.testing.histories import (
    Act,
    Answered,
    Attributes,
    Checks,
    Entities,
    History,
    Refused,
    Tuples,
    Violation,
    Why,
    Write,
    violations,
)
from grantlog.testing.histories.promises import revision_of
from grantlog.testing.histories.record import Answer, Question
from tests.contract.memory import memory_primary
from tests.workload import SCHEMA, Change, Workload

REBEGINNER = "c0"
"""The client that deletes tenants and lets them begin anew."""
TENANTS = (TenantId("one"), TenantId("two"))
NODES = ("a", "b")


Plant = Callable[[FactReader, Random], FactReader]
"""Makes a node's reader a faulty one."""


def later(tenant: TenantId, one: str, other: str) -> str:
    """The token of the later revision; "" is before all."""
    return max(one, other, key=lambda token: revision_of(tenant, token))


@dataclass
class GivingWay:
    """A reader in front of which other calls go on for a while, each time another while."""

    reader: FactReader
    rng: Random

    async def read(
        self, tenant: TenantId, revision: Revision, keys: Sequence[FactKey], *, epoch: Epoch
    ) -> Sequence[FactAnswer]:
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        return await self.reader.read(tenant, revision, keys, epoch=epoch)


@dataclass
class Node:
    """The use cases of one API node."""

    name: str
    primary: Primary
    facts: FactReader
    known: KnownHeads = field(default_factory=KnownHeads)

    def __post_init__(self) -> None:
        primary, known = self.primary, self.known
        cache = SchemaCache(primary.schemas)
        resolver = Resolver(primary.heads, primary.past, known, Consistency.HEAD)
        at = Places(resolver, cache, self.facts, primary.reverse)
        pages = Continuations(b"k" * 32)
        common = {"writer": primary.writer, "known": known, "new_id": primary.new_id}
        self.data = WriteData(resolver=resolver, cache=cache, facts_per_write_max=100, **common)
        self.schemas = Schemas(reader=primary.schemas, resolver=resolver, cache=cache, **common)
        self.tenants = Tenants(lister=primary.tenants, **common)
        self.bulk = BulkCheck(at)
        self.lookup = Lookup(at, pages, lambda: 0.0)
        self.listing = ListFacts(resolver, primary.lister, pages)

    async def write(self, tenant: TenantId, change: Change) -> str:
        """The token of the write."""
        if change.where:
            removed = await self.data.remove(tenant, **change.filters())
            return token_of(tenant, removed)
        tuples = tuple(fact for fact in change.creates if isinstance(fact, RelationTuple))
        attributes = tuple(fact for fact in change.creates if isinstance(fact, Attribute))
        steps = [RemoveFacts(change.deletes)] if change.deletes else [PutFacts(tuples, attributes)]
        return token_of(tenant, await self.data.apply(tenant, steps))

    async def write_schema(self, tenant: TenantId) -> str:
        """The token of the schema."""
        standing = follow_standing()
        await self.schemas.write(tenant, SCHEMA)
        return standing.snap_token

    async def delete(self, tenant: TenantId) -> None:
        """End the tenant's life."""
        await self.tenants.delete(tenant)

    async def ask(self, tenant: TenantId, question: Question, sent: str) -> tuple[Answer, str]:
        """The answer, and the token that it says it stands at."""
        standing = follow_standing()
        answer = await self._answer(tenant, question, sent)
        return answer, standing.snap_token

    async def _answer(self, tenant: TenantId, question: Question, sent: str) -> Answer:
        terms = NO_TERMS.also(snap_token=sent)
        match question:
            case Checks(asked):
                queries = [CheckQuery(one.entity, one.permission, one.subject) for one in asked]
                found = await self.bulk(tenant, queries, terms)
                assert all(isinstance(item, CheckResult) for item in found.items)
                return tuple(getattr(item, "allowed") for item in found.items)  # noqa: B009
            case Entities(entity_type, permission, subject):
                query = EntityQuery(entity_type, permission, subject)
                page = await self.lookup.entities(tenant, query, Window(terms))
                assert not page.continuation
                return frozenset(page.ids)
            case Tuples(condition):
                tuples, more = await self.listing.tuples(
                    tenant, condition, terms=terms, page_size=PAGE_MAX, continuation=""
                )
                assert not more
                return frozenset(tuples)
            case Attributes(condition):
                attributes, more = await self.listing.attributes(
                    tenant, condition, terms=terms, page_size=PAGE_MAX, continuation=""
                )
                assert not more
                return frozenset(attributes)


@dataclass
class World:
    """Nodes over one primary, and what their clients note."""

    seed: int
    plant: Plant | None = None
    """Makes the reader of node b a faulty one."""
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.primary = memory_primary()
        self._times = count()
        self._latest: dict[TenantId, str] = {}
        self.nodes: dict[str, Node] = {}
        for name in NODES:
            facts = self.primary.facts
            if self.plant is not None and name == "b":
                facts = self.plant(facts, Random(f"{self.seed} plant"))
            way = GivingWay(facts, Random(f"{self.seed} {name}"))
            self.nodes[name] = Node(name, self.primary, way)

    async def run(self, *, clients: int = 6, calls: int = 40) -> list[Violation]:
        """All clients to their end; the broken promises."""
        for tenant in TENANTS:
            await self.nodes["a"].schemas.write(tenant, SCHEMA)
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(f"c{number}", calls))
        log = self.primary.log
        assert isinstance(log, MemoryChangeLog)
        logs = {tenant: log.ever(tenant) for tenant in TENANTS}
        return violations(self.history, logs)

    async def _client(self, name: str, calls: int) -> None:
        rng = Random(f"{self.seed} {name}")
        own = {tenant: Workload(f"{name}-{tenant}", rng) for tenant in TENANTS}
        tokens: dict[TenantId, str] = {}
        passes_on = rng.random() < 0.7
        for _ in range(calls):
            tenant, node = rng.choice(TENANTS), self.nodes[rng.choice(NODES)]
            if name == REBEGINNER and rng.random() < 0.1:
                token = await self._begin_anew(name, node, tenant)
            elif rng.random() < 0.4:
                token = await self._write(name, node, tenant, own[tenant].change())
            else:
                sent = later(tenant, tokens.get(tenant, ""), self._latest.get(tenant, ""))
                question = own[tenant].question()
                token = await self._ask(name, node, tenant, question, sent if passes_on else "")
            tokens[tenant] = later(tenant, token, tokens.get(tenant, ""))
            self._latest[tenant] = later(tenant, token, self._latest.get(tenant, ""))
            await asyncio.sleep(0)

    async def _begin_anew(self, client: str, node: Node, tenant: TenantId) -> str:
        """Delete the tenant, and give its next life a schema."""
        deletion = Write(client, tenant, node.name, next(self._times), act=Act.DELETION)
        await node.delete(tenant)
        self.history.writes.append(replace(deletion, returned=next(self._times)))
        await asyncio.sleep(0)
        schema = Write(client, tenant, node.name, next(self._times), act=Act.SCHEMA)
        token = await node.write_schema(tenant)
        self.history.writes.append(replace(schema, returned=next(self._times), token=token))
        return token

    async def _write(self, client: str, node: Node, tenant: TenantId, change: Change) -> str:
        noted = Write(
            client, tenant, node.name, next(self._times), change.creates, change.deletes,
            where=change.where,
        )  # fmt: skip
        try:
            token = await node.write(tenant, change)
        except (NotFoundError, BehindWindowError) as error:
            self._refuse(client, node, tenant, noted.invoked, "", error)
            self.history.writes.append(replace(noted, denied=True))
            return ""
        self.history.writes.append(replace(noted, returned=next(self._times), token=token))
        return token

    async def _ask(
        self, client: str, node: Node, tenant: TenantId, question: Question, sent: str
    ) -> str:
        invoked = next(self._times)
        try:
            answer, token = await node.ask(tenant, question, sent)
        except (NotFoundError, BehindWindowError) as error:
            self._refuse(client, node, tenant, invoked, sent, error)
            return ""
        self.history.answers.append(
            Answered(
                client, tenant, node.name, invoked, next(self._times), question, sent, token,
                "primary", answer,
            )
        )  # fmt: skip
        return token

    def _refuse(
        self, client: str, node: Node, tenant: TenantId, invoked: float, sent: str,
        error: NotFoundError | BehindWindowError,
    ) -> None:  # fmt: skip
        why = Why.NO_SCHEMA if isinstance(error, NotFoundError) else Why.LIFE_ENDED
        self.history.refused.append(
            Refused(client, tenant, node.name, invoked, next(self._times), sent, why)
        )
