"""The oracle, which shares nothing with the engine, says of every case what its author says.

It reads no rules but its own and no comments, so that some cases are beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from grantlog.model.attributes import Attribute, parse_attribute
from grantlog.model.tuples import RelationTuple, Subject, parse_tuple
from grantlog.testing.oracle import judge, read_language
from grantlog.testing.oracle.judge import Question as Asked
from tests.conformance.asks import Ask, asks
from tests.conformance.corpus import Case, cases

_BEYOND = re.compile(r"^\s*rule |//|/\*|action|and not|\r|or\s*$|^\s*(and|or|not)", re.MULTILINE)
CASES = [case for case in cases() if not _BEYOND.search(case.schemas[-1])]
CASES_MIN = 80
WORDS = {
    "allowed": True,
    "denied": False,
    "depth": "ERROR_CODE_DEPTH_NOT_ENOUGH",
    "missing": "ERROR_CODE_SCHEMA_NOT_FOUND",
}
ODD = {"ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH", "ERROR_CODE_RULE_DEFINITION_NOT_FOUND"}
"""The oracle knows of a name that cannot be asked only that it is missing."""


def test_the_oracle_reads_most_of_the_corpus():
    assert len(CASES) >= CASES_MIN


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_oracle_says_what_the_case_says(case: Case):
    wrong = [
        (str(ask), said, ask.expected)
        for ask in asks(case)
        if (said := _said(case, ask)) not in (None, ask.expected) and ask.expected not in ODD
    ]
    assert wrong == []


def _said(case: Case, ask: Ask) -> Any:
    """The oracle's answer; None to what it is not asked."""
    body = ask.body
    match ask.method:
        case "Permission/Check":
            return WORDS[_verdict(case, ask, body["entity"], body["permission"], body["subject"])]
        case "Permission/LookupEntity" if not body["scope"]:
            type_, subject = body["entity_type"], body["subject"]
            return _all_allowed(
                (id_, _verdict(case, ask, {"type": type_, "id": id_}, body["permission"], subject))
                for id_ in _known_entities(case, ask, type_, subject)
            )
        case "Permission/LookupSubject":
            entity, permission = body["entity"], body["permission"]
            reference = body["subject_reference"]
            if _verdict(case, ask, entity, permission, _NOBODY) == "missing":
                return WORDS["missing"]
            return _all_allowed(
                (id_, _verdict(case, ask, entity, permission, {**reference, "id": id_}))
                for id_ in _known_subjects(case, ask, reference)
            )
    return None


_NOBODY = {"type": "", "id": "", "relation": ""}


def _all_allowed(verdicts: Iterable[tuple[str, str]]) -> Any:
    found = list(verdicts)
    errors = [verdict for _, verdict in found if verdict not in {"allowed", "denied", "missing"}]
    if errors:
        return WORDS[errors[0]]
    return [id_ for id_, verdict in found if verdict == "allowed"]


def _facts(case: Case, ask: Ask) -> tuple[list[RelationTuple], list[Attribute]]:
    """All that count: stored ones, and behind them those that are sent along."""
    sent = ask.context
    return (
        [*case.tuples, *map(parse_tuple, sent.get("tuples", ()))],
        [*case.attributes, *map(parse_attribute, sent.get("attributes", ()))],
    )


def _verdict(
    case: Case, ask: Ask, entity: dict[str, str], permission: str, subject: dict[str, str]
) -> str:
    sent = ask.context
    relation = subject.get("relation", "")
    question = Asked(
        entity=(entity["type"], entity["id"]),
        name=permission,
        subject=Subject(subject["type"], subject["id"], "" if relation == "..." else relation),
        depth=ask.body["metadata"]["depth"],
        tuples=case.tuples,
        attributes=case.attributes,
        context_tuples=list(map(parse_tuple, sent.get("tuples", ()))),
        context_attributes=list(map(parse_attribute, sent.get("attributes", ()))),
    )
    return judge(read_language(case.schemas[-1]), question)


def _known_entities(case: Case, ask: Ask, type_: str, subject: dict[str, str]) -> list[str]:
    tuples, attributes = _facts(case, ask)
    places = [*tuples, *attributes]
    ids = {fact.entity.id for fact in places if fact.entity.type == type_}
    ids |= {fact.subject.id for fact in tuples if fact.subject.type == type_}
    if subject["type"] == type_:
        ids.add(subject["id"])
    return sorted(ids)


def _known_subjects(case: Case, ask: Ask, reference: dict[str, str]) -> list[str]:
    tuples, _ = _facts(case, ask)
    kind = (reference["type"], reference["relation"])
    return sorted({s.id for _, _, s in tuples if (s.type, s.relation) == kind})
