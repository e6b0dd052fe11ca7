"""Work for a client of REST goes on for as long as the client is there."""

from __future__ import annotations

import asyncio

import pytest
from grantlog_api.rest_leaving import Leaving, while_connected
from starlette.requests import ClientDisconnect

from tests.waiting import never


class Client:
    """An ASGI client whose request has been read; it leaves when told."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.watched = 0

    async def receive(self):
        self.watched += 1
        try:
            await self.left.wait()
        finally:
            self.watched -= 1
        return {"type": "http.disconnect"}


@pytest.fixture
def troubles():
    """What the loop complained about."""
    seen = []
    yield seen
    assert seen == []


async def watching(troubles) -> Client:
    asyncio.get_running_loop().set_exception_handler(lambda _, what: troubles.append(what))
    return Client()


async def test_the_answer_comes_and_nobody_watches_any_more(troubles):
    client = await watching(troubles)

    async def work():
        await asyncio.sleep(0)
        assert client.watched == 1
        return 7

    assert await while_connected({}, client.receive, work()) == 7
    await asyncio.sleep(0)
    assert client.watched == 0


async def test_a_client_that_leaves_ends_the_work_where_it_stands(troubles):
    client = await watching(troubles)
    ended = []

    async def work():
        client.left.set()
        try:
            await never()
        finally:
            ended.append("here")

    with pytest.raises(ClientDisconnect):
        await while_connected({}, client.receive, work())
    assert ended == ["here"]


async def test_a_client_that_leaves_as_the_answer_is_ready_disturbs_nothing(troubles):
    for turns in range(6):
        client = await watching(troubles)

        async def work(client=client, turns=turns):
            client.left.set()
            for _ in range(turns):
                await asyncio.sleep(0)

        try:
            await while_connected({}, client.receive, work())
        except ClientDisconnect:
            assert turns > 0
        for _ in range(4):
            await asyncio.sleep(0)


async def test_an_error_of_the_work_is_the_callers_also_a_timeout(troubles):
    client = await watching(troubles)

    async def work():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await while_connected({}, client.receive, work())


async def test_a_protocol_that_tells_of_the_loss_ends_the_work_where_it_stands(troubles):
    client, scope, ended = await watching(troubles), {}, []
    leaving = Leaving(scope)

    async def work():
        asyncio.get_running_loop().call_soon(leaving.leave)
        try:
            await never()
        finally:
            ended.append(True)

    with pytest.raises(ClientDisconnect):
        await while_connected(scope, client.receive, work())
    assert ended
    assert client.watched == 0
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_for_a_client_that_has_left_does_not_begin(troubles):
    client, scope, begun = await watching(troubles), {}, []
    leaving = Leaving(scope)
    leaving.leave()

    async def work():
        begun.append(True)

    with pytest.raises(ClientDisconnect):
        await while_connected(scope, client.receive, work())
    assert not begun


async def test_work_that_others_cancel_is_cancelled_and_a_later_loss_cancels_nobody(troubles):
    client, scope = await watching(troubles), {}
    leaving = Leaving(scope)

    async def work():
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await never()

    with pytest.raises(asyncio.CancelledError):
        await while_connected(scope, client.receive, work())
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    leaving.leave()
    await asyncio.sleep(0)
