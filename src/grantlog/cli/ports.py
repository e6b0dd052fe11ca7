"""Whether this machine lets us listen, asked before anything heavy starts."""

from __future__ import annotations

import errno
import socket

from grantlog.errors import PreconditionError


def free_port(host: str, port: int, flag: str) -> int:
    """The port, or one that is free for 0, after listening on it for a moment.

    Raises:
        PreconditionError: it cannot be listened on; the text names the port and its flag.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            chosen: int = probe.getsockname()[1]
    except socket.gaierror as error:
        raise PreconditionError(f"{host!r} is not an address to listen on (--host)") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PreconditionError(
                f"port {port} on {host} is in use: choose another one with {flag}"
            ) from error
        raise PreconditionError(
            f"cannot listen on {host} port {port} ({error.strerror}): "
            f"choose another one with {flag} or --host"
        ) from error
    return chosen
