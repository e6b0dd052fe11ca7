"""The rules of the protos as they are enforced: what `validate` checks and the documents say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

from grantlog.api.v1 import validate_pb2
from grantlog.model.ids import NAME, NAME_BYTES_MAX

CONTRACT_NAME: Final = "^[a-zA-Z_]{1,64}$"
"""The contract's rule for names; names of its alphabet may be longer here (ADR 0010)."""


@dataclass(frozen=True, slots=True)
class TextRule:
    """What a text must be."""

    pattern: str
    """A regular expression that it contains a match of; "" if there is none."""
    bytes_max: int | None
    """Of its UTF-8; None if nothing bounds it but the message's size."""
    may_be_empty: bool
    """Whether "" passes, and so a field that is left out."""


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """The rules in the proto; empty ones if it has none."""
    return field.GetOptions().Extensions[validate_pb2.rules]


def text_rule(field: FieldDescriptor) -> TextRule | None:
    """What is enforced on a field that holds one text; None if nothing is."""
    rules = rules_of(field)
    if field.is_repeated or rules.WhichOneof("type") != "string":
        return None
    text = rules.string
    pattern, bytes_max = text.pattern, text.max_bytes if text.HasField("max_bytes") else None
    if pattern == CONTRACT_NAME:
        pattern, bytes_max = f"^{NAME.pattern}$", NAME_BYTES_MAX
    may_be_empty = text.ignore_empty or re.search(pattern, "") is not None
    return TextRule(pattern, bytes_max, may_be_empty)


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request that leaves the field out is refused."""
    rules = rules_of(field)
    if field.containing_oneof is not None:
        return False
    match rules.WhichOneof("type"):
        case "string":
            rule = text_rule(field)
            return rule is not None and not rule.may_be_empty
        case "int32":
            return rules.int32.gte > 0 and not rules.int32.ignore_empty
        case "uint32":
            return rules.uint32.gte > 0 and not rules.uint32.ignore_empty
        case "repeated":
            return rules.repeated.min_items > 0
        case _:
            return rules.message.required
