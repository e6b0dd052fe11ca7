"""What a new primary holds from the beginning. Each piece is laid down once."""

from __future__ import annotations

import secrets
from typing import Final

from grantlog.errors import InvalidInputError
from grantlog.model.ids import TenantId
from grantlog.store.postgres.driver_errors import translating
from grantlog.store.postgres.epoch import ensure_epoch
from grantlog.store.postgres.pool import Connection
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.writer.intents import CreateIntent
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.preparing import NewBytes, lock_head, prepare

_SQL: Final = load("migrate")

MAC_KEY: Final = "mac_key"
"""The row of `meta` with the key of continuation tokens, in hexadecimal."""

MAC_KEY_BYTES: Final = 32

TENANT: Final = TenantId("t1")
TENANT_NAME: Final = "example tenant"
_TENANT_SEEDED: Final = "tenant_seeded"
"""The row of `meta` that says the tenant was created once: once deleted it stays away."""


async def seed_primary(
    connection: Connection, *, new_bytes: NewBytes = secrets.token_bytes
) -> None:
    """Give a migrated primary its epoch, its key and, once in its life, the tenant `t1`.

    Raises:
        UnavailableError: the server does not answer, or is no primary.
    """
    await ensure_epoch(connection)
    with translating("seeding the database"):
        await connection.execute(_SQL["put_meta"], MAC_KEY, new_bytes(MAC_KEY_BYTES).hex())
        async with connection.transaction(isolation="read_committed"):
            # Its row lock makes others who seed wait; if this transaction fails, it is not there.
            if await connection.fetchval(_SQL["put_meta_once"], _TENANT_SEEDED, TENANT):
                await _create_tenant(connection, new_bytes)


async def _create_tenant(connection: Connection, new_bytes: NewBytes) -> None:
    head = await lock_head(connection, TENANT, new_bytes)
    intent = CreateIntent(TENANT, TENANT_NAME, new_bytes(16))
    try:
        await prepare(connection, head, [intent], WriterLimits())
    except InvalidInputError:
        return  # somebody created it
