"""Asking the engine and the oracle the same of a world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from grantlog.engine.question import CheckQuery, RequestContext
from grantlog.errors import DepthExceededError, GrantlogError, NotFoundError, RuleFailedError
from grantlog.testing.oracle import Question
from grantlog.testing.worlds import Asked, World

T = TypeVar("T")


def run_now(answer: Coroutine[Any, Any, T]) -> T:
    """Run what never waits for anything but its turn; a hundred times faster than a loop."""
    while True:
        try:
            answer.send(None)
        except StopIteration as done:
            return done.value


async def collected(ids: AsyncIterator[T], count: int | None = None) -> list[T]:
    """The first items, or all."""
    found: list[T] = []
    async for id_ in ids:
        found.append(id_)
        if len(found) == count:
            break
    return found


def in_words(error: GrantlogError) -> str:
    """The oracle's word for an error."""
    match error:
        case DepthExceededError():
            return "depth"
        case RuleFailedError():
            return error.explanation.partition(":")[0]
        case NotFoundError():
            return "missing"
        case _:
            raise error


def context_of(world: World) -> RequestContext:
    return RequestContext(world.context_tuples, world.context_attributes, world.data)


def query_of(world: World, asked: Asked) -> CheckQuery:
    return CheckQuery(
        asked.entity, asked.name, asked.subject, context=context_of(world), depth=asked.depth
    )


def question_of(world: World, asked: Asked) -> Question:
    return Question(
        entity=(asked.entity.type, asked.entity.id),
        name=asked.name,
        subject=asked.subject,
        depth=asked.depth,
        tuples=world.tuples,
        attributes=world.attributes,
        context_tuples=world.context_tuples,
        context_attributes=world.context_attributes,
        data=world.data,
    )
