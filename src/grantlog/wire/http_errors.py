"""Errors that only HTTP knows: addresses, verbs, media types, the size of a body."""

from __future__ import annotations

from collections.abc import Iterable

from grantlog.errors import GrantlogError, InvalidInputError, LimitError


class UnroutedError(GrantlogError):
    """No operation has this address.

    Attributes:
        allowed: the verbs that the path has, in order; empty if there is no such path.
    """

    default_reason = "NOT_ROUTED"

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = tuple(sorted(allowed))
        super().__init__(
            f"this path takes {' and '.join(v for v in self.allowed if v != 'OPTIONS')}"
            if self.allowed
            else "no operation has this path: /openapi.json lists those there are"
        )


class PathError(InvalidInputError):
    """A path that is not percent-encoded UTF-8."""

    default_reason = "INVALID_PATH"


class MediaTypeError(InvalidInputError):
    """A body that says of itself that it is not JSON."""

    default_reason = "UNSUPPORTED_MEDIA_TYPE"


class BodyTooLargeError(LimitError):
    """A body with more bytes than are read."""

    default_reason = "BODY_TOO_LARGE"
