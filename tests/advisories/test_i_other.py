"""Group I: what is left of it."""

from __future__ import annotations

import pytest

from tests.advisories.doors import META, RefusedError, item, put, put_schema
from tests.advisories.node import Node, new_tenant

SCHEMA = """entity user {}
entity doc { relation viewer @user  attribute level integer  permission view = viewer }"""


@pytest.mark.parametrize("id_", [1, 1.0, True, None, ["1"], {"id": "1"}])
async def test_json_numbers_are_not_the_texts_that_they_print(node: Node, id_: object):
    """Where a number passes for its text, `1` and `"1"` are one id in one place and two in the
    next. Here an id that is no text is refused, and so is an integer that is a text of words.
    """
    tenant = new_tenant()
    await put_schema(node.rest, tenant, SCHEMA)
    await put(node.rest, tenant, "doc:1#viewer@user:1")
    body = {"metadata": META, **item("doc:1#view@user:1")}
    body["subject"] = {"type": "user", "id": id_}
    with pytest.raises(RefusedError) as caught:
        await node.rest.call("Permission/Check", tenant, body)
    assert caught.value.code == 3


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3476", "127.0.0.1"])
async def test_well_known_nothing_is_built_from_the_host_that_a_caller_names(node: Node, host: str):
    """A page that is built from the Host header sends clients wherever an attacker likes. Here
    pages are the same whatever it says, and there is none under `/.well-known`.
    """
    for path, status in (("/openapi.json", 200), ("/docs", 200), ("/healthz", 200),
                         ("/.well-known/openid-configuration", 404)):  # fmt: skip
        plain = await node.rest.client.get(path)
        forged = await node.rest.client.get(path, headers={"Host": host, "X-Forwarded-Host": host})
        assert plain.status_code == forged.status_code == status
        assert plain.content == forged.content
        assert b"evil" not in forged.content
        assert "evil" not in str(forged.headers)


@pytest.mark.parametrize("call", ["ip(tag)", "cidr('10.0.0.0/8')", "tag.in_cidr('10.0.0.0/8')"])
async def test_cidr_rules_cannot_take_an_address_for_another(node: Node, call: str):
    """IPv4-mapped IPv6 addresses slipped past CIDR rules. Here rules have no addresses at all: who
    needs one is told when the schema is written.
    """
    rule = f"rule near(tag string) {{ {call} == 'x' }}"
    with pytest.raises(RefusedError) as caught:
        await put_schema(node.rest, new_tenant(), f"{SCHEMA}\n{rule}")
    assert caught.value.code == 3
