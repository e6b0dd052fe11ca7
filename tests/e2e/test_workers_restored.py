"""`grantlog serve --workers 2` over a primary that is put back: none speaks of what was lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.test_workers import new_tenant, workers
from tests.e2e.test_workers_kafka import Node, fact
from tests.own_postgres import OwnPostgres, own_postgres
from tests.waiting import until

LOST, ANEW = "lost", "anew"


@pytest.fixture
def primary() -> Iterator[OwnPostgres]:
    with own_postgres() as running:
        yield running


async def view(node: Node, worker: str, doc: str, token: str = "") -> str:
    """What a worker answers: its result, or the text of its refusal."""
    question = {
        "metadata": {"depth": 20, "snap_token": token},
        "entity": {"type": "doc", "id": doc},
        "permission": "view",
        "subject": {"type": "user", "id": "ann"},
    }
    path = f"/v1/tenants/{node.tenant}/permissions/check"
    answer = await node.lines[worker].post(path, json=question)
    return str(answer.json().get("can") or answer.text)


async def test_a_worker_that_stood_still_while_another_gave_lost_revisions_away(
    serve: Serve, primary: OwnPostgres
):
    """Who wrote what was lost is gone, and who read it finds a log that is just as long."""
    served = await serve("--workers", "2", "--database-url", primary.dsn(), data=None)
    node = Node(served, await new_tenant(served))
    await node.connect()
    reader, writer = "0", "1"
    backup = await asyncio.to_thread(primary.back_up, "backup")
    token = await node.toggle(LOST, writer)
    for _ in range(3):  # it has the answer, and all facts for it
        assert await view(node, reader, LOST, token) == "CHECK_RESULT_ALLOWED"
    gone = node.pids[writer]
    os.kill(gone, signal.SIGKILL)
    await until(lambda: len(workers(served) - {gone}) == 2, within_s=60)
    await node.connect()

    os.kill(node.pids[reader], signal.SIGSTOP)
    try:
        await asyncio.to_thread(primary.restore, backup)
        body = {"metadata": {}, "tuples": [fact(ANEW)]}
        path = f"/v1/tenants/{node.tenant}/data/write"

        async def written() -> bool:
            return (await node.lines[writer].post(path, json=body)).status_code == 200

        await until(written, within_s=60)
    finally:
        os.kill(node.pids[reader], signal.SIGCONT)

    async def answers() -> bool:
        return await view(node, reader, ANEW) == "CHECK_RESULT_ALLOWED"

    await until(answers, within_s=60)
    for worker in (reader, writer):
        assert await view(node, worker, LOST) == "CHECK_RESULT_DENIED"
        assert await view(node, worker, ANEW) == "CHECK_RESULT_ALLOWED"

        async def refuses(worker: str = worker) -> bool:
            return "lost when the database was restored" in await view(node, worker, LOST, token)

        await until(refuses, within_s=60)
    await node.close()
