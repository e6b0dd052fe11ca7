"""The load generator's process: a plan as JSON in its argument, what it measured as JSON out."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import calls
from loadgen.grpc import GrpcConnection
from loadgen.line import Call, Connection, Measured
from loadgen.loop import ClosedLoop
from loadgen.open_loop import OpenLoop
from loadgen.rest import RestConnection
from percentiles import percentile
from questions import Question, asked_docs, question_about, questions
from world import AnyWorld, World, world_of

KINDS: Final = ("check", "blend", "bulkcheck", "warm", "write", "bulk", "load")
_FOREVER_S: Final = 24 * 3600.0
_WRITE_EVERY: Final = 100
_WARM_ROUNDS: Final = 3
"""A relation is kept whole when it is asked for a second time."""
_LATE_CALLS_MAX: Final = 512
_WRITES_A_S: Final = 5_000
_BULKS_A_S: Final = 60
"""Writes encoded before the clock starts, for each second of a run."""


@dataclass(frozen=True)
class Plan:
    """One run of the load generator."""

    kind: str
    """check, blend (99 checks and a write), bulkcheck (100 checks each), warm (`_warming`), write
    (one tuple each), bulk (1,000 new tuples each), load (the world itself)."""
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
    """Calls at a time; the most, where a rate is offered."""
    warmup_s: float
    seconds: float
    core: int | None = None
    """The only processor core to use."""
    shape: str = "regular"
    """Of the world: regular, wide, huge."""
    question: str = "mixed"
    """What checks ask: a kind of questions.py."""
    docs: int = 0
    """So many documents are asked for; 0: all."""
    distinct: int = 20_000
    """So many questions are encoded before the clock starts, and asked round and round."""
    fresh: str = ""
    """Part of the ids that writes use: without it, the same seed writes the same tuples."""
    skip: int = 0
    """So many questions of the seed were asked already."""
    rate: float = 0.0
    """Calls a second to offer; 0: a new one for each that ends."""

    @property
    def whole_s(self) -> float:
        """Warm-up and what is measured, in seconds."""
        return self.warmup_s + self.seconds


@dataclass(frozen=True)
class Result:
    """What a run showed."""

    calls: int
    calls_total: int
    """Warm-up and drain included."""
    seconds: float
    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float
    errors: int
    first_error: str
    cpu_share: float
    """Processor time of the load generator, of one core: near 1 it measured itself."""
    offered: float = 0.0
    """Calls a second that were due; 0: as many as the server took."""
    write_p50_ms: float = 0.0
    write_p99_ms: float = 0.0
    """Of the writes between checks, whose own are above; 0 where there are none."""


def drive(plan: Plan) -> Result:
    """Run a plan in this process."""
    finite = plan.kind in ("load", "warm")
    made = _calls(plan, world_of(plan.shape, plan.size))
    warmup_s, seconds = (0.0, _FOREVER_S) if finite else (plan.warmup_s, plan.seconds)
    # Collections of cycles would show as pauses of the server; nothing here makes cycles.
    gc.collect()
    gc.disable()
    measured = _loop(plan).run(made, warmup_s=warmup_s, seconds=seconds)
    gc.enable()
    return summarise(measured, offered=plan.rate)


def summarise(measured: Measured, *, offered: float = 0.0) -> Result:
    """Rates and percentiles of a run."""
    ordered, writes = sorted(measured.latencies_ns), sorted(measured.writes_ns)
    seconds = measured.seconds
    return Result(
        calls=measured.done,
        calls_total=measured.calls_total,
        seconds=seconds,
        rate=measured.done / seconds if seconds else 0.0,
        p50_ms=percentile(ordered, 50) / 1e6,
        p99_ms=percentile(ordered, 99) / 1e6,
        errors=measured.errors,
        first_error=measured.first_error,
        cpu_share=measured.cpu_s / seconds if seconds else 0.0,
        offered=offered,
        write_p50_ms=percentile(writes, 50) / 1e6,
        write_p99_ms=percentile(writes, 99) / 1e6,
    )


def _loop(plan: Plan) -> ClosedLoop | OpenLoop:
    address = (plan.host, plan.port)
    if not plan.rate:
        return ClosedLoop(
            address,
            lambda: _connect(plan),
            connections=plan.connections,
            in_flight=plan.in_flight,
        )
    return OpenLoop(
        address,
        lambda: _connect(plan),
        connections=plan.connections,
        in_flight_max=plan.connections if plan.protocol == "rest" else _LATE_CALLS_MAX,
        rate=plan.rate,
    )


def _connect(plan: Plan) -> Connection:
    authority = f"{plan.host}:{plan.port}"
    if plan.protocol == "grpc":
        if plan.kind == "bulkcheck":
            return GrpcConnection(authority, calls.BULK_METHOD)
        if plan.kind in ("check", "warm", "blend"):
            return GrpcConnection(authority, calls.CHECK_METHOD, calls.WRITE_METHOD)
        return GrpcConnection(authority, calls.WRITE_METHOD)
    path = calls.check_path if plan.kind in ("check", "warm") else calls.write_path
    return RestConnection(authority, path(plan.tenant))


def _calls(plan: Plan, world: Any) -> Iterator[Call]:
    asked = {"check": _checks, "bulkcheck": _bulk_checks, "warm": _warming, "blend": _blend}
    if plan.kind in asked:
        return asked[plan.kind](plan, world)
    match plan.kind:
        case "write":
            rest = plan.protocol == "rest"
            made = calls.single_writes(plan.tenant, world, plan.fresh, rest=rest)
            return calls.encoded_ahead(made, int(_WRITES_A_S * plan.whole_s))
        case "bulk":
            made = calls.bulk_writes(plan.tenant, calls.more_facts(world, plan.fresh))
            return calls.encoded_ahead(made, int(_BULKS_A_S * plan.whole_s))
        case "load":
            return calls.bulk_writes(plan.tenant, world.all_facts(), world.traits())
        case _:
            raise ValueError(f"{plan.kind!r} is none of {KINDS}")


def _checks(plan: Plan, world: AnyWorld) -> Iterator[Call]:
    return calls.round_and_round(_each_check(plan, world), plan.distinct)


def _bulk_checks(plan: Plan, world: AnyWorld) -> Iterator[Call]:
    made = calls.bulk_checks(plan.tenant, _asked(plan, world))
    return calls.round_and_round(made, plan.distinct // calls.ITEMS_PER_BULK)


def _blend(plan: Plan, world: World) -> Iterator[Call]:
    writes = calls.touching_writes(plan.tenant, world, plan.fresh, docs=plan.docs)
    return calls.blended(_checks(plan, world), writes, _WRITE_EVERY)


def _each_check(plan: Plan, world: AnyWorld) -> Iterator[Call]:
    for question in _asked(plan, world):
        yield calls.check(plan.tenant, question, rest=plan.protocol == "rest")


def _asked(plan: Plan, world: AnyWorld) -> Iterator[Question]:
    """The plan's questions, without those that were asked already."""
    return islice(questions(world, plan.question, plan.seed, docs=plan.docs), plan.skip, None)


def _warming(plan: Plan, world: AnyWorld) -> Iterator[Call]:
    """The checks of the plan twice; or, if none are told, each of its documents in each round."""
    if plan.distinct:
        made = list(islice(_each_check(plan, world), plan.distinct))
        yield from made
        yield from made
        return
    for round_ in range(_WARM_ROUNDS):
        for doc in range(asked_docs(world, plan.docs)):
            question = question_about(world, plan.question, doc, plan.seed + round_)
            yield calls.check(plan.tenant, question, rest=plan.protocol == "rest")


def main() -> None:
    """Run the plan in the first argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    json.dump(asdict(drive(plan)), sys.stdout)


if __name__ == "__main__":
    main()
