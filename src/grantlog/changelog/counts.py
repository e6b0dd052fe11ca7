"""What a node counts of reading the topic. Loaded also where there is no Kafka."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TopicCounts:
    """Of the reader that this process follows: its own, or its node's."""

    records_read: int = 0
    """Records that it read."""
    followers_cut: int = 0
    """Followers in other processes that it cut because they did not keep up."""
