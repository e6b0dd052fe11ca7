"""Keeping the leases of partitions, beside the sending: nobody's event waits for a renewal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from grantlog.changelog.kafka.producer import TopicWriter
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.outbox import Lease, Outbox
from grantlog.errors import GrantlogError
from grantlog.model.ids import Epoch

_LOG: Final = structlog.get_logger("grantlog.publish")

LookBack = Callable[[Collection[Lease]], Awaitable[None]]
"""Holds partitions against the log, before anything is sent there: `TopicTail.look_back`. An epoch
that it opens is read behind it, as any other's."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one renewal found."""

    leases: Mapping[int, Lease]
    """By partition."""
    troubles: Mapping[int, str]
    """By partition, why nothing may be sent there."""
    epoch: Epoch
    """The log's."""

    @property
    def working(self) -> set[int]:
        """The partitions to publish."""
        return self.leases.keys() - self.troubles.keys()

    def works_as(self, other: Held) -> bool:
        """Whether what is sent and how it is fenced is the same under both."""
        return (self.epoch, self.troubles.keys(), _epochs(self.leases)) == (
            other.epoch,
            other.troubles.keys(),
            _epochs(other.leases),
        )

    def acknowledged(self, offsets: Mapping[int, int]) -> Held:
        """The same with higher offsets, where these are higher."""
        leases = {
            partition: replace(
                lease,
                acknowledged_offset=max(lease.acknowledged_offset, offsets.get(partition, -1)),
            )
            for partition, lease in self.leases.items()
        }
        return replace(self, leases=leases)

    def at_least(self, before: Held) -> Held:
        """The same with the offsets of `before` where they are higher: not all is marked yet."""
        return self.acknowledged(
            {partition: lease.acknowledged_offset for partition, lease in before.leases.items()}
        )


NOTHING_HELD: Final = Held({}, {}, Epoch(0))


class Holder:
    """Renews and takes leases, one round of it at a time.

    Args:
        outbox: where they are.
        writer: tells where the topic ends.
        spec: the topic.
        lease_s: for how long they run.
        look_back: see `LookBack`.
        group: runs the renewals.
    """

    def __init__(
        self,
        outbox: Outbox,
        writer: TopicWriter,
        *,
        spec: TopicSpec,
        lease_s: float,
        look_back: LookBack | None,
        group: asyncio.TaskGroup,
    ) -> None:
        self._outbox = outbox
        self._writer = writer
        self._spec = spec
        self._lease_s = lease_s
        self._look_back = look_back
        self._group = group
        self._task: asyncio.Task[Held | GrantlogError] | None = None
        self._anew: dict[int, str] = {}

    def begin(self, known: Held) -> bool:
        """Renew what is held and take what nobody holds; False if that is under way already."""
        if self._task is not None:
            return False
        self._task = self._group.create_task(self._guarded(known), name="renew leases")
        return True

    async def found(self, *, wait: bool) -> Held | None:
        """What a renewal found, once; None if there is nothing new, which `wait` waits for.

        Raises:
            GrantlogError: it failed.
        """
        task = self._task
        if task is None or not (wait or task.done()):
            return None
        await asyncio.wait([task])
        self._task = None
        found = task.result()
        if isinstance(found, GrantlogError):
            raise found
        return found

    def distrust(self, met: Mapping[int, tuple[int, Lease]]) -> None:
        """Send nothing to these partitions until the log is republished: the topic is another one.

        Its end need not tell: one that was made anew may have outgrown what was acknowledged.

        Args:
            met: by partition, an offset that a message got and the lease it was sent under.
        """
        for partition, (offset, lease) in met.items():
            self._anew[partition] = _made_anew(f"gave offset {offset} away", lease)

    def drop(self) -> None:
        """Forget a renewal that is under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _guarded(self, known: Held) -> Held | GrantlogError:
        try:
            return await self._held(known)
        except GrantlogError as error:
            return error

    async def _held(self, known: Held) -> Held:
        spec = self._spec
        held = await self._outbox.hold(self._lease_s, name=spec.name, partitions=spec.partitions)
        leases = {lease.partition: lease for lease in held}
        await self._look_behind(leases, known)
        epoch = await self._outbox.epoch()
        return Held(leases, await self._compare_ends(leases, known), epoch)

    async def _look_behind(self, leases: Mapping[int, Lease], known: Held) -> None:
        """Of partitions that were just taken, see what the topic has and the log may lack."""
        taken = [each for each in leases.values() if each.partition not in known.leases]
        if taken and self._look_back is not None:
            await self._look_back(taken)

    async def _compare_ends(self, leases: Mapping[int, Lease], known: Held) -> dict[int, str]:
        """By partition, why the topic is not what it was: it ends before what was acknowledged."""
        ends = await self._writer.ends(leases)
        troubles = {
            partition: _made_anew(f"ends at offset {ends[partition]}", lease)
            for partition, lease in leases.items()
            if ends[partition] <= lease.acknowledged_offset
        }
        for partition, text in list(self._anew.items()):
            if partition not in leases or leases[partition].acknowledged_offset < 0:
                del self._anew[partition]  # another's to judge, or to be sent there from the first
            else:
                troubles.setdefault(partition, text)
        for partition, text in troubles.items():
            if partition not in known.troubles:
                _LOG.error("not publishing", partition=partition, because=text)
        await self._outbox.tell_trouble({each: troubles.get(each, "") for each in leases})
        return troubles


def _epochs(leases: Mapping[int, Lease]) -> dict[int, int]:
    return {partition: lease.publisher_epoch for partition, lease in leases.items()}


def _made_anew(met: str, lease: Lease) -> str:
    return (
        f"the topic {met}, but offset {lease.acknowledged_offset} was acknowledged: it was "
        "truncated or made anew; run `grantlog topic republish`"
    )
