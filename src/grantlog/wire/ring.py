"""Questions and answers between nodes as messages, and back; nodes may be of several versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from grantlog.errors import CorruptionError
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    AttributeKey,
    DirectKey,
    FactAnswer,
    FactKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)
from grantlog.ports.heads import Head
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ports.standing import Source
from grantlog.ring.v1 import service_pb2 as pb
from grantlog.wire.event_facts import fill_value, value_from_wire

_KINDS: Final[dict[type[FactKey], pb.KeyKind.ValueType]] = {
    DirectKey: pb.KEY_KIND_DIRECT,
    UsersetsKey: pb.KEY_KIND_USERSETS,
    SubjectsKey: pb.KEY_KIND_SUBJECTS,
    MemberOfUsersetKey: pb.KEY_KIND_MEMBER_OF_USERSET,
    AttributeKey: pb.KEY_KIND_ATTRIBUTE,
}
_PLAIN: Final[dict[int, type[Any]]] = {
    pb.KEY_KIND_DIRECT: DirectKey,
    pb.KEY_KIND_MEMBER_OF_USERSET: MemberOfUsersetKey,
    pb.KEY_KIND_ATTRIBUTE: AttributeKey,
}
_PAGED: Final[dict[int, type[Any]]] = {
    pb.KEY_KIND_USERSETS: UsersetsKey,
    pb.KEY_KIND_SUBJECTS: SubjectsKey,
}
_PLACE_PARTS: Final = 3
"""Entity type, entity id and relation."""
_AFTER_PARTS: Final = 3

_SOURCES: Final = {
    Source.CACHE: pb.SOURCE_MEMORY,
    Source.REPLICA: pb.SOURCE_REPLICA,
    Source.PRIMARY: pb.SOURCE_PRIMARY,
}
_SOURCES_FROM: Final = {number: source for source, number in _SOURCES.items()}
_REFUSALS: Final = {
    Refusal.BUSY: pb.REFUSAL_BUSY,
    Refusal.FAILED: pb.REFUSAL_FAILED,
    Refusal.LARGE: pb.REFUSAL_LARGE,
    Refusal.LATE: pb.REFUSAL_LATE,
    Refusal.UNKNOWN: pb.REFUSAL_UNKNOWN,
}
_REFUSALS_FROM: Final = {number: refusal for refusal, number in _REFUSALS.items()}


class Numbered(NamedTuple):
    """A question as it arrived: its number in the stream, and for how long somebody waits."""

    number: int
    timeout_s: float
    question: FactQuestion


def fill_question(
    message: pb.Question, number: int, question: FactQuestion, *, timeout_s: float
) -> None:
    """Fill an empty message in place."""
    head = question.head
    message.id = number
    message.tenant = question.tenant
    message.epoch, message.begins, message.revision = head.epoch, head.begins, head.revision
    message.timeout_ms = int(timeout_s * 1000)
    for key in question.keys:
        parts: Sequence[Any] = key
        if isinstance(key, UsersetsKey | SubjectsKey):
            parts = (*key[:_PLACE_PARTS], *(key.after or ()))
        message.keys.add(kind=_KINDS[type(key)], parts=parts)


def question_from_wire(message: pb.Question) -> Numbered:
    """The question of a message.

    Raises:
        CorruptionError: a key of a kind, or with parts, that this version does not know.
    """
    head = Head(
        Epoch(message.epoch),
        Revision(message.revision),
        SchemaVersion(""),
        Revision(message.begins),
    )
    keys = [_key(key) for key in message.keys]
    question = FactQuestion(TenantId(message.tenant), head, keys)
    return Numbered(message.id, message.timeout_ms / 1000, question)


def _key(message: pb.Key) -> FactKey:
    parts = tuple(message.parts)
    plain, paged = _PLAIN.get(message.kind), _PAGED.get(message.kind)
    if plain is not None and len(parts) == len(plain._fields):
        return plain(*parts)
    if paged is not None and len(parts) == _PLACE_PARTS:
        return paged(*parts)
    if paged is not None and len(parts) == _PLACE_PARTS + _AFTER_PARTS:
        return paged(*parts[:_PLACE_PARTS], Subject(*parts[_PLACE_PARTS:]))
    raise CorruptionError(f"a node asks for a key of kind {message.kind} in {len(parts)} parts")


def fill_reply(message: pb.Answer, number: int, reply: FactReply | Refusal) -> None:
    """Fill an empty message in place."""
    message.id = number
    if isinstance(reply, Refusal):
        message.refusal = _REFUSALS[reply]
        return
    message.facts.source = _SOURCES[reply.source]
    for answer in reply.answers:
        _fill_fact(message.facts.facts.add(), answer)


def _fill_fact(message: pb.Fact, answer: FactAnswer) -> None:
    if answer is None:
        message.absent = True
    elif isinstance(answer, bool):
        message.holds = answer
    elif isinstance(answer, SubjectPage):
        message.page.more = answer.more
        message.page.SetInParent()
        for type_, id_, relation in answer.subjects:
            message.page.subjects.add(type=type_, id=id_, relation=relation)
    else:
        fill_value(message.value, answer)


def reply_from_wire(message: pb.Answer, question: FactQuestion) -> FactReply | Refusal:
    """What a node said to a question.

    Anything that is no answer to exactly what was asked is a refusal: another version's.
    """
    if message.WhichOneof("outcome") != "facts":
        return _REFUSALS_FROM.get(message.refusal, Refusal.UNKNOWN)
    facts, source = message.facts.facts, _SOURCES_FROM.get(message.facts.source)
    if source is None or len(facts) != len(question.keys):
        return Refusal.UNKNOWN
    try:
        answers = [_fact(fact, key) for fact, key in zip(facts, question.keys, strict=True)]
    except CorruptionError:
        return Refusal.UNKNOWN
    return FactReply(answers, source)


def _fact(message: pb.Fact, key: FactKey) -> FactAnswer:
    """The answer to a key.

    Raises:
        CorruptionError: it is of another kind than answers to such a key.
    """
    match message.WhichOneof("fact"), key:
        case "holds", DirectKey() | MemberOfUsersetKey():
            return message.holds
        case "page", UsersetsKey() | SubjectsKey():
            page = message.page
            return SubjectPage(
                tuple(Subject(s.type, s.id, s.relation) for s in page.subjects), page.more
            )
        case "absent", AttributeKey():
            return None
        case "value", AttributeKey():
            return value_from_wire(message.value, "a node's answer")
        case other, _:
            raise CorruptionError(f"a node answers a {type(key).__name__} with {other}")
