"""Timestamps and durations in JSON texts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from grantlog.wire.json_scalars import Mismatch, expected

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION: Final = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")


def decode_timestamp(message: Any, value: Any, _depth: int) -> None:
    """Fill a Timestamp from RFC 3339 text.

    Raises:
        Mismatch: the value is not one.
    """
    if type(value) is not str:
        raise expected("a time as 2024-05-01T10:00:00Z", value)
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise Mismatch("expected a time as 2024-05-01T10:00:00Z")
    try:
        whole = datetime.fromisoformat(match[1] + match[3])
    except ValueError:
        raise Mismatch("expected a time as 2024-05-01T10:00:00Z") from None
    message.seconds = (whole - _UNIX_EPOCH) // timedelta(seconds=1)
    message.nanos = _nanos(match[2])


def decode_duration(message: Any, value: Any, _depth: int) -> None:
    """Fill a Duration from text as `1.5s`.

    Raises:
        Mismatch: the value is not one.
    """
    if type(value) is not str:
        raise expected("a duration as 1.5s", value)
    match = _DURATION.fullmatch(value)
    if match is None:
        raise Mismatch("expected a duration as 1.5s")
    sign = -1 if match[1] else 1
    message.seconds = sign * int(match[2])
    message.nanos = sign * _nanos(match[3])


def _nanos(fraction: str | None) -> int:
    return int((fraction or "").ljust(9, "0"))
