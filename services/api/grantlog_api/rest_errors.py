"""What REST says instead of an answer, whoever found the fault: door, framework or server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grantlog.errors import UnavailableError
from grantlog.serving.calls import failed
from grantlog.wire.http_errors import UnroutedError
from grantlog.wire.status import WireStatus, error_body, status_of, stream_error

JSON: Final = "application/json"
_NOT_ALLOWED: Final = 405
CUT: Final = status_of(UnavailableError("this node is shutting down: ask another, or ask again"))
"""What draining leaves no time for."""


def failure(status: WireStatus, *, streaming: bool = False) -> Response:
    """The response that says a status."""
    body = stream_error(status) if streaming else error_body(status)
    return Response(body, status_code=status.http, media_type=JSON)


def unrouted(request: Request, allowed: Iterable[str]) -> Response:
    """The response to a request that no operation answers: OPTIONS asks for just that."""
    verbs = sorted({*allowed, "OPTIONS"}) if allowed else []
    headers = {"Allow": ", ".join(verbs)}
    if verbs and request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    response = failure(status_of(UnroutedError(verbs)))
    if verbs:
        response.headers.update(headers)
    return response


def speak_json(app: FastAPI) -> None:
    """Have the framework say in our words what it refuses, and what fails in it."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        allowed = (
            (error.headers or {}).get("Allow", "") if error.status_code == _NOT_ALLOWED else ""
        )
        return unrouted(request, [verb.strip() for verb in allowed.split(",") if verb.strip()])

    async def broken(request: Request, error: Exception) -> Response:
        return failure(failed(request.url.path, error))

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, broken)


def always_answered(app: ASGIApp) -> ASGIApp:
    """The application, but what draining cuts is answered with 503, and nothing fails outwards."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:
            if not begun:
                await failure(CUT)(scope, receive, send)
            raise
        except Exception as error:  # noqa: BLE001 - a door: every failure gets a status
            if not begun:  # else the framework has said and logged it
                await failure(failed(scope["path"], error))(scope, receive, send)

    return answer
