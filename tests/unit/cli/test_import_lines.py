from __future__ import annotations

import io
import json

import pytest

from grantlog.api.v1 import base_pb2
from grantlog.cli.importing.batches import gather
from grantlog.cli.importing.lines import LINE_BYTES_MAX, Line, Reject, parse_line, read_lines
from grantlog.model.attributes import parse_attribute
from grantlog.model.tuples import parse_tuple
from grantlog.wire.convert import attribute_message, tuple_message


def line(text: str | bytes, number: int = 1) -> Line:
    raw = text if isinstance(text, bytes) else text.encode()
    return Line(number, len(raw), raw)


def lines(text: str) -> list[Line]:
    return list(read_lines(io.BytesIO(text.encode())))


@pytest.mark.parametrize(
    "text",
    [
        "doc:1#viewer@user:2",
        "  doc:1#viewer@user:2\t",
        "doc:1#viewer@group:eng#member",
        "doc:a@b.c#viewer@user:x:y",
    ],
)
def test_a_tuple_in_its_text_form(text: str):
    assert parse_line(line(text)) == tuple_message(parse_tuple(text.strip()))


@pytest.mark.parametrize(
    "text",
    ["doc:1$public|boolean:true", "doc:1$title|string:C# $5 | @home", "doc:1$tags|string[]:a,b"],
)
def test_an_attribute_in_its_text_form_whatever_its_value_holds(text: str):
    assert parse_line(line(text)) == attribute_message(parse_attribute(text))


def test_a_tuple_as_the_api_has_it():
    value = {
        "entity": {"type": "doc", "id": "1"},
        "relation": "viewer",
        "subject": {"type": "group", "id": "eng", "relation": "member"},
    }
    assert parse_line(line(json.dumps(value))) == tuple_message(
        parse_tuple("doc:1#viewer@group:eng#member")
    )


def test_an_attribute_as_the_api_has_it():
    value = {
        "entity": {"type": "doc", "id": "1"},
        "attribute": "public",
        "value": {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": True},
    }
    assert parse_line(line(json.dumps(value))) == attribute_message(
        parse_attribute("doc:1$public|boolean:true")
    )


@pytest.mark.parametrize("text", ["", "   ", "# doc:1#viewer@user:2", "  # indented"])
def test_blank_lines_and_comments_are_skipped(text: str):
    assert parse_line(line(text)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("doc:1", "not a relation tuple"),
        ("doc:1#viewer@user", "not an entity"),
        ("doc:1$public|boolean:yes", "not a value of type boolean"),
        ('{"entity": {', "JSON"),
        ('{"a": 1}', "expected"),
        ('{"entity": 5, "relation": "r", "subject": {}}', "entity"),
        (b"doc:\xff#viewer@user:2", "not UTF-8"),
        ("x" * (LINE_BYTES_MAX + 1), "longer than"),
    ],
)
def test_a_line_that_states_no_fact_is_a_reject_with_its_number(text: str | bytes, reason: str):
    reject = parse_line(line(text, 7))
    assert isinstance(reject, Reject)
    assert reject.number == 7
    assert reason.lower() in reject.reason.lower()


def test_a_json_fact_that_the_api_would_refuse_is_rejected_here():
    value = {"entity": {"type": "doc", "id": ""}, "relation": "viewer", "subject": {}}
    assert isinstance(parse_line(line(json.dumps(value))), Reject)


def test_lines_know_their_numbers_and_ends_whatever_ends_them():
    found = lines("\ufeffa\r\n\nb")
    assert [(item.number, item.end, item.text) for item in found] == [
        (1, 6, b"a"),
        (2, 7, b""),
        (3, 8, b"b"),
    ]


def test_a_line_without_end_does_not_fill_the_memory():
    text = "x" * (3 * LINE_BYTES_MAX) + "\ny\n"
    first, second = lines(text)
    assert len(first.text) <= LINE_BYTES_MAX + 1
    assert first.end == 3 * LINE_BYTES_MAX + 1
    assert (second.number, second.text) == (2, b"y")


def test_reading_goes_on_at_a_place():
    file = io.BytesIO(b"a\nb\nc\n")
    file.seek(2)
    assert [(item.number, item.text) for item in read_lines(file, offset=2, number=1)] == [
        (2, b"b"),
        (3, b"c"),
    ]


def test_a_batch_holds_no_more_facts_than_allowed_and_ends_where_the_next_begins():
    text = "".join(f"doc:{i}#viewer@user:1\n" for i in range(5))
    batches = list(gather(lines(text), 2))
    assert [len(batch.facts) for batch in batches] == [2, 2, 1]
    assert [batch.last.number for batch in batches if batch.last] == [2, 4, 5]


def test_two_values_of_an_attribute_are_never_in_one_request():
    text = "doc:1$public|boolean:true\ndoc:2#v@user:1\ndoc:1$public|boolean:false\n"
    first, second = gather(lines(text), 100)
    assert len(first.facts) == 2
    assert len(second.facts) == 1
    assert first.attributes == second.attributes == {("doc", "1", "public")}


def test_large_facts_make_small_batches():
    value = "x" * 600_000
    text = "".join(f"doc:{i}$title|string:{value}\n" for i in range(4))
    assert [len(batch.facts) for batch in gather(lines(text), 1000)] == [2, 2]


def test_rejects_and_comments_alone_still_move_the_place():
    (batch,) = gather(lines("# nothing\nnonsense\n"), 10)
    assert not batch.facts
    assert [reject.number for reject in batch.rejects] == [2]
    assert batch.last is not None
    assert batch.last.number == 2


def test_facts_are_messages_of_the_contract():
    assert isinstance(parse_line(line("doc:1#viewer@user:2")), base_pb2.Tuple)
