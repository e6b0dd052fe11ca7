"""The driver's errors at our edge."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from grantlog.errors import (
    ConflictError,
    CorruptionError,
    GrantlogError,
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from grantlog.store.postgres.driver_errors import (
    StatementCancelledError,
    breaks_connection,
    translating,
)

SECRET = "INSERT INTO secret VALUES ('hunter2') at 10.0.0.1"


def raised(error: BaseException) -> GrantlogError:
    with pytest.raises(GrantlogError) as caught, translating("doing something"):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (asyncpg.SerializationError, ConflictError),
        (asyncpg.DeadlockDetectedError, ConflictError),
        (asyncpg.AdminShutdownError, UnavailableError),
        (asyncpg.CannotConnectNowError, UnavailableError),
        (asyncpg.TooManyConnectionsError, UnavailableError),
        (asyncpg.DiskFullError, UnavailableError),
        (asyncpg.QueryCanceledError, StatementCancelledError),
        (asyncpg.LockNotAvailableError, UnavailableError),
        (asyncpg.ReadOnlySQLTransactionError, UnavailableError),
        (asyncpg.ConnectionDoesNotExistError, UnavailableError),
        (asyncpg.InterfaceError, UnavailableError),
        (asyncpg.InternalClientError, UnavailableError),
        (ConnectionResetError, UnavailableError),
        (FileNotFoundError, UnavailableError),
        (TimeoutError, UnavailableError),
        (asyncpg.UniqueViolationError, CorruptionError),
        (asyncpg.ForeignKeyViolationError, CorruptionError),
        (asyncpg.PostgresSyntaxError, CorruptionError),
        (asyncpg.UndefinedTableError, PreconditionError),
        (asyncpg.InvalidPasswordError, PreconditionError),
        (asyncpg.InvalidCatalogNameError, PreconditionError),
        (asyncpg.InsufficientPrivilegeError, PreconditionError),
        (asyncpg.CharacterNotInRepertoireError, InvalidInputError),
        (asyncpg.DataError, InvalidInputError),
    ],
)
def test_each_error_has_its_family_and_tells_no_secret(
    error: type[Exception], family: type[GrantlogError]
):
    told = raised(error(SECRET))
    assert type(told) is family
    assert told.explanation.startswith("doing something: ")
    assert "hunter2" not in str(told)
    assert "10.0.0.1" not in str(told)


def test_what_is_not_the_drivers_passes():
    for error in (asyncio.CancelledError(), KeyError("x"), ConflictError("ours")):
        with pytest.raises(type(error)) as caught, translating("doing something"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("error", "breaks"),
    [
        (asyncpg.ConnectionDoesNotExistError("x"), True),
        (asyncpg.AdminShutdownError("x"), True),
        (asyncpg.InterfaceError("x"), True),
        (ConnectionResetError(), True),
        (asyncpg.UniqueViolationError("x"), False),
        (asyncpg.LockNotAvailableError("x"), False),
        (KeyError("x"), False),
    ],
)
def test_only_a_lost_connection_says_nothing_about_the_request(error: Exception, breaks: bool):
    assert breaks_connection(error) is breaks
