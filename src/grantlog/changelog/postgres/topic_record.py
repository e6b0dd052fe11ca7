"""The topic that the primary records as its log's, and how far its partitions are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from grantlog.errors import PreconditionError


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """The topic that carries this primary's log."""

    name: str
    partitions: int
    cluster_id: str
    """Kafka's own name of itself."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition, for people."""

    partition: int
    owner: str
    publisher_epoch: int
    acknowledged_offset: int
    published_through: datetime | None
    trouble: str
    held: bool
    """Whether its lease runs."""
    lag: timedelta | None
    """Age of `published_through`, by the primary's clock."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What is not on the topic."""

    tenants: int
    revisions: int


def refuse_other(recorded: TopicRecord, *, name: str, partitions: int) -> None:
    """Refuse to work with another topic than the recorded one.

    Raises:
        PreconditionError: its name or its number of partitions differ; the text says what to do.
    """
    if recorded.name != name:
        raise PreconditionError(
            f"the log is on the topic {recorded.name}, GRANTLOG_KAFKA_TOPIC says {name}: start "
            f"this service with GRANTLOG_KAFKA_TOPIC={recorded.name}"
        )
    if recorded.partitions != partitions:
        raise PreconditionError(
            f"the log has {recorded.partitions} partitions, GRANTLOG_KAFKA_PARTITIONS says "
            f"{partitions}: start this service with "
            f"GRANTLOG_KAFKA_PARTITIONS={recorded.partitions}; another number "
            "needs another topic, and `grantlog topic move`"
        )
