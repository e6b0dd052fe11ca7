"""The gRPC server describes itself (reflection), so that tools need no .proto files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc import aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1: Final = "grpc.reflection.v1.ServerReflection"
"""The same service under its newer name: its messages are those of v1alpha, byte for byte."""


class _Descriptions:
    """The pool of all descriptors; finds methods of services too, which the library's does not."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the pool's name
        """The file that declares a type, a service or, as `base.v1.Watch.Watch`, a method.

        Raises:
            KeyError: nothing is called so.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            descriptor = self._pool.FindServiceByName(service)
            return descriptor.methods_by_name[method].containing_service.file


def describe(server: aio.Server, services: Sequence[str]) -> None:
    """Let the server answer what services, methods and messages it has.

    Args:
        server: the server, not started yet.
        services: the full names of what it serves.
    """
    pool = _Descriptions(descriptor_pool.Default())
    names = [*services, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server, pool=cast("Any", pool))
    servicer = reflection.aio.ReflectionServicer(names, pool=cast("Any", pool))
    handler = grpc.stream_stream_rpc_method_handler(
        cast("Any", servicer.ServerReflectionInfo),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, handlers),))
    cast("Any", server).add_registered_method_handlers(V1, handlers)  # not in the stubs
