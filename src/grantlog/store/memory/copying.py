"""Copies between stores in memory: CopySource and CopyTarget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeAlias, cast

from grantlog.errors import CorruptionError
from grantlog.model.attributes import Attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import RelationTuple
from grantlog.ports.copying import Copying, Page, SourceHead, Stage
from grantlog.ports.heads import SchemaRecord
from grantlog.ports.log import Position
from grantlog.projection.fold import RowChanges
from grantlog.store.memory.facts import LifeFacts
from grantlog.store.memory.tables import MemoryTables, TenantState

Fact: TypeAlias = "RelationTuple | Attribute"
Row: TypeAlias = "tuple[Fact, Revision, Revision | None]"
Place: TypeAlias = "tuple[str, ...]"

_REVIVED: Final = (Stage.REVIVED_TUPLES, Stage.REVIVED_ATTRIBUTES)
_TUPLES: Final = (Stage.TUPLES, Stage.REVIVED_TUPLES, Stage.PAST_TUPLES)


class MemoryCopySource:
    """Reads a primary's tables in memory.

    Args:
        tables: the primary's.
        digest_at: the digest of a tenant's transaction in the log, None if it is not there.
    """

    def __init__(
        self, tables: MemoryTables, digest_at: Callable[[TenantId, Revision], bytes | None]
    ) -> None:
        self._tables = tables
        self._digest_at = digest_at

    async def head(self, tenant: TenantId, seen: Position | None = None) -> SourceHead | None:
        """The tenant's head now; None if it is unknown, or `seen` is not in its log."""
        state = self._tables.tenants.get(tenant)
        if state is None or state.commit_time is None:
            return None
        if seen is not None and self._digest_at(tenant, seen.revision) != seen.digest:
            return None
        return SourceHead(
            key=state.begins,  # a tenant has one life that begins there
            position=state.position,
            begins=state.begins,
            floor=state.floor,
            salt=state.salt,
            commit_time=state.commit_time,
            schema_version=state.schema_version,
        )

    async def page(self, copying: Copying, rows_max: int) -> Page:
        """The rows behind `copying.place`."""
        state = self._tables.tenants[copying.tenant]
        if copying.stage is Stage.SCHEMAS:
            after = copying.place[0] if copying.place else ""
            versions = sorted(version for version in state.schemas if version > after)
            kept = versions[:rows_max]
            records = [
                record
                for version in kept
                if (record := state.schemas[version]).revision <= copying.revision
            ]
            upto = (kept[-1],) if len(versions) >= rows_max else None
            return Page(len(records), upto, records)
        facts = state.facts
        rows: Iterable[Row] = (
            facts.tuple_rows() if copying.stage in _TUPLES else facts.attribute_rows()
        )
        if copying.stage in (Stage.TUPLES, Stage.ATTRIBUTES):
            return _live_page(copying, rows, rows_max)
        return _past_page(copying, rows, rows_max)


def _live_page(copying: Copying, rows: Iterable[Row], rows_max: int) -> Page:
    behind = sorted(
        (_key(fact), (fact, created, None))
        for fact, created, expired in rows
        if expired is None and _key(fact) > copying.place
    )
    some = behind[:rows_max]
    upto = some[-1][0] if len(behind) >= rows_max else None
    content = [row for _, row in some if row[1] <= copying.revision]
    return Page(len(content), upto, content)


def _past_page(copying: Copying, rows: Iterable[Row], rows_max: int) -> Page:
    revived = copying.stage in _REVIVED
    first, last = copying.head.floor, copying.revision
    if revived:
        first, last = copying.revision, copying.bound
    after = int(copying.place[0]) if copying.place else first
    behind = sorted(
        (row for row in rows if row[2] is not None and after < row[2] <= last),
        key=lambda row: cast("int", row[2]),
    )
    end = behind[rows_max - 1][2] if len(behind) >= rows_max else None
    some = [row for row in behind if end is None or cast("int", row[2]) <= end]
    content = [row for row in some if row[1] <= copying.revision]
    return Page(len(content), None if end is None else (str(end),), content)


@dataclass(slots=True)
class _Copied:
    at: Copying
    rows: list[Row] = field(default_factory=list[Row])
    live: dict[Place, Revision] = field(default_factory=dict[Place, Revision])
    schemas: list[SchemaRecord] = field(default_factory=list[SchemaRecord])


class MemoryCopyTarget:
    """Fills a replica's tables in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables
        self._keys = count(1)
        self._copied = cast("dict[TenantId, _Copied]", tables.copies)

    async def copies(self) -> dict[TenantId, Copying]:
        """The copies under way."""
        return {tenant: copied.at for tenant, copied in self._copied.items()}

    async def begin(self, tenant: TenantId, head: SourceHead) -> Copying | None:
        """Begin a tenant's copy anew."""
        self._copied.pop(tenant, None)
        if tenant in self._tables.tenants:
            return None
        copying = Copying(tenant, next(self._keys), head)
        self._copied[tenant] = _Copied(copying)
        return copying

    async def add(self, copying: Copying, page: Page, following: Copying) -> bool:
        """Add a page and note how far the copy is then."""
        copied = self._standing(copying)
        if copied is None:
            return False
        if copying.stage is Stage.SCHEMAS:
            copied.schemas += cast("list[SchemaRecord]", page.content)
        else:
            self._add_rows(copied, copying.stage, cast("list[Row]", page.content))
        copied.at = following
        return True

    def _standing(self, copying: Copying) -> _Copied | None:
        copied = self._copied.get(copying.tenant)
        if copied is None:
            return None
        at = copied.at
        same = (at.key, at.stage, at.place) == (copying.key, copying.stage, copying.place)
        return copied if same else None

    def _add_rows(self, copied: _Copied, stage: Stage, rows: list[Row]) -> None:
        for fact, created, expired in rows:
            if stage in (Stage.PAST_TUPLES, Stage.PAST_ATTRIBUTES):
                copied.rows.append((fact, created, expired))
                continue
            key = (type(fact).__name__, *_key(fact))
            held = copied.live.get(key)
            if held is None:
                copied.live[key] = created
                copied.rows.append((fact, created, None))
            elif stage not in _REVIVED or held != created:
                raise CorruptionError("a row of the primary was copied twice")

    async def finish(self, copying: Copying, floor: Revision) -> None:
        """Put the copy where the tenant's reads look, unless more has been folded."""
        copied = self._standing(copying)
        if copied is None:
            return
        del self._copied[copying.tenant]
        folded = self._tables.tenants.get(copying.tenant)
        if folded is not None and folded.revision >= copying.revision:
            return
        head = copying.head
        self._tables.tenants[copying.tenant] = TenantState(
            salt=head.salt,
            epoch=head.position.epoch,
            revision=head.position.revision,
            digest=head.position.digest,
            commit_time=head.commit_time,
            begins=head.begins,
            floor=floor,
            schema_version=head.schema_version,
            schemas={record.version: record for record in copied.schemas},
            facts=_facts(copied.rows),
        )


def _facts(rows: Iterable[Row]) -> LifeFacts:
    changes = RowChanges()
    for fact, created, expired in rows:
        match fact:
            case RelationTuple():
                if expired is None:
                    changes.tuples_created.append((fact, created))
                else:
                    changes.tuples_passed.append((fact, created, expired))
            case Attribute():
                if expired is None:
                    changes.attributes_created.append((fact, created))
                else:
                    changes.attributes_passed.append((fact, created, expired))
    facts = LifeFacts()
    facts.apply(changes)
    return facts


def _key(fact: Fact) -> Place:
    """The order of live rows in the tables, by characters: any order will do here."""
    match fact:
        case RelationTuple(entity, relation, subject):
            return (*entity, relation, subject.relation, subject.type, subject.id)
        case Attribute(entity, name, _):
            return (*entity, name)
