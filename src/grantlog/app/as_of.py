"""Questions about the past: an exact revision, or a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, TypeAlias

from grantlog.errors import InvalidInputError
from grantlog.model.ids import Revision

AsOf: TypeAlias = Revision | datetime
"""An exact revision, or a time in UTC."""

_REVISION: Final = re.compile(r"[0-9]{1,18}")


def parse_as_of(text: str) -> AsOf:
    """Read a revision (`42`) or a time with its offset (`2026-11-21T20:26:00Z`).

    Raises:
        InvalidInputError: it is neither.
    """
    if _REVISION.fullmatch(text):
        return Revision(int(text))
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC it may lie before the year 1 or behind 9999
        pass
    raise InvalidInputError(
        f"{text[:64]!r} is no as-of: give a revision, as 42, or a time with its offset, as "
        "2026-11-21T20:26:00Z",
        reason="INVALID_AS_OF",
    )
