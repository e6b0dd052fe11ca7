"""Every read of the store, of several tenants in one statement, is what each reads alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grantlog.errors import BehindWindowError
from grantlog.model.ids import Revision, TenantId
from grantlog.ports.reverse import EntitiesKey, OfKindKey
from grantlog.testing.contracts.places import Copy, Primary
from tests.contract.memory import memory_primary
from tests.contract.postgres import postgres_primary, postgres_replica
from tests.integration.tenancy.asking import at_once
from tests.integration.tenancy.shared import NewDatabase
from tests.property.fold_histories import (
    ATTRIBUTES,
    DOCS,
    GROUPS,
    SUBJECTS,
    acts,
    every_key,
    live,
    writes,
)

_numbers = count(1)
# Making a failing example smaller takes minutes of databases: it is told as it was found.
SOME = settings(
    max_examples=25,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
long_lives = st.lists(st.one_of(writes, writes, writes, acts), min_size=8, max_size=16)


@pytest.fixture
async def primary(migrated_database: NewDatabase) -> AsyncIterator[Primary]:
    async with postgres_primary(await migrated_database()) as ports:
        yield ports


@pytest.fixture
async def replica(migrated_database: NewDatabase) -> AsyncIterator[Copy]:
    async with postgres_replica(await migrated_database(seed=False)) as copy:
        yield copy


def questions(copy: Copy, tenant: TenantId, at: Revision) -> dict[str, Any]:
    """All that can be read backwards, and whole lists of keys forwards."""
    reverse = copy.reverse
    kinds = [("doc", "viewer"), ("doc", "owner"), ("group", "member")]
    keys = [EntitiesKey(*subject, *kind) for subject in SUBJECTS for kind in kinds]
    of_kind = [
        OfKindKey(type_, id_, relation, *kind)
        for type_, relation in kinds
        for id_ in (*DOCS, *GROUPS)
        for kind in (("user", ""), ("group", ""), ("group", "member"))
    ]
    asked: dict[str, Any] = {
        "facts": copy.facts.read(tenant, at, every_key()),
        "entities": reverse.entities(tenant, at, keys, limit=2),
        "of a kind": reverse.of_kind(tenant, at, of_kind, limit=2),
    }
    for type_, some in (("doc", DOCS), ("group", GROUPS), ("user", ("1", "2"))):
        for among in ((), some[:1]):
            name = f"{type_} {among}"
            asked[f"known {name}"] = reverse.known(
                tenant, at, type_, after="", limit=5, among=among
            )
            for relation in ("", "member"):
                asked[f"subjects {name} {relation}"] = reverse.subjects(
                    tenant, at, type_, relation, after="", limit=5, among=among
                )
    for attribute in ATTRIBUTES:
        asked[f"having {attribute}"] = reverse.having(
            tenant, at, "doc", attribute, after="", limit=5
        )
    return asked


async def told(copy: Copy, tenants: list[tuple[TenantId, Revision]]) -> list[dict[str, str]]:
    """What each tenant is told at its revision; all ask at once, so that reads share statements."""
    answers: list[dict[str, str]] = [{} for _ in tenants]

    async def ask(place: int, name: str, question: Any) -> None:
        try:
            answers[place][name] = repr(await question)
        except BehindWindowError:
            answers[place][name] = "gone"

    await at_once(
        ask(place, name, question)
        for place, (tenant, at) in enumerate(tenants)
        for name, question in questions(copy, tenant, at).items()
    )
    return answers


@SOME
@given(lives=st.tuples(long_lives, long_lives))
async def test_tenants_that_share_statements_read_what_each_reads_alone(
    primary: Primary, replica: Copy, lives: tuple[Any, Any]
) -> None:
    number = next(_numbers)
    names = [TenantId(f"reads-{number}-{letter}") for letter in "ab"]
    alone = [memory_primary() for _ in names]
    heads: list[int] = []
    for name, twin, history in zip(names, alone, lives, strict=True):
        await live(twin, name, history)
        log = await live(primary, name, history)
        await replica.projection.apply(log)
        heads.append((await primary.heads.head(name)).revision)
    for at in range(max(heads) + 1):
        places = [(name, Revision(min(at, head))) for name, head in zip(names, heads, strict=True)]
        expected = [
            (await told(twin, [place]))[0] for twin, place in zip(alone, places, strict=True)
        ]
        assert await told(primary, places) == expected
        assert await told(replica, places) == expected
