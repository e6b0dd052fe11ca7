"""Copies in an order of events that nobody wished for: what any of them may meet, and what must hold."""

from __future__ import annotations

from hypothesis import strategies as st

from grantlog.app.copying import Copier
from grantlog.errors import NotFoundError
from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.ports.log import NOWHERE
from grantlog.testing.contracts.copying import what_held
from grantlog.testing.contracts.places import Copy, Primary
from tests.property.fold_histories import writes

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), writes),
        st.tuples(st.just("write"), writes),
        st.tuples(st.just("copy"), st.integers(1, 4)),
        st.tuples(st.just("copy"), st.integers(1, 4)),
        st.tuples(st.just("copy"), st.integers(1, 4)),
        st.tuples(st.just("other copies"), st.integers(1, 3)),
        st.tuples(st.just("crash")),
        st.tuples(st.just("collect"), st.integers(0, 100)),
        st.tuples(st.just("schema")),
        st.tuples(st.just("delete")),
        st.tuples(st.just("epoch")),
        st.tuples(st.just("fold"), st.integers(1, 5)),
        st.tuples(st.just("clear")),
    ),
    min_size=4,
    max_size=25,
)


class Play:
    """One tenant, its primary and its replica."""

    def __init__(self, primary: Primary, replica: Copy, tenant: TenantId, rows_max: int) -> None:
        self.primary = primary
        self.replica = replica
        self.tenant = tenant
        self.rows_max = rows_max
        self.copier = self.new_copier()
        self.other = self.new_copier()

    def new_copier(self) -> Copier:
        return Copier(self.primary.source, self.replica.target, rows_max=self.rows_max)

    async def act(self, step: tuple) -> None:  # noqa: C901, PLR0912 - one case a step
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
                    await self.primary.collect(self.tenant, Revision(floor))
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
        for revision in map(Revision, range(at.revision + 1)):
            theirs = await what_held(self.replica, revision, self.tenant)
            ours = await what_held(self.primary, revision, self.tenant)
            # The primary may have forgotten since: a deletion, or a collection.
            assert theirs == ours or ours == "behind the window"


async def play(primary: Primary, replica: Copy, tenant: TenantId, rows_max: int, steps) -> None:
    """Whatever happens, the replica ends as the fold of the whole log would."""
    world = Play(primary, replica, tenant, rows_max)
    await primary.put("doc:1#viewer@user:1", tenant=tenant)
    for step in steps:
        await world.act(step)
    await world.finish()
    position, digest = await primary.projection.digest(tenant)
    assert (await replica.projection.digest(tenant))[1] == digest
    at = await world.standing()
    assert (at.revision, at.digest) == (position.revision, position.digest)
    head = await primary.heads.head(tenant)
    await world.same()
    assert await what_held(replica, head.revision, tenant) != "behind the window"
    assert NOTHING < at.epoch <= position.epoch
