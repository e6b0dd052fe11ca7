"""A tenant that is deleted and created again and again, while everybody asks and writes.

Every fact names the life that it was written in. Whatever is answered is of one life, and what is
refused is refused for a reason that a deletion gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import count
from typing import Any

from grantlog.errors import GrantlogError
from grantlog.model.token import decode_token
from grantlog.serving.calls import Calls
from tests.integration.tenancy.asking import Tenant, entity, request_of, subject
from tests.integration.tenancy.shared import Shared
from tests.waiting import until

SCHEMA = """
entity user {}
entity doc { relation viewer @user permission view = viewer }
"""
LIVES = 12
QUESTIONS_PER_LIFE = 10
NAME = "phoenix"
META = {"metadata": {}}
DEPTH = {"metadata": {"depth": 5}}
GONE = {"ERROR_CODE_SCHEMA_NOT_FOUND", "BEHIND_WINDOW"}
"""Between two lives there is no schema; what began in one life does not go on in another."""
LATE = {"ERROR_CODE_SERIALIZATION", "STALE_SCHEMA"}
"""A write that was validated in one life is not taken into another."""


def docs(life: int) -> list[dict[str, Any]]:
    place = {"relation": "viewer", "subject": subject("user:1")}
    return [{"entity": entity(f"doc:{life:03}-{n}"), **place} for n in range(6)]


class Stage:
    """What is asked while lives come and go."""

    def __init__(self, nodes: list[Calls]) -> None:
        self.nodes = nodes
        self.over = asyncio.Event()
        self.answered = 0
        self.heads: list[int] = []

    async def live(self) -> None:
        """Lives, one after the other, through changing nodes."""
        for life in range(LIVES):
            tenant = Tenant(self.nodes[life % 2], NAME)
            await tenant.call("Schema/Write", {"schema": SCHEMA})
            for half in (docs(life)[:3], docs(life)[3:]):
                said = await tenant.call("Data/Write", {**META, "tuples": half, "attributes": []})
                self.heads.append(said["snap_token"][1])
            await self.asked_more()
            assert await Tenant(self.nodes[(life + 1) % 2], NAME).call("Tenancy/Delete", {}) == {
                "tenant_id": NAME
            }
        self.over.set()

    async def asked_more(self) -> None:
        """Return when others have asked a while in this life."""
        goal = self.answered + QUESTIONS_PER_LIFE
        await until(lambda: self.answered >= goal)

    async def ask(self, question: Callable[[Calls], Awaitable[None]]) -> None:
        """Ask until all lives are over."""
        for turn in count():
            if self.over.is_set():
                return
            await question(self.nodes[turn % 2])
            self.answered += 1
            await asyncio.sleep(0)

    async def lookup(self, calls: Calls) -> None:
        body = {**DEPTH, "entity_type": "doc", "permission": "view", "subject": subject("user:1")}
        one_life(await Tenant(calls, NAME).pages(
            "Permission/LookupEntity", {**body, "page_size": 2}, "entity_ids"
        ))  # fmt: skip
        one_life(await Tenant(calls, NAME).stream(body))

    async def read(self, calls: Calls) -> None:
        body = {**META, "filter": {"relation": "viewer"}, "page_size": 2}
        found = await Tenant(calls, NAME).pages("Data/ReadRelationships", body, "tuples")
        one_life(found if isinstance(found, str) else [t["entity"]["id"] for t in found])

    async def check(self, calls: Calls) -> None:
        body = {**DEPTH, "entity": entity("doc:none"), "permission": "view"}
        said = await Tenant(calls, NAME).call(
            "Permission/Check", {**body, "subject": subject("user:1")}
        )
        assert said in GONE if isinstance(said, str) else said["can"] == "CHECK_RESULT_DENIED"

    async def write(self, calls: Calls) -> None:
        """A write beside a deletion is in one life or in none; nothing of it stays."""
        fact = {"entity": entity("doc:late"), "relation": "viewer", "subject": subject("user:2")}
        said = await Tenant(calls, NAME).call("Data/Write", {**META, "tuples": [fact]})
        assert isinstance(said, dict) or said in GONE | LATE

    async def watch(self, calls: Calls) -> None:
        """A watch tells revisions in order and ends with the life."""
        request = request_of("Watch/Watch", NAME, {})
        revision = 0
        try:
            async with aclosing(calls.stream("/base.v1.Watch/Watch", request)) as messages:
                async for message in messages:
                    at = decode_token(NAME, message.changes.snap_token).revision
                    assert at >= revision
                    revision = at
                    if self.over.is_set():
                        return
        except GrantlogError as error:
            if error.reason != "TENANT_DELETED":
                raise
            next_life = decode_token(NAME, error.facts["snap_token"])
            if next_life.revision <= revision:
                raise


def one_life(found: list[str] | str) -> None:
    """All ids are of one life, none is missing in between, or it was refused."""
    if isinstance(found, str):
        assert found in GONE, found
        return
    ids = [id_ for id_ in found if id_ != "late"]
    lives = {id_.partition("-")[0] for id_ in ids}
    assert len(lives) <= 1, found
    life = int(lives.pop()) if lives else 0
    whole = [fact["entity"]["id"] for fact in docs(life)]
    assert ids in ([], whole[:3], whole), found


async def test_every_answer_is_of_one_life(shared: Shared) -> None:
    stage = Stage(shared.nodes)
    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for question in (stage.lookup, stage.read, stage.check, stage.write, stage.watch):
            group.create_task(stage.ask(question))
        group.create_task(stage.live())
    assert stage.heads == sorted(set(stage.heads))
    body = {**META, "filter": {}}
    left = await Tenant(shared.nodes[0], NAME).call("Data/ReadRelationships", body)
    assert left == {} or [t["entity"]["id"] for t in left["tuples"]] == ["late"]
