"""Reading facts on Postgres: FactReader, in which the reads of one moment share a statement.

A few workers each run one statement at a time. A read goes out at once when a worker is free; what
arrives while all are busy forms the next statements. So a lone read waits for nothing, and under
load statements grow instead of queues. A statement that nobody waits for any more is ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import asyncpg

from grantlog.background import background_tasks
from grantlog.errors import CorruptionError, GrantlogError, InvalidInputError, UnavailableError
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.store.postgres.driver_errors import DRIVER_ERRORS, breaks_connection, translated
from grantlog.store.postgres.guard import Admit, admit_any
from grantlog.store.postgres.pool import Pool, lent
from grantlog.store.postgres.reader_batch import ReadBatch
from grantlog.store.postgres.statements import load

_SQL: Final = load("read")
_READ: Final = _SQL["read"]
_GUARDS: Final = _SQL["guards"]
_DOING: Final = "reading facts"

KEYS_PER_STATEMENT_MAX: Final = 1_000
STATEMENTS_MAX: Final = 2
ATTEMPTS_MAX: Final = 2
"""A read that meets a broken connection is tried once more, on another one."""


class _Call(NamedTuple):
    tenant: TenantId
    revision: Revision
    epoch: Epoch
    keys: Sequence[FactKey]
    answer: asyncio.Future[Sequence[FactAnswer]]


class _Running(NamedTuple):
    """A statement in flight: for whom, and what ends it."""

    calls: Sequence[_Call]
    bound: asyncio.Timeout


class PostgresFactReader:
    """Answers fact keys from a primary or a replica; opened by `open_fact_reader`."""

    def __init__(self, pool: Pool, *, keys_max: int, admit: Admit) -> None:
        self._pool = pool
        self._keys_max = keys_max
        self._admit = admit
        self._pending: deque[_Call] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._running: list[_Running] = []
        self._closed = False

    async def read(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[FactKey],
        *,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:
        """Answer every key, in order, as of exactly `revision`.

        No keys ask for the guard alone: whether the revision can be read here.

        Raises:
            OtherEpochError: the database holds another epoch of the log.
            ProjectionLaggingError: the revision is not in this database yet.
            BehindWindowError: history at the revision has been collected, or the tenant was
                deleted since.
            InvalidInputError: a key holds text that no database can.
            UnavailableError: the database does not answer.
        """
        if len(keys) <= self._keys_max:
            return await self._answered(tenant, revision, epoch, keys)
        answers: list[FactAnswer] = []
        for start in range(0, len(keys), self._keys_max):
            part = keys[start : start + self._keys_max]
            answers.extend(await self._answered(tenant, revision, epoch, part))
        return answers

    async def _answered(
        self, tenant: TenantId, revision: Revision, epoch: Epoch, keys: Sequence[FactKey]
    ) -> Sequence[FactAnswer]:
        try:
            return await self._ask(tenant, revision, epoch, keys)
        except asyncio.CancelledError:
            self._end_unwanted()
            raise

    def _end_unwanted(self) -> None:
        """End the statements whose callers have all gone; what others wait for goes on."""
        for running in self._running:
            unwanted = all(call.answer.done() for call in running.calls)
            if unwanted and running.bound.when() is None:
                running.bound.reschedule(asyncio.get_running_loop().time())

    def _ask(
        self, tenant: TenantId, revision: Revision, epoch: Epoch, keys: Sequence[FactKey]
    ) -> asyncio.Future[Sequence[FactAnswer]]:
        if self._closed:
            raise UnavailableError(f"{_DOING}: the reader is closed")
        answer: asyncio.Future[Sequence[FactAnswer]] = asyncio.get_running_loop().create_future()
        self._pending.append(_Call(tenant, revision, epoch, keys, answer))
        self._wake_one()
        return answer

    def _wake_one(self) -> None:
        while self._idle:
            sleeper = self._idle.pop()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    async def work(self) -> None:
        """Run statements, one at a time, until cancelled."""
        while True:
            calls = self._take()
            if calls:
                await self._serve(calls)
                continue
            sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(sleeper)
            await sleeper

    def _take(self) -> list[_Call]:
        """The next statement's calls; callers that gave up are left out."""
        calls: list[_Call] = []
        keys = 0
        while self._pending:
            call = self._pending[0]
            if calls and keys + len(call.keys) > self._keys_max:
                self._wake_one()
                break
            self._pending.popleft()
            if not call.answer.done():
                calls.append(call)
                keys += len(call.keys)
        return calls

    async def _serve(self, calls: Sequence[_Call]) -> None:
        try:
            await self._run(calls)
        except asyncpg.DataError as error:
            # A text that cannot be sent or stored spoils the statement: find whose it is.
            if len(calls) > 1:
                for call in calls:
                    await self._serve([call])
            else:
                text = "a key holds a character that cannot be stored"
                _fail(calls, InvalidInputError(f"{_DOING}: {text}"), error)
        except CorruptionError as error:
            # A row that cannot be read concerns only whoever reads it.
            if len(calls) > 1:
                for call in calls:
                    await self._serve([call])
            else:
                _fail(calls, error, error.__cause__)
        except GrantlogError as error:  # a new connection that proved to be another database's
            _fail(calls, error, error.__cause__)
        except DRIVER_ERRORS as error:
            _fail(calls, translated(error, _DOING), error)
        except asyncio.CancelledError:
            _fail(calls, UnavailableError(f"{_DOING}: the reader is closing"), None)
            raise

    async def _run(self, calls: Sequence[_Call]) -> None:
        batch = ReadBatch()
        places = [batch.add(call.tenant, call.revision, call.keys) for call in calls]
        batch.take(await self._wanted(calls, batch))
        for call, (place, numbers) in zip(calls, places, strict=True):
            if call.answer.done():
                continue
            refusal = self._admit(call.tenant, call.revision, call.epoch, batch.guard(place))
            if refusal is None:
                call.answer.set_result(batch.answers(numbers))
            else:
                call.answer.set_exception(refusal)

    async def _wanted(self, calls: Sequence[_Call], batch: ReadBatch) -> tuple[Any, ...]:
        """The statement's row; TimeoutError, which reaches nobody, once all callers have gone."""
        running = _Running(calls, asyncio.timeout(None))
        try:
            async with running.bound:
                self._running.append(running)
                return await self._fetch(batch)
        finally:
            self._running.remove(running)

    async def _fetch(self, batch: ReadBatch) -> tuple[Any, ...]:
        statement, arguments = (
            (_READ, batch.arguments()) if batch.has_keys else (_GUARDS, [batch.tenants()])
        )
        attempt = 1
        while True:
            try:
                async with lent(self._pool) as connection:
                    row = await connection.fetchrow(statement, *arguments)
                assert row is not None, "the statement's contexts are an aggregate: one row always"
            except DRIVER_ERRORS as error:
                if attempt == ATTEMPTS_MAX or not breaks_connection(error):
                    raise
                attempt += 1
            else:
                return tuple(row.values())

    def close(self) -> None:
        """Refuse what waits and what comes."""
        self._closed = True
        calls = list(self._pending)
        self._pending.clear()
        _fail(calls, UnavailableError(f"{_DOING}: the reader is closing"), None)


def _fail(calls: Sequence[_Call], error: GrantlogError, cause: BaseException | None) -> None:
    """Give every caller an error of its own: tracebacks grow on shared ones."""
    for call in calls:
        if not call.answer.done():
            own = type(error)(error.explanation, reason=error.reason)
            own.__cause__ = cause
            call.answer.set_exception(own)


@asynccontextmanager
async def open_fact_reader(
    pool: Pool,
    *,
    keys_max: int = KEYS_PER_STATEMENT_MAX,
    statements_max: int = STATEMENTS_MAX,
    admit: Admit = admit_any,
) -> AsyncGenerator[PostgresFactReader]:
    """A reader over a pool that was opened with `INDEX_PLANS`.

    Args:
        pool: at least `statements_max` connections.
        keys_max: keys of one statement.
        statements_max: statements in flight.
        admit: judges, for every read, the guard of the snapshot that it was read from.
    """
    reader = PostgresFactReader(pool, keys_max=keys_max, admit=admit)
    async with background_tasks() as group:
        workers = [
            group.create_task(reader.work(), name=f"fact-reader-{number}")
            for number in range(statements_max)
        ]
        try:
            yield reader
        finally:
            reader.close()
            for worker in workers:
                worker.cancel()
