"""The ports of the API: bound by one process, or shared by the workers of one node."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

from grantlog.serving.ports import bound, cannot_listen

_BACKLOG = 2048


def listen(host: str, port: int, setting: str, *, shared: bool = False) -> socket.socket:
    """A socket that listens for REST.

    Args:
        host: the address.
        port: 0 picks a free one.
        setting: what the port is chosen with, for the error.
        shared: whether other processes may listen on the port too.

    Raises:
        PreconditionError: it cannot be listened on.
    """
    listener = bound(host, port, setting, shared=shared)
    try:
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise cannot_listen(host, port, error, setting) from error
    listener.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return listener


@contextmanager
def kept(host: str, port: int, setting: str) -> Generator[int]:
    """The port, or a free one for 0, stays this node's for the block, for its workers to share.

    A stranger who listens already is an error: connections would be divided with him.

    Raises:
        PreconditionError: another process listens on it.
    """
    alone = listen(host, port, setting)
    chosen: int = alone.getsockname()[1]
    alone.close()
    keeper = bound(host, chosen, setting, shared=True)  # takes no connections: it does not listen
    with keeper:
        yield chosen
