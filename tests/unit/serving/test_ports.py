from __future__ import annotations

import errno
import os
import socket

import pytest

from grantlog.errors import PreconditionError
from grantlog.serving.grpc_door import bind, build_server
from grantlog.serving.ports import GRPC_PORT, HTTP_PORT, bound, cannot_listen


def _said(number: int) -> str:
    return cannot_listen("::", 80, OSError(number, os.strerror(number)), HTTP_PORT).explanation


def test_each_reason_names_what_to_change():
    assert _said(errno.EADDRINUSE) == (
        "port 80 on :: is in use: choose another one with GRANTLOG_HTTP_PORT"
    )
    assert _said(errno.EACCES) == (
        "port 80 on :: is for privileged users (Permission denied): choose one above 1023 with "
        "GRANTLOG_HTTP_PORT"
    )
    assert _said(errno.EADDRNOTAVAIL).endswith("choose another one with GRANTLOG_HOST")
    assert _said(errno.EINVAL).endswith("(Invalid argument): choose another one with "
                                        "GRANTLOG_HTTP_PORT or GRANTLOG_HOST")  # fmt: skip


def test_a_name_that_is_no_address_is_the_hosts_fault():
    with pytest.raises(PreconditionError, match=r"'no\.invalid' is not an address .* --host$"):
        bound("no.invalid", 0, "--http-port", host_from="--host")


def test_a_port_may_be_shared_by_those_who_say_so_alone():
    with bound("127.0.0.1", 0, HTTP_PORT, shared=True) as first:
        port = first.getsockname()[1]
        bound("127.0.0.1", port, HTTP_PORT, shared=True).close()
        first.listen()
        with pytest.raises(PreconditionError, match="in use"):
            bound("127.0.0.1", port, HTTP_PORT)


@pytest.mark.parametrize("kind", ["grpcio", "auto"])
async def test_grpc_on_a_taken_port_says_so_and_names_its_setting(kind):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PreconditionError) as refused:
            bind(build_server(kind), "127.0.0.1", port)
    assert refused.value.explanation == (
        f"port {port} on 127.0.0.1 is in use: choose another one with {GRPC_PORT}"
    )
