"""What the constructor reads of plain JSON is what the careful decoder reads, or nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.wire.json_decode import BodyError, decode_into
from grantlog.wire.json_plain import plain_message
from grantlog.wire.protojson import decode
from grantlog.wire.transcode import ROUTES

KINDS = sorted({route.request_class for route in ROUTES}, key=lambda kind: kind.__name__)
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 60)
    | st.floats(allow_nan=False, allow_infinity=False)
)
OTHERS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.text(max_size=4), st.sampled_from(["7", "-1", "1e3"]),
    st.just([]), st.just({}), st.just([{}]), st.just(["a"]), st.just({"type": "a"}),
)  # fmt: skip


def values(kind: Descriptor, levels: int = 3) -> st.SearchStrategy[Any]:
    """JSON values that mostly fit a message type."""
    fields = {}
    for field in kind.fields:
        if field.message_type is not None:
            fit = values(field.message_type, levels - 1) if levels else st.just({})
        else:
            fit = st.text(max_size=4) if field.cpp_type == field.CPPTYPE_STRING else NUMBERS
        if field.is_repeated:
            fit = st.lists(fit, max_size=2)
        fields[field.name] = st.one_of(fit, fit, fit, OTHERS)
        fields[field.json_name] = fields[field.name]
    strange = st.dictionaries(st.sampled_from(["x", "self", "DESCRIPTOR", "data"]), OTHERS)
    fitting = st.fixed_dictionaries({}, optional=fields)
    return fitting | fitting | st.builds(lambda a, b: a | b, fitting, strange)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_plain_message_is_the_one_that_is_read_with_care(data: st.DataObject):
    kind: Any = data.draw(st.sampled_from(KINDS))
    text = orjson.dumps(data.draw(values(kind.DESCRIPTOR)))
    value = orjson.loads(text)
    plain = plain_message(kind, value)
    if plain is not None:
        careful = kind()
        decode_into(careful, value)
        assert careful == plain
        assert careful.SerializeToString() == plain.SerializeToString()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PermissionCheckRequest", {"entity": {"type": "a", "id": "b"}, "metadata": {"depth": 3}}),
        ("PermissionCheckRequest", {"metadata": {}, "subject": None}),
        ("PermissionBulkCheckRequest", {"items": [{"permission": "p"}, {"subject": {"id": "1"}}]}),
        ("RelationshipWriteRequest", {"tuples": [{"entity": {"id": "1"}, "relation": "r"}]}),
        ("TenantListRequest", {"page_size": 3}),
    ],
)
def test_what_most_requests_say_is_plain(name: str, value: dict[str, Any]):
    kind: Any = next(kind for kind in KINDS if kind.__name__ == name)
    plain = plain_message(kind, value)
    careful = kind()
    decode_into(careful, value)
    assert careful == plain
    assert decode(kind, orjson.dumps(value)) == plain


def test_a_boolean_is_no_number_and_a_text_no_list():
    kinds: dict[str, Any] = {kind.__name__: kind for kind in KINDS}
    with pytest.raises(BodyError, match="expected an integer"):
        decode(kinds["TenantListRequest"], b'{"page_size":true}')
    assert plain_message(kinds["TenantListRequest"], {"page_size": True}) is None
    assert plain_message(kinds["PermissionBulkCheckRequest"], {"items": ""}) is None
