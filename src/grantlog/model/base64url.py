"""Bytes as URL-safe base64 without padding, in exactly one spelling."""

from __future__ import annotations

import base64


def encode(raw: bytes) -> str:
    """The text of some bytes."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """The bytes of a text.

    Raises:
        ValueError: `encode` never makes such a text. Base64 decoders take padding, blanks and
            bits behind the last byte as they come; then one token has many texts.
    """
    raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if encode(raw) != text:
        raise ValueError("not the one spelling of its bytes")
    return raw
