"""A primary is restored, and epochs open, under writes and checks with tokens: no answer mixes two
lives of the log, and what was lost is told as lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from grpc import aio

from grantlog.errors import LostWriteError
from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.histories import Answered, History, violations
from grantlog.testing.histories.promises import place_of_token
from tests.history_client import Notes, _error_of, ask, now
from tests.history_load import Load, whole_log, working
from tests.history_wire import Stubs
from tests.integration.accidents.conftest import OPENED
from tests.own_postgres import OwnPostgres, one
from tests.waiting import until
from tests.whole_api import whole_api
from tests.workload import Workload

TENANTS = [TenantId("one"), TenantId("two")]
ENOUGH = 150
"""Answers between one event and the next."""
FIRST = 1
"""The epoch that is lost in part."""

Logs = dict[TenantId, Sequence[Transaction]]


@dataclass
class LossNotes(Notes):
    """Notes of clients that go on from an older token where theirs was told to be lost."""

    lost: list[tuple[TenantId, str]] = field(default_factory=list)

    def told(self, tenant: TenantId, token: str) -> None:
        known = self.latest.get(tenant, "")
        self.latest[tenant] = max(token, known, key=lambda each: place_of_token(tenant, each))

    def refuse(
        self, client: str, node: Stubs, tenant: TenantId, sent: str, invoked: float,
        error: aio.AioRpcError,
    ) -> bool:  # fmt: skip
        if not isinstance(_error_of(error), LostWriteError):
            return super().refuse(client, node, tenant, sent, invoked, error)
        self.lost.append((tenant, sent))
        if self.latest[tenant] == sent:
            self.latest[tenant] = ""
        return True


class UnwatchedLoad(Load):
    """Clients that write and ask; tests/e2e/test_restore.py has a watcher."""

    async def prepare(self) -> None:
        await super().prepare()
        self.notes.history.watched.clear()


async def logs_at(dsn: str) -> Logs:
    async with open_pool(dsn, size_max=1, application_name="test") as pool:
        return {tenant: await whole_log(pool, tenant) for tenant in TENANTS}


def survived(logs: Logs) -> dict[TenantId, int]:
    """By tenant, the last revision of the first epoch that is in its log."""
    return {t: max(e.revision for e in log if e.epoch == FIRST) for t, log in logs.items()}


def lives(history: History, logs: Logs, killed_at: float) -> tuple[History, History]:
    """What belongs to the life that was lost, and what to the one that goes on.

    A write of which nobody knows what became of it may be in either.
    """
    kept = survived(logs)

    def of(token: str, tenant: TenantId) -> tuple[int, int]:
        return place_of_token(tenant, token)

    before, behind = History(), History()
    for write in history.writes:
        epoch, revision = of(write.token, write.tenant)
        if write.invoked < killed_at and (not write.token or epoch == FIRST):
            # "nothing was committed" is said of the life that goes on
            before.writes.append(replace(write, denied=False))
        if not write.token or epoch > FIRST or revision <= kept[write.tenant]:
            behind.writes.append(write)
    for answer in history.answers:
        is_old = of(answer.token, answer.tenant)[0] == FIRST
        (before if is_old else behind).answers.append(answer)
    return before, behind


def is_lost(tenant: TenantId, token: str, kept: dict[TenantId, int]) -> bool:
    epoch, revision = place_of_token(tenant, token)
    return epoch == FIRST and revision > kept[tenant]


def mixed(answers: Sequence[Answered], kept: dict[TenantId, int]) -> list[Answered]:
    """Answers in another life than that of the token that they were asked with."""
    found: list[Answered] = []
    for answer in answers:
        sent = place_of_token(answer.tenant, answer.sent)
        stands = place_of_token(answer.tenant, answer.token)
        of_the_lost = is_lost(answer.tenant, answer.sent, kept)
        if stands[0] < sent[0] or (of_the_lost and stands[0] > FIRST):
            found.append(answer)
    return found


async def test_no_answer_mixes_lives_of_a_restored_primary(primary: OwnPostgres) -> None:
    dsn, seed = primary.dsn(), str(Random().random())
    notes = LossNotes()

    async def log_of(tenant: TenantId) -> Sequence[Transaction]:
        return (await logs_at(dsn))[tenant]

    async with whole_api(dsn) as a, whole_api(dsn) as b:
        addresses = {"a": a.grpc_address, "b": b.grpc_address}
        load = UnwatchedLoad(addresses, log_of, seed, TENANTS, pace=10, notes=notes)

        async def more() -> None:
            """Return when so many more calls were answered as of the newest epoch."""
            newest = await one(dsn, "SELECT max(epoch) FROM epochs")
            seen = len(notes.history.answers)

            def answered() -> bool:
                new = notes.history.answers[seen:]
                return sum(place_of_token(e.tenant, e.token)[0] == newest for e in new) >= ENOUGH

            await until(answered, within_s=60)

        async with working(load):
            await more()
            backup = await asyncio.to_thread(primary.back_up, "backup")
            await more()
            killed_at = now()
            lost_data = await asyncio.to_thread(primary.restore, backup)

            async def opened() -> bool:
                return await one(dsn, OPENED) == 2

            await until(opened, within_s=60)
            await more()
            await open_epoch(dsn, reason="a test")
            await more()
        logs = await logs_at(dsn)
        with primary.beside(lost_data) as elsewhere:
            lost_logs = await logs_at(elsewhere)
        before, behind = lives(notes.history, logs, killed_at)
        kept = survived(logs)
        assert violations(before, lost_logs) == [], f"seed {seed}"
        assert violations(behind, logs) == [], f"seed {seed}"
        assert mixed(notes.history.answers, kept) == []
        assert all(is_lost(*refused, kept) for refused in notes.lost), "told of what survived"
        told = [(answer.tenant, answer.token) for answer in before.answers]
        tenant, token = next(each for each in reversed(told) if is_lost(*each, kept))
        question = Workload("last", Random(seed)).question()
        for node in load.nodes():
            refusals = len(notes.lost)
            await ask(notes, "last", node, tenant, question, token)
            assert len(notes.lost) == refusals + 1, "a lost token is refused for ever"
            await node.channel.close()
    assert not notes.odd
