"""What is asked of a world, with the right answers; endless, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from world import LEVELS, AnyWorld, Huge, Wide, World

_TRIES: Final = 50
_HALF: Final = 0.5


class Question(NamedTuple):
    """Does the user hold the permission on the entity, and the right answer."""

    entity_type: str
    entity_id: str
    permission: str
    user: str
    allowed: bool


def _direct(world: World, doc: int, rng: random.Random) -> Question:
    group = doc % world.groups
    members = world.members(group)
    user = rng.choice(members) if rng.random() < _HALF else rng.randrange(world.users)
    return Question("group", f"g{group}", "member", f"u{user}", allowed=user in members)


def _three(world: World, doc: int, rng: random.Random) -> Question:
    group = rng.choice(world.viewers(world.folder(doc)))
    user = rng.choice(world.members(group))
    return Question("doc", f"d{doc}", "view", f"u{user}", allowed=True)


def _denied(world: World, doc: int, rng: random.Random) -> Question:
    groups = world.viewers(world.folder(doc))
    inside = {user for group in groups for user in world.members(group)}
    user = rng.randrange(world.users)
    while user in inside and len(inside) < world.users:
        user = rng.randrange(world.users)
    return Question("doc", f"d{doc}", "view", f"u{user}", allowed=user in inside)


def _six(world: World, doc: int, rng: random.Random) -> Question:
    user = rng.choice(world.members(world.team(world.folder(doc))))
    return Question("doc", f"d{doc}", "reach", f"u{user}", allowed=True)


def _attribute(world: World, doc: int, rng: random.Random) -> Question:
    doc, user = doc % world.described, rng.randrange(world.users)
    return Question("doc", f"d{doc}", "open", f"u{user}", allowed=doc % 2 == 0)


def _rule(world: World, doc: int, rng: random.Random) -> Question:
    doc, user = doc % world.described, rng.randrange(world.users)
    return Question("doc", f"d{doc}", "odd_level", f"u{user}", allowed=doc % LEVELS % 2 == 1)


def _wide(world: Wide, doc: int, rng: random.Random) -> Question:
    user = rng.randrange(world.users)
    return Question("doc", f"d{doc}", "view", f"u{user}", allowed=True)


def _huge(world: Huge, doc: int, rng: random.Random) -> Question:
    user = rng.randrange(world.size)
    return Question("doc", f"d{doc}", "view", f"u{user}", allowed=True)


_KINDS: Final[dict[str, Callable[..., Question]]] = {
    "direct": _direct, "3-level": _three, "6-level": _six, "denied": _denied,
    "attribute": _attribute, "rule": _rule, "wide": _wide, "huge": _huge,
}  # fmt: skip


def questions(world: Any, kind: str, seed: int, *, docs: int = 0) -> Iterator[Question]:
    """Endless questions of a kind, no two alike while others are easily found.

    Args:
        kind: one of the names in `_KINDS`; `mixed` asks 3-level and denied in turn.
        docs: so many documents are asked for, spread over the world; 0 is all.
    """
    rng = random.Random(seed)
    docs = asked_docs(world, docs)
    kinds = ("3-level", "denied") if kind == "mixed" else (kind,)
    asked = set[Question]()
    while True:
        for each in kinds:
            question = _fresh(world, _KINDS[each], rng, docs, asked)
            asked.add(question)
            yield question


def asked_docs(world: Any, docs: int) -> int:
    """So many documents of a world are asked for: `docs`, or all if that is 0 or more than all."""
    return min(docs, world.docs) if docs else world.docs


def question_about(world: AnyWorld, kind: str, doc: int, seed: int) -> Question:
    """A question that reads what the questions of this kind about a document read, all of it."""
    reads_all = "denied" if kind in ("mixed", "3-level") else kind
    return _KINDS[reads_all](world, doc, random.Random(f"{seed}-{doc}"))


def _fresh(
    world: AnyWorld,
    make: Callable[..., Question],
    rng: random.Random,
    docs: int,
    asked: set[Question],
) -> Question:
    question = make(world, rng.randrange(docs), rng)
    for _ in range(_TRIES):
        if question not in asked:
            break
        question = make(world, rng.randrange(docs), rng)
    return question
