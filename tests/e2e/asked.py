"""The calls of the contract: those that have terms, with what each answers, and the others."""

from __future__ import annotations

import json

OLD = """
entity user {}
entity doc { relation viewer @user  attribute public boolean  permission view = viewer }
"""
NEW = OLD.replace("= viewer", "= viewer or public") + "entity team {}"
ANN = {"type": "user", "id": "ann"}
DEEP = {"depth": 20}


def doc(id_: str) -> dict:
    return {"type": "doc", "id": id_}


def viewer(id_: str) -> dict:
    return {"entity": doc(id_), "relation": "viewer", "subject": ANN}


def items(*ids: str) -> list[dict]:
    return [{"entity": doc(id_), "permission": "view", "subject": ANN} for id_ in ids]


LOOKUP = {"metadata": DEEP, "entity_type": "doc", "permission": "view", "subject": ANN}
SUBJECTS = {"metadata": DEEP, "entity": doc("3"), "permission": "view",
            "subject_reference": {"type": "user"}}  # fmt: skip
SUBJECT_PERMISSIONS = {"metadata": DEEP, "entity": doc("3"), "subject": ANN}
EXPAND = {"metadata": {}, "entity": doc("1"), "permission": "view"}


def allowed(answer) -> bool:
    return answer["can"] == "CHECK_RESULT_ALLOWED"


READING = {
    "permissions/check": (
        {"metadata": DEEP, **items("1")[0]},
        allowed,
        [False, True, False, False],
    ),
    "permissions/bulk-check": (
        {"metadata": DEEP, "items": items("1", "2", "3")},
        lambda answer: [allowed(result) for result in answer["results"]],
        [[False] * 3, [True, True, False], [False, True, False], [False, True, True]],
    ),
    "permissions/lookup-entity": (
        LOOKUP,
        lambda answer: answer["entity_ids"],
        [[], ["1", "2"], ["2"], ["2", "3"]],
    ),
    "permissions/lookup-entity-stream": (
        LOOKUP,
        lambda answer: [message["entity_id"] for message in answer],
        [[], ["1", "2"], ["2"], ["2", "3"]],
    ),
    "permissions/lookup-subject": (
        SUBJECTS,
        lambda answer: answer["subject_ids"],
        [[], [], [], ["ann"]],
    ),
    "permissions/subject-permission": (
        SUBJECT_PERMISSIONS,
        lambda answer: answer["results"]["view"] == "CHECK_RESULT_ALLOWED",
        [False, False, False, True],
    ),
    "permissions/expand": (
        EXPAND,
        lambda answer: ("expand" in answer["tree"], '"ann"' in json.dumps(answer)),
        [(False, False), (False, True), (False, False), (True, False)],
    ),
    "schemas/read": (
        {"metadata": {}},
        lambda answer: "team" in answer["schema"]["entity_definitions"],
        [False, False, False, True],
    ),
    "data/relationships/read": (
        {"metadata": {}, "filter": {}},
        lambda answer: [fact["entity"]["id"] for fact in answer["tuples"]],
        [[], ["1", "2"], ["2"], ["2"]],
    ),
    "data/attributes/read": (
        {"metadata": {}, "filter": {}},
        lambda answer: [fact["entity"]["id"] for fact in answer["attributes"]],
        [[], ["3"], ["3"], ["3"]],
    ),
}
"""Every call that reads facts or schemas: a request, what matters of its answer, and what that is
at revision 1, 2, 3 and 4."""

OTHERS = {
    "schemas/write": {"schema": OLD},
    "schemas/partial-write": {"metadata": {}, "partials": {}},
    "schemas/list": {},
    "data/write": {"metadata": {}, "tuples": [viewer("1")]},
    "data/delete": {"tuple_filter": {"relation": "viewer"}, "attribute_filter": {}},
    "relationships/write": {"metadata": {}, "tuples": [viewer("1")]},
    "relationships/delete": {"filter": {"relation": "viewer"}},
    "data/run-bundle": {"name": "none"},
    "bundle/write": {"bundles": []},
    "bundle/read": {"name": "none"},
    "bundle/delete": {"name": "none"},
    "watch": {},
    "/v1/tenants/create": {"id": "another", "name": "another"},
    "/v1/tenants/list": {},
    "/v1/tenants/{id}": {},
}
"""Calls that have no terms."""
