"""What must hold whenever the faults of a round are over."""

from __future__ import annotations

import asyncio

from grantlog.testing.histories import Act, violations
from tests.faults import tally
from tests.faults.deployment import Deployment
from tests.faults.topic import topic_differs
from tests.history_load import Load
from tests.waiting import until

RECOVERED_S_MAX = 120.0
SHOWN_MAX = 10
WRITES_MIN, ANSWERS_MIN = 50, 100
"""Of a round: with fewer, the load met nothing but faults."""


async def recovered(deployment: Deployment) -> None:
    """Return when every service works again, without anybody's help."""
    await until(deployment.serves, within_s=RECOVERED_S_MAX)

    async def equal() -> bool:
        code, _ = await deployment.verify()
        return code == 0

    await until(equal, within_s=RECOVERED_S_MAX)

    async def published() -> bool:
        code, said = await deployment.command("topic", "status")
        return code == 0 and "0 revisions are not published yet" in said

    await until(published, within_s=RECOVERED_S_MAX)


async def audit(deployment: Deployment, load: Load) -> None:
    """Assert that the round kept every promise, and count what it did."""
    notes = load.notes
    logs = {tenant: await deployment.log_of(tenant) for tenant in load.tenants}
    broken = await asyncio.to_thread(violations, notes.history, logs)
    assert not broken, _shown([str(one) for one in broken])
    odd = [*notes.odd, *deployment.wrong()]
    assert not odd, _shown(odd)
    differs = await topic_differs(deployment, load.tenants)
    assert not differs, _shown(differs)
    acknowledged = sum(bool(write.token) for write in notes.history.writes)
    tally.CALLS["writes acknowledged"] += acknowledged
    tally.CALLS["writes of unknown outcome"] += len(notes.history.writes) - acknowledged
    tally.CALLS["answers"] += len(notes.history.answers)
    tally.CALLS["answers from the replica"] += sum(
        answer.source == "replica" for answer in notes.history.answers
    )
    tally.CALLS["deletions of a tenant"] += sum(
        write.act is Act.DELETION and write.returned < float("inf")
        for write in notes.history.writes
    )
    tally.CALLS["calls told that it is gone"] += len(notes.history.refused)
    tally.CALLS["calls failed"] += notes.failed.total() - notes.failed["watch UNAVAILABLE"]
    tally.CALLS["watches resumed"] += notes.failed["watch UNAVAILABLE"]
    tally.CALLS["changes told to watchers"] += sum(
        len(told.changes) for watched in notes.history.watched for told in watched.told
    )
    assert acknowledged >= WRITES_MIN
    assert len(notes.history.answers) >= ANSWERS_MIN


def _shown(lines: list[str]) -> str:
    shown = "\n".join(line[:1500] for line in lines[:SHOWN_MAX])
    return f"{len(lines)} in a run with the seed {tally.SEED}:\n{shown}"
