"""The system's clock, for those who take a clock as an argument."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Time as this machine knows it. Order in the log never depends on it."""

    def now(self) -> datetime:
        """The time in UTC; it may jump."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads it

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment; they never go back."""
        return time.monotonic()
