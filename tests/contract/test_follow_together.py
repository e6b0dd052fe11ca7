"""Tenants whose logs are short are folded together, and one that does not fit stops alone."""

from __future__ import annotations

from grantlog.app.project import FollowLimits, Projector
from grantlog.model.ids import Revision, TenantId
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary
from tests.contract.following import CountedStore, TamperedLog, equal


async def test_what_is_short_of_several_tenants_is_folded_in_one_transaction(
    primary: Primary, replica: Copy
) -> None:
    tenants = [TenantId(f"many-{number}") for number in range(5)]
    store = CountedStore(replica.projection)
    projector = Projector(primary.log, store)
    await projector.start()
    await projector.round()
    store.applied.clear()
    before = projector.status.changes
    for number in range(10):
        await primary.put(f"doc:{number}#viewer@user:1", tenant=tenants[number % 5])
    await projector.round()
    assert store.applied == [set(tenants)]
    assert (projector.status.behind, projector.status.changes - before) == (0, 10)
    for number in range(10, 13):
        await primary.put(f"doc:{number}#viewer@user:1", tenant=tenants[number % 5])
    await projector.round()
    assert store.applied[1:] == [set(tenants[:3])]
    for tenant in tenants:
        assert await equal(primary, replica, tenant)


async def test_of_tenants_that_are_folded_together_one_stops_alone(
    primary: Primary, replica: Copy
) -> None:
    tenants = [ACME, OTHER, TenantId("third")]
    for tenant in tenants:
        for number in range(3):
            await primary.put(f"doc:{number}#viewer@user:1", tenant=tenant)
    log = TamperedLog(primary.log)
    log.forged = {(OTHER, Revision(2))}
    store = CountedStore(replica.projection)
    projector = Projector(log, store)
    await projector.start()
    await projector.round()
    assert await equal(primary, replica)
    assert await equal(primary, replica, TenantId("third"))
    assert {ACME} in store.applied
    assert not any(OTHER in tenants for tenants in store.applied), "nothing of what does not fit"
    await projector.round()
    assert projector.status.stopped.keys() == {OTHER}
    assert projector.status.behind == 0


async def test_what_has_no_room_in_a_group_is_folded_all_the_same(
    primary: Primary, replica: Copy
) -> None:
    for number in range(2):
        for tenant in (ACME, OTHER):
            facts = (f"doc:{number}#viewer@user:{n}" for n in range(30))
            await primary.put(*facts, tenant=tenant)
    projector = Projector(primary.log, replica.projection, FollowLimits(changes_max=40))
    await projector.start()
    await projector.round()
    await projector.round()
    assert projector.status.behind == 0
    assert await equal(primary, replica)
    assert await equal(primary, replica, OTHER)
