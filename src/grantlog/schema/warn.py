"""What a schema allows and its author probably does not mean. Nothing here refuses a schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from grantlog.schema import ast, limits
from grantlog.schema.compiled import Operator, SchemaWarning
from grantlog.schema.components import components
from grantlog.schema.declared import Declared, Subjects
from grantlog.schema.source import Position


@dataclass(frozen=True, slots=True)
class _Reference:
    """One relation or permission leads to another.

    Attributes:
        at: where it is written.
        negated_at: the outermost `not` on whose right side it stands.
        reads_data: whether tuples lie between the two, so that entities may differ.
    """

    source: int
    target: int
    at: Position
    negated_at: Position | None
    reads_data: bool


@dataclass(slots=True)
class _Graph:
    """The relations and permissions of a schema and how they lead to each other."""

    names: Declared
    nodes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    references: list[_Reference] = field(default_factory=list[_Reference])
    is_whole: bool = True


def warnings(names: Declared, subjects: Subjects) -> tuple[SchemaWarning, ...]:
    """Warn of recursion through `not`, of cycles that read nothing, of arrows that lead nowhere.

    At most `warnings_max`, in source order.
    """
    graph = _graph(names)
    found = [*_recursion_through_not(graph), *_empty_cycles(graph), *_idle_arrows(names, subjects)]
    if not graph.is_whole:
        text = (
            f"more than {limits.warning_edges_max:,} references: not all were looked at for cycles"
        )
        found.append(SchemaWarning(1, 1, text))
    found.sort(key=lambda w: (w.line, w.column))
    return tuple(found[: limits.warnings_max])


def _graph(names: Declared) -> _Graph:
    nodes = [
        (type_, name)
        for type_, members in names.members.items()
        for name, member in members.items()
        if not isinstance(member, ast.Attribute)
    ]
    number = {node: n for n, node in enumerate(nodes)}
    graph = _Graph(names, nodes)
    for type_, name in nodes:
        member = names.members[type_][name]
        source = number[type_, name]
        for node, at, negated_at, reads_data in _leads_to(names, type_, member):
            if len(graph.references) >= limits.warning_edges_max:
                graph.is_whole = False
                return graph
            if node in number:
                reference = _Reference(source, number[node], at, negated_at, reads_data)
                graph.references.append(reference)
    return graph


def _leads_to(
    names: Declared, type_: str, member: ast.Member
) -> Iterator[tuple[tuple[str, str], Position, Position | None, bool]]:
    """What a relation or permission refers to: node, place, outermost `not`, reads data."""
    if isinstance(member, ast.Relation):
        for subject in member.types:
            if subject.relation is not None:
                yield (subject.type.text, subject.relation.text), subject.type.at, None, True
    elif isinstance(member, ast.Permission):
        for path, negated_at in _paths(member.expr):
            if len(path.parts) == 1:
                yield (type_, path.parts[0].text), path.at, negated_at, False
                continue
            relation = names.relation(type_, path.parts[0].text)
            computed = path.parts[1].text
            for subject_type in {s.type.text: None for s in relation.types} if relation else ():
                yield (subject_type, computed), path.at, negated_at, True


def _paths(expr: ast.Expr) -> Iterator[tuple[ast.Path, Position | None]]:
    """Every path in an expression, left to right, with the outermost `not` it is excluded by."""
    pending: list[tuple[ast.Expr, Position | None]] = [(expr, None)]
    while pending:
        node, negated_at = pending.pop()
        if isinstance(node, ast.Binary):
            excluded_by = node.at if node.operator is Operator.EXCLUSION else None
            pending.append((node.right, negated_at or excluded_by))
            pending.append((node.left, negated_at))
        elif isinstance(node, ast.Path):
            yield node, negated_at


def _successors(graph: _Graph, *, reading: bool) -> list[list[int]]:
    successors: list[list[int]] = [[] for _ in graph.nodes]
    for reference in graph.references:
        if reading or not reference.reads_data:
            successors[reference.source].append(reference.target)
    return successors


def _recursion_through_not(graph: _Graph) -> Iterator[SchemaWarning]:
    component = components(_successors(graph, reading=True))
    warned: set[int] = set()
    for reference in graph.references:
        mine = component[reference.source]
        if reference.negated_at and mine == component[reference.target] and mine not in warned:
            warned.add(mine)
            yield SchemaWarning(
                *reference.negated_at,
                f"`{_title(graph, reference.source)}` depends on itself through the right side of "
                "this `not`: where the data is cyclic too, a check has no answer and ends as "
                "ERROR_CODE_DEPTH_NOT_ENOUGH",
            )


def _empty_cycles(graph: _Graph) -> Iterator[SchemaWarning]:
    component = components(_successors(graph, reading=False))
    warned: set[int] = set()
    for reference in graph.references:
        mine = component[reference.source]
        if reference.reads_data or mine != component[reference.target] or mine in warned:
            continue
        warned.add(mine)
        if not reference.negated_at:
            yield SchemaWarning(
                *reference.at,
                f"`{_title(graph, reference.source)}` refers back to itself here without a "
                "relation in between: this reference adds nothing",
            )


def _title(graph: _Graph, node: int) -> str:
    return ".".join(graph.nodes[node])


def _idle_arrows(names: Declared, subjects: Subjects) -> Iterator[SchemaWarning]:
    for type_, members in names.members.items():
        for member in members.values():
            if not isinstance(member, ast.Permission):
                continue
            for path, _ in _paths(member.expr):
                if len(path.parts) == 1:
                    continue
                relation, computed = (part.text for part in path.parts)
                admitted = subjects.usersets[type_, relation]
                idle = admitted & ~subjects.offering.get(computed, 0)
                if idle:
                    yield _idle_arrow(names, path, idle)


def _idle_arrow(names: Declared, path: ast.Path, idle: int) -> SchemaWarning:
    relation, computed = path.parts
    type_ = names.types[(idle & -idle).bit_length() - 1]
    return SchemaWarning(
        *path.at,
        f"`{relation}` admits usersets of `{type_}`, and `{type_}` itself has no `{computed}`: "
        "an arrow asks the entity before the `#`, so such a subject adds nothing",
    )
