"""Print every fact of a Permify tenant as lines of JSON, which `grantlog data import` reads.

    python3 examples/permify/export.py http://HOST:3476 TENANT > facts.ndjson

Where the server wants to know who asks, add --header 'Authorization: Bearer …'. It reads over REST,
page by page at one snapshot, whose token it gets by a write without facts, and needs the standard
library only.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

PAGE_SIZE = 500
ANSWER_S_MAX = 60.0


class Tenant:
    """A tenant of a server.

    Args:
        address: http:// or https:// address of REST.
        name: the tenant's id.
        headers: of every request.
    """

    def __init__(self, address: str, name: str, headers: dict[str, str]) -> None:
        self._data = f"{address.rstrip('/')}/v1/tenants/{name}/data"
        self._headers = headers | {"Content-Type": "application/json"}

    def snapshot(self) -> str:
        """The token that all pages are read at: a write of nothing answers with one."""
        nothing = {"metadata": {}, "tuples": [], "attributes": []}
        return self._post("write", nothing)["snap_token"]

    def facts(self, kind: str, items: str, token: str) -> Iterator[dict[str, Any]]:
        """Every item of every page of a data read call."""
        request: dict[str, Any] = {
            "metadata": {"snap_token": token},
            "filter": {},
            "page_size": PAGE_SIZE,
        }
        while True:
            page = self._post(f"{kind}/read", request)
            yield from page[items]
            if not page["continuous_token"]:
                return
            request["continuous_token"] = page["continuous_token"]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._data}/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), self._headers)
        with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:
            return json.load(answer)


def header(text: str) -> tuple[str, str]:
    """A header of the command line."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no header: give 'Name: value'")
    return name.strip(), value.strip()


def address(text: str) -> str:
    """An address of the command line."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} has no scheme: give http://HOST:PORT")
    return text


def main() -> None:
    """Print the tenant's tuples, then its attributes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", type=address, help="of REST: http://HOST:3476")
    parser.add_argument("tenant", help="its id")
    parser.add_argument(
        "--header", type=header, action="append", default=[], help="'Name: value', of each request"
    )
    asked = parser.parse_args()
    tenant = Tenant(asked.address, asked.tenant, dict(asked.header))
    token = tenant.snapshot()
    for kind, items in (("relationships", "tuples"), ("attributes", "attributes")):
        for fact in tenant.facts(kind, items, token):
            print(json.dumps(fact))


if __name__ == "__main__":
    try:
        main()
    except urllib.error.HTTPError as error:
        sys.exit(f"export: {error.url} answered {error.code}: {error.read().decode()}")
    except urllib.error.URLError as error:
        sys.exit(f"export: no answer: {error.reason}")
