"""The Bundle service's calls, and the one of Data that runs a bundle."""

from __future__ import annotations

from grantlog.api.v1 import service_pb2
from grantlog.app.bundles import Bundles
from grantlog.app.resolve import token_of
from grantlog.model.ids import TenantId
from grantlog.wire import convert


class BundleHandlers:
    """Stores, shows, removes and runs bundles."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles

    async def write(
        self, request: service_pb2.BundleWriteRequest
    ) -> service_pb2.BundleWriteResponse:
        """base.v1.Bundle/Write."""
        bundles = [convert.bundle(item) for item in request.bundles]
        await self._bundles.write(TenantId(request.tenant_id), bundles)
        return service_pb2.BundleWriteResponse(names=[bundle.name for bundle in bundles])

    async def read(self, request: service_pb2.BundleReadRequest) -> service_pb2.BundleReadResponse:
        """base.v1.Bundle/Read."""
        bundle = await self._bundles.read(TenantId(request.tenant_id), request.name)
        return service_pb2.BundleReadResponse(bundle=convert.bundle_message(bundle))

    async def delete(
        self, request: service_pb2.BundleDeleteRequest
    ) -> service_pb2.BundleDeleteResponse:
        """base.v1.Bundle/Delete."""
        await self._bundles.delete(TenantId(request.tenant_id), request.name)
        return service_pb2.BundleDeleteResponse(name=request.name)

    async def run(self, request: service_pb2.BundleRunRequest) -> service_pb2.BundleRunResponse:
        """base.v1.Data/RunBundle."""
        tenant = TenantId(request.tenant_id)
        head = await self._bundles.run(tenant, request.name, dict(request.arguments))
        return service_pb2.BundleRunResponse(snap_token=token_of(tenant, head))
