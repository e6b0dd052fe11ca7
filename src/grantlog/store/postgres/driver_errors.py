"""The driver's errors become ours at this edge: no SQL, host or value of a row goes further."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import asyncpg

from grantlog.errors import (
    ConflictError,
    CorruptionError,
    GrantlogError,
    InvalidInputError,
    LimitError,
    PreconditionError,
    UnavailableError,
)

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""All that the driver raises. A caller's own deadline is a CancelledError in here, never this."""

_CONNECTION: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class StatementCancelledError(UnavailableError):
    """The server took one statement back; it says nothing about the next one."""


# By SQLSTATE: an exact code first, then its class (the first two characters).
_CODES: Final[dict[str, tuple[type[GrantlogError], str]]] = {
    "25006": (UnavailableError, "the database accepts no writes now: it is not a primary"),
    "57014": (StatementCancelledError, "a statement took too long and was cancelled"),
    "55000": (UnavailableError, "the database does not take this now: it is no primary, or closed"),
    "55P03": (UnavailableError, "a lock was not granted in time"),
    "25P03": (UnavailableError, "a transaction was left idle for too long"),
    "0A000": (UnavailableError, "the tables changed their shape just now"),  # a cached plan
    "22021": (InvalidInputError, "a text contains a character that cannot be stored (NUL)"),
    "22P05": (InvalidInputError, "a text contains a character that cannot be stored"),
    "54000": (LimitError, "the request exceeds a limit of the database"),
    "42P01": (PreconditionError, "the database lacks a table: run `grantlog migrate`"),
    "42703": (PreconditionError, "the database lacks a column: run `grantlog migrate`"),
    "42501": (PreconditionError, "the database refuses this user a right that is needed"),
    "08": (UnavailableError, "the database does not answer"),
    "22": (InvalidInputError, "a value cannot be stored"),
    "28": (PreconditionError, "the database refuses the user or password"),
    "3D": (PreconditionError, "the database does not exist"),
    "40": (ConflictError, "concurrent transactions were in each other's way"),
    "53": (UnavailableError, "the database is out of a resource (disk, memory or connections)"),
    "57": (UnavailableError, "the database is shutting down or starting"),
    "58": (UnavailableError, "the database met an error of its system"),
}


@contextmanager
def translating(doing: str) -> Generator[None]:
    """Raise the driver's errors in the block as ours.

    Args:
        doing: what the block does, as in "writing the log"; it is part of the explanation.

    Raises:
        UnavailableError: no connection, a timeout, a server that goes or comes.
        ConflictError: a serialization failure or a deadlock.
        PreconditionError: not migrated, or refused.
        CorruptionError: a constraint broke, or anything that should not be.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error, doing) from error


def translated(error: BaseException, doing: str) -> GrantlogError:
    """Our error for one of `DRIVER_ERRORS`."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        family, text = _CODES.get(code) or _CODES.get(code[:2]) or (CorruptionError, "")
        return family(f"{doing}: {text}" if text else f"{doing}: unexpected SQLSTATE {code}")
    if isinstance(error, TimeoutError):
        return UnavailableError(f"{doing}: the database did not answer in time")
    if isinstance(error, asyncpg.InternalClientError):
        return UnavailableError(f"{doing}: the connection to the database broke")
    return UnavailableError(f"{doing}: the database does not answer")


def breaks_connection(error: BaseException) -> bool:
    """Whether an error says nothing about the request, only that the connection is gone."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        return code[:2] in {"08", "57", "58"} or code in {"25006", "25P03"}
    return isinstance(error, _CONNECTION)
