"""Removals by filter: which statement answers one, and whether a fact matches it. Pure."""

from __future__ import annotations

from typing import Final

from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.store.postgres.statements import load

_SQL: Final = load("match")
_EXACT: Final = _SQL["tuples_exact"]
_BY_ENTITY: Final = _SQL["tuples_by_entity"]
_BY_SUBJECT: Final = _SQL["tuples_by_subject"]
_BY_ENTITY_TYPE: Final = _SQL["tuples_by_entity_type"]
_BY_SUBJECT_TYPE: Final = _SQL["tuples_by_subject_type"]
_ANY: Final = _SQL["tuples_any"]
_ATTRIBUTES_BY_ENTITY: Final = _SQL["attributes_by_entity"]
_ATTRIBUTES_BY_ENTITY_TYPE: Final = _SQL["attributes_by_entity_type"]
_ATTRIBUTES_ANY: Final = _SQL["attributes_any"]


def tuple_statement(where: TupleFilter) -> str:
    """The statement whose index range fits the filter best."""
    by_entity = bool(where.entity_type and where.entity_ids)
    by_subject = bool(where.subject_type and where.subject_ids)
    if by_entity and by_subject and where.relation:
        return _EXACT
    if by_entity:
        return _BY_ENTITY
    if by_subject:
        return _BY_SUBJECT
    if where.entity_type:
        return _BY_ENTITY_TYPE
    return _BY_SUBJECT_TYPE if where.subject_type else _ANY


def tuple_parameters(where: TupleFilter) -> tuple[object, ...]:
    """The parameters of `tuple_statement`, without the tenant's key and the limit."""
    return (
        where.entity_type,
        list(where.entity_ids),
        where.relation,
        where.subject_type,
        list(where.subject_ids),
        where.subject_relation,
    )


def attribute_statement(where: AttributeFilter) -> str:
    """The statement whose index range fits the filter best."""
    if where.entity_type and where.entity_ids:
        return _ATTRIBUTES_BY_ENTITY
    return _ATTRIBUTES_BY_ENTITY_TYPE if where.entity_type else _ATTRIBUTES_ANY


def attribute_parameters(where: AttributeFilter) -> tuple[object, ...]:
    """The parameters of `attribute_statement`, without the tenant's key and the limit."""
    return (where.entity_type, list(where.entity_ids), list(where.attributes))
