"""Following the topic of changes from a program of your own, exactly once by tenant and revision.

`follow` reads the topic and hands whole revisions to your `Store`, together with where it then
stands; the store keeps both in one transaction of its own database. docs/change-topic.md is the
contract of the topic, examples/consumer a whole program. Nothing of the server is loaded.
"""

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.consumer.follow import ConsumerLimits, follow
from grantlog.consumer.refill import Api
from grantlog.consumer.values import (
    Entry,
    PartitionPlace,
    Positions,
    RebuildNeededError,
    Store,
    TenantPosition,
    position_of,
)

__all__ = [
    "Api",
    "ConsumerLimits",
    "Entry",
    "KafkaOptions",
    "PartitionPlace",
    "Positions",
    "RebuildNeededError",
    "Store",
    "TenantPosition",
    "follow",
    "position_of",
]
