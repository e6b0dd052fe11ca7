"""Read, under the head's lock, what the tables say of all that a group of writes touches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import asyncpg

from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.writer import DataIntent, PutFacts, RemoveFacts, RemoveWhere
from grantlog.projection.fold import AttributeName
from grantlog.store.postgres.off_loop import off_loop
from grantlog.store.postgres.pool import Connection
from grantlog.store.postgres.statements import load
from grantlog.store.postgres.values import decode_value
from grantlog.store.postgres.writer.filters import (
    attribute_parameters,
    attribute_statement,
    tuple_parameters,
    tuple_statement,
)
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.overlay import StoredFacts, too_many

_READ_FACTS: Final = load("write")["read_facts"]


async def read_stored(
    connection: Connection, tenant_key: int, intents: Sequence[DataIntent], limits: WriterLimits
) -> StoredFacts:
    """What holds of the facts the intents name, and everything their filters match.

    Raises:
        LimitError: the filters match too much for one write, or for several to go together.
    """
    stored = StoredFacts()
    tuples, names = _named(intents)
    if tuples or names:
        await _read_named(connection, tenant_key, stored, tuples, names)
    changes_max = limits.changes_per_write_max
    for step in _filters(intents):
        await _read_matches(connection, tenant_key, stored, step, changes_max + 1)
        bound = changes_max if len(intents) == 1 else min(changes_max, limits.group_facts_max)
        if len(stored.matched) > bound:
            raise too_many(bound)
    return stored


def _named(intents: Sequence[DataIntent]) -> tuple[list[RelationTuple], list[AttributeName]]:
    tuples: dict[RelationTuple, None] = {}
    names: dict[AttributeName, None] = {}
    for intent in intents:
        for step in intent.steps:
            if isinstance(step, PutFacts):
                tuples.update(dict.fromkeys(step.tuples))
                names.update(dict.fromkeys((a.entity, a.name) for a in step.attributes))
            elif isinstance(step, RemoveFacts):
                tuples.update(dict.fromkeys(step.tuples))
                names.update(dict.fromkeys(step.attributes))
    return list(tuples), list(names)


def _filters(intents: Sequence[DataIntent]) -> Iterator[RemoveWhere]:
    for intent in intents:
        yield from (step for step in intent.steps if isinstance(step, RemoveWhere))


async def _read_named(
    connection: Connection,
    tenant_key: int,
    stored: StoredFacts,
    tuples: list[RelationTuple],
    names: list[AttributeName],
) -> None:
    rows = await connection.fetch(
        _READ_FACTS,
        tenant_key,
        [fact.entity.type for fact in tuples],
        [fact.entity.id for fact in tuples],
        [fact.relation for fact in tuples],
        [fact.subject.relation for fact in tuples],
        [fact.subject.type for fact in tuples],
        [fact.subject.id for fact in tuples],
        [entity.type for entity, _ in names],
        [entity.id for entity, _ in names],
        [name for _, name in names],
    )
    for row in rows:
        place: int = row["place"]
        if place > 0:
            stored.tuples.add(tuples[place - 1])
        else:
            stored.attributes[names[-place - 1]] = decode_value(row["value_type"], row["value"])


async def _read_matches(
    connection: Connection, tenant_key: int, stored: StoredFacts, step: RemoveWhere, limit: int
) -> None:
    """Load what the step's filters match, at most `limit` of each."""
    if not step.tuples.is_empty:
        await _match_tuples(connection, tenant_key, stored, step.tuples, limit)
    if not step.attributes.is_empty:
        await _match_attributes(connection, tenant_key, stored, step.attributes, limit)


async def _match_tuples(
    connection: Connection, tenant_key: int, stored: StoredFacts, where: TupleFilter, limit: int
) -> None:
    rows = await connection.fetch(
        tuple_statement(where), tenant_key, *tuple_parameters(where), limit
    )
    await off_loop(len(rows), _take_tuples, stored, where, rows)


def _take_tuples(stored: StoredFacts, where: TupleFilter, rows: Sequence[asyncpg.Record]) -> None:
    found = [
        RelationTuple(
            Entity(entity_type, entity_id),
            relation,
            Subject(subject_type, subject_id, subject_relation),
        )
        for entity_type, entity_id, relation, subject_relation, subject_type, subject_id in rows
    ]
    stored.tuple_matches[where] = found
    stored.tuples.update(found)
    stored.matched.update(found)


async def _match_attributes(
    connection: Connection, tenant_key: int, stored: StoredFacts, where: AttributeFilter, limit: int
) -> None:
    rows = await connection.fetch(
        attribute_statement(where), tenant_key, *attribute_parameters(where), limit
    )
    await off_loop(len(rows), _take_attributes, stored, where, rows)


def _take_attributes(
    stored: StoredFacts, where: AttributeFilter, rows: Sequence[asyncpg.Record]
) -> None:
    names: list[AttributeName] = []
    for entity_type, entity_id, attribute, value_type, value in rows:
        name = (Entity(entity_type, entity_id), attribute)
        stored.attributes[name] = decode_value(value_type, value)
        names.append(name)
    stored.attribute_matches[where] = names
    stored.matched.update(names)
