"""Group A, continued: cycles, ids, and the digests that requests are told apart by."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.app.lookup import Window, _entity_digest
from grantlog.app.terms import Terms
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.question import RequestContext
from grantlog.model.attributes import parse_attribute
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import DirectKey, SubjectsKey, UsersetsKey
from grantlog.ports.writer import PutFacts
from grantlog.testing.contracts.places import ACME
from tests.advisories.doors import META, RefusedError, bulk, check, item, put, put_schema
from tests.advisories.node import Node, new_tenant
from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike
from tests.advisories.test_a_cache_keys import ALIKE
from tests.contract.postgres import postgres_primary

# ---------------------------------------------------------------------------------------------
# Cycles

CYCLES = Shape(
    """entity user {}
    entity group {
      relation member @user @group#member
      relation banned @user @group#member
      permission access = member not banned
      permission both = member and banned
    }""",
    "group:a#member@group:b#member group:b#member@group:c#member group:c#member@group:a#member "
    "group:b#member@user:ann group:d#member@group:a#member group:c#banned@group:d#member "
    "group:d#banned@user:bob group:a#member@group:e#member group:e#member@user:bob",
)


def test_cve_2025_46331_cycles_are_entered_anywhere():
    """OpenFGA cached the "false, as it is a cycle" of a part of a question, and gave it to who came
    in elsewhere. Here what a question finds out about a cycle does not leak into the next one of
    the same bulk check, nor into a lookup.
    """
    assert_engine_agrees(CYCLES)


async def test_cve_2025_46331_in_any_order_through_the_same_server(doors):
    """And not into the next request: from every entry point after every other one."""
    tenant = f"cycles-{secrets.token_hex(6)}"
    await put_schema(doors[0], tenant, CYCLES.schema)
    await put(doors[0], tenant, CYCLES.words)
    asked = [key for key in CYCLES.expected if key[2].type == "user"]
    questions = {f"{e}#{name}@{s}": CYCLES.expected[e, name, s] for e, name, s in asked}
    some = [q for q in questions if "#member@" in q][:12]
    for door, (first, second) in zip(
        itertools.cycle(doors), itertools.permutations(some, 2), strict=False
    ):
        assert await bulk(door, tenant, [first, second]) == [questions[first], questions[second]]
    for door in doors:
        for question, expected in questions.items():
            assert await check(door, tenant, question) is expected, question


async def test_group_a_cycles_hold_through_both_doors(node: Node):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(CYCLES, node.doors)


# ---------------------------------------------------------------------------------------------
# Ids

IDS = ("a", "a|b", "a|", "|b", "a#b", "a#", "#b", "a/b", "a:b", "a@b", "a\x1fb", "a\x01", "a,b",
       "b", "a b", "a\\", "\\|b", "a|b|c", "*", "a\u2028b", "A")  # fmt: skip


async def test_cve_2026_48096_ids_with_delimiters_are_read_as_they_are(migrated_database):
    """OpenFGA joined ids into the keys of its iterator cache, and an id with a delimiter shared
    another one's entry. Here, in one batch of reads, each of many confusable keys has its own
    answer, whatever characters its ids hold.
    """
    held = [(one, other) for n, one in enumerate(IDS) for other in IDS[n % 3 :: 3]]
    tuples = tuple(
        RelationTuple(Entity("doc", one), "viewer", Subject("group", other, "member"))
        for one, other in held
    )
    async with postgres_primary(await migrated_database()) as primary:
        committed = await primary.apply(PutFacts(tuples, ()))
        at = committed.revision
        pairs = list(itertools.product(IDS, IDS))
        keys = [DirectKey("doc", a, "viewer", "group", b, "member") for a, b in pairs]
        async with asyncio.TaskGroup() as group:
            together = group.create_task(primary.facts.read(ACME, at, keys))
            apart = [group.create_task(primary.facts.read(ACME, at, [key])) for key in keys]
            pages = group.create_task(primary.facts.read(ACME, at, [
                kind("doc", id_, "viewer") for id_ in IDS for kind in (SubjectsKey, UsersetsKey)
            ]))  # fmt: skip
        expected = [pair in set(held) for pair in pairs]
        assert list(together.result()) == expected
        assert [task.result()[0] for task in apart] == expected
        for (id_, _), page in zip(itertools.product(IDS, (0, 1)), pages.result(), strict=True):
            found = {subject.id for subject in page.subjects}
            assert found == {other for one, other in held if one == id_}


async def test_cve_2026_48096_ids_that_clients_may_send(node: Node):
    """Of the delimiters of our string forms, clients may use `:`, `@`, `.`, `+` and `-`."""
    ids = ("a", "a:b", "a@b", "b", "a:b@user:c", "user:a", "a@user:b", "a.b", "a+b", "a-b", ":",
           "@")  # fmt: skip
    schema = "entity user {} entity doc { relation viewer @user @doc#viewer }"
    for door in node.doors:
        tenant = new_tenant()
        await put_schema(door, tenant, schema)
        body = {"metadata": {}, "tuples": [
            {"entity": {"type": "doc", "id": one}, "relation": "viewer",
             "subject": {"type": "user", "id": other}}
            for n, one in enumerate(ids) for other in ids[n % 4 :: 4]
        ]}  # fmt: skip
        await door.call("Data/Write", tenant, body)
        held = {(t["entity"]["id"], t["subject"]["id"]) for t in body["tuples"]}
        for one in ids:
            items = [
                {"entity": {"type": "doc", "id": one}, "permission": "viewer",
                 "subject": {"type": "user", "id": other}} for other in ids
            ]  # fmt: skip
            answer = await door.call("Permission/BulkCheck", tenant,
                                     {"metadata": META, "items": items})  # fmt: skip
            can = [result["can"].endswith("ALLOWED") for result in answer["results"]]
            assert can == [(one, other) in held for other in ids]
        for bad in ("a|b", "a#b", "a/b", "a\x1fb", "a,b", "a b"):
            one = item("doc:1#viewer@user:1") | {"entity": {"type": "doc", "id": bad}}
            with pytest.raises(RefusedError) as caught:
                await door.call("Permission/Check", tenant, {"metadata": META, **one})
            assert caught.value.code == 3


# ---------------------------------------------------------------------------------------------
# Keys as such

_TEXTS = st.text(alphabet="ab,:|#[]{}'\"()\x1f 1", max_size=4)
_JSON = st.recursive(
    st.none() | st.booleans() | st.sampled_from((0.0, 1.0, -0.0)) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
_IDS = st.text(alphabet="ab:@.|#,'", min_size=1, max_size=3)
_TUPLES = st.builds(
    RelationTuple,
    st.builds(Entity, st.just("doc"), _IDS),
    st.just("viewer"),
    st.builds(Subject, st.just("user"), _IDS, st.sampled_from(("", "a"))),
)
_VALUES = st.sampled_from(("integer:1", "string:1", "double:1", "string:a", "boolean:true"))
_ATTRIBUTES = st.builds(lambda value: parse_attribute(f"doc:1$a|{value}"), _VALUES)
_CONTEXTS = st.builds(
    RequestContext,
    st.lists(_TUPLES, max_size=2).map(tuple),
    st.lists(_ATTRIBUTES, max_size=2).map(tuple),
    st.none() | st.dictionaries(_TEXTS, _JSON, max_size=2),
)
_SUBJECTS = st.builds(Subject, st.just("user"), _IDS, st.sampled_from(("", "a")))
_SCOPES = st.dictionaries(st.sampled_from(("doc", "user")), st.frozensets(_IDS, max_size=2))
_QUERIES = st.builds(
    EntityQuery, st.just("doc"), st.just("view"), _SUBJECTS, _CONTEXTS, st.integers(3, 4), _SCOPES
)


def exactly(tenant: str, version: str, query: EntityQuery) -> str:
    """A request told apart from every other one, types of values included."""
    data = json.dumps(query.context.data, sort_keys=True)
    scope = sorted((type_, sorted(ids)) for type_, ids in query.scope.items())
    facts = [repr((t.entity, t.relation, t.subject)) for t in query.context.tuples]
    facts += [f"{a} {a.value.type}" for a in query.context.attributes]
    return repr((tenant, version, query.subject, query.depth, data, scope, facts))


@given(st.lists(st.tuples(_IDS, _IDS, _QUERIES), min_size=2, max_size=8))
def test_cve_2026_41131_equal_keys_mean_equal_requests(requests):
    """The class came back in OpenFGA with other inputs. Here, of any requests, those alone share a
    digest (what a continuation token is bound to) that are one and the same request.
    """
    digests: dict[str, str] = {}
    for tenant, version, query in requests:
        known = exactly(tenant, version, query)
        window = Window(Terms(schema_version=version))
        digest = _entity_digest(TenantId(tenant), query, window)
        assert digests.setdefault(digest, known) == known
        data = query.context.data
        if isinstance(data, dict):  # in whatever order the client's map came
            turned = dict(reversed(data.items()))
            same = replace(query, context=replace(query.context, data=turned))
            assert _entity_digest(TenantId(tenant), same, window) == digest


def test_cve_2026_41131_values_that_look_alike_have_keys_of_their_own():
    """Nor do contexts share one that a join, a print or a loss of types makes equal."""
    plain = EntityQuery("doc", "view", Subject("user", "ann", ""))
    values = [value for group in ALIKE.values() for value in group]
    texts = {json.dumps(value) for value in values}
    digests = {
        _entity_digest(
            TenantId("t1"), replace(plain, context=RequestContext(data={"v": value})), Window()
        )
        for value in values
    }
    assert len(digests) == len(texts)
