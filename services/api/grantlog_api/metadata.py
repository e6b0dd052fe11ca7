"""What a request says beside its message: gRPC metadata, or headers and parameters of REST.

Only names that begin with `grantlog-` are kept. A door sets them for the task that answers, a
handler reads them there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

PREFIX: Final = "grantlog-"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CURRENT: ContextVar[Mapping[str, str]] = ContextVar("request metadata", default=_NONE)


def set_request_metadata(pairs: Iterable[tuple[str, str | bytes]]) -> None:
    """Keep what the current task's request says; of a name that comes twice, both, with a comma."""
    kept: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(PREFIX) and isinstance(value, str):
            kept[name] = f"{kept[name]},{value}" if name in kept else value
    _CURRENT.set(kept)


def request_metadata() -> Mapping[str, str]:
    """What the request that is being answered says, by lower-case name."""
    return _CURRENT.get()
