"""What a new primary holds from the beginning. Each piece is laid down once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.epoch import ensure_epoch
from grantlog.store.postgres.pool import Connection
from grantlog.store.postgres.statements import load

_SQL: Final = load("migrate")

MAC_KEY: Final = "mac_key"
"""The row of `meta` with the key of continuation tokens, in hexadecimal."""

MAC_KEY_BYTES: Final = 32


async def seed_primary(
    connection: Connection, *, new_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> None:
    """Give a migrated primary its epoch, its key and, once in its life, the tenant `t1`.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
    """
    await ensure_epoch(connection)
    with translating("seeding the database"):
        await connection.execute(_SQL["put_meta"], MAC_KEY, new_bytes(MAC_KEY_BYTES).hex())
