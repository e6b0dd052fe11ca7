"""The broker that the other tests here stand on: it keeps what it acknowledged through a crash."""

from __future__ import annotations

import signal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.kafka import Broker


async def test_a_killed_broker_comes_back_with_what_it_acknowledged(own_broker: Broker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=own_broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=own_broker.bootstrap, acks="all") as producer:
        for number in range(5):
            await producer.send_and_wait("kept", b"%d" % number, partition=0)
    own_broker.stop(signal.SIGKILL)
    own_broker.start()
    consumer = AIOKafkaConsumer(bootstrap_servers=own_broker.bootstrap, enable_auto_commit=False)
    async with consumer:
        place = TopicPartition("kept", 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        found = [await consumer.getone() for _ in range(5)]
    assert [record.value for record in found] == [b"0", b"1", b"2", b"3", b"4"]
