import base64

import pytest

from grantlog.app.continuation import Continuation, Continuations, request_digest
from grantlog.errors import InvalidTokenError
from grantlog.model.ids import Epoch, Revision

PLACE = Continuation(Epoch(3), Revision(17), ("doc", 'a"b', "é"))
DIGEST = request_digest("tuples", "t1")


def test_a_token_opens_to_the_place_it_was_sealed_for():
    pages = Continuations(b"k" * 32)
    assert pages.open(pages.seal(PLACE, DIGEST), DIGEST) == PLACE


def test_a_token_of_another_request_is_refused():
    pages = Continuations(b"k" * 32)
    with pytest.raises(InvalidTokenError, match="another request"):
        pages.open(pages.seal(PLACE, DIGEST), request_digest("tuples", "t2"))


def test_a_token_sealed_with_another_key_is_refused():
    sealed = Continuations(b"a" * 32).seal(PLACE, DIGEST)
    with pytest.raises(InvalidTokenError, match="not one of ours"):
        Continuations(b"b" * 32).open(sealed, DIGEST)


def test_every_single_changed_byte_is_refused():
    pages = Continuations(b"k" * 32)
    token = pages.seal(PLACE, DIGEST)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for at in range(len(raw)):
        tampered = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        text = base64.urlsafe_b64encode(tampered).decode().rstrip("=")
        with pytest.raises(InvalidTokenError):
            pages.open(text, DIGEST)


@pytest.mark.parametrize("text", ["x", "%%%", "é", "AAAA", "A" * 5000])
def test_garbage_is_refused_with_the_contracts_reason(text):
    with pytest.raises(InvalidTokenError) as caught:
        Continuations(b"k" * 32).open(text, DIGEST)
    assert caught.value.reason == "ERROR_CODE_INVALID_CONTINUOUS_TOKEN"


def test_requests_that_differ_in_where_a_part_ends_have_different_digests():
    assert request_digest("a,b", "c") != request_digest("a", "b,c")
    assert request_digest(("a", "b")) != request_digest("a", "b")
