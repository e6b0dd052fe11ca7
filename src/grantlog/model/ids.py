"""Identifiers and their alphabets. The alphabets are the wire contract's NAME and ID."""

from __future__ import annotations

import re
from typing import Final, NewType

TenantId = NewType("TenantId", str)
Revision = NewType("Revision", int)
"""Dense place of a transaction in its tenant's order: 1, 2, 3 …; 0 is before the first write."""

NOTHING: Final = Revision(0)
"""The revision before the first write."""

SchemaVersion = NewType("SchemaVersion", str)
"""Immutable id of a compiled schema: 20 lower-case characters that sort in revision order."""

Epoch = NewType("Epoch", int)
"""Number of the log's life: a failover or restore opens the next one."""

ANY_EPOCH: Final = Epoch(0)
"""Of a read that takes a revision of whichever log is there; no log has this number."""

NAME: Final = re.compile(r"[a-zA-Z_]{1,128}")
ID: Final = re.compile(r"[a-zA-Z0-9_\-@\.:+]{1,128}|\*")
SCHEMA_VERSION: Final = re.compile(r"[0-9a-v]{20}")
"""Match all with `fullmatch`: Python's `$` accepts a trailing newline."""

NAME_BYTES_MAX: Final = 128
"""Twice what the contract's rule allows; docs/adr/0010-long-names.md says why."""
ID_BYTES_MAX: Final = 128
