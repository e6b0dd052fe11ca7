"""The change log on Kafka: the publisher that puts it there, the log that followers read."""
