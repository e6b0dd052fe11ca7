"""A node whose replica and projector are down serves, from the primary, and says so."""

from __future__ import annotations

from tests.ports import kept_port
from tests.waiting import until
from tests.whole_api import whole_api


async def test_a_node_without_its_replica_and_projector_serves_and_says_so(migrated_database):
    dsn = await migrated_database()
    away = f"postgresql://x@127.0.0.1:{kept_port()}/x"
    async with whole_api(dsn, replica_url=away) as api:

        async def is_probed() -> bool:
            told = (await api.rest.get("/healthz")).json()
            return "does not answer" in told["replicas"]["1"]

        await until(is_probed)
        answer = await api.rest.get("/healthz")
        told = answer.json()
        assert (answer.status_code, told["status"]) == (200, "SERVING")
        assert "does not answer" in told["replicas"]["1"]
        assert "start `grantlog run projector`" in told["degraded"]
        assert "no replica is read: reads go to the primary" in told["degraded"]
        listed = await api.post(
            "Data.ReadRelationships",
            {"tenant_id": "t1", "metadata": {"snap_token": ""}, "filter": {}},
        )
        assert listed.status_code == 200, listed.text
