"""Asking a running Grantlog over REST, on a few connections that are kept open."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from posixfs.facts import entity
from posixfs.questions import Question

_ANSWERS: Final = {"CHECK_RESULT_ALLOWED": True, "CHECK_RESULT_DENIED": False}
_OK: Final = 200
_TIMEOUT_S: Final = 60
DEPTH_ABOVE_PATH: Final = 2
"""A path with n directories above it takes n + 2 steps: the climb, then `mounted` or a class."""
_DEPTH_MIN: Final = 3
"""The API's least depth."""


class ServerError(Exception):
    """The server gave no answer; the text says which question and what came instead."""


class Server:
    """A tenant on a server."""

    def __init__(self, url: str, tenant: str) -> None:
        split = urlsplit(url)
        self._address = (split.hostname or "127.0.0.1", split.port or 80)
        self._tenant = tenant
        self._local = threading.local()

    def check_all(self, questions: Sequence[Question], *, connections: int) -> list[bool]:
        """Answers in the order of the questions.

        Raises:
            ServerError: one of them was not answered with allowed or denied.
        """
        with ThreadPoolExecutor(connections) as pool:
            return list(pool.map(self.check, questions))

    def check(self, question: Question) -> bool:
        """Whether the server allows it.

        Raises:
            ServerError: the answer is neither allowed nor denied.
        """
        kind, id_ = entity(question.entry)
        body = {
            "metadata": {"depth": max(question.entry.depth + DEPTH_ABOVE_PATH, _DEPTH_MIN)},
            "entity": {"type": kind, "id": id_},
            "permission": question.operation,
            "subject": {"type": "user", "id": str(question.user.uid)},
        }
        answer = self.call("POST", f"/v1/tenants/{self._tenant}/permissions/check", body)
        can = _ANSWERS.get(answer.get("can", ""))
        if can is None:
            raise ServerError(f"{kind}:{id_} {question.operation}: {answer}")
        return can

    def forget(self) -> None:
        """Delete the tenant, if there is one, so that what follows starts from nothing."""
        status, answer = self._request("DELETE", f"/v1/tenants/{self._tenant}", None)
        if status not in (_OK, http.client.NOT_FOUND):
            raise ServerError(f"deleting tenant {self._tenant}: HTTP {status} {answer}")

    def call(self, method: str, path: str, body: object) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            ServerError: the status is not 200, or nobody answers.
        """
        status, answer = self._request(method, path, body)
        if status != _OK:
            raise ServerError(f"{method} {path}: HTTP {status} {answer}")
        return answer

    def _request(self, method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT_S)
            self._local.connection = connection
        text = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            host, port = self._address
            raise ServerError(f"no answer from http://{host}:{port}: {error}") from error
