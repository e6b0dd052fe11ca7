"""Group A: one question's answer given to another.

There is no result cache yet; what is shared today are the reads of concurrent checks, the facts of
one bulk check or lookup, compiled schemas and known heads. The tests ask in every way that would
meet a cache: twice, at once, through the same server, between writes, from other entry points.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from typing import Any

import pytest

from tests.advisories.doors import (
    META,
    Door,
    RefusedError,
    bulk,
    check,
    context_json,
    put,
    put_schema,
    remove,
)

ROUNDS = 2


# ---------------------------------------------------------------------------------------------
# Contexts that a careless key takes for one

ALIKE: dict[str, list[Any]] = {
    "lists": [
        ["a,b"], ["a", "b"], ["a", ",b"], "a,b", ["a b"], "[a b]", ["a", "b", ""], [], [""], "",
    ],
    "nested": [
        [["a"], "b"], ["a", ["b"]], [["a", "b"]], ["a", "b"], [["a"], ["b"]], [[["a"]], "b"],
    ],
    "types": ["1", 1.0, True, "true", None, "null", "<nil>", [1.0], ["1"], False, 0.0, "0"],
    "maps": [
        {"a": "1,b:true"}, {"a": "1", "b": True}, {"a": "1", "b": "true"}, {"a,b": "1"},
        {"a": {"b": "1"}}, {"a": "map[b:1]"}, {"a": "b:1"}, {"a:b": "1"}, {"a": 1.0},
    ],
    "delimiters": [
        "a|b", "a||b", "a#b", "a/b", "a\x1fb", "a\x1f", "a", "|a", "a\tb", "a b", "a'b", "a%7Cb",
    ],
}  # fmt: skip
"""Values that some join, print or hash of theirs makes equal; JSON of them is CEL too."""


def schema_of(values: list[Any]) -> str:
    """A permission for each value: it holds for exactly that one."""
    names = [f"is_{letter}" for letter in "abcdefghijklmnop"[: len(values)]]
    rules = [
        f"rule {name}(tag string) {{\n  context.data.v == {json.dumps(v)} || tag == 'never'\n}}"
        for name, v in zip(names, values, strict=True)
    ]
    permissions = [f"permission p{name} = viewer and {name}(tag)" for name in names]
    body = "relation viewer @user\n attribute tag string\n" + "\n".join(permissions)
    return "\n".join(["entity user {}", f"entity doc {{ {body} }}", *rules])


async def ask_all(door: Door, tenant: str, values: list, sent: str, expected: bool) -> None:
    """Ask every permission with every value, all at once; each holds for its own value alone."""
    names = [f"pis_{letter}" for letter in "abcdefghijklmnop"[: len(values)]]
    questions = [f"doc:1#{name}@user:ann" for name in names]
    async with asyncio.TaskGroup() as group:
        several = [
            group.create_task(bulk(door, tenant, questions, context=context_json(sent, {"v": v})))
            for v in values
        ]
        single = {
            (n, m): group.create_task(
                check(door, tenant, questions[n], context=context_json(sent, {"v": values[m]}))
            )
            for n, m in itertools.product(range(len(values)), repeat=2)
            if abs(n - m) <= 1
        }
    for m, task in enumerate(several):
        assert task.result() == [expected and n == m for n in range(len(values))], values[m]
    for (n, m), task in single.items():
        assert task.result() is (expected and n == m), (values[n], values[m])


async def assert_told_apart(doors: tuple[Door, ...], values: list, *, sent: str = "") -> None:
    tenant = f"alike-{secrets.token_hex(6)}"
    await put_schema(doors[0], tenant, schema_of(values))
    if not sent:
        await put(doors[0], tenant, "doc:1#viewer@user:ann")
    for _, door in itertools.product(range(ROUNDS), doors):
        await ask_all(door, tenant, values, sent, expected=True)
    if sent:
        await ask_all(doors[0], tenant, values, "", expected=False)
        return
    await remove(doors[0], tenant, "doc:1#viewer@user:ann")
    await ask_all(doors[1], tenant, values, "", expected=False)
    await put(doors[1], tenant, "doc:1#viewer@user:ann")
    await ask_all(doors[0], tenant, values, "", expected=True)


async def test_cve_2024_56323_one_contextual_tuple_with_many_contexts(doors):
    """OpenFGA left the condition context of contextual tuples out of its cache key, so that the
    answer for one context was given for another. Here each context gets its own answer.
    """
    await assert_told_apart(doors, ALIKE["types"], sent="doc:1#viewer@user:ann")


async def test_cve_2026_33729_delimiters_inside_context_values(doors):
    """OpenFGA joined context values into a key, and a delimiter inside a value made two requests
    one. Here no text of a value is taken for structure.
    """
    await assert_told_apart(doors, ALIKE["delimiters"])
    await assert_told_apart(doors, ALIKE["maps"])


async def test_cve_2026_34972_contexts_that_are_lists(doors):
    """OpenFGA's BatchCheck took `["a,b"]` and `["a","b"]` for one and answered once for both. Here
    a bulk check and a single one tell them apart, also when they run at the same time.
    """
    await assert_told_apart(doors, ALIKE["lists"])


async def test_cve_2026_46668_contexts_with_nested_lists(doors):
    """SpiceDB hashed `[["a"],"b"]` and `["a",["b"]]` alike. Here nesting counts."""
    await assert_told_apart(doors, ALIKE["nested"])


async def test_permify_cache_key_numbers_texts_and_maps(doors):
    """Permify 1.7.3 keys its cache by `key:value` joined with commas: `"1"` is 1, and
    `{"a":"1,b:true"}` is `{"a":"1","b":true}`. Here they are different questions.
    """
    await assert_told_apart(doors, ALIKE["types"])
    await assert_told_apart(doors, ALIKE["maps"], sent="doc:1#viewer@user:ann")


async def test_permify_cache_key_a_missing_context_is_not_the_one_before(doors):
    """Permify drops empty parts of its key, so that fields shift. Here a question without its
    context is an error right behind the same question with it, and so on in turns.
    """
    for door in doors:
        tenant = f"missing-{secrets.token_hex(6)}"
        await put_schema(door, tenant, schema_of(ALIKE["types"][:1]))
        await put(door, tenant, "doc:1#viewer@user:ann")
        for _ in range(3):
            given_ = context_json("", {"v": "1"})
            assert await check(door, tenant, "doc:1#pis_a@user:ann", context=given_)
            for other in (None, context_json("", {}), context_json("", {"w": "1"})):
                with pytest.raises(RefusedError, match="RULE_EVALUATION_FAILED"):
                    await check(door, tenant, "doc:1#pis_a@user:ann", context=other)


async def test_permify_cache_key_tenants_and_schema_versions(doors):
    """A key without the tenant or the schema version answers for another one. Here the same
    question of two tenants and two versions, asked at once, has four answers.
    """
    viewer = "entity user {} entity doc { relation viewer @user relation owner @user\n"
    texts = [viewer + "permission view = viewer }", viewer + "permission view = owner }"]
    tenants = [f"{name}-{secrets.token_hex(6)}" for name in ("a", "a.b")]
    versions = {}
    for tenant, fact in zip(tenants, ("viewer", "owner"), strict=True):
        for text in texts:
            versions[tenant, text] = await put_schema(doors[0], tenant, text)
        await put(doors[0], tenant, f"doc:1#{fact}@user:ann")
    for _, door in itertools.product(range(ROUNDS), doors):
        async with asyncio.TaskGroup() as group:
            asked = {
                key: group.create_task(
                    check(door, key[0], "doc:1#view@user:ann", schema_version=version)
                )
                for key, version in versions.items()
            }
        answers = [task.result() for task in asked.values()]
        assert answers == [True, False, False, True]
    for (tenant, _), version in zip(versions, list(versions.values())[2:], strict=False):
        with pytest.raises(RefusedError, match="SCHEMA_NOT_FOUND"):
            await check(doors[0], tenant, "doc:1#view@user:ann", schema_version=version)


# ---------------------------------------------------------------------------------------------
# Lookups beside checks

HINTED = """entity user {}
entity doc {
  relation reader @user  relation writer @user  relation banned @user
  permission view = (reader and writer) not banned
}"""


async def test_cve_2026_55866_lookups_with_context_do_not_taint_checks(doors):
    """SpiceDB's lookups with hints wrote results into the check cache that held for the lookup
    alone. Here checks, and lookups with other contexts, run at the same time as lookups whose
    contexts grant and ban, and each answers for its own facts.
    """
    tenant = f"hints-{secrets.token_hex(6)}"
    await put_schema(doors[0], tenant, HINTED)
    facts = [f"doc:{n:02}#reader@user:ann" for n in range(20)]
    facts += [f"doc:{n:02}#writer@user:ann" for n in range(0, 20, 2)]
    await put(doors[0], tenant, facts)
    everything = [f"doc:{n:02}#writer@user:ann" for n in range(20)]
    nothing = [f"doc:{n:02}#banned@user:ann" for n in range(20)]
    cases = {
        "": [f"{n:02}" for n in range(0, 20, 2)],
        " ".join(everything): [f"{n:02}" for n in range(20)],
        " ".join(nothing): [],
        " ".join(everything[:3] + nothing[2:18]): ["00", "01", "18"],
    }  # fmt: skip
    body = {"metadata": META, "entity_type": "doc", "permission": "view",
            "subject": {"type": "user", "id": "ann"}}  # fmt: skip

    async def look(door: Door, sent: str) -> list[str]:
        asked = body | {"context": context_json(sent)}
        return (await door.call("Permission/LookupEntity", tenant, asked))["entity_ids"]

    async def ask(door: Door, sent: str) -> list[str]:
        questions = [f"doc:{n:02}#view@user:ann" for n in range(20)]
        answers = await bulk(door, tenant, questions, context=context_json(sent))
        return [f"{n:02}" for n, yes in enumerate(answers) if yes]

    for _ in range(3):
        async with asyncio.TaskGroup() as group:
            running = {
                (door.name, call.__name__, sent): group.create_task(call(door, sent))
                for door in doors
                for call in (look, ask)
                for sent in cases
            }
        for (_, _, sent), task in running.items():
            assert task.result() == cases[sent]
