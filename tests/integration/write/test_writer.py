"""What a write does, one at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from grantlog.errors import (
    ConflictError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    StaleSchemaError,
)
from grantlog.model.chain import GENESIS
from grantlog.model.change import DataWritten, TenantDeleted
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.store.postgres.tenants import PostgresTenants, read_mac_key
from grantlog.store.postgres.writer import WriterLimits, open_writer
from tests.integration.write.conftest import Place
from tests.integration.write.facts import (
    ACME,
    live,
    log_of,
    new_id,
    past,
    put,
    remove,
    where,
    where_attributes,
    write,
)


async def test_writes_take_dense_revisions_and_a_chain(place: Place):
    for number in range(1, 5):
        committed = await place.writer.write(write(put(f"doc:{number}#viewer@user:1")))
        assert (committed.epoch, committed.revision) == (1, number)
    log = await log_of(place.pool)
    assert [entry.previous_digest for entry in log] == [GENESIS, *(e.digest for e in log[:-1])]
    assert len({entry.commit_time for entry in log}) == 4
    assert [entry.commit_time for entry in log] == sorted(entry.commit_time for entry in log)


async def test_a_write_that_changes_nothing_takes_no_revision(place: Place):
    facts = put("doc:1#viewer@user:1", "doc:1$public|boolean:true")
    await place.writer.write(write(facts))
    for steps in ((facts,), (remove("doc:2#viewer@user:1"),), (where(entity_type="team"),), ()):
        again = await place.writer.write(write(*steps))
        assert (again.revision, again.commit_time) == (1, None)
    assert len(await log_of(place.pool)) == 1


async def test_a_write_without_effect_leaves_an_unknown_tenant_unknown(place: Place):
    committed = await place.writer.write(write(remove("doc:1#viewer@user:1"), tenant="nobody"))
    assert (committed.epoch, committed.revision) == (1, 0)
    assert await place.pool.fetchval("SELECT count(*) FROM heads WHERE tenant_id = 'nobody'") == 0


async def test_overwriting_an_attribute_deletes_and_creates(place: Place):
    await place.writer.write(write(put("doc:1$level|integer:1")))
    await place.writer.write(write(put("doc:1$level|integer:2")))
    body = (await log_of(place.pool))[1].body
    assert isinstance(body, DataWritten)
    assert [(c.operation.name, c.attribute.value.data) for c in body.changes] == [
        ("DELETE", 1),
        ("CREATE", 2),
    ]
    assert await live(place.pool) == {"doc:1$level=2"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("boolean:true", "integer:1"),
        ("integer:1", "double:1"),
        ("double:0", "double:-0.0"),
        ("string:1", "integer:1"),
        ("string:a", "string[]:a"),
        ("string[]:", "integer[]:"),
    ],
)
async def test_values_that_only_look_equal_are_a_change(place: Place, one: str, other: str):
    await place.writer.write(write(put(f"doc:1$value|{one}")))
    assert (await place.writer.write(write(put(f"doc:1$value|{other}")))).revision == 2
    assert (await place.writer.write(write(put(f"doc:1$value|{other}")))).revision == 2


async def test_steps_take_effect_in_order_and_only_the_net_is_logged(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1", "doc:2#viewer@user:1")))
    await place.writer.write(
        write(
            put("doc:3#viewer@user:1", "doc:4#viewer@user:1"),
            where(entity_type="doc", entity_ids=("1", "3")),
            put("doc:1#viewer@user:1"),
            remove("doc:2#viewer@user:1"),
        )
    )
    assert await live(place.pool) == {"doc:1#viewer@user:1", "doc:4#viewer@user:1"}
    body = (await log_of(place.pool))[1].body
    assert isinstance(body, DataWritten)
    assert [(c.operation.name, c.tuple.entity.id) for c in body.changes] == [
        ("DELETE", "2"),
        ("CREATE", "4"),
    ]


async def test_a_fact_that_ends_moves_to_history(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    await place.writer.write(write(remove("doc:1#viewer@user:1")))
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    await place.writer.write(write(where(relation="viewer")))
    assert await past(place.pool) == [("1", 1, 2), ("1", 3, 4)]
    assert await live(place.pool) == set()


FILTERS = {
    "exact": {
        "entity_type": "doc",
        "entity_ids": ("1",),
        "relation": "viewer",
        "subject_type": "user",
        "subject_ids": ("1",),
    },
    "exact userset": {
        "entity_type": "doc",
        "entity_ids": ("1",),
        "relation": "viewer",
        "subject_type": "team",
        "subject_ids": ("a",),
        "subject_relation": "member",
    },
    "exact, any subject relation": {
        "entity_type": "doc",
        "entity_ids": ("1",),
        "relation": "viewer",
        "subject_type": "team",
        "subject_ids": ("a",),
    },
    "by entity": {"entity_type": "doc", "entity_ids": ("1", "2"), "relation": "owner"},
    "by subject": {"subject_type": "user", "subject_ids": ("1",), "relation": "viewer"},
    "by entity type": {"entity_type": "doc", "subject_relation": "member"},
    "by subject type": {"subject_type": "team"},
    "by relation": {"relation": "owner"},
    "by ids without a type": {"entity_ids": ("2",)},
}

TUPLES = (
    "doc:1#viewer@user:1",
    "doc:1#viewer@user:2",
    "doc:1#viewer@team:a#member",
    "doc:1#viewer@team:a",
    "doc:1#owner@user:1",
    "doc:2#owner@user:1",
    "doc:2#viewer@team:b#member",
    "team:a#member@user:1",
)


@pytest.mark.parametrize("conditions", FILTERS.values(), ids=FILTERS.keys())
async def test_a_removal_by_filter_takes_what_meets_every_condition(
    place: Place, conditions: dict[str, object]
):
    def meets(text: str) -> bool:
        fact = put(text).tuples[0]
        tests = {
            "entity_type": lambda v: fact.entity.type == v,
            "entity_ids": lambda v: fact.entity.id in v,
            "relation": lambda v: fact.relation == v,
            "subject_type": lambda v: fact.subject.type == v,
            "subject_ids": lambda v: fact.subject.id in v,
            "subject_relation": lambda v: fact.subject.relation == v,
        }
        return all(tests[name](value) for name, value in conditions.items())

    await place.writer.write(write(put(*TUPLES)))
    await place.writer.write(write(where(**conditions)))
    expected = {text for text in TUPLES if not meets(text)}
    assert expected != set(TUPLES)
    assert await live(place.pool) == expected


async def test_a_removal_of_attributes_takes_what_meets_every_condition(place: Place):
    every = put("doc:1$a|integer:1", "doc:1$b|integer:1", "doc:2$a|integer:1", "team:1$a|integer:1")
    left = {
        "by entity": ({"entity_type": "doc", "entity_ids": ("1",)}, {"doc:2$a=1", "team:1$a=1"}),
        "by type": ({"entity_type": "doc", "attributes": ("a",)}, {"doc:1$b=1", "team:1$a=1"}),
        "by name": ({"attributes": ("a",)}, {"doc:1$b=1"}),
    }
    for conditions, expected in left.values():
        await place.writer.write(write(every))
        await place.writer.write(write(where_attributes(**conditions)))
        assert await live(place.pool) == expected


async def test_an_empty_filter_matches_nothing(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1", "doc:1$a|integer:1")))
    assert (await place.writer.write(write(where(), where_attributes()))).revision == 1


async def test_a_write_that_changes_too_much_is_refused_whole(place: Place):
    many = put(*(f"doc:{n}#viewer@user:1" for n in range(20)))
    await place.writer.write(write(many))
    async with open_writer(place.pool, limits=WriterLimits(changes_per_write_max=10)) as writer:
        with pytest.raises(LimitError, match="several calls"):
            await writer.write(write(where(entity_type="doc")))
        with pytest.raises(LimitError, match="10 facts"):
            await writer.write(write(put(*(f"doc:{n}#owner@user:1" for n in range(11)))))
        narrow = where(entity_type="doc", entity_ids=tuple(map(str, range(10))))
        assert (await writer.write(write(narrow))).revision == 2
        assert (await writer.write(write(where(entity_type="doc")))).revision == 3
    assert await live(place.pool) == set()


async def test_a_large_write_is_stored_in_parts(place: Place):
    facts = put(*(f"doc:{n}#viewer@user:{'u' * 100}" for n in range(12_000)))
    assert (await place.writer.write(write(facts))).revision == 1
    parts = await place.pool.fetch("SELECT part, parts FROM transactions WHERE tenant_id = 'acme'")
    assert len(parts) > 1
    assert {row["parts"] for row in parts} == {len(parts)}
    assert len((await log_of(place.pool))[0].body.changes) == 12_000
    assert (await place.writer.write(write(where(entity_type="doc")))).revision == 2
    assert len(await past(place.pool)) == 12_000


async def test_creates_need_the_schema_in_force_and_deletes_do_not(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    schema = await place.writer.write_schema(ACME, "entity user {}", based_on=None, write_id=b"s")
    with pytest.raises(StaleSchemaError):
        await place.writer.write(write(put("doc:2#viewer@user:1")))
    pinned = write(put("doc:2#viewer@user:1"), schema_pinned=True)
    assert (await place.writer.write(pinned)).revision == 3
    valid = write(put("doc:3#viewer@user:1"), schema_version=schema.schema_version)
    assert (await place.writer.write(valid)).schema_version == schema.schema_version
    assert (await place.writer.write(write(remove("doc:3#viewer@user:1")))).revision == 5
    versions = [e.body.schema_version for e in await log_of(place.pool) if e.revision > 2]
    assert versions == ["", schema.schema_version, ""]


async def test_schema_versions_sort_and_compare_and_set(place: Place):
    first = await place.writer.write_schema(ACME, "one", based_on=SchemaVersion(""), write_id=b"1")
    second = await place.writer.write_schema(ACME, "two", based_on=None, write_id=b"2")
    assert first.schema_version < second.schema_version
    assert len(first.schema_version) == 20
    with pytest.raises(ConflictError):
        await place.writer.write_schema(ACME, "three", based_on=first.schema_version, write_id=b"3")


async def test_what_cannot_be_stored_is_refused_as_input(place: Place):
    with pytest.raises(InvalidInputError):
        await place.writer.write_schema(ACME, "a\x00b", based_on=None, write_id=b"1")
    assert (await place.writer.write(write(put("doc:1#viewer@user:1")))).revision == 1


async def test_the_primary_begins_with_tenant_t1_and_a_key(place: Place):
    tenants = PostgresTenants(place.pool)
    listed = await tenants.tenants(limit=10)
    assert [(tenant.id, tenant.name) for tenant in listed] == [("t1", "example tenant")]
    assert (await log_of(place.pool, "t1"))[0].body.name == "example tenant"
    assert len(await read_mac_key(place.pool)) == 32


async def test_creating_a_tenant_keeps_its_data_and_happens_once(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    record = await place.writer.create_tenant(ACME, "Acme", write_id=new_id())
    assert (record.id, record.name) == ("acme", "Acme")
    with pytest.raises(InvalidInputError) as caught:
        await place.writer.create_tenant(ACME, "again", write_id=new_id())
    assert caught.value.reason == "ERROR_CODE_UNIQUE_CONSTRAINT"
    assert await live(place.pool) == {"doc:1#viewer@user:1"}
    listed = await PostgresTenants(place.pool).tenants(limit=10)
    assert listed[0] == record
    assert await PostgresTenants(place.pool).tenants(limit=1, after=ACME) == [listed[1]]


async def test_deleting_a_tenant_begins_a_new_life_behind_it(place: Place):
    await place.writer.create_tenant(ACME, "Acme", write_id=new_id())
    schema = await place.writer.write_schema(ACME, "entity user {}", based_on=None, write_id=b"s")
    valid = {"schema_version": schema.schema_version}
    await place.writer.write(write(put("doc:1#viewer@user:1"), **valid))
    await place.writer.delete_tenant(ACME, write_id=new_id())
    assert await live(place.pool) == set()
    with pytest.raises(NotFoundError):
        await place.writer.delete_tenant(ACME, write_id=new_id())
    committed = await place.writer.write(write(put("doc:1#viewer@user:1")))
    assert (committed.revision, committed.schema_version) == (5, "")
    head = await place.pool.fetchrow("SELECT * FROM heads WHERE tenant_id = 'acme'")
    assert (head["begins_rev"], head["revision"]) == (4, 5)
    dead = await place.pool.fetchrow("SELECT * FROM dead_lives")
    assert (dead["tenant_id"], dead["died_rev"]) == ("acme", 4)
    assert dead["tenant_key"] != head["tenant_key"]
    log = await log_of(place.pool)
    assert isinstance(log[3].body, TenantDeleted)
    assert [tenant.id for tenant in await PostgresTenants(place.pool).tenants(limit=9)] == ["t1"]
    await place.writer.create_tenant(ACME, "anew", write_id=new_id())
    assert await live(place.pool) == {"doc:1#viewer@user:1"}


async def test_a_tenant_that_was_never_there_cannot_be_deleted(place: Place):
    with pytest.raises(NotFoundError):
        await place.writer.delete_tenant(TenantId("nobody"), write_id=new_id())
    assert await log_of(place.pool, "nobody") == []


async def test_a_tenant_that_was_written_but_not_created_can_be_deleted(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    await place.writer.delete_tenant(ACME, write_id=new_id())
    assert await live(place.pool) == set()


async def test_commit_times_go_on_when_the_clock_goes_back(place: Place):
    await place.writer.write(write(put("doc:1#viewer@user:1")))
    await place.pool.execute("UPDATE heads SET commit_time = commit_time + interval '1 hour'")
    ahead = await place.pool.fetchval("SELECT commit_time FROM heads WHERE tenant_id = 'acme'")
    committed = await place.writer.write(write(put("doc:2#viewer@user:1")))
    assert committed.commit_time == ahead + timedelta(microseconds=1)


async def test_actor_metadata_and_write_id_are_in_the_log(place: Place):
    identity = new_id()
    await place.writer.write(
        write(
            put("doc:1#viewer@user:1"),
            write_id=identity,
            actor="user:admin",
            metadata={"reason": "ticket 7"},
        )
    )
    entry = (await log_of(place.pool))[0]
    assert (entry.write_id, entry.actor) == (identity, "user:admin")
    assert dict(entry.metadata) == {"reason": "ticket 7"}
