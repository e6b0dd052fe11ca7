"""How often this node asked others, was asked, and read for itself instead."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class RingCounts:
    """Numbers since the process began.

    Attributes:
        keys_asked: keys that another node was asked for,
        keys_told: and those of them that it answered.
        keys_own: keys that this node owns itself, or that were not worth asking for.
        fallbacks: questions of this node that it answered itself, by why the owner did not.
        answered: other nodes' questions that this one answered,
        refused: and those that it did not, by why.
        streams_refused: openings of streams that proved nothing.
        nodes: that are there, this one included.
    """

    keys_asked: int = 0
    keys_told: int = 0
    keys_own: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    streams_refused: int = 0
    nodes: int = 1
