"""What the wire room costs per call: validation, JSON, routing, events."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime

from grantlog.api.v1 import service_pb2
from grantlog.model.change import DataWritten, Operation, Transaction, TupleChange
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.model.tuples import parse_tuple
from grantlog.wire.event import decode_transaction, encode_transaction
from grantlog.wire.protojson import decode, encode
from grantlog.wire.transcode import bind, find_route
from grantlog.wire.validate import validate

BODY = b"""{"metadata":{"schema_version":"","snap_token":"","depth":20},
"entity":{"type":"document","id":"12345"},"permission":"view",
"subject":{"type":"user","id":"alice@example.com","relation":""},
"context":{"tuples":[],"attributes":[],"data":{}},"arguments":[]}"""
PATH = "/v1/tenants/t1/permissions/check"


def transaction(changes: int) -> Transaction:
    facts = [parse_tuple(f"document:{i}#viewer@user:alice") for i in range(changes)]
    return Transaction(
        tenant=TenantId("t1"),
        epoch=Epoch(1),
        revision=Revision(7),
        commit_time=datetime(2026, 1, 1, tzinfo=UTC),
        body=DataWritten(
            tuple(TupleChange(Operation.CREATE, fact) for fact in facts), SchemaVersion("v" * 20)
        ),
        salt=b"s" * 16,
        previous_digest=b"p" * 16,
        digest=b"d" * 16,
        write_id=b"w" * 16,
    )


def measure(name: str, call: Callable[[], object], *, runs: int = 5_000) -> None:
    best = min(timeit.repeat(call, timer=time.process_time, number=runs, repeat=7)) / runs
    print(f"{name:<44}{best * 1e6:>10.2f} us")


def main() -> None:
    request = decode(service_pb2.PermissionCheckRequest, BODY)
    request.tenant_id = "t1"
    response = service_pb2.PermissionCheckResponse(can="CHECK_RESULT_ALLOWED")
    response.metadata.check_count = 3
    route, variables = find_route("POST", PATH)
    one, thousand = transaction(1), transaction(1_000)
    one_part, thousand_parts = encode_transaction(one), encode_transaction(thousand)
    measure("validate a check", lambda: validate(request))
    measure("decode a check's JSON", lambda: decode(service_pb2.PermissionCheckRequest, BODY))
    measure("encode a check's JSON answer", lambda: encode(response))
    measure("find the route of a check", lambda: find_route("POST", PATH))
    measure("bind a check (decode, path variables)", lambda: bind(route, variables, (), BODY))
    measure("encode an event of 1 change", lambda: encode_transaction(one))
    measure("decode an event of 1 change", lambda: decode_transaction(one_part))
    measure("encode an event of 1,000", lambda: encode_transaction(thousand), runs=20)
    measure("decode an event of 1,000", lambda: decode_transaction(thousand_parts), runs=20)


if __name__ == "__main__":
    main()
