"""SASL and TLS against a real broker: the log goes over it, and what is wrong is said in a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from grantlog.changelog.kafka.client import KafkaOptions
from grantlog.changelog.kafka.producer import open_topic_writer
from grantlog.changelog.kafka.topic import TopicSpec, find_topic
from grantlog.consumer import Entry, Positions, follow
from grantlog.errors import GrantlogError, PreconditionError, UnavailableError
from grantlog.testing.contracts.places import ACME
from tests.contract.postgres import postgres_primary
from tests.e2e.conftest import spawn
from tests.integration.kafka.conftest import Stage
from tests.integration.kafka.followers import following
from tests.kafka_secured import Secured, secured_broker
from tests.waiting import until


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    with secured_broker() as broker:
        yield broker


@pytest.fixture
async def ready(secured: Secured) -> Secured:
    """The broker, once it answers."""

    async def answers() -> bool:
        try:
            await find_topic(secured.options("SASL_PLAINTEXT"), "any")
        except UnavailableError:
            return False
        return True

    await until(answers, within_s=60)
    return secured


@pytest.fixture
async def dsn(migrated_database: Callable[..., Awaitable[str]]) -> str:
    return await migrated_database()


@pytest.fixture
async def secured_stage(
    dsn: str, ready: Secured, new_topic: Callable[[], str]
) -> AsyncIterator[Stage]:
    async with postgres_primary(dsn) as primary:
        spec = TopicSpec(new_topic(), partitions=1)
        yield Stage(dsn, primary, ready.options("SASL_PLAINTEXT"), spec)


class Kept:
    """A consumer's store in memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def positions(self) -> Positions:
        return Positions()

    async def apply(self, batch: Sequence[Entry], positions: Positions) -> None:
        self.entries += batch


WAYS = [
    ("SASL_PLAINTEXT", "PLAIN"),
    ("SASL_PLAINTEXT", "SCRAM-SHA-256"),
    ("SSL", "PLAIN"),
    ("SASL_SSL", "SCRAM-SHA-256"),
]


@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
async def test_the_log_goes_over_it(
    secured_stage: Stage, ready: Secured, replica_dsn: str, protocol, mechanism
) -> None:
    options = ready.options(protocol, mechanism)
    stage = replace(secured_stage, options=options)
    async with stage.publishing():
        await stage.primary.put("doc:1#viewer@user:1")
        store, stop = Kept(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(options, stage.spec.name, store, stop=stop))
            await until(lambda: any(each.tenant == ACME for each in store.entries), within_s=60)
            numbers = count(2)
            async with following(stage, replica_dsn) as follower:

                async def read_from_the_topic() -> bool:
                    await stage.primary.put(f"doc:{next(numbers)}#viewer@user:1")
                    return follower.log.counters.read_here > 0

                await until(read_from_the_topic, within_s=60)
                await follower.reach(ACME, within_s=60)
            stop.set()


async def said(options: KafkaOptions) -> GrantlogError:
    """What opening the topic's writer says, and looking at the topic says the same."""
    with pytest.raises(GrantlogError) as writer:
        async with open_topic_writer(options, "any"):
            pytest.fail("it was let in")
    with pytest.raises(type(writer.value)) as admin:
        await find_topic(options, "any")
    assert admin.value.explanation.partition(": ")[2] == writer.value.explanation.partition(": ")[2]
    return writer.value


@pytest.mark.parametrize(
    ("protocol", "mechanism", "wrong", "explanation"),
    [
        ("SASL_PLAINTEXT", "PLAIN", {"password": "no"}, "Kafka refuses the user or password"),
        (
            "SASL_PLAINTEXT",
            "SCRAM-SHA-256",
            {"password": "no"},
            "Kafka refuses the user or password",
        ),
        (
            "SASL_PLAINTEXT",
            "SCRAM-SHA-512",
            {},
            "Kafka does not offer the SASL mechanism",
        ),
        (
            "SSL",
            "PLAIN",
            {"ca": "other.pem"},
            "the broker's certificate is not trusted",
        ),
        ("SASL_SSL", "PLAIN", {"ca": "other.pem"}, "the broker's certificate is not trusted"),
        ("SSL", "PLAIN", {"certificate": "stranger"}, "Kafka does not accept our certificate"),
        ("SSL", "PLAIN", {"certificate": ""}, "Kafka does not accept our certificate"),
    ],
)
async def test_what_is_refused_is_said_in_a_line(
    ready: Secured, protocol, mechanism, wrong, explanation
) -> None:
    error = await said(ready.options(protocol, mechanism, **wrong))
    assert isinstance(error, PreconditionError), error
    assert explanation in error.explanation
    assert "\n" not in error.explanation


@pytest.mark.parametrize(
    ("wrong", "explanation"),
    [
        ({"tls_ca_file": "/nowhere.pem"}, "GRANTLOG_KAFKA_TLS_CA_FILE cannot be read"),
        ({"tls_cert_file": "/nowhere.pem"}, "GRANTLOG_KAFKA_TLS_CERT_FILE cannot be read"),
        ({"tls_key_file": "/nowhere.pem"}, "GRANTLOG_KAFKA_TLS_KEY_FILE cannot be read"),
        ({"tls_ca_file": __file__}, "GRANTLOG_KAFKA_TLS_CA_FILE is not a certificate in PEM"),
        ({"tls_cert_file": __file__}, "do not hold a certificate and its key in PEM"),
    ],
)
def test_a_file_that_is_missing_or_no_certificate_is_named(
    secured: Secured, wrong: dict[str, str], explanation: str
) -> None:
    options = replace(secured.options("SSL"), **wrong)
    with pytest.raises(PreconditionError) as error:
        options.arguments("any")
    assert explanation in error.value.explanation


def test_the_wrong_key_is_named(secured: Secured) -> None:
    key = str(Path(secured.folder) / "stranger.key")
    with pytest.raises(PreconditionError, match="do not hold a certificate and its key"):
        replace(secured.options("SSL"), tls_key_file=key).arguments("any")


SECRET = "correct-horse-battery"
DATABASE_SECRET = "tr0ub4dor"


async def whole_output(service: str, *, until_said: str, **settings: str) -> tuple[int, str]:
    """Run a service at the lowest log level until it ends or says something; its code, and all."""
    process = await spawn("run", service, GRANTLOG_LOG_LEVEL="debug", **settings)
    assert process.stderr is not None
    said = ""
    try:
        async with asyncio.timeout(300):
            while until_said not in said and (line := await process.stderr.readline()):
                said += line.decode()
    except TimeoutError:
        pytest.fail(f"{service} did not say {until_said!r}: {said}")
    finally:
        if process.returncode is None:
            process.terminate()
        out, err = await process.communicate()
    return process.returncode or 0, said + (out + err).decode()


def wrong_settings(secured: Secured) -> list[tuple[dict[str, str], str]]:
    """Settings of Kafka that cannot work, and what is said of each."""
    sasl = {
        "GRANTLOG_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "GRANTLOG_KAFKA_BOOTSTRAP": f"127.0.0.1:{secured.sasl}",
        "GRANTLOG_KAFKA_SASL_USERNAME": "grantlog",
        "GRANTLOG_KAFKA_SASL_PASSWORD": SECRET,
    }
    tls = sasl | {
        "GRANTLOG_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "GRANTLOG_KAFKA_BOOTSTRAP": f"127.0.0.1:{secured.both}",
        "GRANTLOG_KAFKA_TLS_CA_FILE": str(secured.folder / "ours.pem"),
        "GRANTLOG_KAFKA_TLS_CERT_FILE": str(secured.folder / "client.pem"),
        "GRANTLOG_KAFKA_TLS_KEY_FILE": str(secured.folder / "client.key"),
    }
    key = str(secured.folder / "stranger.key")
    misspelt = {name.replace("PASSWORD", "PASWORD"): value for name, value in sasl.items()}
    return [
        (sasl, "Kafka refuses the user or password"),
        (sasl | {"GRANTLOG_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}, "SASL mechanism"),
        (sasl | {"GRANTLOG_KAFKA_SASL_MECHANISM": "MD5"}, "GRANTLOG_KAFKA_SASL_MECHANISM must be"),
        (sasl | {"GRANTLOG_KAFKA_SASL_USERNAME": ""}, "GRANTLOG_KAFKA_SASL_USERNAME"),
        (misspelt, "GRANTLOG_KAFKA_SASL_PASWORD"),
        (sasl | {"GRANTLOG_KAFKA_BOOTSTRAP": "127.0.0.1:1"}, "Kafka does not answer"),
        (tls, "Kafka refuses the user or password"),
        (tls | {"GRANTLOG_KAFKA_TLS_KEY_FILE": key}, "do not hold a certificate and its key"),
        (tls | {"GRANTLOG_KAFKA_TLS_CERT_FILE": key}, "do not hold a certificate and its key"),
        (tls | {"GRANTLOG_KAFKA_TLS_CA_FILE": key}, "GRANTLOG_KAFKA_TLS_CA_FILE"),
    ]


async def test_no_service_tells_a_secret_whatever_is_wrong_with_kafka(
    ready: Secured, dsn: str, migrated_database: Callable[..., Awaitable[str]]
) -> None:
    """At DEBUG too, where the client of Kafka shows what it sends."""
    key = (ready.folder / "stranger.key").read_text().splitlines()[1:-1]
    cases = [("watch", *case) for case in wrong_settings(ready)]
    cases += [(service, *case) for service in ("api", "projector") for case in [cases[0][1:]]]
    primary, replica = (
        url.replace("@", f":{DATABASE_SECRET}@", 1)
        for url in (dsn, await migrated_database(seed=False))
    )

    async def tell(service: str, settings: dict[str, str], says: str) -> None:
        own = {"GRANTLOG_GRPC_PORT": "0"} if service != "projector" else {}
        own |= {"GRANTLOG_HTTP_PORT": "0"} if service == "api" else {}
        own |= {"GRANTLOG_REPLICA_URL": replica} if service == "projector" else {}
        own |= settings | {"GRANTLOG_DATABASE_URL": primary}
        code, told = await whole_output(service, until_said=says, **own)
        assert says in told, (service, says, told)
        for secret in (SECRET, DATABASE_SECRET, *key):
            assert secret not in told, (service, says, code)

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(tell(*case))
