"""Every paged call without a size, with the largest number there is, and with no number at all."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from tests.servers import Server

SCHEMA = """
entity user {}
entity doc {
  relation viewer @user
  attribute public boolean
  permission view = viewer
}
"""
DEPTH = {"metadata": {"depth": 5}}
LARGEST = 2**32 - 1
CALLS = {
    "data/relationships/read": ("tuples", 50, {"metadata": {}, "filter": {}}),
    "data/attributes/read": ("attributes", 50, {"metadata": {}, "filter": {}}),
    "schemas/list": ("schemas", 50, {}),
    "list": ("tenants", 50, {}),
    "permissions/lookup-entity": (
        "entity_ids", 1_000,
        {**DEPTH, "entity_type": "doc", "permission": "view",
         "subject": {"type": "user", "id": "1"}},
    ),
    "permissions/lookup-subject": (
        "subject_ids", 1_000,
        {**DEPTH, "entity": {"type": "doc", "id": "0000"}, "permission": "view",
         "subject_reference": {"type": "user"}},
    ),
}  # fmt: skip
"""By path: the field of the items, how many come without a size, and the request."""

MORE = 3
"""How many there are beyond that."""
_names = (f"sizes-{number}" for number in itertools.count())


def viewer(doc: str, user: str) -> dict[str, Any]:
    return {
        "entity": {"type": "doc", "id": doc},
        "relation": "viewer",
        "subject": {"type": "user", "id": user},
    }


def public(doc: str) -> dict[str, Any]:
    value = {"@type": "type.googleapis.com/base.v1.BooleanValue", "data": True}
    return {"entity": {"type": "doc", "id": doc}, "attribute": "public", "value": value}


class Api:
    """A tenant's calls as REST."""

    def __init__(self, server: Server) -> None:
        self.client = httpx.Client(base_url=server.rest, timeout=60)
        self.tenant = next(_names)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        place = "/v1/tenants" if path in ("list", "create") else f"/v1/tenants/{self.tenant}"
        return self.client.post(f"{place}/{path}", json=body)

    def pages(self, path: str, items: str, body: dict[str, Any]) -> list[list[Any]]:
        """All pages of a call."""
        found = []
        token = ""
        while True:
            page = self.post(path, {**body, "continuous_token": token}).json()
            found.append(page[items])
            token = page["continuous_token"]
            if not token:
                return found


@pytest.fixture(scope="module")
def api(server: Server):
    opened = Api(server)
    for _ in range(50 + MORE):
        opened.post("schemas/write", {"schema": SCHEMA}).raise_for_status()
        opened.post("create", {"id": next(_names), "name": "one"}).raise_for_status()
    users = [viewer("0000", f"{n:04}") for n in range(1_000 + MORE)]
    docs = [viewer(f"{n:04}", "1") for n in range(1_000 + MORE)]
    both = users + docs
    for start in range(0, len(both), 900):
        body = {"metadata": {}, "tuples": both[start : start + 900], "attributes": []}
        opened.post("data/write", body).raise_for_status()
    held = [public(f"{n:04}") for n in range(50 + MORE)]
    opened.post("data/write", {"metadata": {}, "tuples": [], "attributes": held}).raise_for_status()
    yield opened
    opened.client.close()


@pytest.mark.parametrize("path", CALLS)
def test_a_page_without_a_size_has_a_sensible_one_and_a_token(api: Api, path: str):
    items, size, body = CALLS[path]
    for unset in ({}, {"page_size": 0}):
        first = api.post(path, {**body, **unset}).json()
        assert len(first[items]) == size
        assert first["continuous_token"]
    pages = api.pages(path, items, body)
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    found = [repr(item) for page in pages for item in page]
    assert len(found) == len(set(found)) > size


@pytest.mark.parametrize("path", CALLS)
def test_the_largest_size_there_is_is_served_as_the_largest_there_may_be(api: Api, path: str):
    items, size, body = CALLS[path]
    joined = [item for page in api.pages(path, items, body) for item in page]
    pages = api.pages(path, items, {**body, "page_size": LARGEST})
    assert [item for page in pages for item in page] == joined
    assert len(pages[0]) > size


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("size", [-1, LARGEST + 1, 1.5, "many", [1], "-1"])
def test_what_is_no_size_is_refused(api: Api, path: str, size: object):
    _, _, body = CALLS[path]
    answer = api.post(path, {**body, "page_size": size})
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == 3
