"""Group E: lists that leave something out, or hold what they should not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from grantlog.model.tuples import RelationTuple, parse_tuple
from grantlog.ports.writer import PutFacts
from grantlog.testing.contracts.places import ACME
from tests.advisories.doors import META, Door, RefusedError, bulk, item, put, put_schema
from tests.advisories.node import Node, new_tenant, open_node
from tests.advisories.shapes import Shape, assert_engine_agrees, assert_served_alike
from tests.contract.postgres import postgres_primary

HEAD = "entity user {}\nentity group { relation member @user @group#member }\n"

RECURSIVE = Shape(
    HEAD
    + """entity folder {
      relation parent @folder @folder#parent
      relation viewer @user @group#member
      permission view = viewer or parent.view
      permission above = parent.viewer
    }""",
    "folder:b#parent@folder:a folder:c#parent@folder:b#parent folder:d#parent@folder:c#parent "
    "folder:a#viewer@user:ann folder:b#viewer@group:g#member group:g#member@user:bob "
    "folder:a#parent@folder:d",
)

BOTH_SIDES = Shape(
    """entity user { relation delegate @user }
    entity org { relation delegate @user @org#delegate }
    entity doc {
      relation owner @user @org
      permission view = owner or owner.delegate
      permission back = owner.delegate or owner
      permission same = owner and owner.delegate
      permission rest = owner.delegate not owner
    }""",
    "doc:1#owner@user:ann doc:1#owner@org:o doc:2#owner@org:o doc:3#owner@user:bob "
    "org:o#delegate@user:bob org:o#delegate@org:p#delegate org:p#delegate@user:cid "
    "user:ann#delegate@user:dan user:bob#delegate@user:bob",
)

CONDITIONED = Shape(
    HEAD
    + """rule tagged(tag string) { tag == context.data.tag }
    entity doc {
      relation viewer @user @group#member
      attribute tag string
      permission view = viewer and tagged(tag)
      permission read = viewer not tagged(tag)
    }""",
    "doc:1#viewer@user:ann doc:1$tag|string:x doc:2#viewer@user:ann doc:2$tag|string:y "
    "doc:3#viewer@group:g#member group:g#member@user:ann doc:3$tag|string:x",
    data={"tag": "x"},
)


async def pages(door: Door, tenant: str, call: str, body: dict, size: int) -> list[str]:
    """All pages of a lookup, put together."""
    found: list[str] = []
    token = ""
    while True:
        more = body | {"page_size": size, "continuous_token": token}
        answer = await door.call(f"Permission/{call}", tenant, more)
        ids = answer.get("entity_ids", answer.get("subject_ids"))
        token = answer["continuous_token"]
        assert len(ids) == size or not token
        found += ids
        if not token:
            return found


async def test_cve_2023_35930_pages_of_a_lookup_are_the_whole_of_it(node: Node):
    """SpiceDB's LookupResources could end early and name only some of the resources. Here pages of
    any size make up exactly the unpaged answer, in which no entity is missing or twice.
    """
    tenant = new_tenant()
    await put_schema(node.grpc, tenant, RECURSIVE.schema)
    facts = [f"folder:{n:03}#parent@folder:{n // 2:03}" for n in range(1, 120)]
    facts += [f"folder:{n:03}#viewer@group:g{n % 7}#member" for n in range(0, 120, 11)]
    facts += [f"group:g{n}#member@user:u{n % 3}" for n in range(7)]
    await put(node.grpc, tenant, facts)
    ids = [f"{n:03}" for n in range(120)]
    for user in ("u0", "u1", "u2", "none"):
        answers = await bulk(node.grpc, tenant, [f"folder:{i}#view@user:{user}" for i in ids[:100]])
        answers += await bulk(
            node.grpc, tenant, [f"folder:{i}#view@user:{user}" for i in ids[100:]]
        )
        expected = [id_ for id_, yes in zip(ids, answers, strict=True) if yes]
        body = {"metadata": META, "entity_type": "folder", "permission": "view",
                "subject": {"type": "user", "id": user}}  # fmt: skip
        for door, size in zip(node.doors * 2, (7, 1, 1000, 50), strict=True):
            assert await pages(door, tenant, "LookupEntity", body, size) == expected
    body = {"metadata": META, "entity": {"type": "folder", "id": "119"}, "permission": "view",
            "subject_reference": {"type": "user"}}  # fmt: skip
    whole = (await node.rest.call("Permission/LookupSubject", tenant, body))["subject_ids"]
    assert whole
    assert await pages(node.rest, tenant, "LookupSubject", body, 1) == whole


def test_cve_2024_32001_subjects_behind_a_relation_that_takes_itself_and_an_arrow():
    """SpiceDB's LookupSubjects left out subjects where a relation took both `folder` and
    `folder#parent` and an arrow went over it. Here all are named, in a ring of folders too.
    """
    assert_engine_agrees(RECURSIVE)


def test_cve_2025_65111_one_relation_on_both_sides_of_a_union_once_with_an_arrow():
    """SpiceDB's lookups lost what only one side gives where the same relation stood on both sides
    of a union, on one of them with an arrow. Here both sides count.
    """
    assert_engine_agrees(BOTH_SIDES)


def test_cve_2024_48909_with_its_context_an_answer_is_definite():
    """SpiceDB's LookupResources said "conditional" though the context decided. Here there is only
    yes or no where the context has what the rule needs.
    """
    assert_engine_agrees(CONDITIONED)


async def test_cve_2024_48909_without_its_context_there_is_no_answer(node: Node):
    """Nor does a lookup pass over an entity in silence whose rule cannot be judged: it fails, as
    the check of that entity does.
    """
    for door in node.doors:
        tenant = new_tenant()
        await put_schema(door, tenant, CONDITIONED.schema)
        await put(door, tenant, CONDITIONED.words)
        body = {"metadata": META, "entity_type": "doc", "permission": "view",
                "subject": {"type": "user", "id": "ann"}}  # fmt: skip
        with pytest.raises(RefusedError, match="RULE_EVALUATION_FAILED"):
            await door.call("Permission/LookupEntity", tenant, body)
        with pytest.raises(RefusedError, match="RULE_EVALUATION_FAILED"):
            await door.stream("Permission/LookupEntityStream", tenant, body)
        body = {"metadata": META, **item("doc:1#view@user:ann")}
        with pytest.raises(RefusedError, match="RULE_EVALUATION_FAILED"):
            await door.call("Permission/Check", tenant, body)


@pytest.mark.parametrize("shape", [RECURSIVE, BOTH_SIDES, CONDITIONED])
async def test_group_e_holds_through_both_doors(node: Node, shape: Shape):
    """What the engine does right, the store and the doors do not undo."""
    await assert_served_alike(shape, node.doors)


MANY = 65_536 + 64
"""More than 16 bits can count."""

CROWD = (
    HEAD
    + """entity folder { relation viewer @user  permission view = viewer }
    entity doc {
      relation parent @folder
      relation viewer @user @group#member
      permission view = parent.view
      permission read = viewer
    }"""
)


async def write_crowd(dsn: str) -> None:
    """65,600 documents in one folder, and as many users in one group."""
    tuples = [parse_tuple("folder:big#viewer@user:boss"),
              parse_tuple("doc:x#viewer@group:crowd#member")]  # fmt: skip
    for n in range(MANY):
        tuples.append(parse_tuple(f"doc:{n:05}#parent@folder:big"))
        tuples.append(parse_tuple(f"group:crowd#member@user:{n:05}"))
    async with postgres_primary(dsn) as primary:
        await primary.writer.write_schema(ACME, CROWD, based_on=None, write_id=primary.new_id())
        for start in range(0, len(tuples), 20_000):
            await primary.apply(put_facts(tuples[start : start + 20_000]))


def put_facts(tuples: list[RelationTuple]) -> PutFacts:
    return PutFacts(tuple(tuples), ())


async def test_cve_2024_27101_more_relations_on_one_hop_than_16_bits_count(
    migrated_database: Callable[..., Awaitable[str]],
):
    """SpiceDB's chunking overflowed at more than 65,535 relations on one hop: elements went
    missing, or the process ended. Here every call is complete beyond that, or refuses.
    """
    dsn = await migrated_database()
    await write_crowd(dsn)
    ids = [f"{n:05}" for n in range(MANY)]
    entities = {"metadata": META, "entity_type": "doc", "permission": "view",
                "subject": {"type": "user", "id": "boss"}}  # fmt: skip
    subjects = {"metadata": META, "entity": {"type": "doc", "id": "x"}, "permission": "read",
                "subject_reference": {"type": "user"}}  # fmt: skip
    async with open_node(dsn) as node:
        assert await pages(node.rest, ACME, "LookupEntity", entities, 10_000) == ids
        told = node.grpc.opened("Permission/LookupEntityStream", ACME, entities)
        assert [message.entity_id async for message in told] == ids
        assert await pages(node.grpc, ACME, "LookupSubject", subjects, 10_000) == ids
        edges = (0, 1, 65_534, 65_535, 65_536, MANY - 1, MANY)
        questions = [f"doc:x#read@user:{n:05}" for n in edges]
        assert await bulk(node.rest, ACME, questions) == [True] * 6 + [False]
        questions = [f"doc:{n:05}#view@user:boss" for n in edges]
        assert await bulk(node.grpc, ACME, questions) == [True] * 6 + [False]
        body = {"metadata": {}, "entity": {"type": "group", "id": "crowd"}, "permission": "member"}
        with pytest.raises(RefusedError) as refused:  # never a tree that lacks some
            await node.rest.call("Permission/Expand", ACME, body)
        assert refused.value.reason == "LIMIT_EXCEEDED"
