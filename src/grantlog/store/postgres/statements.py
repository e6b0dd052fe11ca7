"""SQL by name: `sql/*.sql` holds blocks that begin with a line `-- name: the_name`.

The text of a block is what stands behind its name line, without lines that are comments: those are
for the reader of the file, not for the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"-- name: ([a-z][a-z0-9_]*)\s*")


@cache
def load(name: str, *, package: str = "grantlog.store.postgres") -> Mapping[str, str]:
    """The statements of the package's `sql/<name>.sql`, by name.

    Raises:
        ValueError: a name stands twice, a block is empty, or text stands before the first name.
    """
    text = (files(package) / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def parse(text: str) -> dict[str, str]:
    """Split the text of a statement file into its blocks; errors as `load`."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.splitlines():
        if match := _NAME.fullmatch(line):
            if match[1] in blocks:
                raise ValueError(f"statement {match[1]!r} stands twice")
            lines = blocks[match[1]] = []
        elif not line.strip() or line.lstrip().startswith("--"):
            continue
        elif lines is None:
            raise ValueError(f"{line!r} stands before the first name")
        else:
            lines.append(line.rstrip())
    for block, body in blocks.items():
        if not body:
            raise ValueError(f"statement {block!r} is empty")
    return {block: "\n".join(body).removesuffix(";") for block, body in blocks.items()}
