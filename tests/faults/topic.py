"""What a stranger makes of the topic who knows docs/change-topic.md and nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from grantlog.event.v1 import event_pb2
from grantlog.model.ids import TenantId
from tests.faults.deployment import PARTITIONS, PRIMARY, Deployment

TOPIC = "grantlog.changes"
Place = tuple[int, int]
"""Revision and part."""

# Of a life that ended some rows may still wait to be purged, and were never sent if it ended first.
_LIVING = """
SELECT t.tenant_id, t.revision, t.part, t.payload
FROM transactions AS t
INNER JOIN heads AS h ON h.tenant_id = t.tenant_id AND t.revision >= h.begins_rev
WHERE t.tenant_id = ANY($1::text[])
ORDER BY t.tenant_id, t.revision, t.part
"""


@dataclass
class Consumer:
    """Follows one partition by the page's rules."""

    publisher: tuple[int, ...] = (0, 0)
    held: dict[str, dict[Place, bytes]] = field(default_factory=lambda: defaultdict(dict))
    """By tenant, in the order in which they came."""
    lost: list[str] = field(default_factory=list)
    """Events that came where the one before was missing."""

    def take(self, key: bytes | None, value: bytes, headers: dict[str, str]) -> None:
        publisher = tuple(map(int, headers["grantlog-publisher"].split(".")))
        if publisher < self.publisher:
            return
        self.publisher = publisher
        if headers["grantlog-kind"] != "event" or key is None:
            return
        part, parts = map(int, headers["grantlog-part"].split("/"))
        place = (int(headers["grantlog-revision"]), part)
        held = self.held[key.decode()]
        last = next(reversed(held), (0, 0))
        if place <= last:
            return
        event = event_pb2.Event.FromString(value)
        follows = place in {(last[0] + 1, 0), (last[0], last[1] + 1)}
        if not follows and event.WhichOneof("body") != "tenant_deleted":
            self.lost.append(f"{key.decode()}: {place} of {parts} parts behind {last}")
        held[place] = value


async def topic_differs(deployment: Deployment, tenants: list[TenantId]) -> list[str]:
    """In what the topic, read from its beginning, is not the log of these tenants' lives now."""
    consumers = await _read(deployment)
    async with deployment.primary.session(PRIMARY) as connection:
        rows = await connection.fetch(
            _LIVING,
            list(tenants),
        )
    wanted: dict[str, dict[Place, bytes]] = defaultdict(dict)
    for row in rows:
        wanted[row["tenant_id"]][row["revision"], row["part"]] = row["payload"]
    found = {tenant: held for one in consumers for tenant, held in one.held.items()}
    differs = [text for one in consumers for text in one.lost]
    for tenant in tenants:
        begins = min(wanted[tenant], default=(0, 0))
        held = {place: value for place, value in found.get(tenant, {}).items() if place >= begins}
        if held != wanted[tenant]:
            missing = sorted(wanted[tenant].keys() - held.keys())
            more = sorted(held.keys() - wanted[tenant].keys())
            others = [place for place, value in held.items() if wanted[tenant].get(place) != value]
            differs.append(
                f"{tenant}, whose life begins at {begins}: not on the topic {missing[:20]}, "
                f"not in the log {more[:20]}, another on the topic {others[:20]}; it has places up "
                f"to {max(held, default=None)}"
            )
    return differs


async def _read(deployment: Deployment) -> list[Consumer]:
    consumers = [Consumer() for _ in range(PARTITIONS)]
    client = AIOKafkaConsumer(
        bootstrap_servers=f"127.0.0.1:{deployment.broker.advertised_port}", enable_auto_commit=False
    )
    await client.start()
    try:
        places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        client.assign(places)
        await client.seek_to_beginning(*places)
        for place, end in (await client.end_offsets(places)).items():
            while await client.position(place) < end:
                for record in (await client.getmany(place, timeout_ms=500)).get(place, ()):
                    headers = {name: value.decode() for name, value in record.headers}
                    consumers[place.partition].take(record.key, record.value or b"", headers)
    finally:
        await client.stop()
    return consumers
