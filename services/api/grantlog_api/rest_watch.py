"""Watching over REST: filters as query parameters, and server-sent events.

`GET /v1/tenants/{tenant_id}/watch/events` speaks what a browser's EventSource reads: the id of an
event is the token to go on from, and the browser sends it by itself when it reconnects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Final

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from grantlog.api.v1 import service_pb2
from grantlog.serving.calls import Calls
from grantlog.serving.metadata import collect_answer_metadata, set_request_metadata
from grantlog.serving.watching import FILTERS, METADATA_PREFIX, METHOD
from grantlog.wire.openapi import EVENTS_PATH
from grantlog.wire.protojson import encode
from grantlog.wire.status import WireStatus, error_body
from grantlog_api.rest_stream import Framing, StreamResponse

RETRY_MS: Final = 1_000
"""How long a browser waits before it connects again."""

__all__ = ["EVENTS", "EVENTS_PATH", "events", "metadata_of"]

_PARAMETERS: Final = {name.replace("-", "_"): METADATA_PREFIX + name for name in FILTERS}


def metadata_of(request: Request) -> Iterable[tuple[str, str]]:
    """The request's headers, and its filters as the metadata that say the same."""
    yield from request.headers.items()
    for name, value in request.query_params.multi_items():
        if name in _PARAMETERS:
            yield _PARAMETERS[name], value


def events(calls: Calls, stall_s_max: float) -> Callable[[Request], Awaitable[Response]]:
    """Answers the path of server-sent events."""

    async def answer(request: Request) -> Response:
        if request.method == "HEAD":  # it would wait for a body without an end
            return Response(media_type=EVENTS.media_type, headers=EVENTS.headers)
        # A parameter that is no filter goes along as one, so that it is refused by its name.
        others = request.query_params.keys() - _PARAMETERS.keys() - {"snap_token"}
        unknown = ((f"{METADATA_PREFIX}{name}", "") for name in sorted(others))
        set_request_metadata([*metadata_of(request), *unknown])
        said = collect_answer_metadata()
        resumed = request.headers.get("last-event-id", "")
        watch = service_pb2.WatchRequest(
            tenant_id=request.path_params["tenant_id"],
            snap_token=resumed or request.query_params.get("snap_token", ""),
        )
        failed = partial(calls.failed, METHOD, begun=perf_counter(), request=watch)
        messages = calls.stream(METHOD, watch)
        return StreamResponse(failed, messages, EVENTS, said, stall_s_max=stall_s_max)

    return answer


def _item(message: Message) -> bytes:
    assert isinstance(message, service_pb2.WatchResponse)
    token = message.changes.snap_token.encode()
    kind = b"" if message.changes.data_changes else b"event: heartbeat\n"
    return b"id: %b\n%bdata: %b\n\n" % (token, kind, encode(message))


def _error(status: WireStatus) -> bytes:
    return b"event: error\ndata: %b\n\n" % error_body(status)


EVENTS: Final = Framing(
    media_type="text/event-stream",
    opening=b"retry: %d\n\n" % RETRY_MS,
    item=_item,
    error=_error,
    refusal=error_body,
    headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
)
