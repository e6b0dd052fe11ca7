"""A whole deployment: processes as the runbooks start them, with a proxy on every link.

Two API nodes (which publish), a projector, a watch service where there is one, Kafka, a primary and
a replica in servers of their own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.store.postgres.migrate import migrate
from grantlog.store.postgres.pool import open_pool
from grantlog.testing.chaos_proxy import ChaosProxy, open_proxy
from tests.faults import tally
from tests.faults.machines import Database, Service
from tests.history_load import whole_log
from tests.kafka import Broker, why_not_here
from tests.ports import kept_port
from tests.waiting import until

PARTITIONS = 4
NODES = ("a", "b")
PRIMARY, REPLICA = "grantlog", "replica"
WATCH = "watch"
_HAS_WATCH = importlib.util.find_spec("grantlog_watch") is not None
READY_S_MAX = 120.0
_DEFECT = 70
_ARCHIVE = "(SELECT * FROM transactions UNION SELECT * FROM kept_transactions) AS archive"
_KEEP_ALL = (
    "CREATE TABLE kept_transactions (LIKE transactions)",
    """CREATE FUNCTION keep_transaction() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO kept_transactions SELECT OLD.*; RETURN OLD; END'""",
    """CREATE TRIGGER kept BEFORE DELETE ON transactions
    FOR EACH ROW EXECUTE FUNCTION keep_transaction()""",
)
"""What a purge takes away is kept, since it is to be judged."""


@dataclass
class Deployment:
    """Everything that runs, by name."""

    folder: Path
    primary: Database
    replica: Database
    broker: Broker
    links: dict[str, ChaosProxy] = field(default_factory=dict)
    """`api-a>primary`, and `>kafka` for all who talk to it."""
    services: dict[str, Service] = field(default_factory=dict)
    grpc: dict[str, str] = field(default_factory=dict)
    """Addresses of the API nodes."""
    rest: dict[str, str] = field(default_factory=dict)

    async def log_of(self, tenant: TenantId) -> Sequence[Transaction]:
        """A tenant's whole log, with the lives that have ended and were purged."""
        async with open_pool(
            self.primary.dsn(PRIMARY), size_max=1, application_name="faults"
        ) as pool:
            return await whole_log(pool, tenant, table=_ARCHIVE)

    async def publisher(self) -> str:
        """The service that holds most partitions of the topic, "" if none is known."""
        try:
            async with self.primary.session(PRIMARY) as connection:
                owner = await connection.fetchval(
                    "SELECT max(owner) FROM publisher_leases WHERE lease_until > clock_timestamp()"
                )
        except (OSError, asyncpg.PostgresError):
            return ""
        pid = int((owner or "::").split(":")[1] or 0)
        found = [name for name, service in self.services.items() if pid and service.pid == pid]
        return found[0] if found else ""

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run the `grantlog` command against this deployment: its code and what it said."""
        inherited = os.environ  # noqa: TID251 - handed on to a child
        own = {k: v for k, v in inherited.items() if not k.startswith("GRANTLOG_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "grantlog.cli", *arguments,
            "--database-url", self.primary.dsn(PRIMARY),
            env=own | self._kafka(),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(120):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def verify(self) -> tuple[int, str]:
        """What `grantlog projector verify` says of primary and replica."""
        return await self.command("projector", "verify", "--replica-url", self.replica.dsn(REPLICA))

    async def serves(self) -> bool:
        """Whether every API node says that it does."""
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                answers = [await client.get(f"{url}/healthz") for url in self.rest.values()]
        except httpx.HTTPError:
            return False
        return all(answer.status_code == 200 for answer in answers)

    def wrong(self) -> list[str]:
        """What no fault excuses: defects, tracebacks, tenants that were stopped."""
        found = [
            f"{service.name} ended with {_DEFECT}"
            for service in self.services.values()
            if _DEFECT in service.ends
        ]
        for service in self.services.values():
            with service.log.open(errors="replace") as lines:
                found += [f"{service.name}: {line}" for line in lines if _is_wrong(line)]
        return found

    async def lose_replica(self) -> None:
        """Drop the replica's database, and make an empty one of that name."""
        await self.replica.execute(
            "postgres",
            f"DROP DATABASE {REPLICA} WITH (FORCE)",
            f"CREATE DATABASE {REPLICA}",
        )
        await migrate(self.replica.dsn(REPLICA), seed=False)

    def _kafka(self) -> dict[str, str]:
        return {
            "GRANTLOG_KAFKA_BOOTSTRAP": f"127.0.0.1:{self.broker.advertised_port}",
            "GRANTLOG_KAFKA_PARTITIONS": str(PARTITIONS),
        }

    async def open_links(self, stack: AsyncExitStack) -> None:
        """A proxy in front of the broker, and one from each service to each database."""
        broker = self.broker
        kafka = partial(asyncio.open_connection, "127.0.0.1", broker.port)
        self.links[">kafka"] = await stack.enter_async_context(
            open_proxy(kafka, port=broker.advertised_port)
        )
        names = [*(f"api-{node}" for node in NODES), "projector"]
        for name in [*names, WATCH] if _HAS_WATCH else names:
            for end, database in (("primary", self.primary), ("replica", self.replica)):
                self.links[f"{name}>{end}"] = await stack.enter_async_context(
                    open_proxy(database.connect)
                )

    def add_services(self) -> None:
        """The services, not started yet."""
        for node in NODES:
            http, grpc = kept_port(), kept_port()
            self.rest[node] = f"http://127.0.0.1:{http}"
            self.grpc[node] = f"127.0.0.1:{grpc}"
            self._add(
                f"api-{node}",
                "grantlog_api",
                GRANTLOG_HTTP_PORT=str(http),
                GRANTLOG_GRPC_PORT=str(grpc),
                GRANTLOG_WATCH_HEARTBEAT_S="1",
            )
        self._add("projector", "grantlog_projector")
        if _HAS_WATCH:
            port = kept_port()
            self._add(
                WATCH,
                "grantlog_watch",
                GRANTLOG_GRPC_PORT=str(port),
                GRANTLOG_WATCH_HEARTBEAT_S="1",
            )
            for node in NODES:
                told = self.services[f"api-{node}"].environment
                told["GRANTLOG_WATCH_ADDRESS"] = f"127.0.0.1:{port}"

    def _add(self, name: str, module: str, **settings: str) -> None:
        ends = {
            "GRANTLOG_DATABASE_URL": self._through(f"{name}>primary", PRIMARY),
            "GRANTLOG_REPLICA_URL": self._through(f"{name}>replica", REPLICA),
        }
        log = self.folder / f"{name}.log"
        log.touch()
        self.services[name] = Service(name, module, ends | self._kafka() | settings, log)

    def _through(self, link: str, database: str) -> str:
        return f"postgresql://grantlog@127.0.0.1:{self.links[link].port}/{database}"


def _is_wrong(line: str) -> bool:
    """Whether a line of a log tells of what no fault excuses."""
    try:
        told = json.loads(line)
    except ValueError:
        return bool(line.strip())
    return "exception" in told or "tenant stopped" in told["event"]


def _keep_logs(folder: Path) -> None:
    """Copy what everybody said to where the run wants it, if it does."""
    if tally.KEEP is None:
        return
    kept = tally.KEEP / folder.name
    kept.mkdir(parents=True)
    for log in (*folder.glob("*.log"), *folder.glob("*/*log")):
        shutil.copyfile(log, kept / "-".join(log.relative_to(folder).parts))


@asynccontextmanager
async def deployed() -> AsyncIterator[Deployment]:
    """A deployment that serves, for the block; skips the test where no Kafka can run."""
    if reason := why_not_here():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="grantlog-faults-", dir="/tmp"))
    (folder / "kafka").mkdir()
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_keep_logs, folder)
        primary, replica = Database(folder / "primary"), Database(folder / "replica")
        broker = Broker(folder / "kafka", advertised_port=kept_port())
        broker.launch()
        stack.callback(broker.stop, signal.SIGKILL)
        for database in (primary, replica):
            await database.start()
            stack.push_async_callback(database.stop)
        await primary.execute("postgres", f"CREATE DATABASE {PRIMARY}")
        await replica.execute("postgres", f"CREATE DATABASE {REPLICA}")
        await migrate(primary.dsn(PRIMARY))
        await primary.execute(PRIMARY, *_KEEP_ALL)
        await migrate(replica.dsn(REPLICA), seed=False)
        made = Deployment(folder, primary, replica, broker)
        await made.open_links(stack)
        made.add_services()
        await until(broker.answers, within_s=READY_S_MAX)
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(service.run(), name=name)
                for name, service in made.services.items()
            ]
            try:
                await until(made.serves, within_s=READY_S_MAX)
                yield made
            except BaseException as error:  # noqa: BLE001 - raised again, once all is stopped
                failure = error
            for task in running:
                task.cancel()
        if failure is not None:
            raise failure
