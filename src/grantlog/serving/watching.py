"""The Watch service's call, and what its filters look like in metadata."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from grantlog.api.v1 import base_pb2, service_pb2
from grantlog.app.watch import Told, Watch, WatchedSubject, WatchFilter
from grantlog.errors import InvalidInputError
from grantlog.model.change import Change, TupleChange
from grantlog.model.ids import NAME, TenantId
from grantlog.model.tuples import parse_subject
from grantlog.serving.metadata import WATCH_PREFIX, request_metadata
from grantlog.serving.watch_message import KeptMessages, WatchMessage
from grantlog.wire import convert

METHOD: Final = "/base.v1.Watch/Watch"
METADATA_PREFIX: Final = WATCH_PREFIX
ENTITY_TYPES: Final = "entity-types"
RELATIONS: Final = "relations"
SUBJECTS: Final = "subjects"
HEARTBEAT: Final = "heartbeat-s"
HEARTBEAT_S_MIN: Final = 0.1
FILTERS: Final = (ENTITY_TYPES, RELATIONS, SUBJECTS)
VALUES_MAX: Final = 100
"""Values of one filter."""

MESSAGE_BYTES_MAX: Final = 3 * 1024 * 1024
"""A revision with more changes is told in several messages: clients refuse more than 4 MiB."""

CHANGES_ON_LOOP_MAX: Final = 500
"""More are turned into messages beside the event loop."""


class WatchHandlers:
    """Streams changes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._kept = KeptMessages()

    async def watch(self, request: service_pb2.WatchRequest) -> AsyncGenerator[WatchMessage]:
        """base.v1.Watch/Watch, filtered as the request's metadata say."""
        said = request_metadata()
        heard = self._watch(
            TenantId(request.tenant_id),
            snap_token=request.snap_token,
            where=watch_filter(said),
            heartbeat_s=heartbeat_s(said),
        )
        async with aclosing(heard):
            async for told in heard:
                for message in self._kept.get(told) or await self._made(told):
                    yield message

    async def _made(self, told: Told) -> Sequence[WatchMessage]:
        if len(told.changes) > CHANGES_ON_LOOP_MAX:
            messages = await asyncio.to_thread(_messages, told)
        else:
            messages = _messages(told)
        if told.changes:
            self._kept.keep(told, messages)
        return messages


def watch_filter(metadata: Mapping[str, str]) -> WatchFilter:
    """The filter that a request's metadata describe: lists of values separated by commas.

    Raises:
        InvalidInputError: an unknown filter, or a value that is no name or subject.
    """
    given: dict[str, list[str]] = {}
    for name, text in metadata.items():
        if name.startswith(METADATA_PREFIX):
            kind = name.removeprefix(METADATA_PREFIX)
            if kind == HEARTBEAT:
                continue
            if kind not in FILTERS:
                raise InvalidInputError(
                    f"{name} is not a filter of Watch; there are "
                    f"{', '.join(METADATA_PREFIX + known for known in FILTERS)}"
                )
            given[kind] = _values(name, text)
    return WatchFilter(
        entity_types=frozenset(map(_name, given.get(ENTITY_TYPES, ()))),
        relations=frozenset(map(_name, given.get(RELATIONS, ()))),
        subjects=tuple(map(_subject, given.get(SUBJECTS, ()))),
    )


def heartbeat_s(metadata: Mapping[str, str]) -> float | None:
    """How long the watcher wants to hear nothing at most, in seconds; None if it does not say.

    Raises:
        InvalidInputError: it is no number, or too small.
    """
    text = metadata.get(METADATA_PREFIX + HEARTBEAT)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not HEARTBEAT_S_MIN <= seconds < math.inf:
        raise InvalidInputError(
            f"{METADATA_PREFIX + HEARTBEAT} is {text[:64]!r}: seconds, at least {HEARTBEAT_S_MIN}"
        )
    return seconds


def _values(name: str, text: str) -> list[str]:
    values = [value.strip() for value in text.split(",") if value.strip()]
    if len(values) > VALUES_MAX:
        raise InvalidInputError(f"{name} has {len(values)} values, at most {VALUES_MAX} may be")
    return values


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise InvalidInputError(f"{text!r} is not a name: letters and underscores, at most 128")
    return text


def _subject(text: str) -> WatchedSubject:
    if ":" not in text:
        return WatchedSubject(_name(text))
    return WatchedSubject(*parse_subject(text))


def _messages(told: Told) -> list[WatchMessage]:
    """One message, or several where it would be too large.

    Only the last one carries the revision's own token: whoever goes on from an earlier one's is
    told the whole revision again rather than a part of it never.
    """
    messages: list[WatchMessage] = []
    changes: list[base_pb2.DataChange] = []
    size = 0
    for change in map(_change, told.changes):
        bytes_ = change.ByteSize()
        if changes and size + bytes_ > MESSAGE_BYTES_MAX:
            messages.append(_message(told.previous_token, changes))
            changes, size = [], 0
        changes.append(change)
        size += bytes_
    return [*messages, _message(told.snap_token, changes)]


def _message(token: str, changes: list[base_pb2.DataChange]) -> WatchMessage:
    told = base_pb2.DataChanges(snap_token=token, data_changes=changes)
    message = service_pb2.WatchResponse(changes=told)
    return WatchMessage(token, has_changes=bool(changes), message=message)


def _change(change: Change) -> base_pb2.DataChange:
    operation = base_pb2.DataChange.Operation.ValueType(change.operation.value)
    if isinstance(change, TupleChange):
        return base_pb2.DataChange(operation=operation, tuple=convert.tuple_message(change.tuple))
    return base_pb2.DataChange(
        operation=operation, attribute=convert.attribute_message(change.attribute)
    )
