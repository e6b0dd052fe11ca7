"""The terms of a question: what it says about the time and the schema of its answer.

A request says one half beside its message, in gRPC metadata or HTTP headers, and the other half in
it. `resolve` turns both into one exact revision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from grantlog.app.as_of import AsOf, parse_as_of
from grantlog.errors import InvalidInputError

AS_OF: Final = "grantlog-as-of"
"""Answer as of exactly this revision or time."""
CONSISTENCY: Final = "grantlog-consistency"
"""Answer at `head`, at what the `node` knows, or `bounded` by age."""
MAX_STALENESS: Final = "grantlog-max-staleness-ms"
"""Answer with every write that was committed so many milliseconds ago."""
KEYS: Final = (AS_OF, CONSISTENCY, MAX_STALENESS)

STALENESS_MS_MAX: Final = 24 * 60 * 60 * 1000
"""A day: more is a slip of the unit."""
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}")

T = TypeVar("T")


class Consistency(Enum):
    """Where an answer stands that neither a token nor an as-of places."""

    HEAD = "head"
    """At or after every write committed before the question arrived, whoever wrote it."""
    NODE = "node"
    """At or after what this process acknowledged or answered; enough for the only writer."""
    BOUNDED = "bounded"
    """At or after every write committed a bounded time before the question was answered."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The time and the schema version that an answer is to stand at.

    Attributes:
        snap_token: at this place or after it; "" is no floor.
        schema_version: with this version, and not before it was written; "" is the one in force.
        as_of: at exactly this revision, or the last one committed by this time.
        consistency: None is what the node is set to.
        staleness_s_max: of `bounded`; None is what the node is set to.
    """

    snap_token: str = ""
    schema_version: str = ""
    as_of: AsOf | None = None
    consistency: Consistency | None = None
    staleness_s_max: float | None = None

    def also(self, *, snap_token: str = "", schema_version: str = "") -> Terms:
        """These terms with what the message says.

        Raises:
            InvalidInputError: a token and an as-of at once.
        """
        if self.as_of is not None and snap_token:
            raise _invalid(
                f"{AS_OF} asks for a past answer and the snap token for a fresh one: leave the "
                f"snap token out, or {AS_OF} to be answered as of now",
                AS_OF,
            )
        if not snap_token and not schema_version:
            return self
        return Terms(snap_token, schema_version, self.as_of, self.consistency, self.staleness_s_max)


NO_TERMS: Final = Terms()
AT_HEAD: Final = Terms(consistency=Consistency.HEAD)

_REASONS: Final = {
    AS_OF: "INVALID_AS_OF",
    CONSISTENCY: "INVALID_CONSISTENCY",
    MAX_STALENESS: "INVALID_MAX_STALENESS",
}


def _invalid(explanation: str, key: str) -> InvalidInputError:
    return InvalidInputError(explanation, reason=_REASONS[key])


def parse_terms(metadata: Mapping[str, str]) -> Terms:
    """The terms that a request's metadata say.

    Args:
        metadata: by lower-case name; other keys are left alone.

    Raises:
        InvalidInputError: a value that is none, or two keys that contradict each other.
    """
    said = {key: metadata[key] for key in KEYS if key in metadata} if metadata else None
    if not said:
        return NO_TERMS
    if AS_OF in said and len(said) > 1:
        other = CONSISTENCY if CONSISTENCY in said else MAX_STALENESS
        raise _invalid(
            f"{AS_OF} names the one revision to answer at, so {other} has no say: leave {other} "
            f"out, or {AS_OF} to be answered as of now",
            AS_OF,
        )
    consistency = _consistency(said[CONSISTENCY]) if CONSISTENCY in said else None
    staleness_s_max = None
    if MAX_STALENESS in said:
        if consistency not in {None, Consistency.BOUNDED}:
            raise _invalid(
                f"{MAX_STALENESS} goes with bounded alone: leave it out, or {CONSISTENCY}",
                MAX_STALENESS,
            )
        consistency = Consistency.BOUNDED
        staleness_s_max = _staleness_ms(said[MAX_STALENESS]) / 1000
    return Terms(
        as_of=parse_as_of(said[AS_OF]) if AS_OF in said else None,
        consistency=consistency,
        staleness_s_max=staleness_s_max,
    )


def _consistency(text: str) -> Consistency:
    try:
        return Consistency(text)
    except ValueError:
        words = ", ".join(each.value for each in Consistency)
        raise _invalid(
            f"{text[:64]!r} is no consistency: give one of {words}", CONSISTENCY
        ) from None


def _staleness_ms(text: str) -> int:
    if not _MILLISECONDS.fullmatch(text) or int(text) > STALENESS_MS_MAX:
        raise _invalid(
            f"{text[:64]!r} is no bound of staleness: give whole milliseconds from 0 to "
            f"{STALENESS_MS_MAX}",
            MAX_STALENESS,
        )
    return int(text)


@dataclass(frozen=True, slots=True)
class OfNow(Generic[T]):
    """The handler of a call that has no terms: one that writes, or whose answer has no revision.

    Attributes:
        handler: answers the request.
    """

    handler: Callable[[Any], T]

    def __call__(self, request: Any, terms: Terms) -> T:
        """Answer the request.

        Raises:
            InvalidInputError: the request brings terms.
        """
        if terms != NO_TERMS:
            key = AS_OF if terms.as_of is not None else CONSISTENCY
            if terms.staleness_s_max is not None:
                key = MAX_STALENESS
            told = f"{key} has no say here, the answer stands at no revision: leave it out"
            raise _invalid(told, key)
        return self.handler(request)
