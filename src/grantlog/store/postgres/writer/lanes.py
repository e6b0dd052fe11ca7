"""Queues: one a tenant, each served by one task that commits what has gathered as a group."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from grantlog.errors import GrantlogError, UnavailableError
from grantlog.model.ids import TenantId
from grantlog.ports.writer import Committed, DataIntent
from grantlog.store.postgres.writer.committing import Committer
from grantlog.store.postgres.writer.intents import Intent, Outcome, facts_named, filters_named
from grantlog.store.postgres.writer.limits import WriterLimits


@dataclass(slots=True, eq=False)
class _Ticket:
    intent: Intent
    future: asyncio.Future[Committed]


@dataclass(slots=True, eq=False)
class _Lane:
    tenant: TenantId
    waiting: deque[_Ticket] = field(default_factory=deque[_Ticket])


class Lanes:
    """Serve each tenant's intents in the order of their arrival.

    Args:
        group: where the lanes' tasks live.
        committer: commits a group.
        limits: the writer's bounds.
        changed: told a tenant after each commit that changed it.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        committer: Committer,
        limits: WriterLimits,
        changed: Callable[[TenantId], None],
    ) -> None:
        self._group = group
        self._committer = committer
        self._limits = limits
        self._changed = changed
        self._lanes: dict[TenantId, _Lane] = {}
        self._open = True

    def close(self) -> None:
        """Take nothing more; what waits is still served."""
        self._open = False

    async def submit(self, intent: Intent) -> Committed:
        """Wait for the intent's outcome.

        A caller that is cancelled while the intent waits takes it back; later, the write happens
        or not, and the group goes on either way.
        """
        if not self._open:
            raise UnavailableError("writing (nothing was committed): this process is ending")
        lane = self._lanes.get(intent.tenant)
        if lane is None:
            lane = self._lanes[intent.tenant] = _Lane(intent.tenant)
            self._group.create_task(self._serve(lane), name=f"writes of {intent.tenant}")
        if len(lane.waiting) >= self._limits.queue_writes_max:
            raise UnavailableError(
                f"writing (nothing was committed): {self._limits.queue_writes_max} writes of this "
                "tenant wait already; try again later"
            )
        ticket = _Ticket(intent, asyncio.get_running_loop().create_future())
        lane.waiting.append(ticket)
        return await ticket.future

    async def _serve(self, lane: _Lane) -> None:
        taken: list[_Ticket] = []
        try:
            while True:
                # Those whom the last group's outcome just woke may ask again before the next one.
                await asyncio.sleep(0)
                taken = _take(lane.waiting, self._limits)
                if not taken:
                    break
                await self._commit(lane.tenant, taken)
        finally:
            # Ended from outside: nobody may wait for ever.
            for ticket in (*taken, *lane.waiting):
                _settle(ticket, UnavailableError("the outcome of the write is unknown"))
            lane.waiting.clear()
            del self._lanes[lane.tenant]

    async def _commit(self, tenant: TenantId, taken: list[_Ticket]) -> None:
        try:
            outcomes = await self._committer.commit([ticket.intent for ticket in taken])
        except Exception as error:  # noqa: BLE001 - a bug goes to whom it concerns, not to the lane
            for ticket in taken:
                _settle(ticket, error)
            return
        for ticket, outcome in zip(taken, outcomes, strict=True):
            _settle(ticket, outcome)
        if any(isinstance(outcome, Committed) and outcome.commit_time for outcome in outcomes):
            self._changed(tenant)


def _take(waiting: deque[_Ticket], limits: WriterLimits) -> list[_Ticket]:
    """The next group: data writes share one within the bounds, everything else goes alone."""
    taken: list[_Ticket] = []
    facts = filters = 0
    while waiting and len(taken) < limits.group_writes_max:
        intent = waiting[0].intent
        if waiting[0].future.done():  # the caller was cancelled
            waiting.popleft()
            continue
        if not isinstance(intent, DataIntent):
            return taken or [waiting.popleft()]
        facts += facts_named(intent)
        filters += filters_named(intent)
        if taken and (facts > limits.group_facts_max or filters > limits.group_filters_max):
            break
        taken.append(waiting.popleft())
    return taken


def _settle(ticket: _Ticket, outcome: Outcome | Exception) -> None:
    if ticket.future.done():
        return
    if isinstance(outcome, Committed):
        ticket.future.set_result(outcome)
    else:
        # One error may be told to several callers: each gets one to raise of its own.
        ticket.future.set_exception(_own(outcome))


def _own(error: Exception) -> Exception:
    if not isinstance(error, GrantlogError):
        return error
    own = error.__class__.__new__(error.__class__)
    own.__dict__.update(error.__dict__)
    own.args = error.args
    own.__cause__ = error.__cause__
    return own
