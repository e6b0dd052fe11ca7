"""Random writing calls of the API: the same few types, ids and names for every tenant."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Act = tuple[str, dict[str, Any]]
"""A method and its body."""

SCHEMAS = (
    """
entity user {}
entity group { relation member @user @group#member relation lead @user }
entity doc {
  relation viewer @user @group#member @group#lead
  relation parent @doc
  attribute public boolean
  attribute level integer
  permission view = viewer or public or parent.view
  permission edit = viewer not public
  permission low = is_low(level)
}
rule is_low(level integer) { level < 2 }
""",
    """
entity user {}
entity group { relation member @user relation lead @user }
entity doc {
  relation viewer @user @group#member @group#lead
  relation parent @doc
  attribute public boolean
  attribute level integer
  permission view = viewer and public
  permission edit = viewer or parent.edit
}
""",
)
ENTITIES = ("doc:a", "doc:b", "group:a", "group:b")
PLACES = (*ENTITIES, "doc:c")
"""Now and then something that only some tenants have."""
SUBJECTS = ("user:a", "user:b", "group:a#member", "group:b#member", "doc:a", "doc:b")
PERMISSIONS = ("view", "edit", "low", "viewer", "member")
BUNDLES = ("share", "open")


def _entity(text: str) -> dict[str, str]:
    type_, _, id_ = text.partition(":")
    return {"type": type_, "id": id_}


def _subject(text: str) -> dict[str, str]:
    head, _, relation = text.partition("#")
    return {**_entity(head), "relation": relation}


tuples = st.builds(
    lambda e, r, s: {"entity": _entity(e), "relation": r, "subject": _subject(s)},
    st.sampled_from(ENTITIES),
    st.sampled_from(("viewer", "viewer", "member", "member", "parent")),
    st.sampled_from(SUBJECTS),
)
FITTING = [
    {"entity": _entity(e), "relation": r, "subject": _subject(s)}
    for e in PLACES
    for r, admitted in (
        ("viewer", ("user:a", "user:b", "group:a#member", "group:b#member", "group:a#lead")),
        ("parent", ("doc:a", "doc:b")),
        ("member", ("user:a", "user:b")),
    )
    for s in admitted
    if (r == "member") == e.startswith("group") and e != s
]
"""Every tuple that the schemas admit."""

fitting = st.sampled_from(FITTING)
attributes = st.one_of(
    st.builds(
        lambda e, value: {
            "entity": _entity(e),
            "attribute": "public",
            "value": {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": value},
        },
        st.sampled_from(("doc:a", "doc:b")),
        st.booleans(),
    ),
    st.builds(
        lambda e, value: {
            "entity": _entity(e),
            "attribute": "level",
            "value": {"@type": "type.googleapis.com/base.v1.IntegerValue", "data": value},
        },
        st.sampled_from(("doc:a", "doc:b")),
        st.integers(0, 3),
    ),
)
tuple_filters = st.fixed_dictionaries(
    {},
    optional={
        "entity": st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(("doc", "group")),
                "ids": st.lists(st.sampled_from("abc"), max_size=2),
            },
        ),
        "relation": st.sampled_from(("viewer", "member", "parent")),
        "subject": st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(("user", "group", "doc")),
                "ids": st.lists(st.sampled_from("abc"), max_size=2),
                "relation": st.sampled_from(("", "member", "lead")),
            },
        ),
    },
)
exact_filters = st.builds(
    lambda fact: {
        "entity": {"type": fact["entity"]["type"], "ids": [fact["entity"]["id"]]},
        "relation": fact["relation"],
        "subject": {
            "type": fact["subject"]["type"],
            "ids": [fact["subject"]["id"]],
            "relation": fact["subject"]["relation"],
        },
    },
    fitting,
)
attribute_filters = st.fixed_dictionaries(
    {},
    optional={
        "entity": st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(("doc", "group")),
                "ids": st.lists(st.sampled_from("abc"), max_size=2),
            },
        ),
        "attributes": st.lists(st.sampled_from(("public", "level", "none")), max_size=2),
    },
)


def _data(tuples_: st.SearchStrategy[Any], size: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "metadata": st.just({}),
            "tuples": st.lists(tuples_, max_size=size),
            "attributes": st.lists(attributes, max_size=size),
        }
    )


def _act(method: str, body: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Act]:
    return st.tuples(st.just(method), body)


def _bundle(name: str, relation: str) -> dict[str, Any]:
    return {
        "name": name,
        "arguments": ["doc", "user"],
        "operations": [
            {
                "relationships_write": [f"doc:{{{{.doc}}}}#{relation}@user:{{{{.user}}}}"],
                "attributes_write": ["doc:{{.doc}}$public|boolean:true"],
                "relationships_delete": ["doc:{{.doc}}#viewer@user:b"],
                "attributes_delete": ["doc:{{.doc}}$level|integer:0"],
            }
        ],
    }


FIRST: tuple[Act, ...] = (
    ("Tenancy/Create", {"name": "First"}),
    ("Bundle/Write", {"bundles": [_bundle(name, "viewer") for name in BUNDLES]}),
    (
        "Data/Write",
        {
            "metadata": {},
            "tuples": [
                {"entity": _entity("doc:a"), "relation": "viewer", "subject": _subject("user:a")},
                {
                    "entity": _entity("doc:b"),
                    "relation": "viewer",
                    "subject": _subject("group:a#member"),
                },
                {"entity": _entity("group:a"), "relation": "member", "subject": _subject("user:b")},
            ],
            "attributes": [
                {
                    "entity": _entity("doc:a"),
                    "attribute": "level",
                    "value": {"@type": "type.googleapis.com/base.v1.IntegerValue", "data": 1},
                }
            ],
        },
    ),
)
"""What every tenant has, so that whatever one of them loses by another's act is missed."""

writes = st.one_of(
    _act("Data/Write", _data(fitting, 4)),
    _act("Data/Write", _data(fitting, 4)),
    _act("Data/Write", _data(fitting, 20)),
    _act("Data/Write", _data(tuples, 2)),
    _act(
        "Data/WriteRelationships",
        st.fixed_dictionaries(
            {"metadata": st.just({}), "tuples": st.lists(fitting, min_size=1, max_size=3)}
        ),
    ),
    _act(
        "Data/Delete",
        st.fixed_dictionaries(
            {"tuple_filter": tuple_filters, "attribute_filter": attribute_filters}
        ),
    ),
    _act("Data/DeleteRelationships", st.fixed_dictionaries({"filter": tuple_filters})),
    _act("Data/DeleteRelationships", st.fixed_dictionaries({"filter": exact_filters})),
    _act(
        "Data/RunBundle",
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(BUNDLES),
                "arguments": st.fixed_dictionaries(
                    {"doc": st.sampled_from("ab"), "user": st.sampled_from("ab")}
                ),
            }
        ),
    ),
    _act(
        "Bundle/Write",
        st.builds(
            lambda name, relation: {"bundles": [_bundle(name, relation)]},
            st.sampled_from(BUNDLES),
            st.sampled_from(("viewer", "viewer", "none")),
        ),
    ),
    _act("Bundle/Delete", st.fixed_dictionaries({"name": st.sampled_from(BUNDLES)})),
    _act("Schema/Write", st.fixed_dictionaries({"schema": st.sampled_from((*SCHEMAS, "entity"))})),
    _act(
        "Schema/PartialWrite",
        st.builds(
            lambda text: {"metadata": {}, "partials": {"doc": text}},
            st.sampled_from(
                (
                    {"write": ["permission more = viewer"]},
                    {"delete": ["more"]},
                    {"update": ["permission edit = viewer"]},
                )
            ),
        ),
    ),
    _act("Tenancy/Create", st.fixed_dictionaries({"name": st.sampled_from(("One", "Two"))})),
    _act("Tenancy/Delete", st.just({})),
)
