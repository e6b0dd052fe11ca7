"""Bodies of REST requests: which are read, and how much of them."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from grantlog.wire.http_errors import BodyTooLargeError, MediaTypeError

BODY_BYTES_MAX: Final = 4 * 1024 * 1024

_UNTOLD: Final = ("", "application/x-www-form-urlencoded", "text/plain")
"""What HTTP clients call a body when nobody told them: `curl -d`, `fetch`, axios. Permify reads
such bodies as JSON, so we do; but never a browser page's, for which these types, or none, are the
way round the question whether it may call at all."""
_CHARSET: Final = re.compile(r'charset\s*=\s*"?([^\s";]*)')
_CHARSETS: Final = ("utf-8", "utf8", "us-ascii")


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        MediaTypeError: it says of itself that it is not JSON in UTF-8.
        BodyTooLargeError: it is, or says it is, larger than BODY_BYTES_MAX.
    """
    length = request.headers.get("content-length", "0")
    if length != "0" or "transfer-encoding" in request.headers:
        _accept_media_type(request)
    if len(length) > len(str(BODY_BYTES_MAX)) or int(length) > BODY_BYTES_MAX:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise _too_large()
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError(f"the request body is larger than {BODY_BYTES_MAX} bytes")


def _accept_media_type(request: Request) -> None:
    """Return if the body may be JSON in UTF-8 by what its headers say."""
    text = request.headers.get("content-type", "")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise MediaTypeError(f"send the body as it is, not as {encoding[:100]!r}")
    kind, _, parameters = text.lower().partition(";")
    kind = kind.strip()
    is_json = kind == "application/json" or kind.endswith("+json")
    is_untold = kind in _UNTOLD and "origin" not in request.headers
    charset = _CHARSET.search(parameters)
    if not (is_json or is_untold) or (charset is not None and charset[1] not in _CHARSETS):
        raise MediaTypeError(f"send JSON as application/json, not {text[:100]!r}")
