"""The blocks of the pages, run from top to bottom as their reader would run them."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest

from grantlog.store.postgres.seed import TENANT_NAME
from tests.pages.answers import difference
from tests.pages.stories import sessions, steps
from tests.pages.tracks import Place, missing, run
from tests.servers import AS_IT_COMES, Server, running

TENANTS = {"t1": True, "acme": False, "fresh": False}
"""Those that the pages write to, and whether a fresh server has it."""

MOVING = "docs/coming-from-permify.md"
MOVED_SCHEMA = """
entity user {}
entity team { relation member @user }
entity doc { relation viewer @team#member  attribute public boolean  permission view = viewer }
"""
MOVED_FACTS = {
    "tuples": [
        {"entity": {"type": "doc", "id": "readme"}, "relation": "viewer",
         "subject": {"type": "team", "id": "eng", "relation": "member"}},
        {"entity": {"type": "team", "id": "eng"}, "relation": "member",
         "subject": {"type": "user", "id": "bob"}},
    ],
    "attributes": [
        {"entity": {"type": "doc", "id": "readme"}, "attribute": "public",
         "value": {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": False}},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def fresh() -> Iterator[Server]:
    """What `make serve` starts, but for the ports, with nobody else's tenants in it."""
    with running(AS_IT_COMES) as served:
        yield served


@pytest.fixture(scope="module")
def permify() -> Iterator[Server]:
    """A server with data to move, in Permify's stead: it speaks the same API."""
    with running(AS_IT_COMES) as served:
        base = f"{served.rest}/v1/tenants/t1"
        send("POST", f"{base}/schemas/write", {"schema": MOVED_SCHEMA})
        send("POST", f"{base}/data/write", {"metadata": {}} | MOVED_FACTS)
        yield served


@pytest.mark.parametrize(("story", "session"), sessions())
def test_what_the_pages_show_is_what_comes(
    fresh: Server, tmp_path: Path, story: str, session: str, request: pytest.FixtureRequest
):
    if lacking := missing(session):
        pytest.skip(f"not run: {lacking}")
    for tenant, is_there in TENANTS.items():
        renew(fresh.rest, tenant, is_there=is_there)
    place = Place(port_of(fresh.rest), port_of(fresh.grpc), tmp_path, Path(sys.executable))
    if story == MOVING:
        moved_from = request.getfixturevalue("permify")
        place = replace(place, permify=moved_from.rest.removeprefix("http://"))
        (tmp_path / "schema.perm").write_text(MOVED_SCHEMA)
    ran = steps(story, session)
    said = run(session, ran, place)
    wrong = [
        f"{step.block.place} {found}"
        for step, answer in zip(ran, said, strict=True)
        if (found := difference(step, answer))
    ]
    assert not wrong, "\n\n".join(wrong)


def renew(rest: str, tenant: str, *, is_there: bool) -> None:
    """Leave nothing of a tenant; then make it again, if it is to be there."""
    try:
        send("DELETE", f"{rest}/v1/tenants/{tenant}")
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
    if is_there:
        send("POST", f"{rest}/v1/tenants/create", {"id": tenant, "name": TENANT_NAME})


def send(verb: str, address: str, body: dict[str, object] | None = None) -> None:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(address, data=data, method=verb)
    urllib.request.urlopen(request, timeout=10).close()


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])
