"""The corpus: cases from YAML, as values and as the wire's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grantlog.model.attributes import Attribute, parse_attribute
from grantlog.model.tuples import (
    Entity,
    RelationTuple,
    Subject,
    parse_entity,
    parse_subject,
    parse_tuple,
)

DEPTH_DEFAULT = 100
CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Question:
    """One check with the answer that it must get."""

    entity: Entity
    permission: str
    subject: Subject
    depth: int
    arguments: tuple[str, ...]
    tuples: tuple[RelationTuple, ...]
    attributes: tuple[Attribute, ...]
    data: dict[str, Any] | None
    expected: bool | str
    """allowed, denied, or the name of an error."""

    def __str__(self) -> str:
        return f"{self.subject} {self.permission} {self.entity} (depth {self.depth})"


@dataclass(frozen=True)
class Case:
    """A world and questions about it."""

    name: str
    schemas: tuple[str, ...]
    """The data is written under the first one; the last one is in force."""
    tuples: tuple[RelationTuple, ...]
    attributes: tuple[Attribute, ...]
    questions: tuple[Question, ...]
    """Its checks."""
    scenarios: tuple[dict[str, Any], ...]
    """All that it asks, as written."""


def cases() -> list[Case]:
    """All cases, in the order of files and documents."""
    found = [
        _case(document)
        for path in sorted(CASES.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document
    ]
    names = [case.name for case in found]
    assert len(set(names)) == len(names), "two cases have one name"
    return found


def _case(document: dict[str, Any]) -> Case:
    known = {
        "name",
        "description",
        "schema",
        "then_schemas",
        "relationships",
        "attributes",
        "scenarios",
    }
    assert not document.keys() - known, f"{document['name']}: unknown keys"
    kinds = {"checks", "entity_filters", "subject_filters", "subject_permissions", "expands"}
    for scenario in document["scenarios"]:
        assert scenario, f"{document['name']}: a scenario asks nothing"
        assert not scenario.keys() - kinds, f"{document['name']}: unknown keys"
    questions = [
        q
        for scenario in document["scenarios"]
        for c in scenario.get("checks", ())
        for q in _questions(c)
    ]
    return Case(
        name=document["name"],
        schemas=(document["schema"], *document.get("then_schemas", ())),
        tuples=tuple(map(parse_tuple, document.get("relationships", ()))),
        attributes=tuple(map(parse_attribute, document.get("attributes", ()))),
        questions=tuple(questions),
        scenarios=tuple(document["scenarios"]),
    )


def _questions(check: dict[str, Any]) -> Iterator[Question]:
    known = {"entity", "subject", "depth", "context", "arguments", "assertions"}
    assert not check.keys() - known, f"unknown keys in {check}"
    context = check.get("context", {})
    assert not context.keys() - {"tuples", "attributes", "data"}, f"unknown keys in {context}"
    for permission, expected in check["assertions"].items():
        yield Question(
            entity=parse_entity(check["entity"]),
            permission=permission,
            subject=parse_subject(check["subject"]),
            depth=check.get("depth", DEPTH_DEFAULT),
            arguments=tuple(check.get("arguments", ())),
            tuples=tuple(map(parse_tuple, context.get("tuples", ()))),
            attributes=tuple(map(parse_attribute, context.get("attributes", ()))),
            data=context.get("data"),
            expected=expected,
        )


def context_json(context: dict[str, Any]) -> dict[str, Any]:
    """Facts and data that are sent along."""
    assert not context.keys() - {"tuples", "attributes", "data"}, f"unknown keys in {context}"
    found: dict[str, Any] = {
        "tuples": [tuple_json(parse_tuple(text)) for text in context.get("tuples", ())],
        "attributes": [
            attribute_json(parse_attribute(text)) for text in context.get("attributes", ())
        ],
    }
    if "data" in context:
        found["data"] = context["data"]
    return found


def arguments_json(names: Iterable[str]) -> list[dict[str, Any]]:
    """Names of attributes, for a rule that is asked by its own name."""
    return [{"computed_attribute": {"name": name}} for name in names]


def write_json(case: Case) -> dict[str, Any]:
    """The body of the write of a case's data."""
    return {
        "metadata": {},
        "tuples": [tuple_json(t) for t in case.tuples],
        "attributes": [attribute_json(a) for a in case.attributes],
    }


def tuple_json(fact: RelationTuple) -> dict[str, Any]:
    """A tuple as the wire's JSON."""
    return {
        "entity": fact.entity._asdict(),
        "relation": fact.relation,
        "subject": fact.subject._asdict(),
    }


def attribute_json(fact: Attribute) -> dict[str, Any]:
    """An attribute as the wire's JSON."""
    words = [word.capitalize() for word in fact.value.type.name.split("_")]
    data = fact.value.data
    return {
        "entity": fact.entity._asdict(),
        "attribute": fact.name,
        "value": {
            "@type": f"type.googleapis.com/base.v1.{''.join(words)}Value",
            "data": list(data) if isinstance(data, tuple) else data,
        },
    }
