#!/usr/bin/env python3
"""What the doors cost: processor time of the server per call, a constant in the engine's place.

A server process answers checks through the real doors (socket, HTTP, messages, validation, terms,
standing, log line), its use case a constant; the load generator is this process. `bare native` is
the same gRPC server around a handler that does nothing, `rest uvicorn` the same REST server around
an application that does nothing: what the libraries underneath cost. `rest httptools` is what a
protocol of our own would begin with.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc
import uvloop
from calls import CHECK_METHOD, check, check_path, round_and_round
from door_bare import constant_app, serve_httptools
from drive import Result, summarise
from grantlog_api import rest_door
from grantlog_api.handlers.permission import PermissionHandlers
from grpc import aio
from loadgen.grpc import GrpcConnection
from loadgen.line import Call
from loadgen.loop import ClosedLoop
from loadgen.rest import RestConnection
from processes import on_cpu_s
from questions import questions
from world import World

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.check import CheckAnswer
from grantlog.engine.question import CheckQuery, CheckResult
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head
from grantlog.ports.standing import stand_at
from grantlog.runtime.logging import configure_logging
from grantlog.serving import grpc_door
from grantlog.serving.call_lines import CallLines, open_call_lines
from grantlog.serving.calls import Calls
from grantlog.serving.health import HealthProbe

HOST: Final = "127.0.0.1"
CASES: Final = (
    "bare native", "grpc native", "rest uvicorn", "rest httptools", "rest", "grpc grpcio"
)  # fmt: skip
_HEAD: Final = Head(Epoch(1), Revision(7), SchemaVersion("v" * 20))
_TENANT: Final = "bench"
_ASKED: Final = 10_000
_TOKEN: Final = "g" * 38
_SERVER_CORE, _CLIENT_CORE = 0, 1


class _Constant:
    """The check use case without an engine."""

    async def __call__(self, _tenant: TenantId, _query: CheckQuery, _terms: Any) -> CheckAnswer:
        stand_at(_TOKEN, 0.0)
        return CheckAnswer(CheckResult(allowed=True, check_count=3), _HEAD)


async def _healthy() -> str:
    return ""


def _calls(lines: CallLines | None) -> Calls:
    unused: Any = None
    handlers = PermissionHandlers(_Constant(), unused, unused, unused)  # type: ignore[arg-type]
    return Calls({CHECK_METHOD: handlers.check}, timeout_s=10.0, lines=lines)


async def _serve(case: str, *, call_lines: bool) -> None:
    async with AsyncExitStack() as stack:
        lines = None
        if call_lines:
            opened = open_call_lines(sys.stderr.fileno(), {"service": "api"})
            lines = await stack.enter_async_context(opened)
        await _serve_calls(case, _calls(lines))


async def _serve_calls(case: str, calls: Calls) -> None:
    door, _, kind = case.partition(" ")
    probe = HealthProbe(_healthy)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, stop.set)
    if door == "rest":
        listener = socket.create_server((HOST, 0), backlog=2048)
        listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        _say_port(listener.getsockname()[1])
        if kind == "httptools":
            await serve_httptools(listener, stop)
            return
        whole = rest_door.build_app(calls, probe, allowed_origins=["*"])
        app = constant_app if kind == "uvicorn" else whole
        await rest_door.serve(app, listener, stop, drain_s_max=1)
        return
    server = grpc_door.build_server(kind)  # type: ignore[arg-type]
    if door == "bare":
        _add_nothing(server)
    else:
        grpc_door.add_services(server, calls, probe)
    _say_port(grpc_door.bind(server, HOST, 0))
    await grpc_door.serve(server, stop, drain_s_max=1)


def _add_nothing(server: aio.Server) -> None:
    """The check as bytes in, bytes out."""
    metadata = service_pb2.PermissionCheckResponseMetadata(check_count=3)
    allowed = base_pb2.CHECK_RESULT_ALLOWED
    told = service_pb2.PermissionCheckResponse(can=allowed, metadata=metadata).SerializeToString()

    async def answer(_request: bytes, _context: Any) -> bytes:
        return told

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_registered_method_handlers("base.v1.Permission", {"Check": handler})  # type: ignore[attr-defined]


def _say_port(port: int) -> None:
    print(port, flush=True)


@contextmanager
def _server(case: str, *, call_lines: bool) -> Generator[tuple[int, int]]:
    """Pid and port of a server process for the block; lines of calls go to a file nobody reads."""
    command = [sys.executable, __file__, "--serve", case]
    with ExitStack() as stack:
        said = None
        if call_lines:
            command.append("--call-lines")
            said = stack.enter_context(tempfile.TemporaryFile())
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield process.pid, port
        finally:
            process.stdin.close()
            process.wait(10)


def _pin(pid: int, core: int) -> None:
    if len(os.sched_getaffinity(0)) > 1 or pid:
        for task in Path(f"/proc/{pid or 'self'}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def _runs(case: str, options: argparse.Namespace) -> Iterator[tuple[float, Result]]:
    """Microseconds of the server per call, and what the client saw; one a run."""
    door = case.split(maxsplit=1)[0]
    with _server(case, call_lines=options.call_lines) as (pid, port):
        if options.pin:
            _pin(pid, _SERVER_CORE)
        for seed in range(options.runs):
            before = on_cpu_s(pid)
            result = _drive(door, port, seed, options)
            yield (on_cpu_s(pid) - before) / max(1, result.calls_total) * 1e6, result


def _drive(door: str, port: int, seed: int, options: argparse.Namespace) -> Result:
    """Ask what is allowed for a while."""
    rest, authority = door == "rest", f"{HOST}:{port}"
    loop = ClosedLoop(
        (HOST, port),
        lambda: (
            RestConnection(authority, check_path(_TENANT))
            if rest
            else GrpcConnection(authority, CHECK_METHOD)
        ),
        connections=options.in_flight if rest else options.connections,
        in_flight=options.in_flight,
    )
    result = summarise(loop.run(_allowed(seed, rest=rest), warmup_s=0.2, seconds=options.seconds))
    if result.errors:
        raise SystemExit(f"{result.errors} errors, the first: {result.first_error}")
    return result


def _allowed(seed: int, *, rest: bool) -> Iterator[Call]:
    asked = questions(World(10_000), "3-level", seed)
    return round_and_round((check(_TENANT, each, rest=rest) for each in asked), _ASKED)


def _measure(case: str, options: argparse.Namespace) -> None:
    runs = list(_runs(case, options))
    spent = [us for us, _ in runs]
    results = [result for _, result in runs]
    print(
        f"{case:<16}{median(spent):>9.1f}{min(spent):>9.1f}{max(spent):>9.1f}"
        f"{median(r.rate for r in results):>11,.0f}{median(r.p50_ms for r in results):>9.2f}"
        f"{median(r.p99_ms for r in results):>9.2f}{max(r.cpu_share for r in results):>9.0%}",
        flush=True,
    )


def main() -> None:
    """Print a row for each door."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", help="be the server of this case", choices=CASES)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="leave cores alone")
    parser.add_argument("--call-lines", action="store_true", help="a line in the log for each call")
    options = parser.parse_args()
    configure_logging("door", "info")
    if options.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options.serve, call_lines=options.call_lines))
        return
    if options.pin:
        _pin(0, _CLIENT_CORE)
    print(
        f"{options.in_flight} calls in flight on {options.connections} connections; "
        "us: processor time of the server per call"
    )
    print(
        f"{'':<16}{'us':>9}{'least':>9}{'most':>9}{'calls/s':>11}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'client':>9}"
    )
    for case in options.cases.split(","):
        _measure(case, options)


if __name__ == "__main__":
    main()
