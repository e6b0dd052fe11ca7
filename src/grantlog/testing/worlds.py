"""Hypothesis strategies of worlds: a schema, facts stored and sent along, and questions.

Worlds are small and dense, so that cycles, diamonds and shared nodes abound. Facts may not fit the
schema: tuples of kinds that their relation does not admit, attributes of other types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hypothesis import strategies as st

from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.testing.oracle.language import RULES

TYPES: Final = ("user", "team", "doc")
IDS: Final = ("a", "b", "c")
RELATIONS: Final = ("owner", "member", "parent")
PERMISSIONS: Final = ("view", "edit", "own", "look", "pass", "send")
NAMES: Final = (*RELATIONS, *PERMISSIONS, "public")
ATTRIBUTES: Final = {
    "public": AttributeType.BOOLEAN,
    "level": AttributeType.INTEGER,
    "score": AttributeType.DOUBLE,
    "tag": AttributeType.STRING,
    "tags": AttributeType.STRING_ARRAY,
}
DEPTHS: Final = (*range(3, 13), 3, 4, 5, 0, 1, 2, 40, 1000)

_KINDS: Final = [(t, "") for t in TYPES] + [(t, r) for t in TYPES for r in RELATIONS]
_VALUES: Final = {
    AttributeType.BOOLEAN: (True, False),
    AttributeType.INTEGER: (0, 3, -1, 2),
    AttributeType.DOUBLE: (0.5, 3.0),
    AttributeType.STRING: ("x", "y", ""),
    AttributeType.STRING_ARRAY: ((), ("x", "y"), ("",)),
}
_DATA: Final = {"tag": ("x", "y", 3, None), "limit": (1, 2.5, "much")}
_CROWDS: Final = st.sampled_from((0, 15, 30, 40))


@dataclass(frozen=True, slots=True)
class World:
    """A schema's text and facts, with what comes along with every question."""

    schema: str
    tuples: tuple[RelationTuple, ...]
    attributes: tuple[Attribute, ...]
    context_tuples: tuple[RelationTuple, ...]
    context_attributes: tuple[Attribute, ...]
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a world."""

    entity: Entity
    name: str
    subject: Subject
    depth: int


def _calls() -> Iterator[str]:
    for rule, (parameters, _, _) in RULES.items():
        yield f"{rule}({', '.join(word.split()[0] for word in parameters.split(','))})"


def leaves(permissions: Sequence[str] = PERMISSIONS) -> st.SearchStrategy[str]:
    """Operands of expressions over these permissions, as text."""
    names = (*RELATIONS, *permissions)
    arrows = [f"{relation}.{name}" for relation in RELATIONS for name in names]
    return st.sampled_from((*names * 3, *arrows, "public", "public", *_calls(), *_calls()))


def layered_leaves(permissions: Sequence[str]) -> st.SearchStrategy[str]:
    """Operands that mostly say what facts say; attributes and rules are rare."""
    names = (*RELATIONS, *permissions)
    arrows = [f"{relation}.{name}" for relation in RELATIONS for name in names]
    return st.sampled_from((*names * 3, *arrows * 2, "public", "odd(level)", "shares(level)"))


def expressions(operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions of every shape, parenthesised where they must be."""
    return operands | st.recursive(operands, _combined, max_leaves=6)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(("or", "or", "and", "not"))

    def text(left: str, operator: str, right: str) -> str:
        return f"{left} {operator} ({right})" if " " in right else f"{left} {operator} {right}"

    return st.builds(text, inner, operators, inner)


Kinds: TypeAlias = Mapping[tuple[str, str], Sequence[tuple[str, str]]]
"""What each relation of each type admits."""


def kinds() -> st.SearchStrategy[Kinds]:
    """What relations admit, usersets of themselves included."""
    some = st.lists(st.sampled_from(_KINDS), min_size=1, max_size=4, unique=True)
    return st.fixed_dictionaries({(t, r): some for t in TYPES for r in RELATIONS})


def layered_kinds() -> st.SearchStrategy[Kinds]:
    """What relations admit, where no relation leads back to itself."""

    def below(relation: str) -> list[tuple[str, str]]:
        lower = RELATIONS[: RELATIONS.index(relation)]
        return [kind for kind in _KINDS if not kind[1] or kind[1] in lower]

    return st.fixed_dictionaries(
        {
            (t, r): st.lists(st.sampled_from(below(r)), min_size=1, max_size=4, unique=True)
            for t in TYPES
            for r in RELATIONS
        }
    )


@st.composite
def schemas(draw: st.DrawFn, admitted: Kinds, *, layered: bool = False) -> str:
    """A schema in which every type has all names, so that every arrow is allowed.

    Permissions read alike on all types; what relations admit tells the types apart. In a layered
    one no name leads back to itself.
    """
    permissions = [
        f"  permission {name} = {draw(expressions(operands))}"
        for place, name in enumerate(PERMISSIONS)
        for operands in [layered_leaves(PERMISSIONS[:place]) if layered else leaves()]
    ]
    lines: list[str] = []
    for type_ in TYPES:
        lines.append(f"entity {type_} {{")
        for relation in RELATIONS:
            words = " ".join(f"@{t}#{r}" if r else f"@{t}" for t, r in admitted[type_, relation])
            lines.append(f"  relation {relation} {words}")
        lines += [f"  attribute {name} {value.word}" for name, value in ATTRIBUTES.items()]
        lines += [*permissions, "}"]
    for rule, (parameters, body, _) in RULES.items():
        lines += [f"rule {rule}({parameters}) {{", f"  {body}", "}"]
    return "\n".join(lines)


def entities() -> st.SearchStrategy[Entity]:
    """One of nine."""
    return st.builds(Entity, st.sampled_from(TYPES), st.sampled_from(IDS))


def relation_tuples(admitted: Kinds) -> st.SearchStrategy[RelationTuple]:
    """A tuple, now and then of a kind that its relation does not admit."""
    fitting = [(place, kind) for place, kinds_ in admitted.items() for kind in kinds_]
    foreign = [(place, kind) for place in admitted for kind in _KINDS[::6]]

    def tuple_of(choice: tuple[tuple[str, str], tuple[str, str]], ids: str) -> RelationTuple:
        (type_, relation), (subject_type, subject_relation) = choice
        subject = Subject(subject_type, ids[1], subject_relation)
        return RelationTuple(Entity(type_, ids[0]), relation, subject)

    pairs = [first + second for first in IDS for second in IDS]
    return st.builds(tuple_of, st.sampled_from(fitting * 4 + foreign), st.sampled_from(pairs))


@st.composite
def attributes(draw: st.DrawFn) -> Attribute:
    """An attribute, sometimes of a type that the schema does not give it."""
    name = draw(st.sampled_from(tuple(ATTRIBUTES)))
    other = st.sampled_from(tuple(_VALUES))
    value_type = draw(st.just(ATTRIBUTES[name]) | st.just(ATTRIBUTES[name]) | other)
    value = AttributeValue(value_type, draw(st.sampled_from(_VALUES[value_type])))
    return Attribute(draw(entities()), name, value)


def _one_per_name(found: list[Attribute]) -> tuple[Attribute, ...]:
    return tuple({(a.entity, a.name): a for a in found}.values())


@st.composite
def worlds(draw: st.DrawFn, *, layered: bool = False) -> World:
    """Worlds of a few dozen facts; in layered ones no name leads back to itself."""
    admitted = draw(layered_kinds() if layered else kinds())
    optional = {key: st.sampled_from(values) for key, values in _DATA.items()}
    tuples = relation_tuples(admitted)
    return World(
        schema=draw(schemas(admitted, layered=layered)),
        tuples=tuple(draw(st.lists(tuples, min_size=draw(_CROWDS), max_size=50))),
        attributes=_one_per_name(draw(st.lists(attributes(), max_size=12))),
        context_tuples=tuple(draw(st.lists(tuples, max_size=6))),
        context_attributes=tuple(draw(st.lists(attributes(), max_size=4))),
        data=draw(st.fixed_dictionaries({}, optional=optional)),
    )


def questions() -> st.SearchStrategy[Asked]:
    """Questions to any world; now and then about a subject that no relation can name."""
    relations = ("", "", "", *RELATIONS, "view", "public")
    subjects = [Subject(t, i, relation) for relation in relations for t in TYPES for i in IDS]
    entities_ = [Entity(t, i) for t in TYPES for i in IDS]
    return st.builds(
        Asked,
        st.sampled_from(entities_),
        st.sampled_from(NAMES),
        st.sampled_from(subjects),
        st.sampled_from(DEPTHS),
    )
