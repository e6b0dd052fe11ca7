"""Follow the topic of changes, and keep the tuples of every tenant in a table of SQLite."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from grpc import aio
from table import TupleTable, opened

from grantlog.api.v1 import service_pb2, service_pb2_grpc
from grantlog.consumer import (
    Api,
    KafkaOptions,
    RebuildNeededError,
    TenantPosition,
    follow,
    position_of,
)
from grantlog.errors import GrantlogError
from grantlog.model.tuples import RelationTuple
from grantlog.wire.facts import relation_tuple

PAGE = 1_000


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    parser.add_argument("--topic", default="grantlog.changes")
    parser.add_argument("--api", required=True, help="host:port of an API node's gRPC")
    parser.add_argument("--database", type=Path, default=Path("tuples.db"))
    parser.add_argument("--user", help="of Kafka; the password is KAFKA_PASSWORD's")
    parser.add_argument("--security-protocol", default="PLAINTEXT")
    parser.add_argument("--sasl-mechanism", default="PLAIN")
    parser.add_argument("--ca-file", help="PEM of the authorities that sign brokers' certificates")
    return parser.parse_args()


async def read_anew(channel: aio.Channel, tenant: str) -> tuple[list[RelationTuple], str]:
    """Every tuple of a tenant as of one revision, and the snap token of that."""
    stub = service_pb2_grpc.DataStub(channel)
    tuples: list[RelationTuple] = []
    request = service_pb2.RelationshipReadRequest(
        tenant_id=tenant, metadata={}, filter={}, page_size=PAGE
    )
    while True:
        head = (("grantlog-consistency", "head"),) if not request.continuous_token else ()
        call = stub.ReadRelationships(request, metadata=head)
        page = await call
        tuples += map(relation_tuple, page.tuples)
        if not page.continuous_token:  # every page stands at the first one's revision
            return tuples, dict(await call.trailing_metadata())["grantlog-token"]
        request.continuous_token = page.continuous_token


async def run(options: argparse.Namespace, table: TupleTable) -> None:
    """Follow until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    kafka = KafkaOptions(
        options.bootstrap,
        security_protocol=options.security_protocol,
        sasl_mechanism=options.sasl_mechanism,
        sasl_username=options.user,
        sasl_password=os.environ.get("KAFKA_PASSWORD"),  # noqa: TID251 - this program's setting
        tls_ca_file=options.ca_file,
    )
    api = Api(options.api)
    async with api.channel() as channel:

        async def rebuild(needed: RebuildNeededError) -> TenantPosition:
            print(f"reading {needed.tenant} anew: {needed.why}", flush=True)
            tuples, token = await read_anew(channel, needed.tenant)
            position = position_of(needed.tenant, token)
            table.replace(needed.tenant, tuples, position)
            return position

        print("following", flush=True)
        await follow(kafka, options.topic, table, stop=stop, api=api, on_rebuild=rebuild)


def main() -> None:
    """See the module."""
    options = arguments()
    # With Kafka away its client logs every attempt; what matters grantlog.consumer logs.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # noqa: TID251 - not our logger
    try:
        with opened(options.database) as table:
            asyncio.run(run(options, table))
    except BlockingIOError:
        sys.exit(f"another process follows into {options.database}")
    except GrantlogError as error:
        sys.exit(error.explanation)


if __name__ == "__main__":
    main()
