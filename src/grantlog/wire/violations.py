"""Broken rules as they are told: the wire contract's texts, and the caller's words.

The contract's texts name messages and regular expressions; clients compare them, so they stay.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor

from grantlog.errors import FieldViolationError

CONTRACT_ID: Final = r"^([a-zA-Z0-9_\-@\.:+]{1,128}|\*)$"
"""The contract's rule for ids."""
ID_MEANING: Final = "must be 1 to 128 of the characters a-z A-Z 0-9 _ - @ . : + (or a single *)"
NAME_MEANING: Final = "must not be empty, and of the characters a-z A-Z _ alone"
_EMBEDDED: Final = "embedded message failed validation | caused by: "


def missing(prefix: str, name: str) -> FieldViolationError:
    """Nothing is given for what must be there."""
    return FieldViolationError(f"{prefix}value is required", field=name, meaning="is required")


def too_long(prefix: str, name: str, bytes_max: int) -> FieldViolationError:
    """A text has too many bytes."""
    return FieldViolationError(
        f"{prefix}value length must be at most {bytes_max} bytes",
        field=name,
        meaning=f"must have at most {bytes_max} bytes",
    )


def below(violation: FieldViolationError, prefix: str, step: str) -> FieldViolationError:
    """A violation as seen from one message further out.

    Args:
        violation: of an embedded message.
        prefix: where that lies, in the contract's words.
        step: the same as JSON names it.
    """
    return FieldViolationError(
        f"{prefix}{_EMBEDDED}{violation.text}",
        field=f"{step}.{violation.field}",
        meaning=violation.meaning,
    )


def place(message: Descriptor | None, name: str) -> str:
    """What the contract's text of a field's violation begins with."""
    owner = message.name if message is not None else ""
    return f"invalid {owner}.{_go_name(name)}: "


def _go_name(name: str) -> str:
    """The name as Go spells it: `tenant_id` is `TenantId`."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))
