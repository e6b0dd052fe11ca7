"""Settings of the watch service, read from the environment by `__main__` alone."""

from __future__ import annotations

from pydantic import Field, SecretStr

from grantlog.runtime.watch_settings import WatchSettings


class WatchServiceSettings(WatchSettings):
    """`GRANTLOG_*` variables; docs/operations.md has the table."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every interface."""
    grpc_port: int = Field(3479, ge=0, le=65535)
    """Port of gRPC; 0 picks one, which the log names."""
    database_url: SecretStr
    """The primary, reached directly."""
    streams_max: int = Field(2_000, ge=1, le=10_000)
    """Streams open at once on this node; one more is refused."""
    lookup_connections_max: int = Field(2, ge=1)
    """Connections to the primary for heads and health."""
    drain_s_max: float = Field(5.0, ge=0)
    """How long streams may take to end once the service is told to stop."""
