"""A digest of what is true in a tenant: two copies agree exactly if their digests do. Pure.

Rows are fed in key order, so that physical layout, batching and folding order leave no trace. Each
row is a JSON array, which delimits itself: no two states share an encoding.
"""

from __future__ import annotations

from hashlib import blake2b

import orjson

from grantlog.model.attributes import AttributeValue
from grantlog.model.chain import DIGEST_BYTES
from grantlog.model.ids import Revision, SchemaVersion


class StateDigest:
    """Accumulates schemas by version, then tuples, then attributes, each in key order."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=DIGEST_BYTES, person=b"grantlog-state-1")

    def add_schema(self, version: SchemaVersion, created: Revision, text: str) -> None:
        """A schema version of the tenant's life."""
        self._hash.update(orjson.dumps(("s", version, created, text)))

    def add_tuple(self, key: tuple[str, ...], created: Revision) -> None:
        """A tuple: entity type, id, relation, subject relation, subject type, subject id."""
        self._hash.update(orjson.dumps(("t", *key, created)))

    def add_attribute(
        self, key: tuple[str, str, str], value: AttributeValue, created: Revision
    ) -> None:
        """An attribute: entity type, entity id, name."""
        # repr keeps what JSON would merge: 1 and 1.0, -0.0, infinities.
        self._hash.update(orjson.dumps(("a", *key, value.type, repr(value.data), created)))

    def finish(self) -> bytes:
        """The digest of all that was added."""
        return self._hash.digest()
