"""How two nodes prove to each other that they serve the same log, before anything is asked.

Both know a secret of the primary, and the name of the log's present epoch. Each proves it over the
other's random bytes, so that nothing that was heard before opens a stream, and under another label,
so that nobody's proof can be handed back to him. What travels after that is as private as the
network is.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

NONCE_BYTES: Final = 32
NOT_PROVEN: Final = (
    "does not prove that it serves this log: do both nodes have the same primary in "
    "GRANTLOG_DATABASE_URL?"
)
"""Of an asker or an asked; it passes by itself only where one of them has yet to hear of a new
epoch."""
_PURPOSE: Final = b"grantlog.ring.v1"
_ASKER: Final = b"asker"
_ASKED: Final = b"asked"


def ring_key(mac_key: bytes) -> bytes:
    """The key of the nodes of one log, from the secret that lives in its primary."""
    return hmac.digest(mac_key, _PURPOSE, sha256)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a node proves itself by.

    Attributes:
        key: of `ring_key`.
        life: names the log's present epoch; "" while it is not known, then nothing can be proven.
        new_bytes: random bytes, so many.
    """

    key: bytes
    life: Callable[[], str]
    new_bytes: Callable[[int], bytes]

    def nonce(self) -> bytes:
        """Bytes that were never used."""
        return self.new_bytes(NONCE_BYTES)

    def asker(self, challenge: bytes, nonce: bytes) -> bytes:
        """The proof of who opens a stream."""
        return self._proof(_ASKER, challenge, nonce)

    def asked(self, challenge: bytes, nonce: bytes) -> bytes:
        """The proof of who answers on it."""
        return self._proof(_ASKED, challenge, nonce)

    def admits_asker(self, proof: bytes, challenge: bytes, nonce: bytes) -> bool:
        """Whether whoever opens the stream belongs to this log."""
        return self._admits(proof, self.asker(challenge, nonce), nonce)

    def admits_asked(self, proof: bytes, challenge: bytes, nonce: bytes) -> bool:
        """Whether whoever answers belongs to this log."""
        return self._admits(proof, self.asked(challenge, nonce), challenge)

    def _admits(self, proof: bytes, expected: bytes, theirs: bytes) -> bool:
        is_right = hmac.compare_digest(proof, expected)
        return is_right and len(theirs) == NONCE_BYTES and self.life() != ""

    def _proof(self, role: bytes, challenge: bytes, nonce: bytes) -> bytes:
        parts = (role, challenge, nonce, self.life().encode())
        told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self.key, told, sha256)
