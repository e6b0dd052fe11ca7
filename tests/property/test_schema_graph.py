"""Components, ends of arrows and warnings, against searches too simple to be wrong."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.schema import ast
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import (
    Arrow,
    CompiledSchema,
    ComputedUserset,
    Expr,
    Operator,
    Rewrite,
)
from grantlog.schema.components import components
from grantlog.schema.declared import declared, subjects
from grantlog.schema.print import print_schema
from grantlog.testing.schemas import valid_schemas

at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

_graphs = st.integers(1, 8).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=4), min_size=n, max_size=n)
)
_Node = tuple[str, str]


def _reached(successors: dict[_Node, set[_Node]], start: _Node) -> set[_Node]:
    seen: set[_Node] = set()
    pending = [start]
    while pending:
        for node in successors[pending.pop()] - seen:
            seen.add(node)
            pending.append(node)
    return seen


@at_any_speed
@given(_graphs)
def test_nodes_share_a_component_exactly_if_each_reaches_the_other(graph: list[list[int]]) -> None:
    found = components(graph)
    successors = {("", str(n)): {("", str(m)) for m in graph[n]} for n in range(len(graph))}
    reach = {n: _reached(successors, ("", str(n))) for n in range(len(graph))}
    for a in range(len(graph)):
        for b in range(len(graph)):
            mutual = a == b or (("", str(b)) in reach[a] and ("", str(a)) in reach[b])
            assert (found[a] == found[b]) == mutual
        assert all(found[b] <= found[a] for b in graph[a])


@at_any_speed
@given(valid_schemas())
def test_an_arrow_leads_to_the_plain_types_behind_all_usersets(schema: ast.Schema) -> None:
    names = declared(schema)
    found = subjects(names).direct
    for start, mask in found.items():
        ends: set[str] = set()
        seen, pending = {start}, [start]
        while pending:
            relation = names.relation(*pending.pop())
            assert relation is not None
            for subject in relation.types:
                if subject.relation is None:
                    ends.add(subject.type.text)
                elif (node := (subject.type.text, subject.relation.text)) not in seen:
                    seen.add(node)
                    pending.append(node)
        assert {t for n, t in enumerate(names.types) if mask >> n & 1} == ends


def _edges(
    schema: CompiledSchema, of: str, expr: Expr, right: bool
) -> Iterator[tuple[_Node, bool]]:
    match expr:
        case Rewrite(operator, left, right_side):
            yield from _edges(schema, of, left, right)
            yield from _edges(schema, of, right_side, right or operator is Operator.EXCLUSION)
        case ComputedUserset(name):
            yield (of, name), right
        case Arrow(relation, computed):
            for type_ in schema.entities[of].relations[relation].types:
                entity = schema.entities[type_.type]
                if computed in entity.relations or computed in entity.permissions:
                    yield (type_.type, computed), right
        case _:
            return


@at_any_speed
@given(valid_schemas())
def test_a_warning_names_recursion_through_not_exactly_where_there_is_one(
    schema: ast.Schema,
) -> None:
    compiled = compile_schema(print_schema(schema))
    edges: list[tuple[_Node, _Node, bool]] = []
    for entity in compiled.entities.values():
        for relation in entity.relations.values():
            source = (entity.name, relation.name)
            edges += [(source, (t.type, t.relation), False) for t in relation.types if t.relation]
        for permission in entity.permissions.values():
            source = (entity.name, permission.name)
            for target, negated in _edges(compiled, entity.name, permission.expr, right=False):
                edges.append((source, target, negated))
    nodes = {
        (e.name, n) for e in compiled.entities.values() for n in (*e.relations, *e.permissions)
    }
    successors = {node: {b for a, b, _ in edges if a == node} for node in nodes}
    recursive = any(negated and (a == b or a in _reached(successors, b)) for a, b, negated in edges)
    warned = any("right side of this `not`" in w.text for w in compiled.warnings)
    assert warned == recursive
