"""What every FactReader and FactLister keeps: answers of exactly one revision, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from grantlog.errors import BehindWindowError, ProjectionLaggingError
from grantlog.model.attributes import AttributeValue, parse_attribute
from grantlog.model.ids import Revision, TenantId
from grantlog.model.tuples import Subject, parse_tuple
from grantlog.ports.facts import (
    PAGE_SUBJECTS_MAX,
    AttributeFilter,
    FactAnswer,
    MemberOfUsersetKey,
    SubjectPage,
    TupleFilter,
)
from grantlog.testing.contracts.places import (
    ACME,
    OTHER,
    Primary,
    absences,
    attribute,
    direct,
    facts,
    listed,
    subjects,
    usersets,
)

NOTHING = Revision(0)


def value(text: str) -> AttributeValue:
    """The value of an attribute's text."""
    return parse_attribute(f"doc:1$name|{text}").value


def member_of(subject: str) -> MemberOfUsersetKey:
    """Is the subject in a `group#member` that views doc:1?"""
    held = direct(f"doc:1#viewer@{subject}")
    return MemberOfUsersetKey("doc", "1", "viewer", "group", "member", *held[3:])


class ReaderContract:
    """Facts at one revision."""

    async def test_a_tuple_holds_from_its_creation_until_its_deletion(
        self, primary: Primary
    ) -> None:
        text = "doc:1#viewer@group:eng#member"
        await primary.put(text)
        await primary.remove(text)
        await primary.put(text)
        answers = [
            (await primary.facts.read(ACME, Revision(at), [direct(text)]))[0] for at in range(4)
        ]
        assert answers == [False, True, False, True]

    async def test_only_exactly_the_tuple_asked_for_answers(self, primary: Primary) -> None:
        done = await primary.put("doc:1#viewer@group:eng#member")
        near = [
            "doc:1#viewer@group:eng",
            "doc:1#viewer@group:en#member",
            "doc:1#viewers@group:eng#member",
            "doc:11#viewer@group:eng#member",
            "docs:1#viewer@group:eng#member",
        ]
        answers = await primary.facts.read(ACME, done.revision, [direct(text) for text in near])
        assert list(answers) == [False] * len(near)
        elsewhere = await primary.put("doc:9#viewer@user:9", tenant=OTHER)
        key = direct("doc:1#viewer@group:eng#member")
        assert list(await primary.facts.read(OTHER, elsewhere.revision, [key])) == [False]

    async def test_answers_come_in_the_order_of_the_keys_with_repeats(
        self, primary: Primary
    ) -> None:
        done = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:3")
        held, absent = direct("doc:1#viewer@user:1"), direct("doc:1#viewer@user:2")
        level, page = attribute("doc:1$level"), subjects("doc:1#viewer")
        keys = [absent, level, held, page, held, level]
        answers = await primary.facts.read(ACME, done.revision, keys)
        expected_page = SubjectPage((Subject("user", "1"),), more=False)
        three = value("integer:3")
        assert list(answers) == [False, three, True, expected_page, True, three]

    async def test_subjects_and_usersets_come_in_order_of_relation_type_and_id(
        self, primary: Primary
    ) -> None:
        names = ["user:b", "user:a", "user:B", "group:z#member", "group:z", "team:a#lead"]
        done = await primary.put(*(f"doc:1#viewer@{name}" for name in names))
        everyone, groups = await primary.facts.read(
            ACME, done.revision, [subjects("doc:1#viewer"), usersets("doc:1#viewer")]
        )
        assert isinstance(everyone, SubjectPage)
        assert isinstance(groups, SubjectPage)
        ordered = ["group:z", "user:B", "user:a", "user:b", "team:a#lead", "group:z#member"]
        assert [str(subject) for subject in everyone.subjects] == ordered
        assert [str(subject) for subject in groups.subjects] == ordered[4:]

    async def test_a_large_relation_is_read_in_pages_without_loss(self, primary: Primary) -> None:
        count = PAGE_SUBJECTS_MAX + 5
        done = await primary.put(*(f"doc:1#viewer@user:{n:05}" for n in range(count)))
        gone = await primary.remove("doc:1#viewer@user:00003")
        for at, size in ((done.revision, count), (gone.revision, count - 1)):
            (first,) = await primary.facts.read(ACME, at, [subjects("doc:1#viewer")])
            assert isinstance(first, SubjectPage)
            assert first.more
            assert len(first.subjects) == PAGE_SUBJECTS_MAX
            following = [subjects("doc:1#viewer", first.subjects[-1])]
            (second,) = await primary.facts.read(ACME, at, following)
            assert isinstance(second, SubjectPage)
            assert not second.more
            found = [*first.subjects, *second.subjects]
            assert found == sorted(set(found))
            assert len(found) == size

    async def test_a_page_of_exactly_the_bound_says_that_nothing_follows(
        self, primary: Primary
    ) -> None:
        names = [f"doc:1#viewer@group:{n:05}#member" for n in range(PAGE_SUBJECTS_MAX)]
        done = await primary.put(*names)
        (page,) = await primary.facts.read(ACME, done.revision, [usersets("doc:1#viewer")])
        assert isinstance(page, SubjectPage)
        assert len(page.subjects) == PAGE_SUBJECTS_MAX
        assert not page.more
        following = [usersets("doc:1#viewer", str(page.subjects[-2]))]
        (last,) = await primary.facts.read(ACME, done.revision, following)
        assert last == SubjectPage(page.subjects[-1:], more=False)

    async def test_membership_in_a_userset_is_judged_at_the_revision(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@group:eng#member", "group:ops#member@user:1")
        await primary.put("group:eng#member@user:1", "doc:1#viewer@group:hr#lead")
        await primary.remove("doc:1#viewer@group:eng#member")
        await primary.put("doc:1#viewer@group:eng#member", "group:hr#member@user:2")
        await primary.remove("group:eng#member@user:1")
        keys = [member_of("user:1"), member_of("user:2"), member_of("group:eng#member")]
        answers = [list(await primary.facts.read(ACME, Revision(at), keys)) for at in range(6)]
        no = [False, False, False]
        assert answers == [no, no, [True, False, False], no, [True, False, False], no]

    async def test_an_attribute_has_the_value_of_the_revision(self, primary: Primary) -> None:
        texts = ["boolean:false", "integer:0", "double:0.0", "string:", "string[]:", "string[]:a,b"]
        for text in texts:
            await primary.put(f"doc:1$name|{text}")
        await primary.remove("doc:1$name")
        asked = [attribute("doc:1$name")]
        read = [(await primary.facts.read(ACME, Revision(at), asked))[0] for at in range(8)]
        expected = [None, *(value(text) for text in texts), None]
        assert [repr(answer) for answer in read] == [repr(answer) for answer in expected]

    async def test_no_keys_ask_whether_the_revision_can_be_read(self, primary: Primary) -> None:
        done = await primary.put("doc:1#viewer@user:1")
        assert list(await primary.facts.read(ACME, done.revision, [])) == []
        with pytest.raises(ProjectionLaggingError):
            await primary.facts.read(ACME, Revision(done.revision + 1), [])

    async def test_what_is_asked_without_keys_is_told_to_each_who_asks(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:2#viewer@user:1", tenant=OTHER)
        await primary.writer.delete_tenant(OTHER, write_id=primary.new_id())
        await primary.put("doc:2#viewer@user:1")
        await primary.remove("doc:1#viewer@user:1")
        await primary.collect(ACME, Revision(2))
        never = TenantId("never")
        places = [(ACME, 1), (OTHER, 1), (never, 0), (ACME, 4), (OTHER, 2), (ACME, 3), (never, 1)]
        alone = [
            await _outcome(primary.facts.read(tenant, Revision(at), ())) for tenant, at in places
        ]
        behind, ahead = BehindWindowError, ProjectionLaggingError
        assert alone == [behind, behind, [], ahead, [], [], ahead]
        for keys in ([], [direct("doc:2#viewer@user:1")]):
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_outcome(primary.facts.read(tenant, Revision(at), ())))
                    for tenant, at in places
                ]
                beside = group.create_task(_outcome(primary.facts.read(ACME, Revision(3), keys)))
            assert [task.result() for task in tasks] == alone
            assert beside.result() == [True] * len(keys)

    async def test_a_tenant_that_was_never_written_has_no_facts(self, primary: Primary) -> None:
        keys = [direct("doc:1#viewer@user:1"), attribute("doc:1$level"), subjects("doc:1#viewer")]
        empty = SubjectPage((), more=False)
        assert list(await primary.facts.read(ACME, NOTHING, keys)) == [False, None, empty]

    async def test_a_revision_that_is_not_here_is_refused(self, primary: Primary) -> None:
        done = await primary.put("doc:1#viewer@user:1")
        ahead = Revision(done.revision + 1)
        with pytest.raises(ProjectionLaggingError):
            await primary.facts.read(ACME, ahead, [direct("doc:1#viewer@user:1")])
        with pytest.raises(ProjectionLaggingError):
            await primary.facts.read(OTHER, Revision(1), [direct("doc:1#viewer@user:1")])
        with pytest.raises(ProjectionLaggingError):
            await primary.lister.tuples(ACME, ahead, TupleFilter(), limit=1)

    async def test_a_refused_read_does_not_harm_those_that_share_its_statement(
        self, primary: Primary
    ) -> None:
        done = await primary.put("doc:1#viewer@user:1")
        await primary.put("doc:2#viewer@user:1", tenant=OTHER)
        held = direct("doc:1#viewer@user:1")
        reads = [
            primary.facts.read(ACME, done.revision, [held]),
            primary.facts.read(ACME, Revision(done.revision + 1), [held]),
            primary.facts.read(OTHER, Revision(1), [held, direct("doc:2#viewer@user:1")]),
            primary.facts.read(ACME, NOTHING, [held]),
        ]
        outcomes: list[object] = []
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_outcome(read)) for read in reads]
        outcomes = [task.result() for task in tasks]
        assert outcomes == [[True], ProjectionLaggingError, [False, True], [False]]

    async def test_a_read_before_the_deletion_is_behind_the_window_and_at_it_is_empty(
        self, primary: Primary
    ) -> None:
        before = await primary.put("doc:1#viewer@user:1")
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        held = [direct("doc:1#viewer@user:1")]
        with pytest.raises(BehindWindowError):
            await primary.facts.read(ACME, before.revision, held)
        with pytest.raises(BehindWindowError):
            await primary.lister.tuples(ACME, before.revision, TupleFilter(), limit=1)
        begins = Revision(before.revision + 1)
        assert list(await primary.facts.read(ACME, begins, held)) == [False]
        assert await listed(primary, begins) == []

    async def test_collected_history_is_an_error_and_never_a_wrong_answer(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        await primary.remove("doc:1#viewer@user:1", "doc:1$level")
        kept = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:2")
        await primary.collect(ACME, Revision(2))
        keys = [direct("doc:1#viewer@user:1"), attribute("doc:1$level")]
        with pytest.raises(BehindWindowError):
            await primary.facts.read(ACME, Revision(1), keys)
        with pytest.raises(BehindWindowError):
            await primary.lister.attributes(ACME, Revision(1), AttributeFilter(), limit=1)
        assert list(await primary.facts.read(ACME, Revision(2), keys)) == [False, None]
        assert list(await primary.facts.read(ACME, kept.revision, keys)) == [
            True,
            value("integer:2"),
        ]


async def _outcome(read: Awaitable[Sequence[FactAnswer]]) -> object:
    try:
        return list(await read)
    except (ProjectionLaggingError, BehindWindowError) as error:
        return type(error)


class ListerContract:
    """Facts by filter, in pages, at one revision."""

    FACTS = (
        "doc:1#owner@user:1",
        "doc:1#viewer@user:1",
        "doc:1#viewer@user:2",
        "doc:1#viewer@group:eng#member",
        "doc:2#viewer@user:1",
        "folder:1#viewer@user:1",
        "group:eng#member@user:2",
    )

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (TupleFilter(), [0, 1, 2, 3, 4, 5, 6]),
            (TupleFilter(entity_type="doc"), [0, 1, 2, 3, 4]),
            (TupleFilter(entity_type="doc", entity_ids=("2", "1", "9")), [0, 1, 2, 3, 4]),
            (TupleFilter(entity_type="doc", entity_ids=("2",)), [4]),
            (TupleFilter(entity_ids=("1",)), [0, 1, 2, 3, 5]),
            (TupleFilter(entity_type="doc", relation="viewer"), [1, 2, 3, 4]),
            (TupleFilter(relation="member"), [6]),
            (TupleFilter(subject_type="user", subject_ids=("1",)), [0, 1, 4, 5]),
            (TupleFilter(subject_type="user", subject_ids=("1", "2")), [0, 1, 2, 4, 5, 6]),
            (TupleFilter(subject_ids=("1",), entity_type="doc"), [0, 1, 4]),
            (TupleFilter(subject_type="group"), [3]),
            (TupleFilter(subject_relation="member"), [3]),
            (
                TupleFilter(subject_type="group", subject_ids=("eng",), subject_relation="member"),
                [3],
            ),
            (TupleFilter("doc", ("1",), "viewer", "user", ("2",)), [2]),
            (TupleFilter(entity_type="none"), []),
        ],
    )
    async def test_conditions_are_anded_and_ids_ored(
        self, primary: Primary, where: TupleFilter, expected: list[int]
    ) -> None:
        done = await primary.put(*self.FACTS)
        assert await listed(primary, done.revision, where) == [self.FACTS[n] for n in expected]

    async def test_a_page_starts_behind_the_last_fact_even_if_it_is_gone(
        self, primary: Primary
    ) -> None:
        done = await primary.put(*self.FACTS)
        await primary.remove(self.FACTS[2])
        now = await primary.put("doc:3#viewer@user:1")
        after = parse_tuple(self.FACTS[2])
        then = await primary.lister.tuples(ACME, now.revision, TupleFilter(), limit=1, after=after)
        assert [str(fact) for fact in then] == [self.FACTS[3]]
        assert await listed(primary, done.revision) == list(self.FACTS)

    async def test_facts_are_listed_as_of_any_revision(self, primary: Primary) -> None:
        await primary.put("doc:1#viewer@user:1", "doc:2#viewer@user:1")
        await primary.apply(absences("doc:1#viewer@user:1"), facts("doc:0#viewer@user:1"))
        await primary.put("doc:1#viewer@user:1")
        assert [await listed(primary, Revision(at)) for at in range(4)] == [
            [],
            ["doc:1#viewer@user:1", "doc:2#viewer@user:1"],
            ["doc:0#viewer@user:1", "doc:2#viewer@user:1"],
            ["doc:0#viewer@user:1", "doc:1#viewer@user:1", "doc:2#viewer@user:1"],
        ]
        user = TupleFilter(subject_type="user", subject_ids=("1",))
        assert await listed(primary, Revision(2), user) == [
            "doc:0#viewer@user:1",
            "doc:2#viewer@user:1",
        ]

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (AttributeFilter(), [0, 1, 2, 3]),
            (AttributeFilter(entity_type="doc"), [0, 1, 2]),
            (AttributeFilter(entity_type="doc", entity_ids=("1",)), [0, 1]),
            (AttributeFilter(attributes=("level", "none")), [0, 2]),
            (AttributeFilter(entity_ids=("1",), attributes=("public",)), [1, 3]),
        ],
    )
    async def test_attributes_are_listed_by_filter_in_pages(
        self, primary: Primary, where: AttributeFilter, expected: list[int]
    ) -> None:
        texts = [
            "doc:1$level|integer:1",
            "doc:1$public|boolean:true",
            "doc:2$level|integer:2",
            "folder:1$public|boolean:false",
        ]
        done = await primary.put(*texts)
        await primary.put("doc:1$level|integer:9", "doc:3$level|integer:1")
        found: list[str] = []
        after: tuple[str, str, str] | None = None
        while page := await primary.lister.attributes(
            ACME, done.revision, where, limit=2, after=after
        ):
            found.extend(str(held) for held in page)
            after = (*page[-1].entity[:2], page[-1].name)
        assert found == [texts[n] for n in expected]
