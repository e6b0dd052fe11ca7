"""Logs: one JSON object a line on stderr, or lines for people where stderr is a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Final, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogLevel = Literal["debug", "info", "warning", "error"]

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_QUIETER: Final = ("asyncio", "uvicorn", "uvicorn.error", "uvicorn.access", "grpc")
"""Libraries that report what our own lines say already: heard from WARNING on."""

_AT_DEBUG: Final = ("aiokafka", "asyncpg.pool")
"""Drivers that tell each of their attempts, many a second while the other side is away, and with
tracebacks: what comes of it stands in our own lines."""

_NEVER_AT_DEBUG: Final = "aiokafka.conn"
"""Shows each request whole at DEBUG, the one with the password included."""


def configure_logging(
    service: str,
    level: LogLevel = "info",
    *,
    stream: TextIO | None = None,
    for_people: bool | None = None,
) -> None:
    """Send all logs of this process, the libraries' too, to `stream` (stderr).

    Args:
        service: named in every line.
        level: the least level that is written.
        stream: where to.
        for_people: console lines rather than JSON; by default where the stream is a terminal.
    """
    to: TextIO = stream or sys.stderr  # None for a process without standard streams: not ours
    console = to.isatty() if for_people is None else for_people

    def named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        named,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if not console:  # the console renders tracebacks itself
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, _renderer(console=console)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(to),
        cache_logger_on_first_use=False,
    )
    _route_libraries(shared, to, level, console=console)


def _renderer(*, console: bool) -> Processor:
    if console:
        return structlog.dev.ConsoleRenderer()
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: EventDict, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()


def _route_libraries(
    shared: list[Processor], stream: TextIO, level: LogLevel, *, console: bool
) -> None:
    """Give the lines of the standard library's loggers the same form."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _renderer(console=console),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(level=_LEVELS[level], handlers=[handler], force=True)
    manager = logging.root.manager
    for name in _QUIETER:
        manager.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))
    for name in _AT_DEBUG:
        manager.getLogger(name).setLevel(
            logging.DEBUG if level == "debug" else logging.CRITICAL + 1
        )
    if level == "debug":
        manager.getLogger(_NEVER_AT_DEBUG).setLevel(logging.INFO)
    else:
        manager.getLogger(_NEVER_AT_DEBUG).setLevel(logging.NOTSET)  # as its parent
