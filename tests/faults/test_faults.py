"""Processes are killed and stopped, connections cut and slowed: no promise of design §5 breaks."""

from __future__ import annotations

from random import Random

from grantlog.model.ids import TenantId
from tests.faults import tally
from tests.faults.audit import RECOVERED_S_MAX, audit, recovered
from tests.faults.deployment import Deployment, deployed
from tests.faults.faults import FAULTS_PER_ROUND, Faults
from tests.history_load import Load, working
from tests.waiting import until

KAFKA_GONE_S = 30.0


def load_of(deployment: Deployment, name: object) -> Load:
    """The clients of a round, with tenants of their own."""
    tenants = [TenantId(f"round-{name}-{letter}") for letter in "xyz"]
    seed = f"{tally.SEED} {name}"
    return Load(deployment.grpc, deployment.log_of, seed, tenants, reborn=tenants[-1])


async def one_round(deployment: Deployment, number: int) -> None:
    """Faults under load, then recovery, then the audit."""
    faults = Faults(deployment, Random(f"{tally.SEED} {number} faults"))
    try:
        async with working(load_of(deployment, number)) as load:
            await faults.inject()
            await until(deployment.serves, within_s=RECOVERED_S_MAX)
    finally:
        tally.FAULTS.update(faults.done)
    await recovered(deployment)
    await audit(deployment, load)


async def test_no_fault_breaks_a_promise():
    """Two hundred faults by the end, unless GRANTLOG_TEST_FAULTS_ROUNDS asks for fewer rounds."""
    async with deployed() as deployment:
        for number in range(tally.ROUNDS):
            await one_round(deployment, number)
        assert tally.FAULTS.total() >= FAULTS_PER_ROUND * tally.ROUNDS


async def test_kafka_may_be_gone_for_half_a_minute_and_a_replica_be_lost():
    async with deployed() as deployment:
        faults = Faults(deployment, Random(f"{tally.SEED} kafka"))
        async with working(load_of(deployment, "kafka")) as load:
            await faults.kill_kafka(gone_s=KAFKA_GONE_S)
            tally.FAULTS["lose kafka"] += 1
            await recovered(deployment)
            await deployment.lose_replica()
            tally.FAULTS["lose replica"] += 1
            await recovered(deployment)
        await recovered(deployment)
        await audit(deployment, load)
