"""Group H: what storage does with ids, with too much, and with tokens of strangers."""

from __future__ import annotations

import pytest

from tests.advisories.doors import META, RefusedError, bulk, check, put, put_schema
from tests.advisories.node import new_tenant, open_node

SCHEMA = """entity user {}
entity doc { relation viewer @user  permission view = viewer }"""
FIND = {"metadata": META, "entity_type": "doc", "permission": "view",
        "subject": {"type": "user", "id": "ann"}}  # fmt: skip


async def facts_in(door, tenant: str) -> int:
    body = {"metadata": {}, "filter": {}, "page_size": 5000}
    return len((await door.call("Data/ReadRelationships", tenant, body))["tuples"])


async def test_cve_2025_64529_too_large_a_write_is_an_error_and_nothing_of_it_is_there(
    migrated_database,
):
    """SpiceDB answered an oversized write with success and stored nothing. Here it is an error by
    name at each of the bounds: facts, changes of a deletion, bytes of a message.
    """
    settings = {"facts_per_write_max": 50, "changes_per_write_max": 120}
    async with open_node(await migrated_database(), **settings) as node:
        for door in node.doors:
            tenant = new_tenant()
            await put_schema(door, tenant, SCHEMA)
            for start in range(0, 150, 50):
                await put(
                    door, tenant, [f"doc:{n}#viewer@user:ann" for n in range(start, start + 50)]
                )
            for count in (51, 100, 2_000):
                with pytest.raises(RefusedError, match="MAX_DATA_PER_WRITE_EXCEEDED"):
                    await put(door, tenant, [f"doc:new{n}#viewer@user:ann" for n in range(count)])
            where = {"tuple_filter": {"entity": {"type": "doc"}}, "attribute_filter": {}}
            with pytest.raises(RefusedError, match="LIMIT_EXCEEDED") as caught:
                await door.call("Data/Delete", tenant, where)
            assert caught.value.code == 8
            assert await facts_in(door, tenant) == 150
            templates = [f"doc:b{n}#viewer@user:{{{{.who}}}}" for n in range(51)]
            bundle = {
                "name": "many",
                "arguments": ["who"],
                "operations": [{"relationships_write": templates}],
            }
            await door.call("Bundle/Write", tenant, {"bundles": [bundle]})
            with pytest.raises(RefusedError, match="MAX_DATA_PER_WRITE_EXCEEDED"):
                await door.call(
                    "Data/RunBundle", tenant, {"name": "many", "arguments": {"who": "ann"}}
                )
            with pytest.raises(RefusedError) as caught:
                await put_schema(door, tenant, SCHEMA + "\n" + "// much\n" * 600_000)
            assert caught.value.code == 8
            assert await facts_in(door, tenant) == 150


async def test_cve_2026_55170_ids_that_differ_in_case_are_different(node):
    """OpenFGA on a case-insensitive collation merged ids that differ in case. Here they are apart
    in every call, and sorted by their bytes.
    """
    ids = ["ANN", "Ann", "_ann", "aNN", "ann"]
    assert ids == sorted(ids)
    for door in node.doors:
        tenant = new_tenant()
        await put_schema(door, tenant, SCHEMA)
        await put(door, tenant, [f"doc:{id_}#viewer@user:ann" for id_ in ids[1:4]])
        answers = await bulk(door, tenant, [f"doc:{id_}#view@user:ann" for id_ in ids])
        assert answers == [False, True, True, True, False]
        assert not await check(door, tenant, "doc:Ann#view@user:Ann")
        await put(door, tenant, [f"doc:{id_}#viewer@user:ann" for id_ in ids])
        found = await door.call("Permission/LookupEntity", tenant, FIND)
        assert found["entity_ids"] == ids
        await put_schema(door, tenant.upper(), SCHEMA)
        assert not await check(door, tenant.upper(), "doc:Ann#view@user:ann")


async def test_cve_2026_55170_no_column_of_an_id_leaves_its_order_to_the_database(node):
    """Every text that tables are ordered or told apart by is compared by its bytes."""
    other = await node.ask(
        """SELECT string_agg(c.relname || '.' || a.attname, ', ') FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = 'public'::regnamespace
        JOIN pg_index i ON i.indrelid = c.oid AND a.attnum = ANY (i.indkey::smallint[])
        JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relkind = 'r' AND a.attnum > 0 AND l.collname <> 'C'"""
    )
    assert other is None


async def test_cve_2026_33505_a_forged_page_token_reaches_no_statement(migrated_database):
    """Keto put a page token's text into SQL, and its tokens' default secret was public. Here the
    key is made at random for each database: another one's token is as forged as a made-up one.
    """
    async with (
        open_node(await migrated_database()) as ours,
        open_node(await migrated_database()) as theirs,
    ):
        tenant = new_tenant()
        for node in (ours, theirs):
            await put_schema(node.rest, tenant, SCHEMA)
            await put(node.rest, tenant, "doc:1#viewer@user:ann doc:2#viewer@user:ann")
        body = FIND | {"page_size": 1}
        foreign = await theirs.rest.call("Permission/LookupEntity", tenant, body)
        for token in (foreign["continuous_token"], "' OR 1=1 --", "MQ==", "1; DROP TABLE heads"):
            for door in ours.doors:
                with pytest.raises(RefusedError, match="INVALID_CONTINUOUS_TOKEN"):
                    await door.call(
                        "Permission/LookupEntity", tenant, body | {"continuous_token": token}
                    )


INJECTIONS = ("' OR '1'='1", "1); DROP TABLE relation_tuples; --", "$1", "%", "_", "\\", "''", "}")


async def test_cve_2026_33505_text_of_a_filter_is_never_sql(node):
    """Nor does any other text of a caller's: in a filter it is an id that nobody has."""
    for door in node.doors:
        tenant = new_tenant()
        await put_schema(door, tenant, SCHEMA)
        await put(door, tenant, "doc:1#viewer@user:ann")
        for text in INJECTIONS:
            for where in (
                {"entity": {"type": text}}, {"entity": {"type": "doc", "ids": [text]}},
                {"subject": {"type": "user", "ids": [text]}}, {"subject": {"type": text}},
            ):  # fmt: skip
                body = {"metadata": {}, "filter": where}
                found = await door.call("Data/ReadRelationships", tenant, body)
                assert found["tuples"] == []
                body = {"tuple_filter": where, "attribute_filter": {}}
                await door.call("Data/Delete", tenant, body)
            scope = {"scope": {"doc": {"data": [text]}}}
            found = await door.call("Permission/LookupEntity", tenant, FIND | scope)
            assert found["entity_ids"] == []
        assert await check(door, tenant, "doc:1#view@user:ann")
