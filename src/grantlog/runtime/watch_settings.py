"""The settings of watching, the same for every service that tells watchers."""

from __future__ import annotations

from pydantic import Field

from grantlog.app.watch_hub import WatchLimits
from grantlog.runtime.kafka_settings import KafkaSettings


class WatchSettings(KafkaSettings):
    """`GRANTLOG_WATCH_*` variables, and the bounds of streams."""

    streams_max: int = Field(500, ge=1, le=10_000)
    """Streams open at once on this node; one more is refused."""
    stream_stall_s_max: float = Field(30.0, gt=0)
    """A stream whose reader reads nothing for so long is cut."""
    request_timeout_s: float = Field(30.0, gt=0)
    """A call that takes longer ends with DEADLINE_EXCEEDED, as does a stream silent for longer."""
    watch_heartbeat_s: float = Field(10.0, gt=0)
    """A watcher to whom nothing happens hears so often where it stands; never more rarely than
    a third of request_timeout_s."""
    watch_transactions_max: int = Field(1_000, ge=1)
    """Transactions that wait for one watcher; with more it is cut and told where to go on."""
    watch_changes_max: int = Field(10_000, ge=1)
    """Changes that wait for one watcher."""
    watch_connections_max: int = Field(3, ge=2)
    """Connections to the primary for watching."""

    @property
    def heartbeat_s(self) -> float:
        """How long a watcher hears nothing at most, in seconds."""
        return min(self.watch_heartbeat_s, self.request_timeout_s / 3)

    @property
    def watch_limits(self) -> WatchLimits:
        """The bounds of watching; one connection is the hub's, the others read history."""
        return WatchLimits(
            heartbeat_s=self.heartbeat_s,
            transactions_max=self.watch_transactions_max,
            changes_max=self.watch_changes_max,
            history_reads_max=self.watch_connections_max - 1,
        )
