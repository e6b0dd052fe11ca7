"""All that a case asks, as calls of the API with the answers that they must get."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from grantlog.model.tuples import parse_entity, parse_subject
from tests.conformance.corpus import DEPTH_DEFAULT, Case, arguments_json, context_json

Answer = dict[str, Any]
"""A message as JSON, with the names of the proto; of paged calls all pages joined."""

CAN = {"CHECK_RESULT_ALLOWED": True, "CHECK_RESULT_DENIED": False}
OPERATORS = {"OPERATION_UNION": "or", "OPERATION_INTERSECTION": "and", "OPERATION_EXCLUSION": "not"}
BULK_MAX = 100


@dataclass(frozen=True)
class Ask:
    """One call with the answer that it must get.

    Attributes:
        method: as `Permission/Check`.
        body: the request as JSON, without the tenant.
        expected: what `read` makes of the answer, or an error's name.
        read: what of an answer is compared.
        context: what is sent along, as the case has it.
        items: of a paged call, the field that holds a page.
    """

    method: str
    body: dict[str, Any]
    expected: Any
    read: Callable[[Answer], Any]
    context: dict[str, Any]
    items: str = ""

    def __str__(self) -> str:
        named = ("entity", "entity_type", "permission", "subject", "subject_reference")
        shown = [text_of(self.body[name]) for name in named if name in self.body]
        return f"{self.method} {' '.join(shown)}"


def asks(case: Case) -> list[Ask]:
    """Everything that a case asks, each check also as an item of a bulk check."""
    found: list[Ask] = []
    for scenario in case.scenarios:
        checks = [ask for check in scenario.get("checks", ()) for ask in _checks(check)]
        found += [*checks, *_bulk(checks)]
        for filters in scenario.get("entity_filters", ()):
            found += _entities(filters)
        for filters in scenario.get("subject_filters", ()):
            found += _subjects(filters)
        for asked in scenario.get("subject_permissions", ()):
            found.append(_permissions(asked))
        for asked in scenario.get("expands", ()):
            found += _expands(asked)
    assert found, f"{case.name} asks nothing"
    return found


def _common(asked: dict[str, Any], *more: str) -> dict[str, Any]:
    """What all questions may have: a depth, a context."""
    assert not asked.keys() - {"depth", "context", "assertions", *more}, f"unknown keys in {asked}"
    return {
        "metadata": {"depth": asked.get("depth", DEPTH_DEFAULT)},
        "context": context_json(asked.get("context", {})),
    }


def _entity(text: str) -> dict[str, str]:
    return parse_entity(text)._asdict()


def _subject(text: str) -> dict[str, str]:
    return parse_subject(text)._asdict()


def _checks(asked: dict[str, Any]) -> Iterator[Ask]:
    body = _common(asked, "entity", "subject", "arguments") | {
        "entity": _entity(asked["entity"]),
        "subject": _subject(asked["subject"]),
        "arguments": arguments_json(asked.get("arguments", ())),
    }
    for permission, expected in asked["assertions"].items():
        asking = body | {"permission": permission}
        yield Ask("Permission/Check", asking, expected, _can, asked.get("context", {}))


def _can(answer: Answer) -> bool:
    return CAN[answer["can"]]


def _bulk(checks: list[Ask]) -> Iterator[Ask]:
    """The same checks, as many as agree on what a bulk check has once; an error is denied."""
    once = ("metadata", "context", "arguments")
    groups: dict[str, list[Ask]] = {}
    for check in checks:
        groups.setdefault(repr([check.body[name] for name in once]), []).append(check)
    for group in groups.values():
        assert len(group) <= BULK_MAX, "split the scenario: a bulk check takes no more"
        items = [
            {name: value for name, value in check.body.items() if name not in once}
            for check in group
        ]
        body = {name: group[0].body[name] for name in once} | {"items": items}
        expected = [check.expected is True for check in group]
        yield Ask("Permission/BulkCheck", body, expected, _all_can, group[0].context)


def _all_can(answer: Answer) -> list[bool]:
    return [CAN[result["can"]] for result in answer["results"]]


def _entities(asked: dict[str, Any]) -> Iterator[Ask]:
    body = _common(asked, "entity_type", "subject", "scope") | {
        "entity_type": asked["entity_type"],
        "subject": _subject(asked["subject"]),
        "scope": {type_: {"data": ids} for type_, ids in asked.get("scope", {}).items()},
    }
    context = asked.get("context", {})
    for permission, expected in asked["assertions"].items():
        asking = body | {"permission": permission}
        for size in (0, 1, 2):
            sized = asking | {"page_size": size}
            yield Ask(
                "Permission/LookupEntity", sized, expected, _entity_ids, context, "entity_ids"
            )
        yield Ask("Permission/LookupEntityStream", asking, expected, _entity_ids, context)


def _entity_ids(answer: Answer) -> list[str]:
    return answer["entity_ids"]


def _subjects(asked: dict[str, Any]) -> Iterator[Ask]:
    type_, _, relation = asked["subject_reference"].partition("#")
    body = _common(asked, "entity", "subject_reference", "arguments") | {
        "entity": _entity(asked["entity"]),
        "subject_reference": {"type": type_, "relation": relation},
        "arguments": arguments_json(asked.get("arguments", ())),
    }
    context = asked.get("context", {})
    for permission, expected in asked["assertions"].items():
        for size in (0, 1, 2):
            sized = body | {"permission": permission, "page_size": size}
            yield Ask(
                "Permission/LookupSubject", sized, expected, _subject_ids, context, "subject_ids"
            )


def _subject_ids(answer: Answer) -> list[str]:
    return answer["subject_ids"]


def _permissions(asked: dict[str, Any]) -> Ask:
    body = _common(asked, "entity", "subject", "only_permission", "error") | {
        "entity": _entity(asked["entity"]),
        "subject": _subject(asked["subject"]),
    }
    body["metadata"]["only_permission"] = asked.get("only_permission", False)
    expected = asked.get("error") or asked["assertions"]
    return Ask("Permission/SubjectPermission", body, expected, _each_can, asked.get("context", {}))


def _each_can(answer: Answer) -> dict[str, bool]:
    return {name: CAN[can] for name, can in answer.get("results", {}).items()}


def _expands(asked: dict[str, Any]) -> Iterator[Ask]:
    body = _common(asked, "entity", "arguments") | {
        "entity": _entity(asked["entity"]),
        "arguments": arguments_json(asked.get("arguments", ())),
        "metadata": {},
    }
    for permission, expected in asked["assertions"].items():
        asking = body | {"permission": permission}
        text = " ".join(expected.split())
        yield Ask("Permission/Expand", asking, text, _tree, asked.get("context", {}))


def _tree(answer: Answer) -> str:
    return tree_text(answer["tree"])


def tree_text(node: dict[str, Any]) -> str:
    """A tree as cases write it; tests/conformance/README.md has the form."""
    name = f"{text_of(node['entity'])}#{node['permission']}"
    arguments = [each["computed_attribute"]["name"] for each in node.get("arguments", ())]
    if "expand" in node:
        branch = node["expand"]
        children = ", ".join(tree_text(child) for child in branch.get("children", ()))
        return f"{name} {OPERATORS[branch['operation']]} ({children})"
    leaf = node["leaf"]
    if "value" in leaf:
        return f"{name} = {_value_text(leaf['value'])}"
    if "values" in leaf:
        values = leaf["values"].get("values", {})
        shown = ", ".join(f"{key}={_value_text(values[key])}" for key in sorted(values))
        return f"{name}({', '.join(arguments)}) [{shown}]"
    subjects = leaf["subjects"].get("subjects", ())
    return f"{name} {{{' '.join(map(text_of, subjects))}}}"


def _value_text(value: dict[str, Any]) -> str:
    """A value in JSON's words; the empty one of a type may be left out on the wire."""
    kind = value["@type"].rpartition(".")[2]
    empty: dict[str, Any] = {"BooleanValue": False, "StringValue": "", "IntegerValue": 0}
    data = value.get("data", empty.get(kind, 0.0 if kind == "DoubleValue" else []))
    return str(data).lower() if isinstance(data, bool) else str(data)


def text_of(thing: Any) -> str:
    """An entity, a subject or a name as text."""
    if not isinstance(thing, dict):
        return str(thing)
    head = ":".join(thing[name] for name in ("type", "id") if thing.get(name))
    return f"{head}#{thing['relation']}" if thing.get("relation") else head
