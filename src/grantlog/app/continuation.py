"""Continuation tokens of listings: the place of a page, pinned to a revision, under a MAC.

The MAC's key lives in the primary, so every node accepts every node's tokens and nobody else makes
one. A token goes with one request: the request's digest is inside.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from grantlog.errors import InvalidTokenError
from grantlog.model import base64url
from grantlog.model.ids import Epoch, Revision, SchemaVersion

_MAC_BYTES: Final = 16
NO_VERSION: Final = SchemaVersion("")
_REASON: Final = "ERROR_CODE_INVALID_CONTINUOUS_TOKEN"


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where the next page starts."""

    epoch: Epoch
    revision: Revision
    after: tuple[str, ...]
    """The key of the last item shown."""
    schema_version: SchemaVersion = NO_VERSION
    """The schema version that the first page was answered with, "" where none matters."""


def request_digest(*parts: object) -> str:
    """A digest of what a token must be used with; parts must have an unambiguous repr."""
    return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


class Continuations:
    """Seals and opens continuation tokens."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, place: Continuation, digest: str) -> str:
        """The token of a place for the request with this digest."""
        at = (place.epoch, place.revision, place.schema_version)
        body = json.dumps([*at, digest, *place.after]).encode()
        return base64url.encode(self._mac(body) + body)

    def open(self, token: str, digest: str) -> Continuation:
        """The place that a token names.

        Raises:
            InvalidTokenError: garbled, tampered with, or of another request.
        """
        try:
            raw = base64url.decode(token)
        except ValueError as error:
            raise _invalid("it is garbled") from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise _invalid("it is not one of ours")
        epoch, revision, version, sealed_for, *after = json.loads(body)
        if sealed_for != digest:
            raise _invalid("it belongs to another request: repeat the one that returned it")
        return Continuation(Epoch(epoch), Revision(revision), tuple(after), SchemaVersion(version))

    def _mac(self, body: bytes) -> bytes:
        return blake2b(body, key=self._key, digest_size=_MAC_BYTES).digest()


def _invalid(why: str) -> InvalidTokenError:
    return InvalidTokenError(f"the continuation token cannot be used: {why}", reason=_REASON)
