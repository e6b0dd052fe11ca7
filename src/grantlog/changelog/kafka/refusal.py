"""Why a connection to Kafka cannot be made, where the client only says that it cannot."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError

from grantlog.changelog.kafka.client import KafkaOptions, translated, translating_kafka
from grantlog.errors import PreconditionError, UnavailableError

_LOOK_S_MAX: Final = 5.0
_ALERT_S: Final = 1.0
"""A broker that does not accept our certificate says so within this time, behind the handshake."""


@asynccontextmanager
async def connecting_kafka(options: KafkaOptions, doing: str) -> AsyncGenerator[None]:
    """As `translating_kafka`; where nothing answers, one more look tells whether we are refused.

    The client tries its brokers and then says only that none would do: a wrong password, or a
    certificate that nobody here trusts, would look like an outage and be tried again for ever.

    Raises:
        UnavailableError: no broker answers.
        PreconditionError: a broker refuses us, or we it.
    """
    try:
        with translating_kafka(doing):
            yield
    except UnavailableError as error:
        refusal = await _refusal(options, doing)
        if refusal is None:
            raise
        raise refusal from error


async def _refusal(options: KafkaOptions, doing: str) -> PreconditionError | None:
    for address in options.bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            async with asyncio.timeout(_LOOK_S_MAX):
                await _look(options, host.strip("[]"), int(port))
        except ssl.SSLCertVerificationError as error:
            return PreconditionError(
                f"{doing}: the broker's certificate is not trusted ({error.verify_message}); "
                "GRANTLOG_KAFKA_TLS_CA_FILE names who may sign it"
            )
        except ssl.SSLError as error:
            if "ALERT" in (error.reason or ""):
                return PreconditionError(
                    f"{doing}: Kafka does not accept our certificate; "
                    "GRANTLOG_KAFKA_TLS_CERT_FILE names it"
                )
        except KafkaError as error:
            refused = translated(error, doing)
            if isinstance(refused, PreconditionError):
                return refused
        except (OSError, ValueError, TimeoutError):
            continue
    return None


async def _look(options: KafkaOptions, host: str, port: int) -> None:
    """Connect once, and raise what the client met."""
    arguments = options.arguments("grantlog-look")
    context = arguments["ssl_context"]
    if context is not None:
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            async with asyncio.timeout(_ALERT_S):
                await reader.read(1)
        except TimeoutError:
            pass  # it waits for us to speak
        finally:
            writer.close()
    connection = await create_conn(
        host,
        port,
        client_id=arguments["client_id"],
        request_timeout_ms=arguments["request_timeout_ms"],
        ssl_context=context,
        security_protocol=arguments["security_protocol"],
        sasl_mechanism=arguments["sasl_mechanism"],
        sasl_plain_username=arguments["sasl_plain_username"],
        sasl_plain_password=arguments["sasl_plain_password"],
    )
    connection.close()
