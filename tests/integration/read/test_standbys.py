"""Physical standbys as replicas: behind, paused, killed, promoted, and beside a projected one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from grantlog.model.ids import Epoch, Revision
from grantlog.ports.standing import Source, follow_standing
from grantlog.store.postgres.epoch import open_epoch
from grantlog.store.postgres.lives import Kind
from grantlog.store.postgres.proof import Proof
from grantlog.store.postgres.replica_first import ReplicaLimits
from grantlog.store.postgres.replica_reads import ReplicaReads, open_replica_reads
from grantlog.testing.contracts.places import ACME, Primary, direct
from tests.contract.postgres import postgres_primary
from tests.standbys import (
    Standby,
    new_standby,
    own_server,
    run,
    streamed_database,
    streaming_server,
)
from tests.waiting import until

__all__ = ["new_standby", "streamed_database", "streaming_server"]

NewDatabase = Callable[..., Awaitable[str]]
NewStandby = Callable[[], Awaitable[Standby]]
PATIENT = ReplicaLimits(wait_s_max=60.0, probe_s=0.05, probe_timeout_s=20.0, back_s_max=0.1)
HASTY = ReplicaLimits(wait_s_max=0.05, probe_s=0.05, probe_timeout_s=60.0, back_s_max=0.1)
BLIND = ReplicaLimits(wait_s_max=0.05, probe_s=600.0, probe_timeout_s=60.0)
FACT = "doc:1#viewer@user:1"


@dataclass
class Node:
    """What an API node reads with, and what it knows of epochs."""

    replicas: ReplicaReads
    began: list[Epoch]

    async def read(self, at: Revision, text: str = FACT) -> tuple[bool, Source]:
        """Whether a fact holds at a revision, and who said so."""
        standing = follow_standing()
        (held,) = await self.replicas.reads.facts.read(ACME, at, [direct(text)])
        assert isinstance(held, bool)
        return held, standing.source

    def out(self) -> list[str]:
        """Why each replica is out, "" for one that is in."""
        return [state.out_because for state in self.replicas.states]


@asynccontextmanager
async def node(
    primary_dsn: str, replicas: Sequence[str], limits: ReplicaLimits = HASTY
) -> AsyncIterator[Node]:
    began: list[Epoch] = []
    proof = Proof(entered=began.append)
    async with open_replica_reads(primary_dsn, replicas, proof=proof, limits=limits) as opened:
        yield Node(opened, began)


@pytest.fixture
async def dsn(streamed_database: NewDatabase) -> str:
    return await streamed_database()


@pytest.fixture
async def primary(dsn: str) -> AsyncIterator[Primary]:
    async with postgres_primary(dsn) as ports:
        yield ports


@pytest.fixture
async def standby(new_standby: NewStandby, dsn: str) -> Standby:
    del dsn  # it must be there before the copy is taken
    return await new_standby()


async def test_a_standby_is_known_for_what_it_is_and_answers(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    done = await primary.put(FACT)
    async with node(dsn, [standby.dsn(dsn)], PATIENT) as reader:
        assert reader.out() == [""]
        assert reader.replicas.states[0].kind is Kind.STANDBY
        assert await reader.read(done.revision) == (True, Source.REPLICA)
        assert await reader.read(Revision(done.revision - 1)) == (False, Source.REPLICA)


async def test_a_paused_standby_is_waited_for_and_never_answers_with_less(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    async with node(dsn, [standby.dsn(dsn)], PATIENT) as reader:
        await primary.put(FACT)
        await standby.catch_up(dsn)  # where the tenant is not known yet, nothing is behind
        await standby.pause()
        gone = await primary.remove(FACT)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(reader.read(gone.revision))
            await until(lambda: reader.replicas.states[0].seems_behind(ACME, gone.revision))
            await standby.resume()
        assert reading.result() == (False, Source.REPLICA)


async def test_a_standby_that_stays_behind_leaves_it_to_the_primary(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    async with node(dsn, [standby.dsn(dsn)], HASTY) as reader:
        put = await primary.put(FACT)
        await standby.catch_up(dsn)
        await standby.pause()
        gone = await primary.remove(FACT)
        assert await reader.read(gone.revision) == (False, Source.PRIMARY)
        assert await reader.read(put.revision) == (True, Source.REPLICA), "as of what it has"


async def test_a_killed_standby_is_left_out_and_comes_back(
    primary: Primary, new_standby: NewStandby, dsn: str
) -> None:
    first, second = await new_standby(), await new_standby()
    async with node(dsn, [first.dsn(dsn), second.dsn(dsn)], PATIENT) as reader:
        done = await primary.put(FACT)
        await first.kill()
        for _ in range(20):
            assert await reader.read(done.revision) == (True, Source.REPLICA)
        await until(lambda: reader.out()[0] != "")
        assert reader.out()[1] == ""
        await second.kill()
        assert await reader.read(done.revision) == (True, Source.PRIMARY)
        await until(lambda: "" not in reader.out())
        async with own_server(second.place):
            await until(lambda: reader.out()[1] == "")
            assert await reader.read(done.revision) == (True, Source.REPLICA)


async def test_a_frozen_standby_holds_reads_up_once_and_comes_back(
    primary: Primary, new_standby: NewStandby, dsn: str
) -> None:
    first, second = await new_standby(), await new_standby()
    async with node(dsn, [first.dsn(dsn), second.dsn(dsn)], PATIENT) as reader:
        done = await primary.put(FACT)
        first.freeze()
        try:
            async with asyncio.TaskGroup() as group:
                reads = [group.create_task(reader.read(done.revision)) for _ in range(20)]
            assert {read.result() for read in reads} == {(True, Source.REPLICA)}
            await until(lambda: reader.out()[0] == "it does not answer in time")
            for _ in range(20):
                assert await reader.read(done.revision) == (True, Source.REPLICA)
        finally:
            first.thaw()
        await until(lambda: reader.out() == ["", ""])
        assert await reader.read(done.revision) == (True, Source.REPLICA)


async def test_a_node_starts_while_its_replicas_are_away(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    done = await primary.put(FACT)
    await standby.kill()
    async with node(dsn, [standby.dsn(dsn)]) as reader:
        assert reader.out() != [""]
        assert await reader.read(done.revision) == (True, Source.PRIMARY)


@pytest.mark.parametrize("limits", [HASTY, BLIND], ids=["probed", "not probed meanwhile"])
async def test_a_promoted_standby_answers_nothing_any_more(
    primary: Primary, standby: Standby, dsn: str, limits: ReplicaLimits
) -> None:
    copy = standby.dsn(dsn)
    async with node(dsn, [copy], limits) as reader:
        put = await primary.put(FACT)
        await standby.catch_up(dsn)
        assert await reader.read(put.revision) == (True, Source.REPLICA)
        await standby.promote()
        async with postgres_primary(copy) as other:  # opens an epoch of its own, and diverges
            forked = await other.put("doc:9#viewer@user:9")
            gone = await primary.remove(FACT)
            assert gone.revision == forked.revision
            assert await reader.read(gone.revision) == (False, Source.PRIMARY)
        if limits is BLIND:
            return
        await until(lambda: "primary of its own" in reader.out()[0])
        assert await reader.read(put.revision) == (True, Source.PRIMARY)


async def test_two_servers_in_epochs_of_one_number_are_told_apart(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    copy = standby.dsn(dsn)
    async with node(dsn, [copy], HASTY) as reader:
        await primary.put(FACT)
        await standby.catch_up(dsn)
        await standby.promote()
        async with postgres_primary(copy) as other:
            forked = await other.put("doc:9#viewer@user:9")
            await run(dsn, SAME_NUMBER.format(forked.epoch))
            gone = await primary.remove(FACT)
            assert (forked.revision, forked.epoch) == (gone.revision, gone.epoch)
            for _ in range(20):
                assert await reader.read(gone.revision) == (False, Source.PRIMARY)
            await until(lambda: reader.began == [1, gone.epoch])
            assert await reader.read(gone.revision) == (False, Source.PRIMARY)


async def test_a_new_epoch_is_read_from_a_standby_as_soon_as_both_are_there(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    async with node(dsn, [standby.dsn(dsn)], PATIENT) as reader:
        done = await primary.put(FACT)
        assert await reader.read(done.revision) == (True, Source.REPLICA)
        epoch = await open_epoch(dsn, reason="a test")
        await until(lambda: reader.began == [1, epoch])

        async def the_standby_answers() -> bool:
            held, source = await reader.read(done.revision)
            assert held
            return source is Source.REPLICA

        # The node may not have noticed yet that the standby lacks the epoch, or may be rid of it.
        await until(the_standby_answers)
        assert reader.out() == [""]


async def test_another_primarys_standby_is_refused(
    primary: Primary, new_standby: NewStandby, streamed_database: NewDatabase, dsn: str
) -> None:
    done = await primary.put(FACT)
    other_dsn = await streamed_database()
    async with postgres_primary(other_dsn) as other:
        await other.put("doc:9#viewer@user:9")
    standby = await new_standby()
    async with node(dsn, [standby.dsn(other_dsn)]) as reader:
        assert reader.out() == ["it holds another log than this primary's"]
        assert await reader.read(done.revision) == (True, Source.PRIMARY)


async def test_the_primary_itself_may_be_named_as_a_reader(primary: Primary, dsn: str) -> None:
    done = await primary.put(FACT)
    async with node(dsn, [dsn]) as reader:
        assert (reader.out(), reader.replicas.states[0].kind) == ([""], Kind.PRIMARY)
        assert (await reader.read(done.revision))[0] is True


async def test_a_statement_that_replay_takes_back_is_asked_elsewhere(
    primary: Primary, standby: Standby, dsn: str
) -> None:
    copy = standby.dsn(dsn)
    async with node(dsn, [copy], PATIENT) as reader:
        done = await primary.put(FACT)
        assert await reader.read(done.revision) == (True, Source.REPLICA)
        holder = await asyncpg.connect(dsn)
        async with asyncio.TaskGroup() as group, holder.transaction():
            # A read locks its tables in order: it has the tuples and waits for the attributes.
            await holder.execute("LOCK TABLE attributes IN ACCESS EXCLUSIVE MODE")
            await run(dsn, "TRUNCATE relation_tuples_history")  # a commit, so that the lock is sent
            await standby.catch_up(dsn)
            reading = group.create_task(reader.read(done.revision))
            await until(lambda: says(copy, WAITING.format("grantlog replica reads")))
            await run(dsn, "TRUNCATE relation_tuples_history, relation_tuples")
            await until(lambda: says(dsn, WAITING.format("grantlog fallback reads")))
        await holder.close()
        assert reading.result() == (False, Source.PRIMARY)
        assert reader.out() == [""]


SAME_NUMBER = """
    WITH opened AS (
        INSERT INTO epochs (epoch, system_identifier, timeline, reason)
        SELECT {0}, max(system_identifier), max(timeline), 'in the same second' FROM epochs
    )
    UPDATE heads SET epoch = {0}"""
WAITING = """SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE application_name = '{}' AND wait_event_type = 'Lock')"""


async def says(dsn: str, question: str) -> bool:
    return await run(dsn, question) is True
