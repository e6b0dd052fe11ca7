"""The load generator's process: a plan as JSON in its argument, what it measured as JSON out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import calls
from loadgen.grpc import GrpcConnection
from loadgen.loop import Call, ClosedLoop, Connection, Measured
from loadgen.rest import RestConnection
from world import World

KINDS: Final = ("check", "write", "bulk", "load")
_FOREVER_S: Final = 24 * 3600.0


@dataclass(frozen=True)
class Plan:
    """One run of the load generator."""

    kind: str
    """check, write (one tuple each), bulk (1,000 new tuples each), load (the world itself)."""
    protocol: str
    """grpc or rest."""
    host: str
    port: int
    tenant: str
    size: int
    """Tuples of the world."""
    seed: int
    connections: int
    in_flight: int
    warmup_s: float
    seconds: float
    core: int | None = None
    """The only processor core to use."""


@dataclass(frozen=True)
class Result:
    """What a run showed."""

    calls: int
    calls_total: int
    """Warm-up and drain included."""
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    first_error: str
    cpu_share: float
    """Processor time of the load generator, of one core: near 1 it measured itself."""


def drive(plan: Plan) -> Result:
    """Run a plan in this process."""
    loop = ClosedLoop(
        (plan.host, plan.port),
        lambda: _connect(plan),
        connections=plan.connections,
        in_flight=plan.in_flight,
    )
    loading = plan.kind == "load"
    measured = loop.run(
        _calls(plan),
        warmup_s=0.0 if loading else plan.warmup_s,
        seconds=_FOREVER_S if loading else plan.seconds,
    )
    return summarise(measured)


def summarise(measured: Measured) -> Result:
    """Rates and percentiles of a run."""
    ordered = sorted(measured.latencies_ns)
    done = len(ordered)
    return Result(
        calls=done,
        calls_total=measured.calls_total,
        seconds=measured.seconds,
        rate=done / measured.seconds if measured.seconds else 0.0,
        p50_ms=ordered[done // 2] / 1e6 if done else 0.0,
        p99_ms=ordered[done * 99 // 100] / 1e6 if done else 0.0,
        errors=measured.errors,
        first_error=measured.first_error,
        cpu_share=measured.cpu_s / measured.seconds if measured.seconds else 0.0,
    )


def _connect(plan: Plan) -> Connection:
    authority = f"{plan.host}:{plan.port}"
    if plan.protocol == "grpc":
        method = calls.CHECK_METHOD if plan.kind == "check" else calls.WRITE_METHOD
        return GrpcConnection(authority, method)
    path = calls.check_path if plan.kind == "check" else calls.write_path
    return RestConnection(authority, path(plan.tenant))


def _calls(plan: Plan) -> Iterator[Call]:
    world, rest = World(plan.size), plan.protocol == "rest"
    match plan.kind:
        case "check":
            return calls.checks(plan.tenant, world, plan.seed, rest=rest)
        case "write":
            return calls.single_writes(plan.tenant, world, plan.seed, rest=rest)
        case "bulk":
            return calls.bulk_writes(plan.tenant, calls.more_facts(world, plan.seed))
        case "load":
            return calls.bulk_writes(plan.tenant, world.facts())
        case _:
            raise ValueError(f"{plan.kind!r} is none of {KINDS}")


def main() -> None:
    """Run the plan in the first argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    json.dump(asdict(drive(plan)), sys.stdout)


if __name__ == "__main__":
    main()
