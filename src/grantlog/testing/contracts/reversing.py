"""What every ReverseReader keeps: ids of exactly one revision, in order, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from grantlog.errors import BehindWindowError, ProjectionLaggingError
from grantlog.model.attributes import parse_attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import parse_entity, parse_subject
from grantlog.ports.reverse import EntitiesKey, IdPage, OfKindKey
from grantlog.testing.contracts.places import ACME, OTHER, Copy, Primary, absences, facts

NOTHING = Revision(0)


def entities(subject: str, place: str, after: str = "") -> EntitiesKey:
    """The key for the `doc#viewer` that a subject is related to."""
    entity_type, _, relation = place.partition("#")
    return EntitiesKey(*parse_subject(subject), entity_type, relation, after)


def of_kind(place: str, kind: str, after: str = "") -> OfKindKey:
    """The key for the subjects `group#member` of `doc:1#viewer`."""
    entity, _, relation = place.partition("#")
    type_, _, userset = kind.partition("#")
    return OfKindKey(*parse_entity(entity), relation, type_, userset, after)


async def all_pages(page: Callable[[str], Awaitable[IdPage]]) -> list[str]:
    """All ids, page by page."""
    found: list[str] = []
    while True:
        ids, more = await page(found[-1] if found else "")
        found += ids
        if not more:
            return found


async def known(
    copy: Copy,
    at: int,
    type_: str,
    *,
    limit: int = 2,
    among: Sequence[str] = (),
    tenant: TenantId = ACME,
) -> list[str]:
    """The ids of a type."""
    return await all_pages(
        lambda after: copy.reverse.known(
            tenant, Revision(at), type_, after=after, limit=limit, among=among
        )
    )


async def subjects(
    copy: Copy, at: int, type_: str, relation: str = "", *, among: Sequence[str] = ()
) -> list[str]:
    """The ids of subjects of a kind."""
    return await all_pages(
        lambda after: copy.reverse.subjects(
            ACME, Revision(at), type_, relation, after=after, limit=2, among=among
        )
    )


class ReverseContract:
    """Facts read backwards."""

    async def test_entities_are_those_of_exactly_the_subject_and_relation(
        self, primary: Primary
    ) -> None:
        done = await primary.put(
            "doc:b#viewer@group:eng#member",
            "doc:a#viewer@group:eng#member",
            "doc:B#viewer@group:eng#member",
            "doc:c#viewer@group:eng",
            "doc:d#editor@group:eng#member",
            "docs:e#viewer@group:eng#member",
            "doc:f#viewer@group:en#member",
        )
        keys = [
            entities("group:eng#member", "doc#viewer"),
            entities("group:eng", "doc#viewer"),
            entities("group:none", "doc#viewer"),
            entities("group:eng#member", "doc#viewer", after="B"),
        ]
        pages = await primary.reverse.entities(ACME, done.revision, keys, limit=10)
        expected = [["B", "a", "b"], ["c"], [], ["a", "b"]]
        assert [(list(page.ids), page.more) for page in pages] == [(ids, False) for ids in expected]
        few = await primary.reverse.entities(ACME, done.revision, keys, limit=2)
        assert [(list(page.ids), page.more) for page in few] == [
            (["B", "a"], True), (["c"], False), ([], False), (["a", "b"], False),
        ]  # fmt: skip

    async def test_subjects_of_a_kind_are_those_of_exactly_the_entity_and_relation(
        self, primary: Primary
    ) -> None:
        done = await primary.put(
            "doc:a#viewer@group:b#member",
            "doc:a#viewer@group:B#member",
            "doc:a#viewer@group:a#member",
            "doc:a#viewer@group:c",
            "doc:a#viewer@group:d#lead",
            "doc:a#viewer@groups:e#member",
            "doc:a#editor@group:f#member",
            "doc:b#viewer@group:g#member",
            "docs:a#viewer@group:h#member",
        )
        keys = [
            of_kind("doc:a#viewer", "group#member"),
            of_kind("doc:a#viewer", "group"),
            of_kind("doc:none#viewer", "group"),
            of_kind("doc:a#viewer", "group#member", after="B"),
        ]
        pages = await primary.reverse.of_kind(ACME, done.revision, keys, limit=10)
        expected = [["B", "a", "b"], ["c"], [], ["a", "b"]]
        assert [(list(page.ids), page.more) for page in pages] == [(ids, False) for ids in expected]
        few = await primary.reverse.of_kind(ACME, done.revision, keys, limit=2)
        assert [(list(page.ids), page.more) for page in few] == [
            (["B", "a"], True), (["c"], False), ([], False), (["a", "b"], False),
        ]  # fmt: skip

    async def test_no_keys_have_no_pages(self, primary: Primary) -> None:
        done = await primary.put("doc:1#viewer@user:1")
        assert list(await primary.reverse.of_kind(ACME, done.revision, [], limit=1)) == []
        assert list(await primary.reverse.entities(ACME, done.revision, [], limit=1)) == []

    async def test_ids_are_known_from_either_side_of_a_tuple_and_from_attributes(
        self, primary: Primary
    ) -> None:
        done = await primary.put(
            "doc:d#viewer@user:1",
            "doc:d#viewer@doc:b#viewer",
            "folder:1#item@doc:a",
            "doc:c$level|integer:1",
            "doc:c$public|boolean:true",
            "doc:d$level|integer:1",
            "documents:z#viewer@user:1",
        )
        for limit in (1, 2, 3, 4, 5):
            assert await known(primary, done.revision, "doc", limit=limit) == ["a", "b", "c", "d"]
        assert await known(primary, done.revision, "user") == ["1"]
        assert await known(primary, done.revision, "nothing") == []
        among = ["d", "zz", "b", "c", "a", "b"]
        assert await known(primary, done.revision, "doc", among=among) == ["a", "b", "c", "d"]
        assert await known(primary, done.revision, "doc", among=["c", "zz"]) == ["c"]

    async def test_subjects_are_those_of_exactly_the_type_and_relation(
        self, primary: Primary
    ) -> None:
        done = await primary.put(
            "doc:1#viewer@group:b#member",
            "doc:1#viewer@group:a#member",
            "doc:2#viewer@group:a#member",
            "doc:1#viewer@group:c",
            "doc:1#viewer@group:d#lead",
            "doc:1#viewer@groups:e#member",
            "group:f#member@user:1",
        )
        assert await subjects(primary, done.revision, "group", "member") == ["a", "b"]
        assert await subjects(primary, done.revision, "group") == ["c"]
        assert await subjects(primary, done.revision, "user") == ["1"]
        among = ["a", "c", "f", "a"]
        assert await subjects(primary, done.revision, "group", "member", among=among) == ["a"]

    async def test_entities_with_an_attribute_come_with_its_values(self, primary: Primary) -> None:
        done = await primary.put(
            "doc:b$level|integer:2",
            "doc:a$level|integer:1",
            "doc:c$other|integer:3",
            "folder:a$level|integer:4",
        )
        page = await primary.reverse.having(ACME, done.revision, "doc", "level", after="", limit=1)
        assert (list(page.ids), page.more) == (["a"], True)
        assert list(page.values) == [parse_attribute("doc:a$level|integer:1").value]
        rest = await primary.reverse.having(ACME, done.revision, "doc", "level", after="a", limit=1)
        assert (list(rest.ids), rest.more) == (["b"], False)
        assert [value.data for value in rest.values] == [2]

    async def test_ids_are_as_of_the_revision(self, primary: Primary) -> None:
        first = ("doc:1#viewer@user:1", "doc:2$level|integer:1", "doc:3#viewer@doc:4#viewer")
        await primary.put(*first)
        await primary.apply(
            absences("doc:1#viewer@user:1", "doc:2$level", "doc:3#viewer@doc:4#viewer"),
            facts("doc:5#viewer@user:1"),
        )
        await primary.put("doc:1#viewer@user:1", "doc:2$level|integer:2")
        everything = [["1", "2", "3", "4"], ["5"], ["1", "2", "5"]]
        assert [await known(primary, at, "doc") for at in (1, 2, 3)] == everything
        among = ["1", "2", "3", "4", "5"]
        assert [await known(primary, at, "doc", among=among) for at in (1, 2, 3)] == everything
        assert [await subjects(primary, at, "doc", "viewer") for at in (1, 2, 3)] == [["4"], [], []]
        assert [await subjects(primary, at, "doc", "viewer", among=among) for at in (1, 2)] == [
            ["4"], [],
        ]  # fmt: skip
        key = [entities("user:1", "doc#viewer")]
        pages = [await primary.reverse.entities(ACME, Revision(t), key, limit=9) for t in (1, 2, 3)]
        assert [list(page[0].ids) for page in pages] == [["1"], ["5"], ["1", "5"]]
        of = [of_kind("doc:1#viewer", "user"), of_kind("doc:3#viewer", "doc#viewer")]
        found = [await primary.reverse.of_kind(ACME, Revision(t), of, limit=9) for t in (1, 2, 3)]
        assert [[list(page.ids) for page in pages] for pages in found] == [
            [["1"], ["4"]], [[], []], [["1"], []],
        ]  # fmt: skip
        values = [
            await primary.reverse.having(ACME, Revision(t), "doc", "level", after="", limit=9)
            for t in (1, 2, 3)
        ]
        assert [[v.data for v in page.values] for page in values] == [[1], [], [2]]

    async def test_a_revision_that_is_not_here_is_refused(self, primary: Primary) -> None:
        done = await primary.put("doc:1#viewer@user:1")
        ahead = Revision(done.revision + 1)
        for read in _all_reads(primary, ahead):
            with pytest.raises(ProjectionLaggingError):
                await read
        with pytest.raises(ProjectionLaggingError):
            await known(primary, 1, "doc", tenant=OTHER)
        assert await known(primary, 0, "doc", tenant=OTHER) == []

    async def test_a_read_before_the_deletion_is_behind_the_window(self, primary: Primary) -> None:
        before = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        for read in _all_reads(primary, before.revision):
            with pytest.raises(BehindWindowError):
                await read
        assert await known(primary, before.revision + 1, "doc") == []
        assert await subjects(primary, before.revision + 1, "user") == []


def _all_reads(copy: Copy, at: Revision) -> list[Awaitable[object]]:
    reverse = copy.reverse
    among = ["1"]
    return [
        reverse.entities(ACME, at, [entities("user:1", "doc#viewer")], limit=1),
        reverse.of_kind(ACME, at, [of_kind("doc:1#viewer", "user")], limit=1),
        reverse.known(ACME, at, "doc", after="", limit=1),
        reverse.known(ACME, at, "doc", after="", limit=1, among=among),
        reverse.having(ACME, at, "doc", "level", after="", limit=1),
        reverse.subjects(ACME, at, "user", "", after="", limit=1),
        reverse.subjects(ACME, at, "user", "", after="", limit=1, among=among),
    ]
