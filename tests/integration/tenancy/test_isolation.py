"""Whatever other tenants do, a tenant is told exactly what it would be told alone.

Several tenants live in one database, with the same types, ids, schemas and bundles, and write at
the same time through one node; each has a twin, alone in a store of its own. After every round all
tenants ask another node everything at once, so that reads share statements and nothing is known
from having written it, and each must hear what its twin hears.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grantlog.errors import NotFoundError
from grantlog.model.ids import Epoch, Revision
from grantlog.model.token import SnapToken, encode_token
from grantlog.serving.calls import Calls
from tests.integration.tenancy.acts import (
    BUNDLES,
    ENTITIES,
    FIRST,
    PERMISSIONS,
    SCHEMAS,
    SUBJECTS,
    Act,
    attribute_filters,
    tuple_filters,
    writes,
)
from tests.integration.tenancy.asking import Tenant, at_once, checks, entity, request_of, subject
from tests.integration.tenancy.shared import Shared
from tests.memory_api import memory_api

TENANTS = 3
DEPTH = {"metadata": {"depth": 20}}
# Making a failing example smaller takes minutes of databases: it is told as it was found.
MODEST = settings(
    max_examples=8,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_numbers = count(1)


async def everything(tenant: Tenant, filters: list[dict[str, Any]], heads: tuple[int, int]) -> Any:
    """What a tenant is told by every reading call; `heads`: before and after the round."""
    at = {"metadata": {}}
    answers: dict[str, Any] = {
        "bulk": tenant.call("Permission/BulkCheck", checks(ENTITIES, PERMISSIONS[:4], SUBJECTS)),
        "schema": tenant.call("Schema/Read", at),
        "schemas": tenant.pages("Schema/List", {"page_size": 1}, "schemas"),
        "watch": tenant.watched(*heads),
        "streamed": tenant.stream(
            {**DEPTH, "entity_type": "doc", "permission": "view", "subject": subject("user:a")}
        ),
    }
    for name in BUNDLES:
        answers[f"bundle {name}"] = tenant.call("Bundle/Read", {"name": name})
    for permission in PERMISSIONS[:4]:
        of_doc = {**DEPTH, "entity": entity("doc:a"), "permission": permission}
        answers[f"expand {permission}"] = tenant.call("Permission/Expand", {**of_doc, **at})
        answers[f"subjects {permission}"] = tenant.pages(
            "Permission/LookupSubject",
            {**of_doc, "subject_reference": {"type": "user"}, "page_size": 1},
            "subject_ids",
        )
        answers[f"check {permission}"] = tenant.call(
            "Permission/Check", {**of_doc, "subject": subject("user:b")}
        )
        answers[f"entities {permission}"] = tenant.pages(
            "Permission/LookupEntity",
            {
                **DEPTH, "entity_type": "doc", "permission": permission,
                "subject": subject("user:b"), "page_size": 1,
            },
            "entity_ids",
        )  # fmt: skip
    for name in SUBJECTS[:3]:
        answers[f"permissions {name}"] = tenant.call(
            "Permission/SubjectPermission",
            {**DEPTH, "entity": entity("doc:b"), "subject": subject(name)},
        )
    for number, where in enumerate(filters):
        kind, items = (
            ("ReadRelationships", "tuples") if number % 2 else ("ReadAttributes", "attributes")
        )
        answers[f"{items} {number}"] = tenant.pages(
            f"Data/{kind}", {**at, "filter": where, "page_size": 3}, items
        )
    for revision in range(heads[0], heads[1] + 1):
        for name, (method, body) in _of_the_past().items():
            answers[f"{name} at {revision}"] = tenant.call(method, body, str(revision))
    found = await at_once(answers.values())
    return dict(zip(answers, found, strict=True))


def _of_the_past() -> dict[str, Act]:
    """What is asked as of each revision of a round."""
    at, of_doc = {"metadata": {}}, {**DEPTH, "entity": entity("doc:a")}
    return {
        "facts": ("Data/ReadRelationships", {**at, "filter": {}}),
        "attributes": ("Data/ReadAttributes", {**at, "filter": {}}),
        "schema": ("Schema/Read", at),
        "check": (
            "Permission/Check", {**of_doc, "permission": "view", "subject": subject("user:a")}),
        "expand": ("Permission/Expand", {**of_doc, **at, "permission": "view"}),
        "entities": (
            "Permission/LookupEntity",
            {**DEPTH, "entity_type": "doc", "permission": "view", "subject": subject("user:a")}),
        "known entities": (
            "Permission/LookupEntity",
            {**DEPTH, "entity_type": "doc", "permission": "low", "subject": subject("user:a")}),
        "subjects": (
            "Permission/LookupSubject",
            {**of_doc, "permission": "view", "subject_reference": {"type": "user"}}),
    }  # fmt: skip


async def strangers_are_refused(tenants: list[Tenant]) -> None:
    """What one tenant was given, tokens and versions, is of no use to another."""
    for tenant, other in pairwise(tenants):
        token = encode_token(other.name, SnapToken(Epoch(1), Revision(0)))
        body = {"entity": entity("doc:a"), "permission": "view", "subject": subject("user:a")}
        said = await tenant.call(
            "Permission/Check", {**body, "metadata": {"depth": 5, "snap_token": token}}
        )
        assert said == "INVALID_SNAP_TOKEN"
        request = request_of("Watch/Watch", tenant.name, {"snap_token": token})
        with pytest.raises(Exception, match="INVALID_SNAP_TOKEN"):
            await anext(tenant.calls.stream("/base.v1.Watch/Watch", request))
        for version in other.versions[-1:]:
            metadata = {"depth": 5, "schema_version": version}
            said = await tenant.call("Permission/Check", {**body, "metadata": metadata})
            assert said == "ERROR_CODE_SCHEMA_NOT_FOUND"
        await _foreign_pages(tenant, other)


async def _foreign_pages(tenant: Tenant, other: Tenant) -> None:
    """Tokens of pages go with the tenant too."""
    where = {"metadata": {}, "filter": {}, "page_size": 1}
    lookup = {**DEPTH, "entity_type": "doc", "permission": "view", "page_size": 1,
              "subject": subject("user:a")}  # fmt: skip
    for method, body in (
        ("Data/ReadRelationships", where),
        ("Data/ReadAttributes", where),
        ("Schema/List", {"page_size": 1}),
        ("Permission/LookupEntity", lookup),
    ):
        with contextlib.suppress(NotFoundError):  # without a schema there are no pages
            first: Any = await other.calls.unary(
                f"/base.v1.{method}", request_of(method, other.name, body)
            )
            if first.continuous_token:
                said = await tenant.call(
                    method, {**body, "continuous_token": first.continuous_token}
                )
                assert said == "ERROR_CODE_INVALID_CONTINUOUS_TOKEN"


async def listed(calls: Calls, names: list[str]) -> list[str]:
    """Which of these tenants are on the list."""
    tenant = Tenant(calls, "")
    found = await tenant.pages("Tenancy/List", {"page_size": 2}, "tenants")
    return [f"{one['id']} {one['name']}" for one in found if one["id"] in names]


rounds = st.lists(st.tuples(*[st.none() | writes] * TENANTS, st.booleans()), min_size=3, max_size=6)


@MODEST
@given(
    rounds=rounds,
    schemas=st.tuples(*[st.sampled_from(SCHEMAS)] * TENANTS),
    where=st.tuples(attribute_filters, tuple_filters),
)
async def test_a_tenant_is_told_what_it_would_be_told_alone(
    shared: Shared, rounds: list[tuple[Any, ...]], schemas: tuple[str, ...], where: Any
) -> None:
    number = next(_numbers)
    names = [f"iso-{number}-{letter}" for letter in "abc"]
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(memory_api()) for _ in names]
        alone = [Tenant(api, name) for api, name in zip(apis, names, strict=True)]
        together = [Tenant(shared.nodes[0], name) for name in names]
        elsewhere = [Tenant(shared.nodes[1], one.name, one.versions) for one in together]
        first = [tuple(("Schema/Write", {"schema": text}) for text in schemas)]
        first += [(act,) * TENANTS for act in FIRST]
        for acts in first:
            await both_act(alone, together, acts)
        filters = [{}, {}, *where]
        for *acts, purge in rounds:
            spans = await both_act(alone, together, acts)
            await both_hear(alone, elsewhere, filters, spans)
            together, elsewhere = elsewhere, together
            if purge:
                await shared.purge()
        await strangers_are_refused(together)
        expected = sorted([line for api in apis for line in await listed(api, names)])
        for node in shared.nodes:
            assert await listed(node, names) == expected


async def both_act(
    alone: list[Tenant], together: list[Tenant], acts: Sequence[Act | None]
) -> list[tuple[int, int]]:
    """Every tenant acts, all at once; the revisions between which each of them did."""
    before = [await tenant.head() for tenant in together]

    async def act(tenants: list[Tenant]) -> list[Any]:
        return await at_once(
            tenant.call(*what) for tenant, what in zip(tenants, acts, strict=True) if what
        )

    assert await act(together) == await act(alone)
    after = [await tenant.head() for tenant in together]
    return list(zip(before, after, strict=True))


async def both_hear(
    alone: list[Tenant], together: list[Tenant], filters: list[Any], spans: list[tuple[int, int]]
) -> None:
    """Every tenant asks everything, all at once, and is told what it is told alone."""

    async def ask(tenants: list[Tenant]) -> list[Any]:
        return await at_once(
            everything(t, filters, span) for t, span in zip(tenants, spans, strict=True)
        )

    told, expected = uncounted(await ask(together)), uncounted(await ask(alone))
    for one, other in zip(told, expected, strict=True):
        assert {key: (one[key], other[key]) for key in one if one[key] != other[key]} == {}


def uncounted(told: Any) -> Any:
    """The same without how many steps were looked at: memory spares some, and is shared."""
    if isinstance(told, dict):
        return {name: uncounted(value) for name, value in told.items() if name != "check_count"}
    return [uncounted(each) for each in told] if isinstance(told, list | tuple) else told
