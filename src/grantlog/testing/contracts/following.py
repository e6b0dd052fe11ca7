"""What every ProjectionStore keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grantlog.errors import BehindWindowError, CorruptionError, ProjectionLaggingError
from grantlog.model.chain import GENESIS, transaction_digest
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.testing.contracts.lives import DELETION, write_lives
from grantlog.testing.contracts.places import (
    ACME,
    OTHER,
    Copy,
    Primary,
    direct,
    listed,
)


class ProjectionContract:
    """A replica that folds the log says at every revision what the primary says."""

    async def test_a_replica_has_the_digest_of_its_primary(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_lives(primary)
        await replica.projection.apply(await primary.history())
        assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)
        head = (await primary.heads.head(ACME)).revision
        assert await listed(replica, head) == await listed(primary, head)

    async def test_digests_of_earlier_revisions_agree_and_differ_from_each_other(
        self, primary: Primary, replica: Copy
    ) -> None:
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1", f"doc:1$level|integer:{number}")
        await replica.projection.apply(await primary.history())
        digests: set[bytes] = set()
        for at in range(4):
            _, ours = await primary.projection.digest(ACME, Revision(at))
            _, theirs = await replica.projection.digest(ACME, Revision(at))
            assert ours == theirs
            digests.add(ours)
        assert len(digests) == len(range(4))
        with pytest.raises(ProjectionLaggingError):
            await replica.projection.digest(ACME, Revision(4))

    async def test_any_split_of_the_log_and_any_repetition_folds_to_the_same(
        self, primary: Primary, replica: Copy
    ) -> None:
        log = await write_lives(primary)
        for split in range(1, len(log)):
            await replica.projection.clear()
            await replica.projection.apply(log[:split])
            await replica.projection.apply(log[: split - 1])
            await replica.projection.apply(log)
            await replica.projection.apply(log)
            assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)

    async def test_positions_tell_how_far_each_tenant_is(
        self, primary: Primary, replica: Copy
    ) -> None:
        assert await replica.projection.positions() == {}
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        await primary.put("doc:2#viewer@user:1", tenant=OTHER)
        for tenant in (ACME, OTHER):
            await replica.projection.apply(await primary.history(tenant))
        heads = (await primary.log.heads_moved(None)).heads
        positions = await replica.projection.positions()
        assert {tenant: heads[tenant] for tenant in positions} == positions
        assert set(positions) == {ACME, OTHER}

    async def test_a_gap_is_refused_and_nothing_is_applied(
        self, primary: Primary, replica: Copy
    ) -> None:
        for number in range(4):
            await primary.put(f"doc:{number}#viewer@user:1")
        log = list(await primary.history())
        with pytest.raises(CorruptionError):
            await replica.projection.apply(log[1:])
        await replica.projection.apply(log[:1])
        with pytest.raises(CorruptionError):
            await replica.projection.apply([log[1], log[3]])
        assert (await replica.projection.positions())[ACME].revision == 1

    async def test_several_tenants_are_folded_together(
        self, primary: Primary, replica: Copy
    ) -> None:
        log = list(await write_lives(primary))
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1", tenant=OTHER)
        others = list(await primary.history(OTHER))
        third = TenantId("third")
        await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1", tenant=third)
        thirds = await primary.history(third)
        for split in range(1, len(log)):
            await replica.projection.clear()
            await replica.projection.apply([*others[:1], *log[:split]])
            await replica.projection.apply([*log[split - 1 :], *thirds, *others])
            for tenant in (ACME, OTHER, third):
                ours = await primary.projection.digest(tenant)
                assert await replica.projection.digest(tenant) == ours

    async def test_of_several_tenants_nothing_is_folded_if_one_does_not_fit(
        self, primary: Primary, replica: Copy
    ) -> None:
        for number in range(3):
            for tenant in (ACME, OTHER):
                await primary.put(f"doc:{number}#viewer@user:1", tenant=tenant)
        log, others = list(await primary.history()), list(await primary.history(OTHER))
        fits_not = replace(
            log[1], body=log[0].body, previous_digest=log[0].digest, revision=Revision(2)
        )
        fits_not = replace(
            fits_not,
            digest=transaction_digest(
                fits_not.previous_digest,
                tenant=ACME,
                epoch=fits_not.epoch,
                revision=fits_not.revision,
                commit_time=fits_not.commit_time,
                body=fits_not.body,
                salt=fits_not.salt,
            ),
        )
        await replica.projection.apply([log[0], others[0]])
        before = await replica.projection.positions()
        for wrong in (log[2], fits_not):
            for page in ([*others[1:], wrong], [wrong, *others[1:]]):
                with pytest.raises(CorruptionError):
                    await replica.projection.apply(page)
        assert await replica.projection.positions() == before
        ours = await primary.projection.digest(OTHER, Revision(1))
        assert (await replica.projection.digest(OTHER))[1] == ours[1]

    async def test_a_deletion_drops_what_was_folded_however_much_is_missing_before_it(
        self, primary: Primary, replica: Copy
    ) -> None:
        log = await write_lives(primary)
        life = log[DELETION - 1 :]
        for folded in range(DELETION):
            await replica.projection.clear()
            await replica.projection.apply(log[:folded])
            await replica.projection.apply(life)
            assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)
        forged = replace(life[0], previous_digest=GENESIS)
        await replica.projection.clear()
        for wrong in (forged, life[1]):
            with pytest.raises(CorruptionError):
                await replica.projection.apply([wrong])

    async def test_another_history_is_refused(self, primary: Primary, replica: Copy) -> None:
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1")
        log = list(await primary.history())
        await replica.projection.apply(log[:2])
        forged = replace(log[2], body=log[1].body)
        unchained = replace(log[2], previous_digest=GENESIS)
        rewritten = replace(log[1], epoch=Epoch(log[1].epoch + 1))
        other = replace(log[1], digest=GENESIS)
        for wrong in (forged, unchained, rewritten, other):
            with pytest.raises(CorruptionError):
                await replica.projection.apply([wrong])
        await replica.projection.apply(log)
        assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)

    async def test_the_log_goes_on_in_another_epoch_from_where_it_stands(
        self, primary: Primary, replica: Copy
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        await replica.projection.apply(await primary.history())
        await primary.open_epoch()
        head = (await primary.log.heads_moved(None)).heads[ACME]
        ahead = replace(head, revision=Revision(head.revision + 1))
        assert not await replica.projection.adopt_epoch(ACME, ahead)
        assert not await replica.projection.adopt_epoch(ACME, replace(head, digest=b"x" * 16))
        assert not await replica.projection.adopt_epoch(OTHER, head)
        assert await replica.projection.adopt_epoch(ACME, head)
        assert (await replica.projection.positions())[ACME] == head
        await primary.put("doc:2#viewer@user:1")
        await replica.projection.apply(await primary.history())
        assert await replica.projection.digest(ACME) == await primary.projection.digest(ACME)

    async def test_a_tenant_that_is_forgotten_is_folded_from_its_beginning(
        self, primary: Primary, replica: Copy
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        history, others = await primary.history(), await primary.history(OTHER)
        await replica.projection.apply(history)
        await replica.projection.apply(others)
        stands = (await replica.projection.positions())[ACME]
        elsewhere = replace(stands, revision=Revision(stands.revision - 1))
        assert not await replica.projection.forget(ACME, elsewhere)
        assert not await replica.projection.forget(ACME, replace(stands, digest=GENESIS))
        assert await replica.projection.forget(ACME, stands)
        assert not await replica.projection.forget(ACME, stands)
        assert (await replica.projection.positions()).keys() == {OTHER}
        with pytest.raises(ProjectionLaggingError):
            await replica.facts.read(ACME, stands.revision, [direct("doc:1#viewer@user:1")])
        await replica.projection.apply(history)
        for tenant in (ACME, OTHER):
            ours = await primary.projection.digest(tenant)
            assert await replica.projection.digest(tenant) == ours

    async def test_a_replica_answers_at_every_revision_of_the_current_life(
        self, primary: Primary, replica: Copy
    ) -> None:
        await write_lives(primary)
        await replica.projection.apply(await primary.history())
        key = [direct("doc:1#viewer@user:1")]
        head = (await primary.heads.head(ACME)).revision
        for at in range(DELETION, head + 1):
            ours = await primary.facts.read(ACME, Revision(at), key)
            assert list(await replica.facts.read(ACME, Revision(at), key)) == list(ours)
        with pytest.raises(BehindWindowError):
            await replica.facts.read(ACME, Revision(DELETION - 1), key)
        with pytest.raises(ProjectionLaggingError):
            await replica.facts.read(ACME, Revision(head + 1), key)

    async def test_clear_forgets_everything(self, primary: Primary, replica: Copy) -> None:
        await write_lives(primary)
        await replica.projection.apply(await primary.history())
        await replica.projection.clear()
        assert await replica.projection.positions() == {}
        key = [direct("doc:1#viewer@user:1")]
        assert list(await replica.facts.read(ACME, Revision(0), key)) == [False]
