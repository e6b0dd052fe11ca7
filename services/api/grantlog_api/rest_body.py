"""Bodies of REST requests: which are read, and how much of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from google.protobuf.message import Message
from starlette.requests import Request

from grantlog.wire.http_errors import BodyTooLargeError, MediaTypeError
from grantlog.wire.transcode import Route, bind

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
SMALL_BYTES_MAX: Final = 64 * 1024
"""Of a body that is decoded at once: up to 60 ms where it is full of tiny values. Larger ones go
beside the loop, and so never the short way (`rest_short.py`)."""

_LARGE: Final = ThreadPoolExecutor(1, thread_name_prefix="large-bodies")

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


async def bound(
    route: Route, variables: Mapping[str, str], query: Sequence[tuple[str, str]], body: bytes
) -> Message:
    """The message that a request says; as `bind`, and raises as that does.

    A large body takes up to 1 s for each MiB, so it is decoded in a thread, one at a time: others
    have their turn meanwhile.
    """
    if len(body) <= SMALL_BYTES_MAX:
        return bind(route, variables, query, body)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_LARGE, bind, route, variables, query, body)


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
