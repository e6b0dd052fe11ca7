"""Whoever answers a client reads in the epoch that it resolved, and resolves anew in another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import grantlog.app
from grantlog.app.lookup import Window
from grantlog.app.terms import NO_TERMS
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.errors import LostWriteError, OtherEpochError
from grantlog.model.ids import Revision
from grantlog.model.tuples import Subject
from grantlog.ports.facts import TupleFilter
from tests.unit.app.world import SCHEMA, T1, Node

READERS = {"_facts", "_reverse", "_lister"}
READS = {
    "read", "tuples", "attributes", "entities", "of_kind", "known", "having", "subjects",
}  # fmt: skip
DOCS = EntityQuery("doc", "view", Subject("user", "1"))


def reads_in(folder: Path) -> Iterator[tuple[str, ast.Call]]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Attribute(attr=reader), attr=name)) if (
                    reader in READERS and name in READS
                ):
                    yield f"{file.name}:{node.lineno}", node


def test_every_read_of_a_use_case_says_its_epoch() -> None:
    library = Path(grantlog.app.__file__).parents[1]
    reads = [found for room in ("app", "cache") for found in reads_in(library / room)]
    assert len(reads) >= 10
    silent = [where for where, call in reads if "epoch" not in {k.arg for k in call.keywords}]
    assert silent == []


@pytest.fixture
async def node() -> Node:
    node = Node()
    await node.schemas.write(T1, SCHEMA)
    await node.put(*(f"doc:{n}#viewer@user:1" for n in range(1, 6)))
    return node


class Swapped:
    """A reader in front of which the primary is swapped for another, once or again and again."""

    def __init__(self, node: Node, reader, times: int) -> None:
        self._node = node
        self._reader = reader
        self._left = times

    def __getattr__(self, name: str):
        async def read(*where, **how):
            if self._left:
                self._left -= 1
                self._node.tables.open_epoch()
            return await getattr(self._reader, name)(*where, **how)

        return read


def swap(node: Node, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    for user, field in (
        (node._check, "_facts"), (node.places, "_facts"), (node.places, "_reverse"),
        (node.lists, "_lister"),
    ):  # fmt: skip
        monkeypatch.setattr(user, field, Swapped(node, getattr(user, field), times))


async def test_a_question_that_the_primary_was_swapped_under_is_resolved_anew(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(node, monkeypatch)
    assert await node.allowed("doc:1", "view", "user:1")
    answer = await node.lookup.entities(T1, DOCS, Window())
    assert (len(answer.ids), answer.place.head.epoch) == (5, node.tables.epoch)
    found, _ = await node.lists.tuples(
        T1, TupleFilter("doc"), terms=NO_TERMS, page_size=9, continuation=""
    )
    assert len(found) == 5


async def test_one_that_it_is_swapped_under_again_is_refused_for_the_client_to_retry(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap(node, monkeypatch, times=2)
    with pytest.raises(OtherEpochError) as refused:
        await node.allowed("doc:1", "view", "user:1")
    assert refused.value.retriable


async def test_pages_go_on_over_an_epoch_that_lost_nothing_of_them(node: Node) -> None:
    first = await node.lookup.entities(T1, DOCS, Window(page_size=3))
    facts, token = await node.lists.tuples(
        T1, TupleFilter("doc"), terms=NO_TERMS, page_size=3, continuation=""
    )
    node.tables.open_epoch()
    second = await node.lookup.entities(T1, DOCS, Window(continuation=first.continuation))
    assert [*first.ids, *second.ids] == ["1", "2", "3", "4", "5"]
    more, _ = await node.lists.tuples(
        T1, TupleFilter("doc"), terms=NO_TERMS, page_size=3, continuation=token
    )
    assert [fact.entity.id for fact in (*facts, *more)] == ["1", "2", "3", "4", "5"]


async def test_pages_end_at_an_epoch_that_lost_their_revision(node: Node) -> None:
    first = await node.lookup.entities(T1, DOCS, Window(page_size=3))
    ended = node.tables.epoch
    node.tables.open_epoch()
    node.tables.recorded[T1, ended] = Revision(first.place.head.revision - 1)
    with pytest.raises(LostWriteError):
        await node.lookup.entities(T1, DOCS, Window(continuation=first.continuation))
