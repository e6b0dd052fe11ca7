"""Snap tokens: opaque to clients, *at least as fresh as* to us.

Bytes: format version (1), digest of the tenant (6), epoch (4), revision (8), check (5); base64url
without padding, 32 characters. The check makes a garbled token an error rather than another token;
it is not a secret: a token grants nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from grantlog.errors import InvalidTokenError
from grantlog.model import base64url
from grantlog.model.ids import Epoch, Revision, TenantId

_FORMAT: Final = 1
_LAYOUT: Final = struct.Struct(">B6sIQ")
_CHECK_BYTES: Final = 5
_LENGTH: Final = _LAYOUT.size + _CHECK_BYTES


@dataclass(frozen=True, slots=True)
class SnapToken:
    """A place in a tenant's log."""

    epoch: Epoch
    revision: Revision


def _tenant_digest(tenant: TenantId) -> bytes:
    return blake2b(tenant.encode(), digest_size=6).digest()


def _check(body: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECK_BYTES, person=b"grantlog-snap-1").digest()


def encode_token(tenant: TenantId, token: SnapToken) -> str:
    """The text that clients hold."""
    return encode_place(tenant, token.epoch, token.revision)


@lru_cache(maxsize=4_096)  # answers stand at few places: one for each write of a tenant
def encode_place(tenant: TenantId, epoch: Epoch, revision: Revision) -> str:
    """As `encode_token`; for every answer's place, so it makes no token to make its text."""
    body = _LAYOUT.pack(_FORMAT, _tenant_digest(tenant), epoch, revision)
    return base64url.encode(body + _check(body))


@lru_cache(maxsize=4_096)  # who reads what it wrote sends the same token again and again
def decode_token(tenant: TenantId, text: str) -> SnapToken:
    """The place that a token names.

    Raises:
        InvalidTokenError: garbled, of a format this version does not know, or another tenant's.
    """
    try:
        raw = base64url.decode(text)
    except ValueError as error:
        raise InvalidTokenError("the snap token is not one of ours: it is garbled") from error
    body, check = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
    if len(raw) != _LENGTH or _check(body) != check:
        raise InvalidTokenError("the snap token is not one of ours: it is garbled")
    version, tenant_digest, epoch, revision = _LAYOUT.unpack(body)
    if version != _FORMAT:
        raise InvalidTokenError("the snap token has a format that this server does not know")
    if tenant_digest != _tenant_digest(tenant):
        raise InvalidTokenError("the snap token belongs to another tenant")
    return SnapToken(Epoch(epoch), Revision(revision))
