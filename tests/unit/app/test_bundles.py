"""Bundles: what can be stored, and what a run does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.app.bundles import Bundles
from grantlog.app.terms import NO_TERMS
from grantlog.errors import CorruptionError, InvalidInputError, NotFoundError
from grantlog.model.bundle import (
    DEFINITION_BYTES_MAX,
    Bundle,
    BundleOperation,
    bundle_text,
    parse_bundle,
)
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.store.memory.heads import MemoryHeads
from tests.unit.app.world import SCHEMA, T1, Node

SHARE = Bundle(
    "share",
    ("doc", "user"),
    (
        BundleOperation(
            relationships_write=("doc:{{.doc}}#viewer@user:{{.user}}",),
            attributes_write=("doc:{{.doc}}$public|boolean:{{.public}}",),
        ),
    ),
)


class Desk(Node):
    def __init__(self):
        super().__init__()
        self.data._facts_per_write_max = 8
        self.bundles = Bundles(
            writer=self.writer,
            reader=MemoryHeads(self.tables),
            write_data=self.data,
            known=self.known,
            new_id=lambda: b"i" * 16,
        )

    async def facts(self):
        tuples, _ = await self.lists.tuples(
            T1, TupleFilter(), terms=NO_TERMS, page_size=0, continuation=""
        )
        attributes, _ = await self.lists.attributes(
            T1, AttributeFilter(), terms=NO_TERMS, page_size=0, continuation=""
        )
        return [str(fact) for fact in (*tuples, *attributes)]


@pytest.fixture
async def desk():
    desk = Desk()
    await desk.schemas.write(T1, SCHEMA)
    return desk


def bundle(name="b", arguments=(), **lists):
    operation = BundleOperation(**{key: tuple(texts) for key, texts in lists.items()})
    return Bundle(name, tuple(arguments), (operation,))


async def refused(awaitable, reason, kind=InvalidInputError):
    with pytest.raises(kind) as caught:
        await awaitable
    assert caught.value.reason == reason


async def test_a_bundle_is_stored_read_run_and_deleted(desk):
    await desk.bundles.write(T1, [SHARE])
    assert await desk.bundles.read(T1, "share") == SHARE
    arguments = {"doc": "1", "user": "ann+x@example.com", "public": "T", "extra": "fine"}
    head = await desk.bundles.run(T1, "share", arguments)
    assert head.revision == 3
    assert await desk.facts() == [
        "doc:1#viewer@user:ann+x@example.com",
        "doc:1$public|boolean:true",
    ]
    assert (await desk.bundles.run(T1, "share", arguments)).revision == 3
    await desk.bundles.delete(T1, "share")
    for call in (
        desk.bundles.read(T1, "share"),
        desk.bundles.delete(T1, "share"),
        desk.bundles.run(T1, "share", arguments),
        desk.bundles.read(T1, "a\0"),
        desk.bundles.delete(T1, "a\0"),
    ):
        await refused(call, "ERROR_CODE_BUNDLE_NOT_FOUND", NotFoundError)


async def test_operations_take_effect_in_order_writes_before_deletes(desk):
    await desk.put("doc:1#viewer@user:old")
    both = "doc:1#viewer@user:both"
    await desk.bundles.write(
        T1,
        [
            Bundle(
                "b",
                (),
                (
                    BundleOperation(
                        relationships_write=(both, "doc:1#viewer@user:new"),
                        relationships_delete=(both, "doc:1#viewer@user:old"),
                        attributes_write=("doc:1$public|boolean:true",),
                        attributes_delete=("doc:1$public|boolean:false", "doc:2$public"),
                    ),
                    BundleOperation(relationships_write=("doc:2#viewer@user:{{.who}}",)),
                ),
            )
        ],
    )
    before = (await desk.resolver.refresh(T1)).revision
    head = await desk.bundles.run(T1, "b", {"who": "a:b"})
    assert head.revision == before + 1
    assert await desk.facts() == ["doc:1#viewer@user:new", "doc:2#viewer@user:a:b"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (bundle(name=""), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(name="x" * 129), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(name="a\0"), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(arguments=["1x"]), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(arguments=[f"a{n}" for n in range(101)]), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(relationships_write=["{{if .x}}"]), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(attributes_delete=["a\0"]), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(relationships_delete=["a", "b", "a"]), "ERROR_CODE_ALREADY_EXIST"),
        (bundle(attributes_write=[f"{n}" for n in range(1001)]), "ERROR_CODE_INVALID_ARGUMENT"),
        (bundle(attributes_write=["x" * DEFINITION_BYTES_MAX]), "ERROR_CODE_INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_run_is_not_stored(desk, wrong, reason):
    await refused(desk.bundles.write(T1, [SHARE, wrong]), reason)
    await refused(desk.bundles.read(T1, "share"), "ERROR_CODE_BUNDLE_NOT_FOUND", NotFoundError)


async def test_two_bundles_of_one_name_and_too_many_are_refused(desk):
    await refused(desk.bundles.write(T1, [SHARE, SHARE]), "ERROR_CODE_ALREADY_EXIST")
    many = [bundle(name=f"b{n}") for n in range(101)]
    await refused(desk.bundles.write(T1, many), "ERROR_CODE_VALIDATION")


@pytest.mark.parametrize(
    ("lists", "arguments", "reason", "kind"),
    [
        ({}, {}, "ERROR_CODE_MISSING_ARGUMENT", InvalidInputError),
        (
            {"relationships_write": ["doc:{{.y}}#viewer@user:1"]}, {"x": "1"},
            "ERROR_CODE_MISSING_ARGUMENT", InvalidInputError,
        ),
        (
            {"relationships_write": ["doc:{{.x}}#viewer@user:1"]}, {"x": ""},
            "ERROR_CODE_INVALID_ARGUMENT", InvalidInputError,
        ),
        (
            {"relationships_write": ["doc:{{.x}}#viewer@user:1"]}, {"x": "a/b"},
            "ERROR_CODE_INVALID_ARGUMENT", InvalidInputError,
        ),
        (
            {"relationships_write": ["doc:{{.x}}#viewer@user:1"]}, {"x": "\0"},
            "ERROR_CODE_INVALID_ARGUMENT", InvalidInputError,
        ),
        (
            {"relationships_write": ["{{.x}}"] + [f"{{{{.x}}}}{n}" for n in range(99)]},
            {"x": "x" * 50_000},
            "ERROR_CODE_INVALID_ARGUMENT", InvalidInputError,
        ),
        (
            {"attributes_write": ["doc:1$public|boolean:{{.x}}"]}, {"x": "yes"},
            "ERROR_CODE_INVALID_ARGUMENT", InvalidInputError,
        ),
        (
            {"attributes_delete": ["doc:{{.x}}"]}, {"x": "1"},
            "ERROR_CODE_INVALID_ARGUMENT", InvalidInputError,
        ),
        (
            {"attributes_write": ["doc:1$public|integer:{{.x}}"]}, {"x": "1"},
            "ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH", NotFoundError,
        ),
        (
            {"relationships_write": ["doc:{{.x}}#owner@user:1"]}, {"x": "1"},
            "ERROR_CODE_RELATION_DEFINITION_NOT_FOUND", NotFoundError,
        ),
        (
            {"relationships_write": ["film:{{.x}}#owner@user:1"]}, {"x": "1"},
            "ERROR_CODE_SCHEMA_NOT_FOUND", NotFoundError,
        ),
        (
            {"relationships_write": [f"doc:{{{{.x}}}}{n}#viewer@user:1" for n in range(9)]},
            {"x": "1"},
            "ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED", InvalidInputError,
        ),
    ],
)  # fmt: skip
async def test_nothing_of_a_run_that_is_refused_is_written(desk, lists, arguments, reason, kind):
    await desk.bundles.write(T1, [bundle(arguments=["x"], **lists)])
    await refused(desk.bundles.run(T1, "b", arguments), reason, kind)
    assert await desk.facts() == []


async def test_what_the_schema_has_no_more_can_still_be_deleted(desk):
    await desk.put("doc:1#viewer@user:ann")
    await desk.bundles.write(T1, [bundle(relationships_delete=["doc:1#viewer@user:ann"])])
    await desk.schemas.write(T1, "entity user {} entity doc {}")
    await desk.bundles.run(T1, "b", {})
    assert await desk.facts() == []


texts = st.lists(st.text(max_size=8), max_size=3, unique=True).map(tuple)
any_operation = st.builds(BundleOperation, texts, texts, texts, texts)
any_bundle = st.builds(
    Bundle, st.text(max_size=8), texts, st.lists(any_operation, max_size=3).map(tuple)
)


@given(any_bundle)
def test_a_bundles_text_reads_back_as_the_bundle(value):
    assert parse_bundle(bundle_text(value)) == value


def test_a_stored_text_that_is_no_bundle_is_corruption():
    for text in ("", "[]", '{"name":"a"}', '{"name":"a","arguments":[],"operations":[{"x":[]}]}'):
        with pytest.raises(CorruptionError):
            parse_bundle(text)
