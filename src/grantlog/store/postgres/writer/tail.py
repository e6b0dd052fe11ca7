"""The end of a tenant's log as a group of writes extends it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from grantlog.model.chain import transaction_digest
from grantlog.model.change import Body, SchemaWritten, TenantDeleted, Transaction
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.writer import Committed

_TICK: Final = timedelta(microseconds=1)
_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LockedHead:
    """A head row while its lock is held."""

    tenant: TenantId
    tenant_key: int
    epoch: Epoch
    revision: Revision
    digest: bytes
    salt: bytes
    commit_time: datetime
    """Of `revision`; 1970 at 0."""
    begins_rev: Revision
    schema_version: SchemaVersion
    now: datetime
    """The database's clock after the lock was granted."""


class Tail:
    """Gives each transaction the next revision, its commit time and its place in the chain."""

    def __init__(self, head: LockedHead) -> None:
        self._head = head
        self._revision = head.revision
        self._time = head.commit_time
        self.digest = head.digest
        self.schema_version = head.schema_version
        self.begins = head.begins_rev
        self.transactions: list[Transaction] = []

    def next_place(self) -> tuple[Revision, datetime]:
        """The revision and commit time that the next transaction gets."""
        return Revision(self._revision + 1), max(self._head.now, self._time + _TICK)

    def append(
        self,
        body: Body,
        *,
        write_id: bytes,
        actor: str = "",
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> Committed:
        """Extend the log by one transaction."""
        revision, time = self.next_place()
        head = self._head
        digest = transaction_digest(
            self.digest,
            tenant=head.tenant,
            epoch=head.epoch,
            revision=revision,
            commit_time=time,
            body=body,
            salt=head.salt,
        )
        self.transactions.append(
            Transaction(
                tenant=head.tenant,
                epoch=head.epoch,
                revision=revision,
                commit_time=time,
                body=body,
                salt=head.salt,
                previous_digest=self.digest,
                digest=digest,
                write_id=write_id,
                actor=actor,
                metadata=metadata,
            )
        )
        self._revision, self._time, self.digest = revision, time, digest
        if isinstance(body, SchemaWritten):
            self.schema_version = body.version
        elif isinstance(body, TenantDeleted):
            self.schema_version = SchemaVersion("")
            self.begins = revision
        return Committed(head.epoch, revision, self.schema_version, time, self.begins, digest)

    def standing(self) -> Committed:
        """What a write that changes nothing answers: the head it met."""
        return Committed(
            self._head.epoch,
            self._revision,
            self.schema_version,
            begins=self.begins,
            digest=self.digest,
        )
