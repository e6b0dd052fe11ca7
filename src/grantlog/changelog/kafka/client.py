"""How Kafka is reached, and its client's errors as ours: no address or password goes further."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypedDict

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
)

from grantlog.errors import GrantlogError, PreconditionError, UnavailableError

REQUEST_TIMEOUT_MS: Final = 10_000
"""How long one request may take; what waits for a broker waits so long at most."""

START_S_MAX: Final = 15.0
"""How long connecting may take."""

GET_MS: Final = 500
"""A consumer that is asked for records answers within this time, also with none."""

GET_RECORDS_MAX: Final = 1_000
"""Records taken from a consumer at once."""

_FETCH_BYTES_MAX: Final = 8 * 1024 * 1024

UNREADABLE: Final = (UnicodeDecodeError, UnsupportedCodecError, CorruptRecordException)
"""What the client raises at records of strangers: a header's name that is no text, a compression
that is not installed here, a broken checksum."""

KAFKA_ERRORS: Final = (
    KafkaError,
    ConsumerStoppedError,
    OSError,
    TimeoutError,
    AssertionError,
    *UNREADABLE,
)
"""All that the client raises; it asserts that partitions it is given exist."""

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class ClientArguments(TypedDict):
    """What every client of aiokafka is opened with."""

    bootstrap_servers: list[str]
    client_id: str
    request_timeout_ms: int
    retry_backoff_ms: int
    security_protocol: SecurityProtocol
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: SaslMechanism
    sasl_plain_username: str | None
    sasl_plain_password: str | None


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Where Kafka is, and who we are there."""

    bootstrap: str
    """`host:port` of some brokers, separated by commas."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = None
    tls_ca_file: str | None = None
    """PEM of the authorities that may sign the brokers' certificates; None means the system's."""
    tls_cert_file: str | None = None
    """PEM of our own certificate, where brokers ask for one."""
    tls_key_file: str | None = None

    def arguments(self, client_id: str) -> ClientArguments:
        """For a client of that name.

        Raises:
            PreconditionError: a file for TLS cannot be read, or a user lacks a password.
        """
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password
        ):
            raise PreconditionError(
                f"GRANTLOG_KAFKA_SECURITY_PROTOCOL is {self.security_protocol}: it needs "
                "GRANTLOG_KAFKA_SASL_USERNAME and GRANTLOG_KAFKA_SASL_PASSWORD"
            )
        return {
            "bootstrap_servers": [part.strip() for part in self.bootstrap.split(",")],
            "client_id": client_id,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "retry_backoff_ms": 100,
            "security_protocol": self.security_protocol,
            "ssl_context": self._ssl_context(),
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }

    def _ssl_context(self) -> ssl.SSLContext | None:
        if not self.security_protocol.endswith("SSL"):
            return None
        for name, path in (
            ("CA", self.tls_ca_file),
            ("CERT", self.tls_cert_file),
            ("KEY", self.tls_key_file),
        ):
            _require_readable(f"GRANTLOG_KAFKA_TLS_{name}_FILE", path)
        try:
            context = ssl.create_default_context(cafile=self.tls_ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise PreconditionError(
                "the file of GRANTLOG_KAFKA_TLS_CA_FILE is not a certificate in PEM"
            ) from error
        try:
            if self.tls_cert_file:
                context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        except OSError as error:
            raise PreconditionError(
                "the files of GRANTLOG_KAFKA_TLS_CERT_FILE and GRANTLOG_KAFKA_TLS_KEY_FILE do not "
                "hold a certificate and its key in PEM"
            ) from error
        return context


def _require_readable(setting: str, path: str | None) -> None:
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise PreconditionError(
            f"the file of {setting} cannot be read: {error.strerror}"
        ) from error


def new_consumer(options: KafkaOptions, client_id: str, *topics: str) -> AIOKafkaConsumer:
    """A consumer, not started yet, that keeps no offsets in Kafka: where it reads is ours to say.

    Raises:
        PreconditionError: as `KafkaOptions.arguments`.
    """
    return AIOKafkaConsumer(
        *topics,
        **options.arguments(client_id),
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=_FETCH_BYTES_MAX,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX // 4,
    )


@contextmanager
def translating_kafka(doing: str) -> Generator[None]:
    """Raise the client's errors in the block as ours.

    Args:
        doing: what the block does, as in "publishing"; it is part of the explanation.

    Raises:
        UnavailableError: no broker answers, or not in time, or not enough replicas.
        PreconditionError: Kafka refuses the user or the message.
    """
    try:
        yield
    except KAFKA_ERRORS as error:
        raise translated(error, doing) from error
    except asyncio.CancelledError as error:
        # The client cancels its own futures when a connection goes, and whoever awaits one is then
        # cancelled without anybody having asked for it.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise UnavailableError(f"{doing}: the connection to Kafka went away") from error


async def closed(close: Callable[[], Awaitable[None]]) -> None:
    """Close one of the client's parts; what goes wrong at that is nobody's concern any more."""
    with suppress(GrantlogError), translating_kafka("closing"):
        await close()


_NO_MECHANISM: Final = (
    "Kafka does not offer the SASL mechanism that GRANTLOG_KAFKA_SASL_MECHANISM names"
)
_REFUSED: Final[dict[type[BaseException], str]] = {
    AuthenticationFailedError: "Kafka refuses the user or password",
    SaslAuthenticationFailed: "Kafka refuses the user or password",
    AuthenticationMethodNotSupported: _NO_MECHANISM,
    UnsupportedSaslMechanismError: _NO_MECHANISM,
    TopicAuthorizationFailedError: "Kafka refuses this user the right to the topic",
    ClusterAuthorizationFailedError: "Kafka refuses this user a right on the cluster",
    GroupAuthorizationFailedError: "Kafka refuses this user the right to the group",
    KafkaConfigurationError: "the options for Kafka do not go together",
    MessageSizeTooLargeError: "Kafka refuses a message as too large: raise max.message.bytes",
    RecordListTooLargeError: "Kafka refuses messages as too large: raise max.message.bytes",
}


def translated(error: BaseException, doing: str) -> GrantlogError:
    """Our error for one of `KAFKA_ERRORS`."""
    if text := _REFUSED.get(type(error)):
        return PreconditionError(f"{doing}: {text}")
    if isinstance(error, UNREADABLE):
        return UnavailableError(f"{doing}: the topic holds a record that nobody here can read")
    if isinstance(error, ProducerClosed | ConsumerStoppedError):
        return UnavailableError(f"{doing}: the connection to Kafka was closed")
    if isinstance(error, TimeoutError):
        return UnavailableError(f"{doing}: Kafka did not answer in time")
    if isinstance(error, KafkaError) and type(error).__name__ != "KafkaConnectionError":
        return UnavailableError(f"{doing}: Kafka answers {type(error).__name__}")
    return UnavailableError(f"{doing}: Kafka does not answer")
