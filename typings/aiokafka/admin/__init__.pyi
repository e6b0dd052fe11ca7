"""The administration of topics."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin.config_resource import ConfigResource

class NewTopic:
    def __init__(
        self,
        name: str,
        num_partitions: int,
        replication_factor: int,
        replica_assignments: Mapping[int, Sequence[int]] | None = None,
        topic_configs: Mapping[str, str] | None = None,
    ) -> None: ...

class _CreateTopicsResponse:
    topic_errors: list[tuple[str, int, str | None]]

class _DescribeConfigsResponse:
    resources: list[tuple[int, str | None, int, str, list[tuple[Any, ...]]]]

class AIOKafkaAdminClient:
    def __init__(
        self,
        *,
        bootstrap_servers: str | list[str] = ...,
        client_id: str = ...,
        request_timeout_ms: int = ...,
        retry_backoff_ms: int = ...,
        security_protocol: str = ...,
        ssl_context: ssl.SSLContext | None = ...,
        sasl_mechanism: str = ...,
        sasl_plain_username: str | None = ...,
        sasl_plain_password: str | None = ...,
    ) -> None: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def create_topics(self, new_topics: Sequence[NewTopic]) -> _CreateTopicsResponse: ...
    async def describe_topics(
        self, topics: Sequence[str] | None = None
    ) -> list[dict[str, Any]]: ...
    async def describe_configs(
        self, config_resources: Sequence[ConfigResource]
    ) -> list[_DescribeConfigsResponse]: ...
    async def describe_cluster(self) -> dict[str, Any]: ...
    async def delete_topics(self, topics: Sequence[str]) -> Any: ...
