"""Bounds of the writer, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CHANGES_PER_WRITE_MAX: Final = 25_000
"""By default. A transaction of so many changes keeps its tenant's writers waiting for seconds."""


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """What one write, one group and one queue may hold, and how long things may take."""

    changes_per_write_max: int = CHANGES_PER_WRITE_MAX
    """Changes of one write; a removal by filter that matches more is refused."""

    queue_writes_max: int = 4_096
    """Writes of one tenant that may wait."""

    group_writes_max: int = 256
    """Writes that share a database transaction."""

    group_facts_max: int = 2_000
    """Facts that the writes of a group name, unless a single write names more.

    So many share a COMMIT that it costs each of them little, and so few that the writes behind
    them are read from their messages while the database is at work.
    """

    group_filters_max: int = 32
    """Removals by filter in a group, unless a single write has more."""

    outcome_wait_s_max: float = 15.0
    """How long the outcome of a lost COMMIT is looked for."""
