"""Writing bundles within a transaction of the primary: what changes, and the rows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grantlog.errors import LimitError, NotFoundError
from grantlog.model.change import BundleDeleted, BundleWritten, Transaction
from grantlog.ports.bundles import BUNDLES_MAX
from grantlog.ports.writer import Committed
from grantlog.store.postgres.pool import Connection
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.writer.intents import BundleIntent, UnbundleIntent
from grantlog.store.postgres.writer.tail import Tail

_SQL: Final = load("bundles")
_STORED: Final = _SQL["stored"]
_COUNT: Final = _SQL["count"]
_PUT: Final = _SQL["put"]
_REMOVE: Final = _SQL["remove"]


@dataclass(frozen=True, slots=True)
class StoredBundles:
    """What the tables say of the bundles that an intent names."""

    definitions: Mapping[str, str]
    count: int
    """Of all bundles of the tenant, up to one more than may be."""


async def read_bundles(
    connection: Connection, tenant_key: int, names: Sequence[str]
) -> StoredBundles:
    """The stored definitions of these names, under the head's lock."""
    rows = await connection.fetch(_STORED, tenant_key, list(names))
    count: int = await connection.fetchval(_COUNT, tenant_key, BUNDLES_MAX + 1)
    return StoredBundles({row["name"]: row["definition"] for row in rows}, count)


def plan_bundles(tail: Tail, stored: StoredBundles, intent: BundleIntent) -> Committed:
    """Take a revision for each bundle that becomes another one; pure.

    Raises:
        LimitError: the tenant would have more bundles than it may.
    """
    fresh = intent.definitions.keys() - stored.definitions.keys()
    require_room(stored.count + len(fresh))
    done = tail.standing()
    for name, definition in intent.definitions.items():
        if stored.definitions.get(name) != definition:
            done = tail.append(BundleWritten(name, definition), write_id=intent.write_id)
    return done


def plan_unbundle(tail: Tail, stored: StoredBundles, intent: UnbundleIntent) -> Committed:
    """Take a revision for the removal; pure.

    Raises:
        NotFoundError: there is no such bundle.
    """
    if intent.name not in stored.definitions:
        raise no_bundle(intent.name)
    return tail.append(BundleDeleted(intent.name), write_id=intent.write_id)


def require_room(count: int) -> None:
    """Refuse more bundles than a tenant may have.

    Raises:
        LimitError: there are more.
    """
    if count > BUNDLES_MAX:
        raise LimitError(f"a tenant may have at most {BUNDLES_MAX} bundles: delete some first")


def no_bundle(name: str) -> NotFoundError:
    """The tenant has no bundle of that name."""
    return NotFoundError(f"the tenant has no bundle {name!r}", reason="ERROR_CODE_BUNDLE_NOT_FOUND")


async def apply_bundles(
    connection: Connection, tenant_key: int, transactions: Sequence[Transaction]
) -> None:
    """Make the table say what the transactions say of bundles."""
    written = [
        (transaction.body.name, transaction.revision, transaction.body.definition)
        for transaction in transactions
        if isinstance(transaction.body, BundleWritten)
    ]
    if written:
        columns = [list(column) for column in zip(*written, strict=True)]
        await connection.execute(_PUT, tenant_key, *columns)
    for transaction in transactions:
        if isinstance(transaction.body, BundleDeleted):
            await connection.execute(_REMOVE, tenant_key, transaction.body.name)
