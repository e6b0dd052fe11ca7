"""A process that publishes the log to Kafka: `publisher_process.py DSN BOOTSTRAP TOPIC`."""

from __future__ import annotations

import asyncio
import sys

from grantlog.runtime.kafka import publish
from grantlog.runtime.kafka_settings import KafkaSettings

if __name__ == "__main__":
    dsn, bootstrap, topic = sys.argv[1:]
    settings = KafkaSettings(kafka_bootstrap=bootstrap, kafka_topic=topic, kafka_partitions=2)
    asyncio.run(publish(dsn, settings, asyncio.Event()))
