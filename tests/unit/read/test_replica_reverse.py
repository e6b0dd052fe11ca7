"""A replica that lags or is dead answers no lookup: the primary does."""

from __future__ import annotations

import pytest

from grantlog.errors import ProjectionLaggingError, UnavailableError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.reverse import EntitiesKey, IdPage, OfKindKey, ValuePage
from grantlog.store.postgres.replica_first import ReplicaFirst, ReplicaLimits
from grantlog.store.postgres.replica_reverse import ReplicaReverseReader
from grantlog.store.postgres.replica_state import Reads
from tests.unit.read.copies import copy_of

T1, R, E = TenantId("t1"), Revision(5), Epoch(2)
OF = OfKindKey("doc", "1", "viewer", "user", "", "a")


class Copy:
    """A copy that names itself in every answer, or fails."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.asked: list[object] = []

    def _answer(self, *asked):
        if self.error is not None:
            raise self.error
        self.asked.append(asked)
        return IdPage([self.name], more=False)

    async def read(self, tenant, revision, keys, *, epoch):
        if self.error is not None:
            raise self.error
        return ()

    async def entities(self, tenant, revision, keys, *, limit, epoch):
        return [self._answer("entities", tenant, revision, epoch, keys, limit)]

    async def of_kind(self, tenant, revision, keys, *, limit, epoch):
        return [self._answer("of_kind", tenant, revision, epoch, keys, limit)]

    async def known(self, tenant, revision, entity_type, *, after, limit, among=(), epoch):
        return self._answer("known", tenant, revision, epoch, entity_type, after, limit, among)

    async def having(self, tenant, revision, entity_type, attribute, *, after, limit, epoch):
        page = self._answer("having", tenant, revision, epoch, entity_type, attribute, after, limit)
        return ValuePage(page.ids, [], page.more)

    async def subjects(
        self, tenant, revision, subject_type, subject_relation, *, after, limit, among=(), epoch
    ):
        kind = (subject_type, subject_relation)
        return self._answer("subjects", tenant, revision, epoch, *kind, after, limit, among)


def reader(replica: Copy, primary: Copy) -> ReplicaReverseReader:
    limits = ReplicaLimits(wait_s_max=0.0, poll_s=0.0)
    copies = [copy_of(Reads(replica, None, replica))]
    return ReplicaReverseReader(ReplicaFirst(copies, Reads(primary, None, primary), limits))


async def all_answers(both: ReplicaReverseReader) -> set[str]:
    key = EntitiesKey("user", "1", "", "doc", "viewer")
    pages = [
        (await both.entities(T1, R, [key], limit=3, epoch=E))[0],
        (await both.of_kind(T1, R, [OF], limit=3, epoch=E))[0],
        await both.known(T1, R, "doc", after="a", limit=3, among=["b"], epoch=E),
        await both.having(T1, R, "doc", "level", after="a", limit=3, epoch=E),
        await both.subjects(T1, R, "group", "member", after="a", limit=3, among=["b"], epoch=E),
    ]
    return {page.ids[0] for page in pages}


async def test_a_replica_that_is_well_is_asked_with_everything_that_was_asked():
    replica, primary = Copy("replica"), Copy("primary")
    assert await all_answers(reader(replica, primary)) == {"replica"}
    assert replica.asked == [
        ("entities", T1, R, E, [EntitiesKey("user", "1", "", "doc", "viewer")], 3),
        ("of_kind", T1, R, E, [OF], 3),
        ("known", T1, R, E, "doc", "a", 3, ["b"]),
        ("having", T1, R, E, "doc", "level", "a", 3),
        ("subjects", T1, R, E, "group", "member", "a", 3, ["b"]),
    ]


@pytest.mark.parametrize("error", [ProjectionLaggingError("lags"), UnavailableError("dead")])
async def test_the_primary_answers_for_one_that_lags_or_is_dead(error: Exception):
    replica, primary = Copy("replica", error), Copy("primary")
    assert await all_answers(reader(replica, primary)) == {"primary"}


async def test_with_neither_there_is_no_answer():
    dead = UnavailableError("dead")
    with pytest.raises(UnavailableError):
        await all_answers(reader(Copy("replica", dead), Copy("primary", dead)))
