"""Sending a batch so that every fact of it is either stored or rejected with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

import grpc

from grantlog.api.v1 import base_pb2, service_pb2, service_pb2_grpc
from grantlog.cli.grpc_client import RETRIABLE, CallFailedError, errors_told
from grantlog.cli.importing.lines import Fact, Line, Reject, rejected
from grantlog.errors import UnavailableError

Write: TypeAlias = Callable[[service_pb2.DataWriteRequest], Awaitable[None]]
Facts: TypeAlias = Sequence[tuple[Line, Fact]]

CALL_S_MAX: Final = 60.0
RETRY_S_MAX: Final = 60.0
_BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_HOPELESS: Final = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNKNOWN,
    }
)
_HOPELESS_TEXTS: Final = frozenset({"ERROR_CODE_SCHEMA_NOT_FOUND", "ERROR_CODE_TENANT_NOT_FOUND"})


def writer(stub: service_pb2_grpc.DataAsyncStub) -> Write:
    """Write through the API."""

    async def write(request: service_pb2.DataWriteRequest) -> None:
        with errors_told():
            await stub.Write(request, timeout=CALL_S_MAX)

    return write


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends batches to one tenant."""

    write: Write
    tenant: str
    rng: Random
    clock: Callable[[], float]
    """Monotonic, in seconds."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def send(self, facts: Facts) -> list[Reject]:
        """Store facts; those that the server refuses for their own sake come back, in order.

        A refused request is halved until the refused facts stand alone.

        Raises:
            CallFailedError: refused for another reason than its facts.
            UnavailableError: no answer for RETRY_S_MAX.
        """
        if not facts:
            return []
        try:
            await self._write_patiently(_request(self.tenant, facts))
        except CallFailedError as error:
            if error.code in _HOPELESS or error.text in _HOPELESS_TEXTS:
                raise
            if len(facts) == 1:
                return [rejected(facts[0][0], error.explanation)]
            middle = len(facts) // 2
            return await self.send(facts[:middle]) + await self.send(facts[middle:])
        return []

    async def _write_patiently(self, request: service_pb2.DataWriteRequest) -> None:
        """Writing a fact twice changes nothing, so an unknown outcome is simply tried again."""
        give_up = self.clock() + RETRY_S_MAX
        attempt = 0
        while True:
            try:
                return await self.write(request)
            except CallFailedError as error:
                if error.code not in RETRIABLE:
                    raise
                if self.clock() > give_up:
                    raise UnavailableError(
                        f"the server did not take a write for {RETRY_S_MAX:.0f} s "
                        f"({error.explanation})"
                    ) from error
            await self.sleep(
                _BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)] * self.rng.uniform(0.5, 1.0)
            )
            attempt += 1


def _request(tenant: str, facts: Facts) -> service_pb2.DataWriteRequest:
    return service_pb2.DataWriteRequest(
        tenant_id=tenant,
        metadata=service_pb2.DataWriteRequestMetadata(),
        tuples=[fact for _, fact in facts if isinstance(fact, base_pb2.Tuple)],
        attributes=[fact for _, fact in facts if isinstance(fact, base_pb2.Attribute)],
    )
