"""What `projector status` and `topic status` say when something is wrong, and their exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from grantlog.changelog.postgres.outbox import Outbox
from grantlog.changelog.postgres.topic_record import TopicRecord, refuse_other
from grantlog.cli.__main__ import main
from grantlog.errors import PreconditionError
from grantlog.store.postgres.followers import HOLD, beat
from grantlog.store.postgres.pool import open_pool
from tests.ports import kept_port

TOPIC = TopicRecord("grantlog.changes", 2, "some-cluster")


async def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = await asyncio.to_thread(main, arguments)
    told = capsys.readouterr()
    return code, told.out + told.err


async def test_a_replica_for_which_nobody_beats_is_wrong(
    capsys, monkeypatch, migrated_database: Callable[..., Awaitable[str]]
):
    dsn = await migrated_database()
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", dsn)
    monkeypatch.setenv("GRANTLOG_REPLICA_URL", await migrated_database(seed=False))
    async with open_pool(dsn, size_max=1, application_name="test") as pool:
        await beat(pool, "rebuild", HOLD)
        code, told = await said(capsys, "projector", "status")
        assert (code, "nobody beats: start `grantlog run projector`" in told) == (1, True), told
        await beat(pool, "maintenance", "maintenance")
        code, told = await said(capsys, "projector", "status")
        assert (code, "nobody beats" in told) == (0, False), told
        await pool.execute("UPDATE followers SET beat_at = beat_at - interval '82 s'")
        assert (await said(capsys, "projector", "status"))[0] == 1


async def test_the_cause_stands_at_the_end_and_whether_kafka_was_asked(
    capsys, monkeypatch, migrated_database
):
    dsn = await migrated_database()
    monkeypatch.setenv("GRANTLOG_DATABASE_URL", dsn)
    async with open_pool(dsn, size_max=1, application_name="test") as pool:
        await Outbox(pool, owner="test").record_topic(TOPIC)
    code, told = await said(capsys, "topic", "status")
    assert code == 1
    assert "Kafka was not asked: GRANTLOG_KAFKA_BOOTSTRAP is not set" in told
    assert told.splitlines()[-1].startswith("WRONG: nobody publishes partition 1: start ")
    monkeypatch.setenv("GRANTLOG_KAFKA_BOOTSTRAP", f"127.0.0.1:{kept_port()}")
    monkeypatch.setenv("GRANTLOG_KAFKA_TOPIC", "another")
    monkeypatch.setenv("GRANTLOG_KAFKA_PARTITIONS", "2")
    code, told = await said(capsys, "topic", "status")
    assert code == 1
    assert told.splitlines()[-1] == (
        "WRONG: Kafka: the log is on the topic grantlog.changes, GRANTLOG_KAFKA_TOPIC says "
        "another: start this service with GRANTLOG_KAFKA_TOPIC=grantlog.changes"
    )


async def test_the_help_names_the_variable_that_leads_to_kafka(capsys):
    code, told = await said(capsys, "topic", "status", "--help")
    assert (code, "GRANTLOG_KAFKA_BOOTSTRAP" in told) == (0, True)


def test_who_has_the_old_topic_is_told_the_new_one_and_not_to_move_the_log_back():
    with pytest.raises(PreconditionError) as caught:
        refuse_other(TOPIC, name="old", partitions=2)
    assert "start this service with GRANTLOG_KAFKA_TOPIC=grantlog.changes" in str(
        caught.value.explanation
    )
    assert "topic move" not in caught.value.explanation
    with pytest.raises(PreconditionError, match="GRANTLOG_KAFKA_PARTITIONS=2"):
        refuse_other(TOPIC, name="grantlog.changes", partitions=8)
