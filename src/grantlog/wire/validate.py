"""Validation of requests by the rules in the protos, with the wire contract's texts.

The contract's texts name messages and regular expressions; beside them a violation says which field
it is, as JSON names it, and what the field is to be.

Each message type is compiled once into closures; the first violation wins, in field order as
protoc-gen-validate orders it: the fields outside oneofs, then the oneofs. Patterns are RE2 in the
contract, where `$` is the end of the text; here an anchored pattern is matched whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from grantlog.api.v1 import validate_pb2
from grantlog.errors import FieldViolationError
from grantlog.model.ids import NAME, NAME_BYTES_MAX
from grantlog.wire.rules import CONTRACT_NAME, rules_of
from grantlog.wire.violations import (
    CONTRACT_ID,
    ID_MEANING,
    NAME_MEANING,
    below,
    missing,
    place,
    too_long,
)

Check: TypeAlias = Callable[[Any], None]

_CONTRACT_NAME_BYTES_MAX: Final = 64
_IS_NAME: Final = NAME.fullmatch
_OF_LETTERS: Final = re.compile("[a-zA-Z_]*").fullmatch
_RULED_PACKAGE: Final = "base.v1"


def validate(message: Message) -> None:
    """Return if the message keeps all rules of its type.

    Raises:
        FieldViolationError: the first rule that it breaks.
    """
    for check in _checks(message.DESCRIPTOR):
        check(message)


def validate_around(message: Message, repeated: str) -> None:
    """As `validate`, of a message whose entries of one field are known to keep their rules.

    Raises:
        FieldViolationError: the first other rule that the message breaks.
    """
    for check in _checks(message.DESCRIPTOR, repeated):
        check(message)


@cache
def _checks(descriptor: Descriptor, known: str = "") -> tuple[Check, ...]:
    """The checks of a message type, in order; empty if nothing below it has a rule.

    Of the repeated field that is `known` only those that are not of its entries.
    """
    free = [f for f in descriptor.fields if f.containing_oneof is None]
    checks = [
        check for field in free for check in _field_checks(field, entries_known=known == field.name)
    ]
    for oneof in descriptor.oneofs:
        checks.extend(_oneof_checks(oneof))
    return tuple(checks)


def _oneof_checks(oneof: OneofDescriptor) -> list[Check]:
    checks = [check for field in oneof.fields for check in _member_checks(field)]
    if oneof.GetOptions().Extensions[validate_pb2.required]:
        name, prefix = oneof.name, place(oneof.containing_type, oneof.name)

        def check_set(message: Message) -> None:
            if message.WhichOneof(name) is None:
                raise missing(prefix, name)

        checks.append(check_set)
    return checks


def _member_checks(field: FieldDescriptor) -> list[Check]:
    """Checks of a oneof's member, which apply only while it is the one that is set."""
    name, checks = field.name, _field_checks(field)

    def guard(check: Check) -> Check:
        return lambda message: check(message) if message.HasField(name) else None

    return [guard(check) for check in checks]


def _field_checks(field: FieldDescriptor, *, entries_known: bool = False) -> list[Check]:
    rules = rules_of(field)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_checks(field)
    if field.is_repeated:
        counted = _count_checks(field, rules.repeated)
        return counted if entries_known else [*counted, *_entry_checks(field)]
    match rules.WhichOneof("type"):
        case "string":
            return [_string_check(field, rules.string)]
        case "int32":
            return [_at_least_check(field, rules.int32)]
        case "uint32":
            return [_at_least_check(field, rules.uint32)]
        case None:  # message rules stand outside the oneof
            return _message_checks(field, required=rules.message.required)
        case kind:
            raise NotImplementedError(f"{field.full_name}: rules of kind {kind}")


def _string_check(field: FieldDescriptor, rules: validate_pb2.StringRules) -> Check:
    """Length in bytes, then the pattern."""
    _refuse_others(field, rules, {"max_bytes", "pattern", "ignore_empty"})
    name, prefix = field.name, place(field.containing_type, field.name)
    max_bytes = rules.max_bytes if rules.HasField("max_bytes") else None
    matches = _matcher(rules.pattern) if rules.HasField("pattern") else None
    if rules.pattern == CONTRACT_NAME:
        return _name_check(name, prefix, optional=rules.ignore_empty)
    pattern, ignore_empty = rules.pattern.replace("\\", "\\\\"), rules.ignore_empty
    unmatched = f'{prefix}value does not match regex pattern "{pattern}"'
    meaning = ID_MEANING if rules.pattern == CONTRACT_ID else f"must match {rules.pattern}"

    def check_slowly(value: str) -> None:
        if not value and ignore_empty:
            return
        if max_bytes is not None and len(value.encode()) > max_bytes:
            raise too_long(prefix, name, max_bytes)
        if matches is not None and matches(value) is None:
            raise FieldViolationError(unmatched, field=name, meaning=meaning)

    if max_bytes is None or matches is None:
        return lambda message: check_slowly(getattr(message, name))

    def check(message: Message) -> None:
        value: str = getattr(message, name)
        # Most texts pass; benchmarks/wire_micro.py is the judge of this shortcut.
        if not (value.isascii() and len(value) <= max_bytes and matches(value)):
            check_slowly(value)

    return check


def _name_check(name: str, prefix: str, *, optional: bool) -> Check:
    """The contract's rule for names, but that names of its alphabet may be longer (ADR 0010)."""

    def check(message: Message) -> None:
        value: str = getattr(message, name)
        if _IS_NAME(value):
            return
        length_max = NAME_BYTES_MAX if _OF_LETTERS(value) else _CONTRACT_NAME_BYTES_MAX
        if len(value.encode()) > length_max:
            raise too_long(prefix, name, length_max)
        raise FieldViolationError(
            f'{prefix}value does not match regex pattern "{CONTRACT_NAME}"',
            field=name,
            meaning=NAME_MEANING,
        )

    def check_optional(message: Message) -> None:
        if getattr(message, name):
            check(message)

    return check_optional if optional else check


def _refuse_others(field: FieldDescriptor, rules: Message, kept: set[str]) -> None:
    """A rule that would not be checked must not stand in a proto."""
    others = {rule.name for rule, _ in rules.ListFields()} - kept
    if others:
        raise NotImplementedError(f"{field.full_name}: rules {sorted(others)}")


def _matcher(pattern: str) -> Callable[[str], object]:
    """Whether a text matches, as RE2 without flags would say."""
    if pattern.startswith("^") and pattern.endswith("$"):
        return re.compile(pattern[1:-1]).fullmatch
    return re.compile(pattern).search


def _at_least_check(
    field: FieldDescriptor, rules: validate_pb2.Int32Rules | validate_pb2.UInt32Rules
) -> Check:
    _refuse_others(field, rules, {"gte", "ignore_empty"})
    name, prefix = field.name, place(field.containing_type, field.name)
    least, ignore_empty = rules.gte, rules.ignore_empty

    def check(message: Message) -> None:
        value: int = getattr(message, name)
        if value < least and (value or not ignore_empty):
            raise FieldViolationError(
                f"{prefix}value must be greater than or equal to {least}",
                field=name,
                meaning=f"must be at least {least}",
            )

    return check


def _message_checks(field: FieldDescriptor, *, required: bool) -> list[Check]:
    """Presence, then what lies inside."""
    kind = field.message_type
    if kind is None or not (required or _may_break(kind)):
        return []
    name, prefix = field.name, place(field.containing_type, field.name)
    inner = _inner(kind)

    def check(message: Message) -> None:
        if message.HasField(name):
            if inner is not None:
                inner(prefix, name, getattr(message, name))
        elif required:
            raise missing(prefix, name)

    return [check]


def _count_checks(field: FieldDescriptor, rules: validate_pb2.RepeatedRules) -> list[Check]:
    _refuse_others(field, rules, {"min_items", "max_items", "items"})
    name, prefix = field.name, place(field.containing_type, field.name)
    least = rules.min_items if rules.HasField("min_items") else 0
    most = rules.max_items if rules.HasField("max_items") else None
    meaning = (
        f"must contain at least {least} item(s)"
        if most is None
        else f"must contain between {least} and {most} items, inclusive"
    )

    def check_count(message: Message) -> None:
        count = len(getattr(message, name))
        if count < least or (most is not None and count > most):
            raise FieldViolationError(f"{prefix}value {meaning}", field=name, meaning=meaning)

    return [check_count] if least or most is not None else []


def _entry_checks(field: FieldDescriptor) -> list[Check]:
    inner = _inner(field.message_type)
    if inner is None:
        return []
    name, stem = field.name, place(field.containing_type, field.name).removesuffix(": ")

    def check_items(message: Message) -> None:
        items = getattr(message, name)
        if items:
            for index, item in enumerate(items):
                inner(f"{stem}[{index}]: ", f"{name}[{index}]", item)

    return [check_items]


def _map_checks(field: FieldDescriptor) -> list[Check]:
    """Maps have no rules of their own in the contract; their message values may."""
    entry = field.message_type
    inner = _inner(entry.fields_by_name["value"].message_type) if entry is not None else None
    if inner is None:
        return []
    name = field.name
    stem = place(field.containing_type, field.name).removesuffix(": ")

    def check(message: Message) -> None:
        entries: Mapping[Any, Any] = getattr(message, name)
        for key in sorted(entries):
            inner(f"{stem}[{key}]: ", f"{name}[{key}]", entries[key])

    return [check]


def _inner(kind: Descriptor | None) -> Callable[[str, str, Any], None] | None:
    """Checks one embedded message and puts before what it breaks where it lies; None if it cannot.

    What it returns is given the place in the contract's words, the field's, and the message. The
    checks are looked up when first needed: messages may contain themselves.
    """
    if kind is None or not _may_break(kind):
        return None
    checks: tuple[Check, ...] = ()

    def check_inner(prefix: str, step: str, message: Message) -> None:
        nonlocal checks
        checks = checks or _checks(kind)
        try:
            for check in checks:
                check(message)
        except FieldViolationError as violation:
            raise below(violation, prefix, step) from None

    return check_inner


@cache
def _may_break(kind: Descriptor) -> bool:
    """Whether the message or anything below it has a rule."""
    seen: set[str] = set()
    waiting = [kind]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen or descriptor.file.package != _RULED_PACKAGE:
            continue
        seen.add(descriptor.full_name)
        if any(o.GetOptions().Extensions[validate_pb2.required] for o in descriptor.oneofs):
            return True
        for field in descriptor.fields:
            if field.GetOptions().HasExtension(validate_pb2.rules):
                return True
            if field.message_type is not None:
                waiting.append(field.message_type)
    return False
