"""The connections behind aiokafka's producers."""

class AIOKafkaClient:
    async def close(self) -> None: ...
