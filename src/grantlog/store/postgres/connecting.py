"""Why a connection could not be made, for operators: which database, where, and what is wrong.

User, password and options of an address are never told. Callers of the API never see any of this:
they are told what a statement met (`driver_errors`).
"""

from __future__ import annotations

import socket
import ssl
from typing import Final
from urllib.parse import parse_qs, urlsplit

from grantlog.errors import GrantlogError, PreconditionError, UnavailableError
from grantlog.store.postgres.driver_errors import translated

THE_PRIMARY: Final = "the primary (GRANTLOG_DATABASE_URL)"
THE_REPLICA: Final = "the replica (GRANTLOG_REPLICA_URL)"
SOME: Final = "the database"


def place_of(dsn: str) -> str:
    """Database and host of an address; "" where the password cannot be told apart from them."""
    try:
        parts = urlsplit(dsn)
        behind = dsn.partition(parts.netloc)[2] if parts.netloc else ""
        if not parts.scheme or "@" in behind:
            return ""
        socket_folder = parse_qs(parts.query).get("host", [""])[0]
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2] or socket_folder
    name = parts.path.strip("/")
    return f"{name} at {host}" if name and host else host


def connect_error(error: BaseException, dsn: str, whose: str) -> GrantlogError:
    """One line about a connection that could not be made.

    Args:
        error: the driver's.
        dsn: the address that was tried.
        whose: whose database it is, as `THE_PRIMARY`.
    """
    place = place_of(dsn)
    doing = f"connecting to {whose}, {place}" if place else f"connecting to {whose}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(f"{doing}: its certificate is refused: {error.verify_message}")
    if isinstance(error, ValueError):
        return _wrong_address(error, doing)
    if isinstance(error, OSError) and (why := _why(error)):
        return UnavailableError(f"{doing}: {why}")
    return translated(error, doing)


def _wrong_address(error: ValueError, doing: str) -> GrantlogError:
    if "root certificate file" in str(error):
        return PreconditionError(
            f"{doing}: sslmode=verify-full needs a CA file: add sslrootcert=/path/to/ca.crt to the "
            "address (and mount that file)"
        )
    return UnavailableError(f"{doing}: the database's address is not a valid connection string")


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    if isinstance(error, ssl.SSLError):
        return "TLS failed: what answers there does not speak it as the address asks"
    if isinstance(error, ConnectionRefusedError):
        return "the database does not answer: nobody listens there"
    if isinstance(error, FileNotFoundError):
        return (
            "a file that the address names is not there: the socket, or the certificate of "
            "sslrootcert, sslcert or sslkey"
        )
    if "rejected SSL" in str(error):
        return "the server refuses TLS, which the address asks for (sslmode)"
    return ""
