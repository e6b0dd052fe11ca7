"""The settings of Kafka, the same for every service and for `grantlog topic`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from grantlog.runtime.settings import ServiceSettings


class KafkaSettings(ServiceSettings):
    """`GRANTLOG_KAFKA_*` variables. Without the first one there is no Kafka."""

    kafka_bootstrap: str = ""
    """`host:port` of some brokers, separated by commas: the log then goes over Kafka. Without it
    followers read the log in the primary."""
    kafka_topic: str = Field("grantlog.changes", pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    """The topic of the log; it is made if it is missing."""
    kafka_partitions: int = Field(8, ge=1, le=10_000)
    """Of the topic, for ever: `grantlog topic move` is the way to change it."""
    kafka_replication: int | None = Field(None, ge=1, le=100)
    """Copies of each partition of a topic that is made; unset means 3, or as many as there are
    brokers."""
    kafka_retention_hours: float = Field(168.0, ge=1)
    """How long a topic that is made keeps messages."""
    kafka_reader_socket: str = ""
    """Where a reader of the topic that this node's processes share hands on what it reads; without
    it, watching and caches read the topic themselves. Workers are told so."""
    kafka_format: Literal["protobuf", "json"] = "protobuf"
    """How messages are written. What follows the topic with us reads either; nodes with different
    formats mix them. JSON needs topics with room for 6 MiB a message."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How we prove who we are, with SASL."""
    kafka_sasl_username: str | None = None
    """Who we are, with SASL."""
    kafka_sasl_password: SecretStr | None = None
    """And the password."""
    kafka_tls_ca_file: str | None = None
    """PEM file of the authorities that sign brokers' certificates; unset means the system's."""
    kafka_tls_cert_file: str | None = None
    """PEM file of our certificate, where brokers ask for one."""
    kafka_tls_key_file: str | None = None
    """PEM file of its key."""
