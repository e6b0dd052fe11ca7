"""The deployment of compose.yaml, for every test of this folder."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.deploy.deployment import Deployment, deployed, place_of
from tests.deploy.proxy import proxy_program
from tests.servers import Server


@pytest.fixture(scope="package")
def topic() -> str:
    return f"grantlog.test.deployed.{secrets.token_hex(8)}"


@pytest.fixture(scope="package")
def deployment(postgres_url: str, kafka: str, topic: str) -> Iterator[Deployment]:
    """Two API nodes, and one of everything else; in the end all must stop well and in time."""
    with deployed(postgres_url, kafka, topic, {"api": 2}) as running:
        yield running
        codes = running.down()
        assert {code for of_one in codes.values() for code in of_one} == {0}, codes


@pytest.fixture(scope="package")
def server(deployment: Deployment) -> Server:
    """The one address, for tests that know only where a service is."""
    if proxy_program() is None:
        pytest.skip("not run: Envoy is not installed (make test installs it)")
    return place_of(deployment.containers["proxy"][0])
