"""Schema versions: 20 lower-case characters (base32hex) that sort in the order of writing."""

from __future__ import annotations

import base64
from datetime import datetime
from hashlib import blake2b

from grantlog.model.chain import microseconds
from grantlog.model.ids import Revision, SchemaVersion, TenantId


def schema_version(tenant: TenantId, revision: Revision, commit_time: datetime) -> SchemaVersion:
    """The version that a revision writes: 64 bits of commit time, 36 bits that tell tenants apart.

    Commit times increase strictly within a tenant, so versions sort as revisions do.
    """
    time = microseconds(commit_time).to_bytes(8, "big")
    mark = blake2b(f"{tenant}\n{revision}".encode(), digest_size=5).digest()
    return SchemaVersion(base64.b32hexencode(time + mark).decode().lower()[:20])
