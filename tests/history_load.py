"""The load of one round: clients that write, ask and watch fresh tenants, and note everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from grpc import aio

from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.store.postgres.pool import Pool
from grantlog.testing.histories import Asked, Checks, Watched
from grantlog.testing.histories.promises import revision_of
from grantlog.wire.event import decode_transaction
from tests.history_client import Notes, ask, delete_tenant, watch, write, write_schema
from tests.history_wire import Stubs
from tests.waiting import until
from tests.workload import FOLDERS, SCHEMA, USERS, Change, Workload, flag

WRITERS, EPISODES, READERS, WATCHERS = 3, 2, 4, 2
"""Clients of each kind; watchers of each tenant."""
WRITE_EVERY_S, ASK_EVERY_S = 0.15, 0.06
_RESUME_EVERY_S = 0.1
LIFE_S = 4.0
"""Of the tenant that begins anew."""
READY_S_MAX, CAUGHT_UP_S_MAX = 60.0, 120.0


_WHOLE_LOG = """
SELECT revision, payload FROM {0} WHERE tenant_id = $1 ORDER BY revision, part
"""

LogOf = Callable[[TenantId], Awaitable[Sequence[Transaction]]]


async def whole_log(
    pool: Pool, tenant: TenantId, *, table: str = "transactions"
) -> list[Transaction]:
    """A tenant's log as it lies in a table, with the ended lives that a log's readers pass over."""
    parts: dict[int, list[bytes]] = {}
    for row in await pool.fetch(_WHOLE_LOG.format(table), tenant):
        parts.setdefault(row["revision"], []).append(row["payload"])
    return [decode_transaction(payloads) for payloads in parts.values()]


@dataclass
class Load:
    """Clients of one round.

    Args:
        addresses: of the nodes that they talk to, by name.
        log_of: reads a tenant's whole log, past them.
        seed: of everything that they choose.
        tenants: theirs alone.
        pace: how many times as fast as usual they go.
    """

    addresses: Mapping[str, str]
    log_of: LogOf
    seed: str
    tenants: list[TenantId]
    pace: float = 1.0
    reborn: TenantId | None = None
    """The one of them that is deleted, and begins anew, again and again."""
    notes: Notes = field(default_factory=Notes)
    stopping: bool = False
    channels: list[aio.Channel] = field(default_factory=list)

    def nodes(self) -> list[Stubs]:
        """Connections of one client to every node."""
        made = [Stubs(name, address) for name, address in self.addresses.items()]
        self.channels += [node.channel for node in made]
        return made

    async def prepare(self) -> None:
        """Give every tenant its schema, and watchers that begin behind it."""
        nodes = self.nodes()
        for tenant in self.tenants:

            async def written(tenant: TenantId = tenant) -> bool:
                return bool(await self._write_schema("first", nodes, tenant))

            await until(written, within_s=READY_S_MAX)
            start = self.notes.latest[tenant]
            watchers = [Watched(tenant, f"w{number}", start) for number in range(WATCHERS)]
            self.notes.history.watched += watchers

    async def write(self, name: str) -> None:
        """Random writes."""
        await self._repeat(name, WRITE_EVERY_S, self._write)

    async def ask(self, name: str) -> None:
        """Random questions; all but the first client send tokens."""
        await self._repeat(name, ASK_EVERY_S, self._ask)

    async def episodes(self, name: str) -> None:
        """A subject loses a folder, content comes into it, and the subject asks for that."""
        await self._repeat(name, 2 * WRITE_EVERY_S, self._episode)

    async def lives(self, name: str) -> None:
        """A tenant is deleted, and has a schema again."""
        rng = Random(f"{self.seed} {name}")
        nodes, tenant = self.nodes(), self.reborn
        while not self.stopping and tenant is not None:
            await asyncio.sleep(LIFE_S / self.pace * rng.uniform(0.5, 1.5))
            await delete_tenant(self.notes, name, rng.choice(nodes), tenant)
            while not await self._write_schema(name, [rng.choice(nodes)], tenant):
                await asyncio.sleep(_RESUME_EVERY_S)

    async def _write_schema(self, client: str, nodes: list[Stubs], tenant: TenantId) -> str:
        return await write_schema(self.notes, client, nodes[0], tenant, SCHEMA)

    async def watch(self, watched: Watched) -> None:
        """Watch, and go on wherever a node answers, until it is cancelled."""
        rng = Random(f"{self.seed} {watched.tenant} {watched.watcher}")
        nodes = self.nodes()
        while True:
            await watch(self.notes, watched, rng.choice(nodes))
            await asyncio.sleep(_RESUME_EVERY_S)

    async def _repeat(
        self,
        name: str,
        every_s: float,
        step: Callable[[Workload, list[Stubs], TenantId], Awaitable[None]],
    ) -> None:
        rng = Random(f"{self.seed} {name}")
        own = {tenant: Workload(f"{name}-{tenant}", rng) for tenant in self.tenants}
        nodes = self.nodes()
        while not self.stopping:
            tenant = rng.choice(self.tenants)
            await step(own[tenant], nodes, tenant)
            await asyncio.sleep(every_s / self.pace * rng.uniform(0.5, 1.5))

    async def _write(self, own: Workload, nodes: list[Stubs], tenant: TenantId) -> None:
        await write(self.notes, own.client, own.rng.choice(nodes), tenant, own.change())

    async def _ask(self, own: Workload, nodes: list[Stubs], tenant: TenantId) -> None:
        token = self.notes.latest[tenant]
        sent = "" if own.client.startswith("reader0") else token
        await ask(self.notes, own.client, own.rng.choice(nodes), tenant, own.question(), sent)

    async def _episode(self, own: Workload, nodes: list[Stubs], tenant: TenantId) -> None:
        rng = own.rng
        folder, enemy = rng.choice(FOLDERS), rng.choice(USERS)
        grant, revocation = self._taken_away(own, folder, enemy)
        await write(self.notes, own.client, rng.choice(nodes), tenant, grant)
        removed = await write(self.notes, own.client, rng.choice(nodes), tenant, revocation)
        if not removed:
            return
        doc = own.doc()
        content = own.content(doc, folder)
        token = await write(self.notes, own.client, rng.choice(nodes), tenant, content)
        question = Checks((Asked(doc, "view", enemy),))
        for each in nodes if token else ():
            await ask(self.notes, own.client, each, tenant, question, self.notes.latest[tenant])

    def _taken_away(self, own: Workload, folder: Entity, enemy: Subject) -> tuple[Change, Change]:
        """A subject is let into a folder, and not any more: by a tuple or by an attribute."""
        if own.rng.random() < 0.5:
            fact = RelationTuple(folder, "viewer", enemy)
            return Change(creates=(fact, own.note())), Change(deletes=(fact,))
        return (
            Change(creates=(flag(folder, is_open=True), own.note())),
            Change(creates=(flag(folder, is_open=False), own.note())),
        )

    async def caught_up(self) -> bool:
        """Whether every watcher was told all that was written."""
        for watched in self.notes.history.watched:
            log = await self.log_of(watched.tenant)
            if revision_of(watched.tenant, watched.last) < log[-1].revision:
                return False
        return True


@asynccontextmanager
async def working(load: Load) -> AsyncIterator[Load]:
    """Clients at work during the block; afterwards watchers have been told everything."""
    await load.prepare()
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as watchers:
        watching = [
            watchers.create_task(load.watch(watched), name=f"watch {watched.tenant}")
            for watched in load.notes.history.watched
        ]
        try:
            async with asyncio.TaskGroup() as clients:
                for kind, count, work in (
                    ("writer", WRITERS, load.write),
                    ("episode", EPISODES, load.episodes),
                    ("reader", READERS, load.ask),
                    ("lives", 1, load.lives),
                ):
                    for number in range(count):
                        name = f"{kind}{number}"
                        clients.create_task(work(name), name=name)
                yield load
                load.stopping = True
            await until(load.caught_up, within_s=CAUGHT_UP_S_MAX)
        except BaseException as error:  # noqa: BLE001 - raised again, once watchers are gone
            failure = error
        for task in watching:
            task.cancel()
    for channel in load.channels:
        await channel.close()
    if failure is not None:
        raise failure
