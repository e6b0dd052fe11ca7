"""The deployment of compose.yaml on this machine: our services by its words, stand-ins beside."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import asyncpg

from tests.conftest import of_database
from tests.deploy.compose_file import ComposeService, read_compose
from tests.deploy.containers import Container, Network
from tests.deploy.names import Names, name_server
from tests.deploy.proxy import PROXY, localised_proxy, proxy_program
from tests.servers import Server

PASSWORD = "0123456789abcdef"
_numbers = count(1)


class Deployment:
    """Running containers by service, in the order in which they were started."""

    def __init__(self, folder: Path, network: Network, names: Names, extra: Mapping[str, str]):
        self.services = read_compose({"POSTGRES_PASSWORD": PASSWORD})
        self.containers: dict[str, list[Container]] = {}
        self._folder = folder
        self._network = network
        self._names = names
        self._extra = extra
        self._net = f"127.{64 + os.getpid() % 128}.{next(_numbers) % 256}"
        self._hosts = count(1)

    @property
    def api(self) -> list[Container]:
        return self.containers["api"]

    def up(self, scale: Mapping[str, int]) -> None:
        """Start every service of ours behind those that it waits for, as compose.yaml says.

        Args:
            scale: how many containers, where it is not one.
        """
        waiting = dict(self.services)
        while waiting:
            ready = [s for s in waiting.values() if not s.waits_for.keys() & waiting.keys()]
            assert ready, f"they wait for each other: {', '.join(waiting)}"
            for service in ready:
                del waiting[service.name]
                if service.is_ours or (service.name == PROXY and proxy_program()):
                    self._start(service, scale.get(service.name, 1))

    def _start(self, service: ComposeService, instances: int) -> None:
        for other, condition in service.waits_for.items():
            for container in self.containers.get(other, []):
                _await(container, condition)
        for _ in range(instances):
            self.add(service.name)

    def add(self, name: str, **environment: str) -> Container:
        """Start one more container of a service; others find it by the service's name.

        Args:
            name: of the service.
            environment: what else it is told.
        """
        service = self.services[name]
        address = f"{self._net}.{next(self._hosts)}"
        log = self._folder / f"{name}-{address}.log"
        container = Container(service, self._network, address, log, {**self._extra, **environment})
        if name == PROXY:
            localised_proxy(container, self._names)
        container.start()
        self.containers.setdefault(name, []).append(container)
        self._know()
        return container

    def remove(self, container: Container) -> None:
        """What is gone has no name any more."""
        self.containers[container.service.name].remove(container)
        self._know()

    def _know(self) -> None:
        addresses = {
            name: [each.address for each in containers]
            for name, containers in self.containers.items()
        }
        self._network.nodes = addresses
        self._names.addresses = addresses

    def become_healthy(self) -> None:
        """Return when every container is, as `docker compose up --wait` does."""
        for container in self.all():
            if container.service.health is not None:
                container.become_healthy()

    def all(self) -> list[Container]:
        return [each for containers in self.containers.values() for each in containers]

    def down(self) -> dict[str, list[int]]:
        """Stop everything in reverse order; exit codes by service."""
        codes: dict[str, list[int]] = {}
        for name, containers in reversed(self.containers.items()):
            codes[name] = [each.stop() for each in containers if each.runs]
        return codes


def place_of(container: Container) -> Server:
    """Where a container answers, on the ports that compose.yaml knows."""
    rest = f"http://{container.address}:3476"
    return Server("replica", rest, f"{container.address}:3478", container.pid)


def _await(container: Container, condition: str) -> None:
    if condition == "service_completed_successfully":
        code = container.ended(within_s=60)
        assert code == 0, f"{container.service.name} ended with {code}: {container.said()}"
    elif condition == "service_healthy":
        container.become_healthy()
    elif condition != "service_started":
        raise AssertionError(f"a condition that nobody waits for: {condition}")


@contextmanager
def deployed(
    postgres_url: str, kafka: str, topic: str, scale: Mapping[str, int]
) -> Iterator[Deployment]:
    """The deployment for the block, healthy at its start.

    Args:
        postgres_url: a server of Postgres, for both databases.
        kafka: `host:port` of a broker.
        topic: named here, since the broker is others' too.
        scale: how many containers, where it is not one.
    """
    folder = Path(tempfile.mkdtemp(prefix="grantlog-deployed-", dir="/tmp"))
    number = f"{os.getpid()}_{time.time_ns()}"
    databases = {name: f"deployed_{name}_{number}" for name in ("primary", "replica")}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in databases.values():
            asyncio.run(_execute(postgres_url, f'CREATE DATABASE "{name}"'))
            stack.callback(
                lambda name: asyncio.run(
                    _execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')
                ),
                name,
            )
        urls = {name: of_database(postgres_url, database) for name, database in databases.items()}
        names = stack.enter_context(name_server("127.0.0.1"))
        network = Network(urls, {"kafka": kafka})
        deployment = Deployment(folder, network, names, {"GRANTLOG_KAFKA_TOPIC": topic})
        stack.callback(lambda: [each.kill() for each in deployment.all()])
        deployment.up(scale)
        deployment.become_healthy()
        yield deployment


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
