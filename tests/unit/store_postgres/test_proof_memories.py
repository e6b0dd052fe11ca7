"""What two memories of one log come to."""

from __future__ import annotations

import pytest

from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.store.postgres.epoch import Seen
from grantlog.store.postgres.proof import later_of

ACME, OTHER = TenantId("acme"), TenantId("other")


def seen(epoch: int, revision: int, digest: bytes | None = None) -> Seen:
    return Seen(Epoch(epoch), Revision(revision), digest)


@pytest.mark.parametrize(
    ("one", "later"),
    [
        (seen(1, 9, b"9"), seen(1, 10)),
        (seen(1, 10, b"10"), seen(2, 3)),
        (seen(1, 10), seen(1, 10, b"10")),  # who knows its digest can tell another history
    ],
)
def test_the_later_place_is_remembered_whichever_memory_has_it(one: Seen, later: Seen):
    assert later_of({ACME: one}, {ACME: later}) == {ACME: later}
    assert later_of({ACME: later}, {ACME: one}) == {ACME: later}


def test_what_one_memory_alone_has_is_remembered():
    one, other = seen(1, 1), seen(1, 2)
    assert later_of({ACME: one}, {OTHER: other}) == {ACME: one, OTHER: other}
