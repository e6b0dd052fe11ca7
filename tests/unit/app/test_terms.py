"""What a request may say about the time of its answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from grantlog.app.terms import NO_TERMS, Consistency, OfNow, Terms, parse_terms
from grantlog.errors import InvalidInputError

AS_OF = "grantlog-as-of"
CONSISTENCY = "grantlog-consistency"
STALENESS = "grantlog-max-staleness-ms"


@pytest.mark.parametrize(
    ("said", "terms"),
    [
        ({}, NO_TERMS),
        ({"grantlog-watch-entity-types": "doc"}, NO_TERMS),
        ({AS_OF: "0"}, Terms(as_of=0)),
        (
            {AS_OF: "2026-11-21T21:26:00+01:00"},
            Terms(as_of=datetime(2026, 11, 21, 20, 26, tzinfo=UTC)),
        ),
        ({CONSISTENCY: "head"}, Terms(consistency=Consistency.HEAD)),
        ({CONSISTENCY: "node"}, Terms(consistency=Consistency.NODE)),
        ({CONSISTENCY: "bounded"}, Terms(consistency=Consistency.BOUNDED)),
        ({STALENESS: "0"}, Terms(consistency=Consistency.BOUNDED, staleness_s_max=0.0)),
        ({STALENESS: "1500"}, Terms(consistency=Consistency.BOUNDED, staleness_s_max=1.5)),
        (
            {STALENESS: "86400000", CONSISTENCY: "bounded"},
            Terms(consistency=Consistency.BOUNDED, staleness_s_max=86_400.0),
        ),
    ],
)
def test_terms_are_read_from_metadata(said, terms):
    assert parse_terms(said) == terms


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        ({AS_OF: ""}, "INVALID_AS_OF", "no as-of"),
        ({AS_OF: "-1"}, "INVALID_AS_OF", "no as-of"),
        ({AS_OF: "4,4"}, "INVALID_AS_OF", "no as-of"),
        ({CONSISTENCY: "HEAD"}, "INVALID_CONSISTENCY", "give one of head, node, bounded"),
        ({CONSISTENCY: ""}, "INVALID_CONSISTENCY", "give one of head, node, bounded"),
        ({CONSISTENCY: "head,head"}, "INVALID_CONSISTENCY", "give one of head, node, bounded"),
        ({STALENESS: "1.5"}, "INVALID_MAX_STALENESS", "whole milliseconds from 0 to 86400000"),
        ({STALENESS: "-1"}, "INVALID_MAX_STALENESS", "whole milliseconds"),
        ({STALENESS: ""}, "INVALID_MAX_STALENESS", "whole milliseconds"),
        ({STALENESS: "86400001"}, "INVALID_MAX_STALENESS", "whole milliseconds"),
        ({STALENESS: "9" * 5000}, "INVALID_MAX_STALENESS", "whole milliseconds"),
        ({STALENESS: "\N{ARABIC-INDIC DIGIT FOUR}"}, "INVALID_MAX_STALENESS", "milliseconds"),
        ({STALENESS: "5", CONSISTENCY: "head"}, "INVALID_MAX_STALENESS", "leave it out, or"),
        ({STALENESS: "5", CONSISTENCY: "node"}, "INVALID_MAX_STALENESS", "leave it out, or"),
        ({AS_OF: "4", CONSISTENCY: "head"}, "INVALID_AS_OF", f"leave {CONSISTENCY} out"),
        ({AS_OF: "4", STALENESS: "5"}, "INVALID_AS_OF", f"leave {STALENESS} out"),
        ({AS_OF: "4", STALENESS: "5", CONSISTENCY: "bounded"}, "INVALID_AS_OF", "leave"),
    ],
)
def test_what_is_no_value_or_contradicts_another_is_refused(said, reason, words):
    with pytest.raises(InvalidInputError, match=words) as refused:
        parse_terms(said)
    assert refused.value.reason == reason
    assert len(refused.value.explanation) < 300


def test_what_the_message_says_is_added():
    both = parse_terms({STALENESS: "5"}).also(snap_token="t", schema_version="v")
    assert both == Terms("t", "v", None, Consistency.BOUNDED, 0.005)
    assert NO_TERMS.also() is NO_TERMS
    assert parse_terms({AS_OF: "4"}).also(schema_version="v") == Terms("", "v", 4)


def test_a_snap_token_and_an_as_of_are_one_too_many():
    with pytest.raises(InvalidInputError, match="leave the snap token out") as refused:
        parse_terms({AS_OF: "4"}).also(snap_token="t")
    assert refused.value.reason == "INVALID_AS_OF"


@pytest.mark.parametrize(("key", "value"), [(AS_OF, "4"), (CONSISTENCY, "head"), (STALENESS, "5")])
def test_calls_without_terms_refuse_them_by_name(key, value):
    handle = OfNow(lambda request: request)
    assert handle("asked", parse_terms({})) == "asked"
    with pytest.raises(InvalidInputError, match=f"^{handle_reason(key)}: {key} .*leave it out"):
        handle("asked", parse_terms({key: value}))


def handle_reason(key: str) -> str:
    return "INVALID_" + key.removeprefix("grantlog-").removesuffix("-ms").replace("-", "_").upper()
