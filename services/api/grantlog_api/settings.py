"""Settings of the API service, read from the environment by `__main__` alone."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from grantlog.app.resolve import STALENESS_S_DEFAULT
from grantlog.app.terms import STALENESS_MS_MAX
from grantlog.runtime.watch_settings import WatchSettings
from grantlog.store.postgres.writer.limits import CHANGES_PER_WRITE_MAX

ADDRESSES: Final = r"^(\s*[^\s,]+:[0-9]+\s*(,\s*[^\s,]+:[0-9]+\s*)*)?$"
"""`host:port`, several separated by commas, or nothing."""


WORKERS_MAX: Final = 64
_PORT_MAX: Final = 65535

DRAIN_EXTRA_S: Final = 2.0
"""Beyond the doors' own drain, before jobs are cancelled."""


class ApiSettings(WatchSettings):
    """`GRANTLOG_*` variables; docs/operations.md has the table."""

    host: str = "127.0.0.1"
    """Address that both doors listen on; 0.0.0.0 is every interface."""
    http_port: int = Field(3476, ge=0, le=_PORT_MAX)
    """Port of REST."""
    grpc_port: int = Field(3478, ge=0, le=_PORT_MAX)
    """Port of gRPC."""
    workers: int = Field(1, ge=1, le=WORKERS_MAX)
    """Processes that share both ports, each a whole node; limits of streams are of each one,
    connections to databases are divided among them."""
    share_ports: bool = False
    """Whether other processes of this user may listen on the same ports: connections are then
    divided among them. Workers are told so."""
    worker: str = Field("", max_length=8, pattern="^[0-9]*$")
    """Which of a node's workers this process is, for its metrics. Workers are told so."""
    database_url: SecretStr
    """The primary."""
    replica_url: SecretStr | None = None
    """Replicas, by addresses with spaces between them: databases that a projector folds into, and
    physical standbys. If given, facts are read there and the primary stands behind them."""
    call_lines: bool = False
    """Whether each call has a line in the log: method, tenant, how it ended, milliseconds."""
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
    watch_address: str = Field("", pattern=ADDRESSES)
    """`host:port` of watch services, separated by commas, which then answer this node's watchers;
    without it the node follows the log itself."""
    kafka_publish: bool = True
    """Whether this process may publish to Kafka; of those that may, one at a time does."""
    result_cache_mb: int = Field(64, ge=0, le=1_000_000)
    """Memory for answers of checks, in mebibytes; 0 keeps none."""
    relation_cache_mb: int = Field(128, ge=0, le=1_000_000)
    """Memory for facts that checks read, in mebibytes; 0 keeps none."""
    ring: Literal["off", "postgres", "static", "dns"] = "off"
    """Whether nodes ask each other for facts that they do not hold, before the store, and what says
    who is there: a table in the primary, GRANTLOG_RING_NODES, or the name in it."""
    ring_port: int = Field(3480, ge=0, le=_PORT_MAX)
    """Port at which other nodes reach this one; the next ones for further workers, 0 is a free one
    for each. Not for clients."""
    ring_host: str = Field("", max_length=253, pattern=r"^[^\s,:]*$|^[0-9a-fA-F:]*$")
    """Address at which other nodes reach this one. Without it, GRANTLOG_HOST; where that is every
    interface, this machine's address on the way to the primary."""
    ring_nodes: str = Field("", pattern=ADDRESSES)
    """`host:port` of all nodes, separated by commas (static; of each worker, if there are any), or
    one name and port (dns)."""
    linger_s: float = Field(0.0, ge=0, le=300)
    """How long calls are still taken once the service is told to stop and health says so: as long
    as what balances calls over nodes needs to notice."""
    drain_s_max: float = Field(10.0, ge=0)
    """How long running calls may take after that."""
    read_connections_max: int = Field(2, ge=1)
    """Connections for reading facts, to each replica if there are any: statements in flight, each
    for many checks. More of them make each smaller."""
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
        several = "workers" if self.workers > 1 or self.share_ports else "nodes of a ring"
        if self.consistency == "node" and (several == "workers" or self.ring != "off"):
            raise ValueError(
                f"GRANTLOG_CONSISTENCY=node is right only for the only writer, and {several} are "
                "several: choose head or bounded"
            )
        self._require_a_ring_that_can_be()
        if len(set(self.replica_dsns)) < len(self.replica_dsns):
            raise ValueError("GRANTLOG_REPLICA_URL names an address twice")
        if not all(map(_is_address, self.replica_dsns)):
            raise ValueError(
                "GRANTLOG_REPLICA_URL must hold postgresql:// addresses with spaces between them"
            )
        return self

    def _require_a_ring_that_can_be(self) -> None:
        if self.ring == "off":
            if self.ring_nodes and "ring" not in self.model_fields_set:
                raise ValueError(
                    "GRANTLOG_RING_NODES says who is there, but without GRANTLOG_RING=static (or "
                    "dns) nobody is asked; GRANTLOG_RING=off says that this is meant"
                )
            return
        if not self.relation_cache_mb:
            raise ValueError(
                "GRANTLOG_RING needs GRANTLOG_RELATION_CACHE_MB: a node that keeps nothing has "
                "nothing to tell others"
            )
        if self.ring_port + self.workers - 1 > _PORT_MAX:
            raise ValueError(
                f"GRANTLOG_RING_PORT must be at most {_PORT_MAX - self.workers + 1} with "
                f"{self.workers} workers: each takes the next port"
            )
        named = len(self.ring_addresses)
        for address in self.ring_addresses:
            if not 0 < int(address.rpartition(":")[2]) <= _PORT_MAX:
                raise ValueError(
                    f"GRANTLOG_RING_NODES: the port of {address} is not 1 to {_PORT_MAX}"
                )
        if self.ring == "static" and not named:
            raise ValueError("GRANTLOG_RING=static needs GRANTLOG_RING_NODES: all nodes")
        if self.ring == "dns" and (named != 1 or self.workers > 1 or self.ring_port == 0):
            raise ValueError(
                "GRANTLOG_RING=dns needs one name and port in GRANTLOG_RING_NODES, and nodes of "
                "one process with the same GRANTLOG_RING_PORT"
            )

    @property
    def ring_addresses(self) -> tuple[str, ...]:
        """What `ring_nodes` holds."""
        return _parts(self.ring_nodes)

    @property
    def watch_addresses(self) -> tuple[str, ...]:
        """Where watch services are; empty where this node follows the log itself."""
        return _parts(self.watch_address)

    @property
    def replica_dsns(self) -> list[str]:
        """The replicas' addresses; none where the primary's own tables are read."""
        return self.replica_url.get_secret_value().split() if self.replica_url else []


def _parts(listed: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in listed.split(",") if part.strip())


def _is_address(dsn: str) -> bool:
    try:
        return urlsplit(dsn).scheme in {"postgresql", "postgres"}
    except ValueError:
        return False
