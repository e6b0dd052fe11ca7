"""Sockets to listen on, and in one line why there is none: the line names what chooses it."""

from __future__ import annotations

import errno
import socket
from typing import Final

from grantlog.errors import PreconditionError

HTTP_PORT: Final = "GRANTLOG_HTTP_PORT"
GRPC_PORT: Final = "GRANTLOG_GRPC_PORT"
HOST: Final = "GRANTLOG_HOST"
"""What services choose where they listen with."""


def bound(
    host: str, port: int, port_from: str, *, host_from: str = HOST, shared: bool = False
) -> socket.socket:
    """A socket that has the port and does not listen yet.

    Args:
        host: a name or an address of this machine.
        port: 0 picks a free one.
        port_from: the setting or flag that chooses the port, for the error.
        host_from: the same of the host.
        shared: whether other processes of this user may have the port too.

    Raises:
        PreconditionError: it cannot be had; the text says why and what to change.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host,
            port,
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise cannot_listen(host, port, error, port_from, host_from) from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise cannot_listen(host, port, error, port_from, host_from) from error
    return made


def cannot_listen(
    host: str, port: int, error: OSError, port_from: str, host_from: str = HOST
) -> PreconditionError:
    """One line about a port that cannot be had; arguments as `bound`."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return PreconditionError(
            f"{host!r} is not an address of this machine to listen on: choose another one with "
            f"{host_from}"
        )
    if error.errno == errno.EADDRINUSE:
        return PreconditionError(
            f"port {port} on {host} is in use: choose another one with {port_from}"
        )
    if error.errno == errno.EACCES:
        return PreconditionError(
            f"port {port} on {host} is for privileged users (Permission denied): choose one above "
            f"1023 with {port_from}"
        )
    return PreconditionError(
        f"cannot listen on {host} port {port} ({error.strerror}): choose another one with "
        f"{port_from} or {host_from}"
    )


def address(host: str, port: int) -> str:
    """`host:port`, as addresses are written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
