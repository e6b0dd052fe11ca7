"""Group F: tokens that were tampered with."""

from __future__ import annotations

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantlog.app.continuation import Continuation, Continuations
from grantlog.errors import InvalidTokenError
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.model.token import SnapToken, decode_token, encode_token
from tests.advisories.doors import META, Door, RefusedError, check, item, put, put_schema
from tests.advisories.node import Node, new_tenant

T1 = TenantId("t1")
PAGES = Continuations(b"k" * 32)
SNAP = encode_token(T1, SnapToken(Epoch(1), Revision(7)))
PAGE = PAGES.seal(Continuation(Epoch(1), Revision(7), ("a", "bc")), "digest")
INVALID_ARGUMENT = 3


def damaged(text: str) -> list[str]:
    """The text with each one of its bits turned."""
    return [
        text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
        for at in range(len(text))
        for bit in range(8)
    ]


def test_ghsa_vhvq_fv9f_wh4q_every_bit_of_a_token_counts():
    """A tampered cursor made SpiceDB's process panic. Here a token with any bit of its text turned
    is refused as the caller's mistake.
    """
    for text in damaged(SNAP):
        with pytest.raises(InvalidTokenError):
            decode_token(T1, text)
    for text in damaged(PAGE):
        with pytest.raises(InvalidTokenError):
            PAGES.open(text, "digest")


_ENDS = st.text(alphabet="=A\n -_+/", max_size=4)


@given(st.sampled_from((SNAP, PAGE)), _ENDS, _ENDS, st.booleans())
def test_ghsa_vhvq_fv9f_wh4q_a_token_has_one_text_alone(text, before, after, other_alphabet):
    """Nor is any other spelling of the same bytes a token: padding, blanks, another alphabet."""
    changed = before + text + after
    if other_alphabet:
        changed = changed.replace("-", "+").replace("_", "/")
    if changed == text:
        return
    for decode in (lambda t: decode_token(T1, t), lambda t: PAGES.open(t, "digest")):
        with pytest.raises(InvalidTokenError):
            decode(changed)


@given(st.sampled_from((SNAP, PAGE)), st.data())
def test_ghsa_vhvq_fv9f_wh4q_bytes_are_never_another_token(text, data):
    """Whatever bytes are put in its place, a token does not become another one."""
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + 1] = data.draw(st.binary(max_size=3).filter(lambda b: b != raw[at : at + 1]))
    changed = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    for decode in (lambda t: decode_token(T1, t), lambda t: PAGES.open(t, "digest")):
        with pytest.raises(InvalidTokenError):
            decode(changed)


SCHEMA = """entity user {}
entity doc { relation viewer @user  attribute level integer  permission view = viewer }"""
USER = {"type": "user", "id": "ann"}
PAGED = {
    "Permission/LookupEntity": {
        "metadata": META, "entity_type": "doc", "permission": "view", "subject": USER},
    "Permission/LookupSubject": {
        "metadata": META, "entity": {"type": "doc", "id": "1"}, "permission": "view",
        "subject_reference": {"type": "user"}},
    "Data/ReadRelationships": {"metadata": {}, "filter": {}},
    "Data/ReadAttributes": {"metadata": {}, "filter": {}},
    "Schema/List": {},
    "Tenancy/List": {},
}  # fmt: skip


async def must_refuse(door: Door, name: str, tenant: str, body: dict) -> None:
    with pytest.raises(RefusedError) as caught:
        await door.call(name, tenant, body)
    assert caught.value.code == INVALID_ARGUMENT, (door.name, name, caught.value.message)


@pytest.mark.parametrize("name", PAGED)
async def test_ghsa_vhvq_fv9f_wh4q_no_call_takes_a_tampered_page_token(node: Node, name: str):
    """Every call with pages, through both doors: INVALID_ARGUMENT, and never an internal error."""
    tenant, rng = new_tenant(), Random(name)
    for _ in range(2):
        await put_schema(node.rest, tenant, SCHEMA)
    facts = [f"doc:{n}#viewer@user:{u}" for n in range(3) for u in ("ann", "bob")]
    await put(node.rest, tenant, facts + [f"doc:{n}$level|integer:{n}" for n in range(3)])
    for number in range(3):
        await node.rest.call("Tenancy/Create", "", {"id": f"{tenant}-{number}", "name": "n"})
    body = PAGED[name] | {"page_size": 1}
    others = [t for t in PAGED if t != name]
    for door in node.doors:
        token = (await door.call(name, tenant, body))["continuous_token"]
        assert token
        await door.call(name, tenant, body | {"continuous_token": token})
        texts = [text for text in damaged(token) if "\x00" not in text]
        for text in [*rng.sample(texts, 25), token[:-1], token[1:], token * 2, "A", "\x7f", "é"]:
            await must_refuse(door, name, tenant, body | {"continuous_token": text})
        for other in others:
            foreign = PAGED[other] | {"page_size": 1}
            text = (await door.call(other, tenant, foreign))["continuous_token"]
            await must_refuse(door, name, tenant, body | {"continuous_token": text})


async def test_ghsa_vhvq_fv9f_wh4q_no_call_takes_a_tampered_snap_token(node: Node):
    """Likewise the tokens of writes, in questions and at the start of a watch."""
    tenant, rng = new_tenant(), Random(1)
    await put_schema(node.rest, tenant, SCHEMA)
    token = await put(node.rest, tenant, "doc:1#viewer@user:ann")
    for door in node.doors:
        assert await check(door, tenant, "doc:1#view@user:ann", snap_token=token)
        for text in [*rng.sample(damaged(token), 25), token + "=", token[:-4], token * 2, "é"]:
            asked = {"metadata": META | {"snap_token": text}, **item("doc:1#view@user:ann")}
            await must_refuse(door, "Permission/Check", tenant, asked)
            with pytest.raises(RefusedError) as caught:
                await door.stream("Watch/Watch", tenant, {"snap_token": text})
            assert caught.value.code == INVALID_ARGUMENT
