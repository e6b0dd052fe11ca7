from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import grpc
import pytest
from grpc import aio

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.cli.grpc_client import CallFailedError
from grantlog.cli.importing.batches import gather
from grantlog.cli.importing.lines import read_lines
from grantlog.cli.importing.progress import Place, Progress, begin, marks_of
from grantlog.cli.importing.runner import run_import
from grantlog.cli.importing.send import Sender
from grantlog.errors import PreconditionError, UnavailableError


def refusal(code: grpc.StatusCode, text: str = "") -> CallFailedError:
    return CallFailedError(aio.AioRpcError(code, aio.Metadata(), aio.Metadata(), details=text))


class Server:
    """Takes writes into memory, and refuses or fails as told."""

    def __init__(self, verdict: Callable[[service_pb2.DataWriteRequest, int], None] | None = None):
        self.verdict = verdict
        self.tuples: set[str] = set()
        self.attributes: dict[str, str] = {}
        self.calls = 0
        self.at_once = 0
        self.at_once_max = 0

    async def write(self, request: service_pb2.DataWriteRequest) -> None:
        self.calls += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            for _ in range(self.calls % 3):  # answers come in another order than requests
                await asyncio.sleep(0)
            if self.verdict:
                self.verdict(request, self.calls)
            self.tuples |= {f"{t.entity.id}@{t.subject.id}" for t in request.tuples}
            for a in request.attributes:
                value = base_pb2.IntegerValue()
                assert a.value.Unpack(value)
                self.attributes[a.entity.id] = str(value.data)
        finally:
            self.at_once -= 1


async def no_time(_: float) -> None:
    await asyncio.sleep(0)


def sender(server: Server, clock: Callable[[], float] = lambda: 0.0) -> Sender:
    return Sender(server.write, "t1", Random(1), clock, no_time)


async def imported(
    folder: Path, text: str, server: Server, *, facts_max: int = 10, in_flight: int = 4
) -> Progress:
    source = folder / "facts"
    if not source.exists():
        source.write_text(text)
    progress = begin(
        folder / "facts.progress",
        folder / "facts.rejects",
        marks_of(source, "t1", "a:1"),
        restart=False,
    )
    file = io.BytesIO(text.encode())
    file.seek(progress.place.offset)
    lines = read_lines(file, offset=progress.place.offset, number=progress.place.line)
    await run_import(
        gather(lines, facts_max),
        sender(server),
        progress,
        in_flight_max=in_flight,
        moved=lambda: None,
    )
    return progress


def tuples(count: int) -> str:
    return "".join(f"doc:{i}#viewer@user:{i}\n" for i in range(count))


def rejects(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "facts.rejects").read_text().splitlines()]


async def test_all_facts_arrive_several_requests_at_a_time(tmp_path: Path):
    server = Server()
    progress = await imported(tmp_path, tuples(105), server)
    assert server.tuples == {f"{i}@{i}" for i in range(105)}
    assert server.calls == 11
    assert 2 <= server.at_once_max <= 4
    assert progress.place.imported == 105
    assert not (tmp_path / "facts.rejects").exists()


async def test_refused_facts_are_found_and_the_others_of_their_request_arrive(tmp_path: Path):
    bad = {"3", "17", "18"}

    def verdict(request: service_pb2.DataWriteRequest, _: int) -> None:
        if any(t.entity.id in bad for t in request.tuples):
            raise refusal(grpc.StatusCode.INVALID_ARGUMENT, "ERROR_CODE_SUBJECT_RELATION")

    server = Server(verdict)
    progress = await imported(tmp_path, tuples(40), server)
    assert server.tuples == {f"{i}@{i}" for i in range(40) if str(i) not in bad}
    assert rejects(tmp_path) == [
        {
            "line": int(i) + 1,
            "text": f"doc:{i}#viewer@user:{i}",
            "reason": "INVALID_ARGUMENT: ERROR_CODE_SUBJECT_RELATION",
        }
        for i in ("3", "17", "18")
    ]
    assert (progress.place.imported, progress.place.rejected) == (37, 3)


async def test_rejects_of_the_reader_and_of_the_server_stand_in_the_order_of_lines(tmp_path: Path):
    def verdict(request: service_pb2.DataWriteRequest, _: int) -> None:
        if any(t.entity.id == "0" for t in request.tuples):
            raise refusal(grpc.StatusCode.NOT_FOUND, "ERROR_CODE_ENTITY_DEFINITION_NOT_FOUND")

    await imported(tmp_path, "doc:1#v@user:1\ndoc:0#v@user:1\nnonsense\n", Server(verdict))
    assert [reject["line"] for reject in rejects(tmp_path)] == [2, 3]


async def test_the_last_value_of_an_attribute_wins_however_answers_are_ordered(tmp_path: Path):
    text = "".join(f"doc:{i % 7}$level|integer:{i}\n" for i in range(100))
    server = Server()
    await imported(tmp_path, text, server, facts_max=3)
    assert server.attributes == {str(i % 7): str(i) for i in range(93, 100)}


async def test_an_unavailable_server_is_asked_again(tmp_path: Path):
    def verdict(_: service_pb2.DataWriteRequest, call: int) -> None:
        if call % 2:
            raise refusal(grpc.StatusCode.UNAVAILABLE)

    server = Server(verdict)
    await imported(tmp_path, tuples(50), server)
    assert len(server.tuples) == 50
    assert not (tmp_path / "facts.rejects").exists()


async def test_a_server_that_stays_away_ends_the_import_with_its_reason():
    ticks = iter(range(1000))

    def verdict(_: service_pb2.DataWriteRequest, __: int) -> None:
        raise refusal(grpc.StatusCode.UNAVAILABLE, "connection refused")

    (batch,) = gather(read_lines(io.BytesIO(b"doc:1#v@user:1\n")), 10)
    with pytest.raises(UnavailableError, match="connection refused"):
        await sender(Server(verdict), lambda: float(next(ticks)) * 10).send(batch.facts)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, ""),
        (grpc.StatusCode.INTERNAL, ""),
        (grpc.StatusCode.NOT_FOUND, "ERROR_CODE_SCHEMA_NOT_FOUND"),
    ],
)
async def test_what_is_wrong_for_every_fact_ends_the_import_and_rejects_none(
    tmp_path: Path, code: grpc.StatusCode, text: str
):
    def verdict(_: service_pb2.DataWriteRequest, __: int) -> None:
        raise refusal(code, text)

    server = Server(verdict)
    with pytest.raises(CallFailedError):
        await imported(tmp_path, tuples(200), server)
    assert server.calls <= 16
    assert not (tmp_path / "facts.rejects").exists()


async def test_an_import_that_failed_goes_on_behind_what_is_done_and_loses_nothing(tmp_path: Path):
    down = True

    def verdict(request: service_pb2.DataWriteRequest, _: int) -> None:
        if down and any(t.entity.id == "55" for t in request.tuples):
            raise refusal(grpc.StatusCode.INTERNAL)

    server = Server(verdict)
    text = tuples(30) + "nonsense\n" + tuples(100)
    with pytest.raises(CallFailedError):
        await imported(tmp_path, text, server)
    place = Place(**json.loads((tmp_path / "facts.progress").read_text())["place"])
    assert place.line <= 31 + 55
    first_calls = server.calls
    with (tmp_path / "facts.rejects").open("a") as file:
        file.write("written by a process that died before it noted its place\n")
    down = False
    progress = await imported(tmp_path, text, server)
    assert server.tuples == {f"{i}@{i}" for i in range(100)}
    assert progress.place.line == 131
    assert (progress.place.imported, progress.place.rejected) == (130, 1)
    assert [reject["line"] for reject in rejects(tmp_path)] == [31]
    assert server.calls - first_calls < 13
    progress.finish()
    assert not (tmp_path / "facts.progress").exists()


async def test_an_interrupted_import_notes_its_place(tmp_path: Path):
    begun = asyncio.Event()

    class Slow(Server):
        async def write(self, request: service_pb2.DataWriteRequest) -> None:
            await super().write(request)
            if len(self.tuples) >= 50:
                begun.set()
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(imported(tmp_path, tuples(200), Slow()))
        await begun.wait()
        task.cancel()
    noted = json.loads((tmp_path / "facts.progress").read_text())["place"]
    assert 0 < noted["line"] <= 50


@pytest.mark.parametrize("change", ["input", "tenant", "server"])
async def test_another_imports_place_is_not_taken_for_ours(tmp_path: Path, change: str):
    source = tmp_path / "facts"
    source.write_text(tuples(5))
    marks = marks_of(source, "t1", "a:1")
    files = tmp_path / "facts.progress", tmp_path / "facts.rejects"
    begun = begin(*files, marks, restart=False)
    begun.advance(10, 1, 1, [])
    begun.save()
    with pytest.raises(PreconditionError, match=f"another {change}"):
        begin(*files, marks | {change: "other"}, restart=False)
    assert begin(*files, marks | {change: "other"}, restart=True).place == Place()


def test_a_changed_input_has_other_marks(tmp_path: Path):
    source = tmp_path / "facts"
    source.write_text("x" * 200_000)
    before = marks_of(source, "t1", "a:1")
    source.write_text("x" * 199_999 + "y")
    assert marks_of(source, "t1", "a:1") != before


def test_a_damaged_place_is_an_error_that_names_the_way_out(tmp_path: Path):
    (tmp_path / "p").write_text("{")
    with pytest.raises(PreconditionError, match="--restart"):
        begin(tmp_path / "p", tmp_path / "r", {}, restart=False)
