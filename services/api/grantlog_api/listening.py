"""The ports of the API: bound by one process, or shared by the workers of one node."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

from grantlog.errors import PreconditionError

_BACKLOG = 2048


def listen(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """A socket that listens for REST.

    Args:
        host: the address.
        port: 0 picks a free one.
        flag: what the port is chosen with, for the error.
        shared: whether other processes may listen on the port too.

    Raises:
        PreconditionError: it cannot be listened on.
    """
    listener = _bound(host, port, flag, shared=shared)
    listener.listen(_BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return listener


@contextmanager
def kept(host: str, port: int, flag: str) -> Generator[int]:
    """The port, or a free one for 0, stays this node's for the block, for its workers to share.

    A stranger who listens already is an error: connections would be divided with him.

    Raises:
        PreconditionError: another process listens on it.
    """
    alone = listen(host, port, flag)
    chosen: int = alone.getsockname()[1]
    alone.close()
    keeper = _bound(host, chosen, flag, shared=True)  # takes no connections: it does not listen
    with keeper:
        yield chosen


def _bound(host: str, port: int, flag: str, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise PreconditionError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another with {flag}"
        ) from error
    return bound
