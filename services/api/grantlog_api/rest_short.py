"""Requests that go the short way: from a whole POST to the contract to its answer, without ASGI.

What is short is said here, and how it is answered; how HTTP brings it is `rest_protocol`'s. A
request with anything unusual about it is not short: it goes through the application, which answers
every request, and the short ones with the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from grantlog.errors import CorruptionError, InvalidInputError
from grantlog.serving.calls import Calls
from grantlog.serving.metadata import PREFIX, collect_answer_metadata, set_request_metadata
from grantlog.wire import protojson
from grantlog.wire.http_errors import UnroutedError
from grantlog.wire.status import WireStatus, error_body
from grantlog.wire.transcode import Route, bind, find_route
from grantlog_api.rest_body import SMALL_BYTES_MAX

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Lower-case names and values."""
Address: TypeAlias = tuple[Route, Mapping[str, str]]
"""The operation of a path, and its path variables."""

_OK: Final = 200
_CONTRACT: Final = b"/v1/"
_URL_BYTES_MAX: Final = 300
_METADATA: Final = PREFIX.encode()
_UNUSUAL: Final = frozenset(
    (b"origin", b"expect", b"upgrade", b"transfer-encoding", b"content-encoding", b"te", b"trailer")
)
_JSON_TYPES: Final = frozenset((b"application/json", b"application/json; charset=utf-8"))
_NO_HEADER_VALUE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


@lru_cache(maxsize=1024)
def short_address(url: bytes) -> Address | None:
    """What a POST to a request's target asks for, if it may be short.

    It may where the target is a path of the contract and nothing more, of a call with one answer.
    """
    if not url.startswith(_CONTRACT) or len(url) > _URL_BYTES_MAX:
        return None
    if b"?" in url or b"#" in url or not url.isascii():
        return None
    try:
        route, variables = find_route("POST", url.decode())
    except (UnroutedError, InvalidInputError):
        return None
    return None if route.server_streaming or not route.body else (route, variables)


class NobodyWaits:
    """Stands where uvicorn wakes an application; a short call has none."""

    def set(self) -> None:
        """Nobody is woken."""


class ShortCall:
    """A request on its way; for uvicorn, what a cycle of request and response is.

    Attributes:
        address: what it asks for.
        said: its metadata.
        body: what came of it.
        keep_alive: whether the connection stays when it is answered.
        disconnected: whether the client left before that.
        response_complete: whether it is answered.
        task: answers it; None until all of it is there.
    """

    __slots__ = (
        "address", "body", "disconnected", "keep_alive", "response_complete", "said", "task",
    )  # fmt: skip
    message_event = NobodyWaits()
    response_started = False
    """It is sent whole."""

    def __init__(self, address: Address, said: list[tuple[str, str]]) -> None:
        self.address = address
        self.said = said
        self.body = b""
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.task: Any = None

    @property
    def more_body(self) -> bool:
        """Whether some of it is still to come."""
        return self.task is None


def short_call(url: bytes, headers: Headers) -> ShortCall | None:
    """The short call that the head of a POST announces; None if it is none.

    Args:
        url: the request's target.
        headers: all of them.
    """
    address = short_address(url)
    if address is None:
        return None
    said: list[tuple[str, str]] = []
    kind = length = b""
    for name, value in headers:
        if name in _UNUSUAL:
            return None
        if name == b"content-type":
            if kind:
                return None
            kind = value
        elif name == b"content-length":
            if length:
                return None
            length = value
        elif name.startswith(_METADATA):
            said.append((name.decode("latin-1"), value.decode("latin-1")))
    if kind not in _JSON_TYPES or not 0 < len(length) <= len(str(SMALL_BYTES_MAX)):
        return None
    return ShortCall(address, said) if 0 < int(length) <= SMALL_BYTES_MAX else None


class ShortWay:
    """Answers short calls as the application does."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._defaults: object = None
        self._ok = b""

    async def answer(self, call: ShortCall) -> tuple[int, bytes, bytes]:
        """The status of an answer or of a refusal, its own header lines, its body."""
        route, variables = call.address
        body, call.body = call.body, b""  # the connection keeps the call for a while
        begun = perf_counter()
        message: Message | None = None
        try:
            message = bind(route, variables, (), body)
            said = collect_answer_metadata()
            set_request_metadata(call.said)
            response = await self._calls.unary(route.full_method, message, begun)
            return _OK, _answered(said), protojson.encode(response)
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            return refusal(self._calls.failed(route.full_method, error, begun, message))

    def beginning(self, status: int, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """How a response begins.

        Args:
            status: of HTTP.
            defaults: headers of all responses; uvicorn makes a new list each second.
        """
        if status != _OK:
            return STATUS_LINE[status] + _lines(defaults)
        if defaults is not self._defaults:
            self._ok = STATUS_LINE[_OK] + _lines(defaults)
            self._defaults = defaults
        return self._ok


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def refusal(status: WireStatus) -> tuple[int, bytes, bytes]:
    """As `ShortWay.answer`, of a status."""
    return status.http, b"", error_body(status)


def _answered(said: Mapping[str, str]) -> bytes:
    """The header lines of an answer, all but those that every response has.

    Raises:
        CorruptionError: a word would end its line: nobody may write headers through an answer.
    """
    if _NO_HEADER_VALUE.search("".join(said.values())):
        raise CorruptionError("a word about the answer cannot stand in a header")
    lines = "".join([f"{name}: {value}\r\n" for name, value in said.items()])
    return b"grpc-metadata-content-type: application/grpc\r\n" + lines.encode("latin-1")
