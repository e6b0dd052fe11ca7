"""What every CopySource and CopyTarget keep: a copy is what folding the log gives."""

from __future__ import annotations

from grantlog.app.copying import Copier
from grantlog.errors import BehindWindowError
from grantlog.model.ids import NOTHING, Revision, TenantId
from grantlog.ports.copying import Stage
from grantlog.ports.log import NOWHERE, Position
from grantlog.testing.contracts.lives import write_a_life, write_lives
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary, listed

STEPS_MAX = 300
BEHIND = "behind the window"


async def copied(
    copier: Copier, tenant: TenantId = ACME, *, steps_max: int = STEPS_MAX
) -> Position | None:
    """Copy a tenant; None if it takes more steps."""
    for _ in range(steps_max):
        position = await copier.step(tenant)
        if position is not None:
            return position
    return None


async def caught_up(primary: Primary, replica: Copy, tenant: TenantId = ACME) -> None:
    """Fold what the log has behind the replica's position."""
    at = (await replica.projection.positions()).get(tenant, NOWHERE)
    rest = await (primary.archive or primary.log).read(tenant, after=at.revision, changes_max=1_000)
    await replica.projection.apply(rest)


async def same_digest(primary: Primary, replica: Copy, tenant: TenantId = ACME) -> bool:
    """Whether both stand at the same position with the same facts and schemas."""
    ours = await primary.projection.digest(tenant)
    return ours == await replica.projection.digest(tenant)


async def write_much(primary: Primary) -> None:
    """A life of which every stage of a copy has several rows."""
    await write_a_life(primary)
    for number in range(6):
        await primary.put(
            *(f"doc:{number}#viewer@user:{n}" for n in range(5)), f"doc:{number}$level|integer:1"
        )
    for number in range(0, 6, 2):
        await primary.put(f"doc:{number}$level|integer:2")
        await primary.remove(f"doc:{number}#viewer@user:1", f"doc:{number}#viewer@user:2")


class CopyContract:
    """Copying a tenant, page by page."""

    async def test_a_copy_is_what_the_fold_gives_and_the_log_continues_it(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_lives(primary)
        await write_much_more(primary)
        for rows_max in (1, 2, 7, 1_000):
            await replica.projection.clear()
            copier = Copier(primary.source, replica.target, rows_max=rows_max)
            assert await copied(copier) == (await primary.projection.digest(ACME))[0]
            await same_everywhere(primary, replica)
        await primary.put("doc:1#viewer@user:77")
        await primary.remove("doc:3#viewer@user:3")
        await caught_up(primary, replica)
        await same_everywhere(primary, replica)

    async def test_nothing_can_be_read_before_the_copy_is_whole(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        copier = Copier(primary.source, replica.target, rows_max=3)
        while await copier.step(ACME) is None:
            assert await replica.projection.positions() == {}
        assert set(await replica.projection.positions()) == {ACME}

    async def test_writes_between_any_two_pages_leave_the_copy_at_its_revision(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        copier = Copier(primary.source, replica.target, rows_max=2)
        await copier.step(ACME)
        begun = (await replica.target.copies())[ACME].revision
        wanted = (await primary.projection.digest(ACME, begun))[1]
        number = 0
        while (position := await copier.step(ACME)) is None:
            number += 1
            await primary.remove(f"doc:{number % 6}#viewer@user:{number % 5}")
            await primary.put(
                f"doc:{number % 7}#viewer@user:{number % 4}",
                f"doc:{number % 6}$level|integer:{number}",
            )
        assert position.revision == begun
        assert (await replica.projection.digest(ACME))[1] == wanted
        await caught_up(primary, replica)
        await same_everywhere(primary, replica, since=begun)

    async def test_only_what_held_at_the_copys_revision_is_revived(
        self, primary: Primary, replica: Copy
    ) -> None:
        """Written at its very revision and gone one later, it is; written one later, it is not."""
        await write_much(primary)
        await primary.put("doc:1#viewer@user:at", "doc:7$level|integer:10")
        copier = Copier(primary.source, replica.target, rows_max=2)
        await copier.step(ACME)
        begun = (await replica.target.copies())[ACME].revision
        wanted = (await primary.projection.digest(ACME, begun))[1]
        await primary.put(
            "doc:1#viewer@user:later", "doc:7$level|integer:11", "doc:8$level|integer:1"
        )
        await primary.remove("doc:1#viewer@user:later", "doc:1#viewer@user:at", "doc:8$level")
        await primary.put("doc:7$level|integer:12")
        await copied(copier)
        assert (await replica.projection.digest(ACME, begun))[1] == wanted
        await caught_up(primary, replica)
        await same_everywhere(primary, replica, since=begun)

    async def test_a_copy_goes_on_where_another_process_left_it(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        steps = 0
        position = None
        while position is None:
            copier = Copier(primary.source, replica.target, rows_max=3)
            await copier.start()
            assert copier.is_copying(ACME) == (steps > 0)
            position = await copier.step(ACME)
            steps += 1
        assert steps > len(Stage)
        assert await same_digest(primary, replica)
        assert await replica.target.copies() == {}

    async def test_two_processes_share_a_copy_without_doubling_anything(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        one = Copier(primary.source, replica.target, rows_max=3)
        other = Copier(primary.source, replica.target, rows_max=2)
        await one.step(ACME)
        await other.start()
        while not await replica.projection.positions():
            await one.step(ACME)
            await other.step(ACME)
        assert await same_digest(primary, replica)
        for copier in (one, other):
            assert await copier.step(ACME) is None
            assert not copier.is_copying(ACME)
        assert await same_digest(primary, replica)

    async def test_a_tenant_deleted_meanwhile_is_copied_anew(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        at = 0
        while True:
            await replica.projection.clear()
            copier = Copier(primary.source, replica.target, rows_max=4)
            whole = await copied(copier, steps_max=at)
            if whole is not None:
                break
            await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
            await write_much(primary)
            assert await copied(copier) is not None
            await same_everywhere(primary, replica)
            at += 4
        assert at > len(Stage)

    async def test_history_collected_behind_the_copy_makes_it_begin_anew(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        copier = Copier(primary.source, replica.target, rows_max=2)
        await copied(copier, steps_max=4)
        begun = (await replica.target.copies())[ACME].revision
        for number in range(6):
            await primary.remove(f"doc:{number}#viewer@user:3")
        head = (await primary.heads.head(ACME)).revision
        await primary.collect(ACME, head)
        position = await copied(copier)
        assert position is not None
        assert position.revision == head > begun
        await same_everywhere(primary, replica)

    async def test_history_collected_up_to_the_copy_is_refused_there_too(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        for floor in (3, 7, 11):
            await replica.projection.clear()
            copier = Copier(primary.source, replica.target, rows_max=2)
            await copied(copier, steps_max=floor)
            await primary.collect(ACME, Revision(floor))
            assert await copied(copier) is not None
            await same_everywhere(primary, replica)

    async def test_an_epoch_that_opens_meanwhile_makes_the_copy_begin_anew(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        copier = Copier(primary.source, replica.target, rows_max=2)
        await copied(copier, steps_max=4)
        await primary.open_epoch()
        position = await copied(copier)
        assert position == (await primary.projection.digest(ACME))[0]
        assert await same_digest(primary, replica)

    async def test_what_has_been_folded_is_not_copied_over(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        copier = Copier(primary.source, replica.target, rows_max=2)
        await copied(copier, steps_max=4)
        await primary.put("doc:9#viewer@user:9")
        await replica.projection.apply(await primary.history())
        await copied(copier)
        assert await same_digest(primary, replica)
        assert await copier.step(ACME) is None
        assert not copier.is_copying(ACME)
        assert await replica.target.copies() == {}

    async def test_clearing_the_replica_gives_copies_up(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_much(primary)
        copier = Copier(primary.source, replica.target, rows_max=2)
        await copied(copier, steps_max=4)
        await replica.projection.clear()
        assert await replica.target.copies() == {}
        assert await copied(copier) is not None
        assert await same_digest(primary, replica)

    async def test_a_tenant_that_was_never_written_is_not_copied(
        self, primary: Primary, replica: Copy
    ) -> None:
        copier = Copier(primary.source, replica.target)
        assert await copier.step(OTHER) is None
        assert not copier.is_copying(OTHER)


async def write_much_more(primary: Primary) -> None:
    """Several schema versions, and facts that came and went more than once."""
    for _ in range(3):
        await write_much_of_a_life(primary)


async def write_much_of_a_life(primary: Primary) -> None:
    """A schema version, and facts that come and go."""
    await primary.writer.write_schema(
        ACME, "entity user {}", based_on=None, write_id=primary.new_id()
    )
    for number in range(5):
        await primary.put(f"doc:{number}#viewer@user:{number}", f"doc:1$level|integer:{number}")
        await primary.remove(f"doc:{number}#viewer@user:{number}")
        await primary.put(f"doc:{number}#viewer@user:{number}", f"doc:{number}#viewer@user:3")


async def same_past(primary: Primary, replica: Copy, *, since: Revision = NOTHING) -> None:
    """Both answer, or refuse, the same at every revision."""
    head = (await primary.heads.head(ACME)).revision
    for at in range(since, head + 1):
        revision = Revision(at)
        assert await what_held(primary, revision) == await what_held(replica, revision)


async def same_everywhere(primary: Primary, replica: Copy, *, since: Revision = NOTHING) -> None:
    """Both hold the same, now and at every revision."""
    assert await same_digest(primary, replica)
    await same_past(primary, replica, since=since)


async def what_held(copy: Copy, at: Revision, tenant: TenantId = ACME) -> object:
    """The digest and the tuples at a revision, or that history is not there any more."""
    try:
        return (await copy.projection.digest(tenant, at))[1], await listed(copy, at, tenant=tenant)
    except BehindWindowError:
        return BEHIND
