"""What travels between nodes arrives as it was sent; what is no answer to the question refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.errors import CorruptionError
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import Subject
from grantlog.ports.facts import (
    AttributeKey,
    DirectKey,
    MemberOfUsersetKey,
    SubjectPage,
    SubjectsKey,
    UsersetsKey,
)
from grantlog.ports.heads import Head
from grantlog.ports.ring import FactQuestion, FactReply, Refusal
from grantlog.ports.standing import Source
from grantlog.ring.v1 import service_pb2 as pb
from grantlog.wire.ring import fill_question, fill_reply, question_from_wire, reply_from_wire

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
subjects = st.builds(Subject, texts, texts, texts)
pages = st.builds(SubjectPage, st.lists(subjects, max_size=4).map(tuple), st.booleans())
values = st.one_of(
    st.builds(AttributeValue, st.just(AttributeType.BOOLEAN), st.booleans()),
    st.builds(AttributeValue, st.just(AttributeType.STRING), texts),
    st.builds(
        AttributeValue,
        st.just(AttributeType.INTEGER_ARRAY),
        st.lists(st.integers(-9, 9)).map(tuple),
    ),
)
after = st.none() | subjects
asked = st.one_of(
    st.tuples(st.builds(DirectKey, *[texts] * 6), st.booleans()),
    st.tuples(st.builds(MemberOfUsersetKey, *[texts] * 8), st.booleans()),
    st.tuples(st.builds(UsersetsKey, texts, texts, texts, after), pages),
    st.tuples(st.builds(SubjectsKey, texts, texts, texts, after), pages),
    st.tuples(st.builds(AttributeKey, texts, texts, texts), st.none() | values),
)
heads = st.builds(
    Head,
    st.integers(0, 2**32 - 1).map(Epoch),
    st.integers(0, 2**60).map(Revision),
    st.just(SchemaVersion("")),
    st.integers(0, 2**60).map(Revision),
)
QUESTION = FactQuestion(
    TenantId("acme"),
    Head(Epoch(1), Revision(7), SchemaVersion("")),
    [DirectKey("doc", "1", "viewer", "user", "ann", ""), AttributeKey("doc", "1", "public")],
)


@given(heads, st.lists(asked, max_size=6), st.sampled_from(Source))
def test_questions_and_answers_arrive_as_they_were_sent(head, pairs, source):
    question = FactQuestion(TenantId("acme"), head, [key for key, _ in pairs])
    sent = pb.Question()
    fill_question(sent, 3, question, timeout_s=0.5)
    heard = question_from_wire(pb.Question.FromString(sent.SerializeToString()))
    assert heard == (3, 0.5, question)
    assert [type(key) for key in heard.question.keys] == [type(key) for key in question.keys]
    reply = FactReply([answer for _, answer in pairs], source)
    message = pb.Answer()
    fill_reply(message, 3, reply)
    assert reply_from_wire(pb.Answer.FromString(message.SerializeToString()), question) == reply


@pytest.mark.parametrize("refusal", [r for r in Refusal if r is not Refusal.GONE])
def test_refusals_travel(refusal):
    message = pb.Answer()
    fill_reply(message, 1, refusal)
    assert reply_from_wire(message, QUESTION) is refusal


@pytest.mark.parametrize(
    "message",
    [
        pb.Answer(id=1),
        pb.Answer(id=1, refusal=99),
        pb.Answer(id=1, facts=pb.Facts(source=pb.SOURCE_MEMORY)),
        pb.Answer(id=1, facts=pb.Facts(facts=[pb.Fact(holds=True), pb.Fact(absent=True)])),
        pb.Answer(id=1, facts=pb.Facts(facts=[pb.Fact(absent=True)] * 2, source=1)),
        pb.Answer(id=1, facts=pb.Facts(facts=[pb.Fact(holds=True)] * 2, source=1)),
        pb.Answer(id=1, facts=pb.Facts(facts=[pb.Fact(holds=True), pb.Fact()], source=1)),
        pb.Answer(id=1, facts=pb.Facts(facts=[pb.Fact(holds=True), pb.Fact(value={})], source=1)),
    ],
)
def test_what_is_no_answer_to_the_question_is_a_refusal(message):
    assert reply_from_wire(message, QUESTION) is Refusal.UNKNOWN


@pytest.mark.parametrize(
    "key",
    [
        pb.Key(),
        pb.Key(kind=77, parts=["a", "b", "c"]),
        pb.Key(kind=pb.KEY_KIND_DIRECT, parts=["a", "b", "c"]),
        pb.Key(kind=pb.KEY_KIND_SUBJECTS, parts=["a", "b", "c", "d"]),
    ],
)
def test_a_key_of_another_version_is_told(key):
    with pytest.raises(CorruptionError, match="kind"):
        question_from_wire(pb.Question(keys=[key]))
