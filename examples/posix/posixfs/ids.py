"""Paths as entity ids: different paths never share one."""

from __future__ import annotations

import string
from hashlib import blake2b
from typing import Final

ID_BYTES_MAX: Final = 128
_PLAIN: Final = frozenset((string.ascii_letters + string.digits + "_-.@").encode())


def _spell(byte: int) -> str:
    if byte == ord("/"):
        return ":"
    return chr(byte) if byte in _PLAIN else f"+{byte:02x}"


_SPELLING: Final = tuple(_spell(byte) for byte in range(256))


def path_id(path: bytes) -> str:
    """The entity id of an absolute path: `/usr/bin/g++` is `:usr:bin:g+2b+2b`.

    `/` becomes `:`, bytes outside the id alphabet (and `:` and `+`) become `+` and two hex digits,
    which can be read back. A path whose spelling is longer than an id may be becomes `+` and 256
    bits of BLAKE2b: spellings begin with `:`, so the two forms never meet.
    """
    if not path.startswith(b"/"):
        raise ValueError(f"{path!r} is not an absolute path")
    spelled = "".join([_SPELLING[byte] for byte in path])
    if len(spelled) <= ID_BYTES_MAX:
        return spelled
    return "+" + blake2b(path, digest_size=32).hexdigest()
