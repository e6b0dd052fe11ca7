"""Whether this machine lets us listen, asked before anything heavy starts."""

from __future__ import annotations

from grantlog.serving.ports import bound, cannot_listen

_HOST = "--host"


def free_port(host: str, port: int, flag: str) -> int:
    """The port, or one that is free for 0, after listening on it for a moment.

    Raises:
        PreconditionError: it cannot be listened on; the text names the port and its flag.
    """
    with bound(host, port, flag, host_from=_HOST) as probe:
        try:
            probe.listen(1)
        except OSError as error:
            raise cannot_listen(host, port, error, flag, _HOST) from error
        chosen: int = probe.getsockname()[1]
    return chosen
