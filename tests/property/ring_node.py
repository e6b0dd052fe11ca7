"""A cached node in a directed life that asks a second one for facts, which has its own caches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from grantlog.app.answering import AnswerFacts
from grantlog.app.ask_many import BulkCheck
from grantlog.app.cached import Caches
from grantlog.app.check import Check
from grantlog.app.follow_clocks import ClockFollower, FollowLimits
from grantlog.app.places import Places
from grantlog.app.resolve import Resolver
from grantlog.app.terms import Consistency
from grantlog.cache import results as results_module
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.points import HashRing
from grantlog.cluster.sharing import RingReads, View
from grantlog.errors import GrantlogError
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ring.v1 import service_pb2 as pb
from grantlog.store.memory.reader import MemoryFactReader
from grantlog.wire.ring import fill_question, fill_reply, question_from_wire, reply_from_wire
from tests.property.cached_node import Node, Setting, settings_of
from tests.property.turns import LaggingFacts

FOR_EVER_S = 1e9


class Beside:
    """The other node, over messages as they travel."""

    may_be_asked = True

    def __init__(self, node: RingNode, answer: Callable[[FactQuestion], Any]) -> None:
        self._node = node
        self._answer = answer
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, question: FactQuestion) -> asyncio.Future[FactReply | Refusal]:
        reply: asyncio.Future[FactReply | Refusal] = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(self._work(question, reply))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return reply

    async def _work(
        self, question: FactQuestion, reply: asyncio.Future[FactReply | Refusal]
    ) -> None:
        sent = pb.Question()
        fill_question(sent, 1, question, timeout_s=1.0)
        await self._node.turns.point()
        message = pb.Answer()
        fill_reply(message, 1, await self._told(pb.Question.FromString(sent.SerializeToString())))
        await self._node.turns.point()
        if not reply.done():
            reply.set_result(reply_from_wire(message, question))

    async def _told(self, message: pb.Question) -> FactReply | Refusal:
        if self._node.chance.randrange(10) == 0:
            return Refusal.BUSY
        try:
            return await self._answer(question_from_wire(message).question)
        except GrantlogError:
            return Refusal.FAILED


class RingNode(Node):
    """A node of two. The other one has caches, a follower and a replica's view of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        slow = self.turns.around
        facts: Any = self.primary.facts
        if self.setting.replica:
            facts = LaggingFacts(MemoryFactReader(self.replica), facts)
        clocks = Clocks(slots_min=2, slots_max=self.setting.slots_max)
        limits = FollowLimits(behind_max=4, reach_max=3, page_changes_max=4)
        self.other_follower = ClockFollower(slow(self.primary.log), clocks, limits)
        self.other = Caches(
            clocks,
            self.other_follower if self.setting.reaches else None,
            None,
            RelationCache(self.setting.bytes_max, whole_subjects_max=2),
        )
        self.counts = RingCounts()
        self.back = RingCounts()
        ring = HashRing({"a", "b"})
        # The other one sees other nodes, and itself as the owner of nothing: it would ask on.
        forth = View(ring, "a", lambda _: self.beside)
        back = View(
            HashRing({"a", "c"}), "b", lambda _: Beside(self, AnswerFacts(slow(facts), self.caches))
        )
        self.other = replace(
            self.other,
            shared=RingReads(slow(facts), lambda: back, self.back, hedge_s=FOR_EVER_S),
        )
        self.beside = Beside(self, AnswerFacts(slow(facts), self.other))
        shared = RingReads(slow(facts), lambda: forth, self.counts, hedge_s=FOR_EVER_S)
        self.caches = replace(self.caches, shared=shared)
        heads, past = slow(self.primary.heads), slow(self.primary.past)
        resolver = Resolver(heads, past, self.known, Consistency.HEAD)
        self.check = Check(resolver, self.schemas, slow(facts), self.caches)
        places = Places(resolver, self.schemas, slow(facts), self.primary.reverse, self.caches)
        self.bulk = BulkCheck(places)

    def _step(self, group: asyncio.TaskGroup) -> None:
        drawn = self.chance.randrange(60)
        if drawn < 5:
            group.create_task(self.other_follower.look())
        elif drawn == 5:  # other lives than one node's show mistakes about epochs less often
            (self.save if self.saved is None else self.restore)()
        else:
            super()._step(group)


def ring_lived(chance: Random, steps: int) -> RingNode:
    """A node at the end of its life, with a second one beside it all the time."""
    setting: Setting = settings_of(chance)

    async def life() -> RingNode:
        node = RingNode(chance, setting)
        await node.live(steps)
        return node

    with (
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        patch.setattr(results_module, "DEPENDENCIES_MAX", setting.dependencies_max)
        return runner.run(life())
