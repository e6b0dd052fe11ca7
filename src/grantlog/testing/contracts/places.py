"""What a suite is given: the ports of a primary, or of a replica, and short ways to use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from grantlog.model.attributes import parse_attribute
from grantlog.model.change import Transaction
from grantlog.model.ids import Revision, SchemaVersion, TenantId
from grantlog.model.tuples import RelationTuple, Subject, parse_entity, parse_subject, parse_tuple
from grantlog.ports.bundles import BundleReader
from grantlog.ports.copying import CopySource, CopyTarget
from grantlog.ports.facts import (
    AttributeKey,
    DirectKey,
    FactReader,
    SubjectsKey,
    TupleFilter,
    UsersetsKey,
)
from grantlog.ports.heads import HeadReader, PastReader, SchemaReader
from grantlog.ports.listing import FactLister
from grantlog.ports.log import ChangeLog, ProjectionStore, TenantLog
from grantlog.ports.reverse import ReverseReader
from grantlog.ports.writer import (
    Committed,
    DataIntent,
    PutFacts,
    RemoveFacts,
    Step,
    TenantLister,
    TransactionWriter,
)

ACME: Final = TenantId("acme")
OTHER: Final = TenantId("other")
CHANGES_MAX: Final = 1_000
"""What suites ask of a log in one read."""


@dataclass(slots=True)
class Copy:
    """Any copy of the facts."""

    facts: FactReader
    lister: FactLister
    reverse: ReverseReader
    projection: ProjectionStore
    """A replica's; on a primary only `digest` is used."""
    collect: Callable[[TenantId, Revision], Awaitable[None]]
    """Collect the tenant's history before a revision."""
    source: CopySource
    """A primary's."""
    target: CopyTarget
    """A replica's."""


@dataclass(slots=True)
class Primary(Copy):
    """All ports of a primary over one database."""

    writer: TransactionWriter
    heads: HeadReader
    past: PastReader
    schemas: SchemaReader
    tenants: TenantLister
    bundles: BundleReader
    log: ChangeLog
    """For one follower."""
    open_epoch: Callable[[], Awaitable[None]]
    archive: ChangeLog | None = None
    """The log as it is in the primary, where `log` is a distributed one,"""
    hub_log: TenantLog | None = None
    """and a distributed one for a hub of watchers."""
    _ids: count[int] = field(default_factory=lambda: count(1))

    def new_id(self) -> bytes:
        """16 fresh bytes."""
        return next(self._ids).to_bytes(16, "big")

    async def apply(self, *steps: Step, tenant: TenantId = ACME) -> Committed:
        """Commit steps as one write, validated against the schema in force."""
        head = await self.heads.head(tenant)
        intent = DataIntent(
            tenant, tuple(steps), schema_version=head.schema_version, write_id=self.new_id()
        )
        return await self.writer.write(intent)

    async def put(self, *texts: str, tenant: TenantId = ACME) -> Committed:
        """Commit facts given as text."""
        return await self.apply(facts(*texts), tenant=tenant)

    async def remove(self, *texts: str, tenant: TenantId = ACME) -> Committed:
        """Commit the removal of tuples given as text, attributes as `doc:1$name`."""
        return await self.apply(absences(*texts), tenant=tenant)

    async def history(self, tenant: TenantId = ACME) -> Sequence[Transaction]:
        """The whole log of a tenant."""
        entries: list[Transaction] = []
        after = Revision(0)
        log = self.archive or self.log
        while page := await log.read(tenant, after=after, changes_max=CHANGES_MAX):
            entries.extend(page)
            after = page[-1].revision
        return entries


def facts(*texts: str) -> PutFacts:
    """Tuples `doc:1#viewer@user:2` and attributes `doc:1$public|boolean:true` to be made hold."""
    return PutFacts(
        tuples=tuple(parse_tuple(text) for text in texts if "$" not in text),
        attributes=tuple(parse_attribute(text) for text in texts if "$" in text),
    )


def absences(*texts: str) -> RemoveFacts:
    """Tuples and attribute names `doc:1$public` to be made not hold."""
    names = (text.partition("$") for text in texts if "$" in text)
    return RemoveFacts(
        tuples=tuple(parse_tuple(text) for text in texts if "$" not in text),
        attributes=tuple((parse_entity(entity), name) for entity, _, name in names),
    )


def direct(text: str) -> DirectKey:
    """The key that asks for exactly one tuple."""
    (type_, id_), relation, subject = parse_tuple(text)
    return DirectKey(type_, id_, relation, subject.type, subject.id, subject.relation)


def usersets(text: str, after: str = "") -> UsersetsKey:
    """The key for the usersets of `doc:1#viewer`."""
    head, _, relation = text.partition("#")
    return UsersetsKey(*parse_entity(head), relation, parse_subject(after) if after else None)


def subjects(text: str, after: Subject | None = None) -> SubjectsKey:
    """The key for all subjects of `doc:1#viewer`."""
    head, _, relation = text.partition("#")
    return SubjectsKey(*parse_entity(head), relation, after)


def attribute(text: str) -> AttributeKey:
    """The key for the value of `doc:1$public`."""
    head, _, name = text.partition("$")
    return AttributeKey(*parse_entity(head), name)


async def listed(
    copy: Copy, at: Revision, where: TupleFilter | None = None, *, tenant: TenantId = ACME
) -> list[str]:
    """The tuples that a filter matches at a revision, read in pages of two."""
    found: list[RelationTuple] = []
    while True:
        page = await copy.lister.tuples(
            tenant, at, where or TupleFilter(), limit=2, after=found[-1] if found else None
        )
        found.extend(page)
        if not page:
            return [str(fact) for fact in found]


NO_SCHEMA: Final = SchemaVersion("")
