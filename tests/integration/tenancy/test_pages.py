"""Pages stand where the first one stood, whatever is written between them; filters by a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grantlog.serving.calls import Calls
from tests.integration.tenancy.acts import (
    FITTING,
    SCHEMAS,
    attribute_filters,
    attributes,
    exact_filters,
    fitting,
    tuple_filters,
)
from tests.integration.tenancy.asking import Tenant, entity, subject
from tests.integration.tenancy.shared import Shared
from tests.memory_api import memory_api

Json = dict[str, Any]
MODEST = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
META = {"metadata": {}}
DEPTH = {"metadata": {"depth": 20}}
_numbers = count(1)
facts = st.lists(fitting, max_size=25)
values = st.lists(attributes, max_size=8)
filters = st.one_of(
    tuple_filters,
    exact_filters,
    st.sampled_from(
        [
            {"subject": {"type": "user"}},
            {"subject": {"type": "group", "relation": "member"}},
            {"subject": {"type": "user", "ids": ["a"]}},
            {"subject": {"ids": ["a"]}},
            {"entity": {"type": "doc"}},
            {"entity": {"type": "doc", "ids": ["a", "b"]}},
            {"relation": "viewer"},
        ]
    ),
)
"""Those by which an index is chosen among them."""

sizes = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def admitted(fact: Json, where: Json) -> bool:
    """Whether a filter of the API means a fact: by the words of the contract, not by our code."""
    of_entity = where.get("entity", {})
    of_subject = where.get("subject", {})
    held = fact.get("subject", {})
    names = where.get("attributes", [])
    return (
        of_entity.get("type", "") in ("", fact["entity"]["type"])
        and (not of_entity.get("ids") or fact["entity"]["id"] in of_entity["ids"])
        and where.get("relation", "") in ("", fact.get("relation"))
        and of_subject.get("type", "") in ("", held.get("type"))
        and (not of_subject.get("ids") or held["id"] in of_subject["ids"])
        and of_subject.get("relation", "") in ("", held.get("relation"))
        and (not names or fact["attribute"] in names)
    )


def key(fact: Json) -> list[str]:
    """The order of pages."""
    held = fact.get("subject", {})
    name = fact.get("relation") or fact["attribute"]
    order = [held.get(part, "") for part in ("relation", "type", "id")]
    return [fact["entity"]["type"], fact["entity"]["id"], name, *order]


def unique(found: list[Json]) -> list[Json]:
    """Each fact once, in the order of pages; of an attribute the first value."""
    first: dict[str, Json] = {}
    for fact in found:
        first.setdefault(repr(key(fact)), fact)
    return sorted(first.values(), key=key)


async def tenant_with(shared: Shared, tuples: list[Json], held: list[Json]) -> Tenant:
    return await filled(Tenant(shared.nodes[0], f"pages-{next(_numbers)}"), tuples, held)


async def filled(tenant: Tenant, tuples: list[Json], held: list[Json]) -> Tenant:
    await tenant.call("Schema/Write", {"schema": SCHEMAS[0]})
    said = await tenant.call("Data/Write", {**META, "tuples": tuples, "attributes": held})
    assert "snap_token" in said
    return tenant


def shown(fact: Json) -> Json:
    """A fact as an answer has it: what is empty is left out."""
    plain = {
        name: {k: v for k, v in part.items() if v != ""} if isinstance(part, dict) else part
        for name, part in fact.items()
    }
    if "value" in plain:
        kept = {k: v for k, v in plain["value"].items() if k == "@type" or v}
        plain["value"] = kept
    return plain


async def paged(
    calls: list[Calls],
    tenant: Tenant,
    method: str,
    body: Json,
    items: str,
    how: tuple[list[int], Callable[[], Awaitable[object]]],
) -> list[Any]:
    """All pages, of sizes that change, from nodes that change, with something done between them."""
    page_sizes, meanwhile = how
    found: list[Any] = []
    token = ""
    for turn in count():
        asked = Tenant(calls[turn % len(calls)], tenant.name, tenant.versions)
        size = page_sizes[turn % len(page_sizes)]
        kept: dict[str, str] = {}

        def note(answer: Any, kept: dict[str, str] = kept) -> None:
            kept["token"] = answer.continuous_token

        page = await asked.call(
            method, {**body, "page_size": size, "continuous_token": token}, told=note
        )
        assert isinstance(page, dict), page
        assert len(page.get(items, [])) <= size
        found += page.get(items, [])
        token = kept["token"]
        if not token:
            return found
        await meanwhile()
    raise AssertionError("never reached")


@MODEST
@given(
    tuples=facts,
    held=values,
    where=st.lists(filters, min_size=8, max_size=8),
    named=st.lists(attribute_filters, min_size=4, max_size=4),
)
async def test_reads_by_filter_are_the_models(shared: Shared, tuples, held, where, named) -> None:
    tenant = await tenant_with(shared, tuples, held)
    for method, items, filters, model in (
        ("Data/ReadRelationships", "tuples", where, unique(tuples)),
        ("Data/ReadAttributes", "attributes", named, unique(held)),
    ):
        for asked in filters:
            expected = [shown(fact) for fact in model if admitted(fact, asked)]
            answer = await tenant.call(method, {**META, "filter": asked})
            assert answer.get(items, []) == expected, asked


@MODEST
@given(
    tuples=facts,
    held=values,
    where=tuple_filters,
    named=attribute_filters,
    page_sizes=sizes,
    later=facts,
)
async def test_pages_of_reads_stand_at_one_revision(
    shared: Shared, tuples, held, where, named, page_sizes, later
) -> None:
    tenant = await tenant_with(shared, tuples, held)
    revision = str(await tenant.head())
    ticks = count()

    async def meanwhile() -> None:
        tick = next(ticks)
        await tenant.call("Data/Write", {**META, "tuples": later, "attributes": []})
        body = {"tuple_filter": {"entity": {"type": ("doc", "group")[tick % 2]}}}
        await tenant.call("Data/Delete", {**body, "attribute_filter": {"entity": {"type": "doc"}}})

    first = [shown(fact) for fact in unique(tuples) if admitted(fact, where)]
    how = (page_sizes, meanwhile)
    body = {**META, "filter": where}
    found = await paged(shared.nodes, tenant, "Data/ReadRelationships", body, "tuples", how)
    assert found == first
    again = await tenant.call("Data/ReadRelationships", body, revision)
    assert again.get("tuples", []) == first
    now = (await tenant.call("Data/ReadAttributes", {**META, "filter": named})).get(
        "attributes", []
    )
    body = {**META, "filter": named}
    assert await paged(shared.nodes, tenant, "Data/ReadAttributes", body, "attributes", how) == now


@MODEST
@given(
    tuples=st.lists(fitting, min_size=8, max_size=25),
    held=values,
    where=filters,
    named=attribute_filters,
    legacy=st.booleans(),
)
async def test_a_removal_by_filter_takes_what_the_model_takes(
    shared: Shared, tuples, held, where, named, legacy
) -> None:
    tenant = await tenant_with(shared, tuples, held)
    bystander = await tenant_with(shared, FITTING, held)
    before = str(await tenant.head())
    where = {name: part for name, part in where.items() if part}
    named = {name: part for name, part in named.items() if part}
    if legacy:
        named, answer = None, await tenant.call("Data/DeleteRelationships", {"filter": where})
    else:
        body = {"tuple_filter": where, "attribute_filter": named}
        answer = await tenant.call("Data/Delete", body)

    def condition(asked: Json | None) -> bool:
        """Whether a filter has any condition: one that has none removes nothing."""
        return any(any(v.values()) if isinstance(v, dict) else v for v in (asked or {}).values())

    if not condition(where) and not condition(named):
        assert answer == "ERROR_CODE_VALIDATION"
    left = {
        "tuples": [t for t in unique(tuples) if not (condition(where) and admitted(t, where))],
        "attributes": [a for a in unique(held) if not (condition(named) and admitted(a, named))],
    }
    for method, items, whole in (
        ("Data/ReadRelationships", "tuples", unique(tuples)),
        ("Data/ReadAttributes", "attributes", unique(held)),
    ):
        body = {**META, "filter": {}}
        now = await tenant.call(method, body)
        assert now.get(items, []) == [shown(fact) for fact in left[items]]
        then = await tenant.call(method, body, before)
        assert then.get(items, []) == [shown(fact) for fact in whole]
    untouched = await bystander.call("Data/ReadRelationships", {**META, "filter": {}})
    assert untouched["tuples"] == [shown(fact) for fact in unique(FITTING)]


@MODEST
@given(
    tuples=facts, held=values, page_sizes=sizes, permission=st.sampled_from(("view", "edit", "low"))
)
async def test_pages_of_lookups_stand_at_one_revision(
    shared: Shared, tuples, held, page_sizes, permission
) -> None:
    for method, items, body in _lookups(permission):
        async with memory_api() as memory:
            twin = await filled(Tenant(memory, "twin"), tuples, held)
            expected = (await twin.call(method, body)).get(items, [])
        tenant = await tenant_with(shared, tuples, held)
        bystander = await tenant_with(shared, FITTING, held)
        meanwhile = partial(_change_much, (tenant, bystander), count())
        how = (page_sizes, meanwhile)
        assert await paged(shared.nodes, tenant, method, body, items, how) == expected


async def _change_much(tenants: tuple[Tenant, ...], ticks: Iterator[int]) -> None:
    """New entities and subjects, old facts gone, another schema in force."""
    tick = next(ticks)
    place = {"entity": entity(f"doc:new{tick}"), "relation": "viewer"}
    more = [{**place, "subject": subject(f"user:{who}")} for who in ("a", "b", "zz")]
    for one in tenants:
        await one.call("Data/Write", {**META, "tuples": more, "attributes": []})
        some = {"filter": {"subject": {"ids": ["a", "b"]}}}
        await one.call("Data/DeleteRelationships", some)
        await one.call("Schema/Write", {"schema": SCHEMAS[tick % 2]})


def _lookups(permission: str) -> list[tuple[str, str, Json]]:
    common = {**DEPTH, "permission": permission}
    of_user = {"entity_type": "doc", "subject": subject("user:a")}
    of_doc = {"entity": entity("doc:a"), "subject_reference": {"type": "user"}}
    return [
        ("Permission/LookupEntity", "entity_ids", {**common, **of_user}),
        ("Permission/LookupSubject", "subject_ids", {**common, **of_doc}),
    ]


@MODEST
@given(versions=st.integers(1, 8), page_sizes=sizes)
async def test_pages_of_schema_versions_stand_at_one_revision(
    shared: Shared, versions, page_sizes
) -> None:
    tenant = Tenant(shared.nodes[0], f"pages-{next(_numbers)}")
    for number in range(versions):
        await tenant.call("Schema/Write", {"schema": SCHEMAS[number % 2]})

    async def meanwhile() -> None:
        await tenant.call("Schema/Write", {"schema": SCHEMAS[0]})

    found = await paged(shared.nodes, tenant, "Schema/List", {}, "schemas", (page_sizes, meanwhile))
    expected = [f"version {number}" for number in reversed(range(versions))]
    assert [version["version"] for version in found] == expected


@MODEST
@given(
    names=st.sets(st.sampled_from("abcdefgh"), min_size=3),
    changes=st.lists(st.sampled_from("abcdefgh"), max_size=6),
    page_sizes=sizes,
)
async def test_who_is_on_the_list_all_the_while_is_on_exactly_one_page(
    shared: Shared, names, changes, page_sizes
) -> None:
    prefix = f"list-{next(_numbers)}-"
    listed = {prefix + name for name in names}
    for name in listed:
        await Tenant(shared.nodes[0], name).call("Tenancy/Create", {"name": name})
    always, ever = set(listed), set(listed)
    todo = [prefix + name for name in changes]

    async def meanwhile() -> None:
        if not todo:
            return
        name = todo.pop()
        tenant = Tenant(shared.nodes[1], name)
        if name in listed:
            await tenant.call("Tenancy/Delete", {})
            listed.discard(name)
            always.discard(name)
        else:
            await tenant.call("Tenancy/Create", {"name": name})
            listed.add(name)
            ever.add(name)

    page_of = Tenant(shared.nodes[0], "")
    pages = await paged(
        shared.nodes, page_of, "Tenancy/List", {}, "tenants", (page_sizes, meanwhile)
    )
    found = [one["id"] for one in pages if one["id"].startswith(prefix)]
    assert found == sorted(set(found))
    assert always <= set(found) <= ever
