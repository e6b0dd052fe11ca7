"""Settings of the API service, read from the environment by `__main__` alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from grantlog.runtime.settings import ServiceSettings


class ApiSettings(ServiceSettings):
    """`GRANTLOG_*` variables; docs/operations.md has the table."""

    host: str = "127.0.0.1"
    http_port: int = Field(3476, ge=0, le=65535)
    grpc_port: int = Field(3478, ge=0, le=65535)
    database_url: SecretStr
    replica_url: SecretStr | None = None
    grpc_server: Literal["auto", "native", "grpcio"] = "auto"
    consistency: Literal["head", "node"] = "head"
    facts_per_write_max: int = Field(1000, ge=1, le=100_000)
    changes_per_write_max: int = Field(100_000, ge=1)
    request_timeout_s: float = Field(30.0, gt=0)
    drain_s_max: float = Field(10.0, ge=0)
    read_connections_max: int = Field(8, ge=1)
    write_connections_max: int = Field(8, ge=1)
    fallback_connections_max: int = Field(4, ge=1)
    cors_allowed_origins: list[str] = Field(default_factory=lambda: ["*"])

    @property
    def replica_dsn(self) -> str | None:
        """The replica's address; None where the primary's own tables are read."""
        return (self.replica_url.get_secret_value() if self.replica_url else "") or None
