import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.errors import InvalidTokenError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token

tokens = st.builds(
    SnapToken,
    st.integers(0, 2**32 - 1).map(Epoch),
    st.integers(0, 2**63 - 1).map(Revision),
)


@given(st.text(min_size=1, max_size=40), tokens)
def test_a_token_decodes_to_what_was_encoded(tenant, token):
    assert decode_token(TenantId(tenant), encode_token(TenantId(tenant), token)) == token


@given(tokens, st.integers(0, 23), st.integers(1, 255))
def test_a_token_with_any_byte_changed_is_refused(token, at, flip):
    raw = bytearray(base64.urlsafe_b64decode(encode_token(TenantId("t1"), token)))
    raw[at] ^= flip
    with pytest.raises(InvalidTokenError):
        decode_token(TenantId("t1"), base64.urlsafe_b64encode(raw).decode())


@pytest.mark.parametrize(
    "text", ["", "x", "AAAAAAAAAAA=", "é", "A" * 32, "A" * 33, "....", " ", "A" * 10_000]
)
def test_garbage_is_refused(text):
    with pytest.raises(InvalidTokenError):
        decode_token(TenantId("t1"), text)


def test_a_token_is_refused_for_another_tenant():
    token = encode_token(TenantId("t1"), SnapToken(Epoch(1), Revision(1)))
    with pytest.raises(InvalidTokenError, match="another tenant"):
        decode_token(TenantId("t2"), token)
