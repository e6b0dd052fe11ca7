"""Whether transactions read from the log fit behind what is already folded. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from grantlog.errors import CorruptionError
from grantlog.model.chain import transaction_digest
from grantlog.model.change import TenantDeleted, Transaction
from grantlog.ports.log import Position


def unapplied(at: Position, transactions: Iterable[Transaction]) -> list[Transaction]:
    """The transactions behind `at`, proven to continue it without a gap.

    A deletion of the tenant continues whatever is before it: the log of the life that it ended
    goes away, and what was folded of that life is dropped.

    What `at` already holds is skipped, but only if it is the same history: an epoch that opened
    at or below `at`, or another digest at the same revision, means that a failover or restore
    rewrote what was folded here, and nothing short of a rebuild can help.

    Raises:
        CorruptionError: a gap, a rewritten revision, or a digest that does not fit.
    """
    behind: Position | Transaction = at
    fresh: list[Transaction] = []
    for transaction in transactions:
        if transaction.revision <= at.revision:
            _require_same_history(at, transaction)
            continue
        _require_continues(behind, transaction)
        behind = transaction
        fresh.append(transaction)
    return fresh


def _require_same_history(at: Position, held: Transaction) -> None:
    rewritten = held.epoch > at.epoch
    other = held.revision == at.revision and held.digest != at.digest
    if rewritten or other:
        raise CorruptionError(
            f"revision {held.revision} of epoch {held.epoch} is not what was folded "
            f"(revision {at.revision} of epoch {at.epoch}): the log was rewritten, rebuild"
        )


def _require_continues(behind: Position | Transaction, transaction: Transaction) -> None:
    revision = transaction.revision
    follows = revision == behind.revision + 1
    if not follows and not isinstance(transaction.body, TenantDeleted):
        raise CorruptionError(f"revisions {behind.revision + 1} to {revision - 1} are missing")
    if transaction.epoch < behind.epoch:
        raise CorruptionError(
            f"revision {revision} is of epoch {transaction.epoch}, behind epoch {behind.epoch}"
        )
    if follows and transaction.previous_digest != behind.digest:
        raise CorruptionError(f"revision {revision} does not continue revision {behind.revision}")
    digest = transaction_digest(
        transaction.previous_digest,
        tenant=transaction.tenant,
        epoch=transaction.epoch,
        revision=revision,
        commit_time=transaction.commit_time,
        body=transaction.body,
        salt=transaction.salt,
    )
    if digest != transaction.digest:
        raise CorruptionError(f"the content of revision {revision} does not match its digest")
