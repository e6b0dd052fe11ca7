"""deploy/consumer.yaml beside compose.yaml: the consumer's table follows what a node is told."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from dataclasses import replace

import pytest

from tests.deploy.compose_file import CONSUMER, read_compose
from tests.deploy.deployment import PASSWORD, Deployment, place_of
from tests.e2e.doors import Rest
from tests.servers import Server
from tests.waiting import until

SCHEMA = "entity user {}\nentity doc { relation viewer @user }"


async def test_a_consumer_inside_the_network_follows(
    deployment: Deployment, server: Server, topic: str
):
    said = read_compose({"POSTGRES_PASSWORD": PASSWORD}, CONSUMER)["consumer"]
    # The broker of the tests is others' too, so the topic has another name than the usual one.
    deployment.services["consumer"] = replace(said, command=[*said.command, "--topic", topic])
    consumer = deployment.add("consumer")
    tenant = f"t-{secrets.token_hex(6)}"
    with contextlib.closing(Rest(place_of(deployment.api[0]))) as node:
        node.call(tenant, "schemas/write", {"schema": SCHEMA})
        entity, subject = {"type": "doc", "id": "1"}, {"type": "user", "id": "ann"}
        fact = {"entity": entity, "relation": "viewer", "subject": subject}
        node.call(tenant, "data/write", {"metadata": {}, "tuples": [fact]})
    database = consumer.log.parent / "volume-consumer" / "tuples.db"

    def followed() -> bool:
        with (
            contextlib.suppress(sqlite3.OperationalError),  # not there yet
            contextlib.closing(sqlite3.connect(database)) as table,
        ):
            query = "SELECT entity_id, subject_id FROM tuples WHERE tenant = ?"
            return table.execute(query, (tenant,)).fetchall() == [("1", "ann")]
        return False

    try:
        await until(followed, within_s=60)
    except TimeoutError:
        pytest.fail(consumer.said())
    assert consumer.stop() == 0, consumer.said()
    deployment.remove(consumer)
