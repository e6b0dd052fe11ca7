"""Copies in an order of events that nobody wished for: what they may meet, and what must hold."""

from __future__ import annotations

from hypothesis import strategies as st

from grantlog.app.copying import Copier
from grantlog.errors import NotFoundError
from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.log import NOWHERE
from grantlog.ports.writer import PutFacts, RemoveFacts, RemoveWhere
from grantlog.testing.contracts.copying import BEHIND, what_held
from grantlog.testing.contracts.places import Copy, Primary
from tests.property.fold_histories import attributes, doc_tuples

puts = st.builds(
    PutFacts,
    st.lists(doc_tuples, min_size=1, max_size=3).map(tuple),
    st.lists(attributes, max_size=2).map(tuple),
)
removals = st.one_of(
    st.builds(RemoveFacts, st.lists(doc_tuples, min_size=1, max_size=4).map(tuple)),
    st.just(RemoveWhere(TupleFilter(entity_type="doc", relation="viewer"), AttributeFilter())),
)
some_writes = st.one_of(puts, puts, removals).map(lambda step: ("write", [step]))
some_copies = st.tuples(st.just("copy"), st.integers(1, 3))
accidents = st.one_of(
    st.tuples(st.just("collect"), st.integers(0, 100)),
    st.tuples(st.just("collect"), st.just(100)),
    st.tuples(st.just("other copies"), st.integers(1, 3)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("schema")),
    st.tuples(st.just("delete")),
    st.tuples(st.just("epoch")),
    st.tuples(st.just("fold"), st.integers(1, 5)),
    st.tuples(st.just("clear")),
)
STEPS = st.tuples(
    st.lists(some_writes, min_size=2, max_size=6),
    st.lists(
        st.one_of(some_copies, some_copies, some_copies, some_writes, some_writes, accidents),
        min_size=8,
        max_size=30,
    ),
).map(lambda both: [*both[0], *both[1]])
"""A tenant with a past, and then anything, between the pages of its copy."""


class Play:
    """One tenant, its primary and its replica."""

    def __init__(self, primary: Primary, replica: Copy, tenant: TenantId, rows_max: int) -> None:
        self.primary = primary
        self.replica = replica
        self.tenant = tenant
        self.rows_max = rows_max
        self.copier = self.new_copier()
        self.other = self.new_copier()
        self.truth: dict[int, object] = {}
        self.floor = NOTHING

    def new_copier(self) -> Copier:
        return Copier(self.primary.source, self.replica.target, rows_max=self.rows_max)

    async def note(self) -> None:
        """Remember what holds at the head: later the primary may have forgotten it."""
        head = await self.primary.heads.head(self.tenant)
        if head.revision not in self.truth:
            self.truth[head.revision] = await what_held(self.primary, head.revision, self.tenant)

    async def act(self, step: tuple) -> None:  # noqa: C901 - one case a step
        head = await self.primary.heads.head(self.tenant)
        match step:
            case ("write", steps):
                await self.primary.apply(*steps, tenant=self.tenant)
            case ("copy", count):
                for _ in range(count):
                    await self.copy(self.copier)
            case ("other copies", count):
                for _ in range(count):
                    await self.copy(self.other)
            case ("crash",):
                self.copier = self.new_copier()
                await self.copier.start()
            case ("collect", percent):
                if head.revision > head.begins:
                    floor = head.begins + (head.revision - head.begins) * percent // 100
                    self.floor = Revision(max(self.floor, floor))  # floors only rise
                    await self.primary.collect(self.tenant, self.floor)
            case ("schema",):
                await self.primary.writer.write_schema(
                    self.tenant, "entity user {}", based_on=None, write_id=self.primary.new_id()
                )
            case ("delete",):
                try:
                    await self.primary.writer.delete_tenant(
                        self.tenant, write_id=self.primary.new_id()
                    )
                except NotFoundError:
                    return
            case ("epoch",):
                await self.primary.open_epoch()
            case ("fold", changes_max):
                if await self.standing() != NOWHERE:
                    await self.fold(changes_max)
            case ("clear",):
                await self.replica.projection.clear()

    async def standing(self):
        return (await self.replica.projection.positions()).get(self.tenant, NOWHERE)

    async def copy(self, copier: Copier) -> None:
        """What the projector does with a tenant that is not in the replica."""
        if await self.standing() == NOWHERE:
            await copier.step(self.tenant)

    async def fold(self, changes_max: int = 1_000) -> bool:
        at = await self.standing()
        page = await self.primary.log.read(self.tenant, after=at.revision, changes_max=changes_max)
        await self.replica.projection.apply(page)
        return bool(page)

    async def finish(self) -> None:
        """Copy to the end, follow to the head."""
        for _ in range(300):
            if await self.standing() != NOWHERE:
                break
            await self.copy(self.copier)
        else:
            raise AssertionError("the copy does not end")
        await self.same()
        while await self.fold():
            pass

    async def same(self) -> None:
        """Both hold the same at every revision that the replica can be asked for."""
        at = await self.standing()
        head = await self.primary.heads.head(self.tenant)
        for revision in map(Revision, range(1, at.revision + 1)):
            theirs = await what_held(self.replica, revision, self.tenant)
            if theirs != BEHIND:
                assert theirs == self.truth[revision]
            elif revision > head.begins:
                assert await what_held(self.primary, revision, self.tenant) == BEHIND


async def play(primary: Primary, replica: Copy, tenant: TenantId, rows_max: int, steps) -> None:
    """Whatever happens, the replica ends as the fold of the whole log would."""
    world = Play(primary, replica, tenant, rows_max)
    await primary.put("doc:1#viewer@user:1", tenant=tenant)
    await world.note()
    for step in steps:
        await world.act(step)
        await world.note()
    await world.finish()
    position, digest = await primary.projection.digest(tenant)
    assert (await replica.projection.digest(tenant))[1] == digest
    at = await world.standing()
    assert (at.revision, at.digest) == (position.revision, position.digest)
    head = await primary.heads.head(tenant)
    await world.same()
    assert await what_held(replica, head.revision, tenant) != BEHIND
    assert NOTHING < at.epoch <= position.epoch
