"""Print every fact of a Permify tenant as lines of JSON, which `grantlog data import` reads.

Usage: python3 examples/permify/export.py http://HOST:3476 TENANT > facts.ndjson

It reads over REST, page by page at one snapshot, whose token it gets by a write without facts. It
needs the standard library only.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

PAGE_SIZE = 500
ANSWER_S_MAX = 60.0


def main(address: str, tenant: str) -> None:
    """Print the tenant's tuples, then its attributes."""
    base = f"{address.rstrip('/')}/v1/tenants/{tenant}"
    token = snapshot(base)
    for path, items in (("relationships", "tuples"), ("attributes", "attributes")):
        for fact in facts(f"{base}/data/{path}/read", items, token):
            print(json.dumps(fact))


def snapshot(base: str) -> str:
    """The token that all pages are read at: a write of nothing answers with one."""
    return post(f"{base}/data/write", {"metadata": {}, "tuples": [], "attributes": []})[
        "snap_token"
    ]


def facts(url: str, items: str, token: str) -> Iterator[dict[str, Any]]:
    """Every item of every page of a data read call."""
    request: dict[str, Any] = {
        "metadata": {"snap_token": token},
        "filter": {},
        "page_size": PAGE_SIZE,
    }
    while True:
        page = post(url, request)
        yield from page[items]
        if not page["continuous_token"]:
            return
        request["continuous_token"] = page["continuous_token"]


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a call over REST."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:
        return json.load(answer)


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program and its two arguments
        sys.exit(__doc__)
    try:
        main(sys.argv[1], sys.argv[2])
    except urllib.error.HTTPError as error:
        sys.exit(f"export: {error.url} answered {error.code}: {error.read().decode()}")
    except urllib.error.URLError as error:
        sys.exit(f"export: no answer: {error.reason}")
