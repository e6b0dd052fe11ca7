"""Settings of the API service, read from the environment by `__main__` alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from grantlog.app.resolve import STALENESS_S_DEFAULT
from grantlog.app.terms import STALENESS_MS_MAX
from grantlog.app.watch_hub import WatchLimits
from grantlog.runtime.kafka_settings import KafkaSettings
from grantlog.store.postgres.writer.limits import CHANGES_PER_WRITE_MAX


class ApiSettings(KafkaSettings):
    """`GRANTLOG_*` variables; docs/operations.md has the table."""

    host: str = "127.0.0.1"
    """Address that both doors listen on; 0.0.0.0 is every interface."""
    http_port: int = Field(3476, ge=0, le=65535)
    """Port of REST."""
    grpc_port: int = Field(3478, ge=0, le=65535)
    """Port of gRPC."""
    database_url: SecretStr
    """The primary."""
    replica_url: SecretStr | None = None
    """A projected replica; if given, facts are read there and the primary stands behind it."""
    grpc_server: Literal["auto", "native", "grpcio"] = "auto"
    """Which gRPC server answers: native where there is a wheel of it, else grpcio."""
    consistency: Literal["head", "node", "bounded"] = "head"
    """Where an answer without a token stands: at the primary's head, at what this node knows (right
    only for the only writer), or at what it knew to be the head not too long ago."""
    staleness_s_max: float = Field(STALENESS_S_DEFAULT, ge=0, le=STALENESS_MS_MAX / 1000)
    """How old an answer of `bounded` consistency may be, where the call does not say."""
    facts_per_write_max: int = Field(1000, ge=1, le=100_000)
    """Tuples and attributes of one data write."""
    changes_per_write_max: int = Field(CHANGES_PER_WRITE_MAX, ge=1)
    """Changes of one transaction; bounds what a deletion by filter may match."""
    request_timeout_s: float = Field(30.0, gt=0)
    """A call that takes longer ends with DEADLINE_EXCEEDED, as does a stream silent for longer."""
    streams_max: int = Field(500, ge=1, le=10_000)
    """Streams open at once on this node; one more is refused."""
    stream_stall_s_max: float = Field(30.0, gt=0)
    """A stream whose reader reads nothing for so long is cut."""
    watch_heartbeat_s: float = Field(10.0, gt=0)
    """A watcher to whom nothing happens hears so often where it stands; never more rarely than
    a third of request_timeout_s."""
    watch_transactions_max: int = Field(1_000, ge=1)
    """Transactions that wait for one watcher; with more it is cut and told where to go on."""
    watch_changes_max: int = Field(10_000, ge=1)
    """Changes that wait for one watcher."""
    watch_connections_max: int = Field(3, ge=2)
    """Connections to the primary for watching."""
    kafka_publish: bool = True
    """Whether this process may publish to Kafka; of those that may, one at a time does."""
    result_cache_mb: int = Field(64, ge=0, le=1_000_000)
    """Memory for answers of checks, in mebibytes; 0 keeps none."""
    relation_cache_mb: int = Field(128, ge=0, le=1_000_000)
    """Memory for facts that checks read, in mebibytes; 0 keeps none."""
    drain_s_max: float = Field(10.0, ge=0)
    """How long running calls may take once the service is told to stop."""
    read_connections_max: int = Field(2, ge=1)
    """Connections for reading facts: statements in flight, each for many checks. More of them make
    each smaller."""
    list_connections_max: int = Field(4, ge=1)
    """Connections for listing facts by filter."""
    write_connections_max: int = Field(8, ge=1)
    """Connections to the primary for writes."""
    lookup_connections_max: int = Field(4, ge=1)
    """Connections to the primary for heads, schemas, tenants and health."""
    fallback_connections_max: int = Field(4, ge=1)
    """Connections to the primary for what a replica cannot answer."""
    cors_allowed_origins: list[str] = Field(default_factory=lambda: ["*"])
    """Origins whose pages may call REST, as a JSON list."""

    @model_validator(mode="after")
    def _agree(self) -> ApiSettings:
        if 2 * self.facts_per_write_max > self.changes_per_write_max:
            raise ValueError(
                "GRANTLOG_CHANGES_PER_WRITE_MAX must be at least twice "
                "GRANTLOG_FACTS_PER_WRITE_MAX: overwriting an attribute is two changes"
            )
        return self

    @property
    def watch_limits(self) -> WatchLimits:
        """The bounds of watching; one connection is the hub's, the others read history."""
        return WatchLimits(
            heartbeat_s=min(self.watch_heartbeat_s, self.request_timeout_s / 3),
            transactions_max=self.watch_transactions_max,
            changes_max=self.watch_changes_max,
            history_reads_max=self.watch_connections_max - 1,
        )

    @property
    def replica_dsn(self) -> str | None:
        """The replica's address; None where the primary's own tables are read."""
        return (self.replica_url.get_secret_value() if self.replica_url else "") or None
