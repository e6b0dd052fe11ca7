"""What a request and its answer say beside their messages: gRPC metadata, or headers of REST.

Of a request only names that begin with `grantlog-` are kept. A door sets them for the task that
answers, a handler reads them there. What a handler says about its answer the door sends along: as
trailing metadata, or as headers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from grantlog.app.terms import KEYS
from grantlog.errors import InvalidInputError

PREFIX: Final = "grantlog-"
STANDS_AT: Final = "grantlog-token"
"""Of an answer: the snap token of the revision that it stands at."""
SOURCE: Final = "grantlog-source"
"""Of an answer: the copy furthest from the writes that was read for it."""
AGE: Final = "grantlog-age-ms"
"""Of an answer: how long ago its revision was last known to be the tenant's head."""
ITEM_ERRORS: Final = "grantlog-item-errors"
"""Of a bulk check: the items that are denied because their caller got something wrong."""
ANSWERED: Final = (STANDS_AT, SOURCE, AGE, ITEM_ERRORS)
WATCH_PREFIX: Final = "grantlog-watch-"
"""Of a request to watch: its filters."""

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CURRENT: ContextVar[Mapping[str, str]] = ContextVar("request metadata", default=_NONE)


def set_request_metadata(pairs: Iterable[tuple[str, str | bytes]]) -> None:
    """Keep what the current task's request says; of a name that comes twice, both, with a comma."""
    kept: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(PREFIX) and isinstance(value, str):
            kept[name] = f"{kept[name]},{value}" if name in kept else value
    _CURRENT.set(kept)


def request_metadata() -> Mapping[str, str]:
    """What the request that is being answered says, by lower-case name.

    Raises:
        InvalidInputError: a name that means nothing: it is mistyped, and what it was to ask for
            would be left out of the answer in silence.
    """
    said = _CURRENT.get()
    for name in said:
        if name in KEYS or name in ANSWERED or name.startswith(WATCH_PREFIX):
            continue
        near = get_close_matches(name, KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KEYS)}"
        raise InvalidInputError(f"{name[:64]} means nothing: {hint}", reason="UNKNOWN_METADATA")
    return said


_ANSWER: ContextVar[dict[str, str] | None] = ContextVar("answer metadata", default=None)


def collect_answer_metadata() -> Mapping[str, str]:
    """What the handler that is called next in this task will say about its answer."""
    said: dict[str, str] = {}
    _ANSWER.set(said)
    return said


def say_with_answer(name: str, value: str) -> None:
    """Send a word along with the answer to the request that is being answered; ASCII only."""
    said = _ANSWER.get()
    if said is not None:
        said[name] = value
