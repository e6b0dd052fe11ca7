"""Putting an import together: input, connection, progress bar."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import BinaryIO, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)

from grantlog.api.v1 import service_pb2_grpc
from grantlog.cli.files import unreadable
from grantlog.cli.grpc_client import connected
from grantlog.cli.importing.batches import gather
from grantlog.cli.importing.lines import read_lines
from grantlog.cli.importing.progress import Place, Progress, begin, marks_of
from grantlog.cli.importing.runner import run_import
from grantlog.cli.importing.send import RETRY_S_MAX, Sender, writer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What to import, where to and how."""

    source: Path | None
    """None for standard input, which cannot be resumed."""
    tenant: str
    address: str
    facts_max: int
    in_flight_max: int
    rejects: Path
    progress: Path
    restart: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import ended."""

    imported: int
    rejected: int
    summary: str


async def import_file(options: ImportOptions, stdin: BinaryIO, terminal: TextIO) -> Imported:
    """Import a file's facts, from where an interrupted import of it stood.

    Raises:
        NotFoundError: there is no such file, or it cannot be read.
        GrantlogError: the import stopped; run again, it goes on.
    """
    loop = asyncio.get_running_loop()
    marks = _marks(options)

    def waiting() -> None:
        terminal.write(
            f"grantlog: no server answers at {options.address} yet: "
            f"waiting for one, {RETRY_S_MAX:.0f} s at most\n"
        )

    async with connected(options.address, wait_s_max=RETRY_S_MAX, waiting=waiting) as channel:
        progress = begin(
            options.progress if options.source else None,
            options.rejects,
            marks,
            restart=options.restart,
        )
        started, first = loop.time(), progress.place
        sender = Sender(
            writer(service_pb2_grpc.DataStub(channel)), options.tenant, SystemRandom(), loop.time
        )
        with _opened(options.source, stdin, first) as file, _bar(options, terminal) as show:
            show(first, 0.0)
            lines = read_lines(file, offset=first.offset, number=first.line)
            await run_import(
                gather(lines, options.facts_max),
                sender,
                progress,
                in_flight_max=options.in_flight_max,
                moved=lambda: show(progress.place, _rate(progress, first, loop.time() - started)),
            )
        progress.finish()
    return _ended(progress, first, loop.time() - started)


def _marks(options: ImportOptions) -> dict[str, str]:
    if options.source is None:
        return {}
    try:
        return marks_of(options.source, options.tenant, options.address)
    except OSError as error:
        raise unreadable(options.source, error) from error


@contextlib.contextmanager
def _opened(source: Path | None, stdin: BinaryIO, place: Place) -> Generator[BinaryIO]:
    if source is None:
        yield stdin
        return
    with source.open("rb", buffering=1 << 20) as file:
        file.seek(place.offset)
        yield file


@contextlib.contextmanager
def _bar(options: ImportOptions, terminal: TextIO) -> Generator[Callable[[Place, float], None]]:
    """A progress bar over the input's bytes, on a terminal only."""
    total = options.source.stat().st_size if options.source else None
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[facts]:,} facts  {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
        console=Console(file=terminal),
        disable=not terminal.isatty(),
    ) as bar:
        task = bar.add_task("importing", total=total, facts=0, rate=0.0)

        def show(place: Place, rate: float) -> None:
            bar.update(task, completed=place.offset, facts=place.imported, rate=rate)

        yield show


def _rate(progress: Progress, first: Place, elapsed_s: float) -> float:
    return (progress.place.imported - first.imported) / max(elapsed_s, 1e-3)


def _ended(progress: Progress, first: Place, elapsed_s: float) -> Imported:
    place = progress.place
    resumed = f", {first.imported:,} of them before it was resumed" if first.line else ""
    rejects = f", {place.rejected:,} rejected ({progress.rejects})" if place.rejected else ""
    rate = _rate(progress, first, elapsed_s)
    summary = (
        f"imported {place.imported:,} facts in {elapsed_s:.1f} s ({rate:,.0f}/s){resumed}{rejects}"
    )
    return Imported(place.imported, place.rejected, summary)
