"""Bundles: named templates of data writes that run together, and the text they are stored as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from grantlog.errors import CorruptionError, InvalidInputError
from grantlog.model.template import ARGUMENT, parse_template

NAME_BYTES_MAX: Final = 128
ARGUMENTS_MAX: Final = 100
TEMPLATES_MAX: Final = 1_000
"""Templates of one bundle, in all of its operations."""
DEFINITION_BYTES_MAX: Final = 256 * 1024
"""The text of one bundle."""


@dataclass(frozen=True, slots=True)
class BundleOperation:
    """Templates of facts to write and to delete; writes come first."""

    relationships_write: tuple[str, ...] = ()
    relationships_delete: tuple[str, ...] = ()
    attributes_write: tuple[str, ...] = ()
    attributes_delete: tuple[str, ...] = ()

    def lists(self) -> dict[str, tuple[str, ...]]:
        """The four lists by the wire's names."""
        return {
            "relationships_write": self.relationships_write,
            "relationships_delete": self.relationships_delete,
            "attributes_write": self.attributes_write,
            "attributes_delete": self.attributes_delete,
        }


@dataclass(frozen=True, slots=True)
class Bundle:
    """A named list of operations with the arguments that a run must supply."""

    name: str
    arguments: tuple[str, ...]
    operations: tuple[BundleOperation, ...]

    def templates(self) -> Iterator[str]:
        """All templates."""
        for operation in self.operations:
            for texts in operation.lists().values():
                yield from texts


def check_bundle(bundle: Bundle) -> None:
    """Accept a bundle that can run, given the right arguments.

    Raises:
        InvalidInputError: a name, an argument's name or a template that is none, a template that
            stands twice in a list (ERROR_CODE_ALREADY_EXIST), or too much of something.
    """
    size = len(bundle.name.encode())
    if not 0 < size <= NAME_BYTES_MAX or "\0" in bundle.name:
        raise _invalid(f"a bundle's name has 1 to {NAME_BYTES_MAX} bytes, none of them NUL")
    for argument in bundle.arguments:
        if not ARGUMENT.fullmatch(argument):
            raise _invalid(
                f"{argument[:100]!r} is not an argument's name: at most 64 letters, digits and "
                "underscores, the first not a digit"
            )
    _check_lists(bundle)
    texts = list(bundle.templates())
    if len(bundle.arguments) > ARGUMENTS_MAX or len(texts) > TEMPLATES_MAX:
        raise _invalid(
            f"a bundle has at most {ARGUMENTS_MAX} arguments and {TEMPLATES_MAX} templates"
        )
    for text in texts:
        if "\0" in text:
            raise _invalid("a template holds a NUL character")
        parse_template(text)
    if len(bundle_text(bundle).encode()) > DEFINITION_BYTES_MAX:
        raise _invalid(f"a bundle has at most {DEFINITION_BYTES_MAX} bytes")


def _check_lists(bundle: Bundle) -> None:
    for number, operation in enumerate(bundle.operations, start=1):
        for name, texts in operation.lists().items():
            if len(set(texts)) < len(texts):
                raise InvalidInputError(
                    f"operation {number} of bundle {bundle.name!r} has a template twice in {name}",
                    reason="ERROR_CODE_ALREADY_EXIST",
                )


def bundle_text(bundle: Bundle) -> str:
    """The bundle as the wire's JSON: what is stored; the same bundle gives the same text."""
    return json.dumps(
        {
            "name": bundle.name,
            "arguments": bundle.arguments,
            "operations": [operation.lists() for operation in bundle.operations],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def parse_bundle(text: str) -> Bundle:
    """The bundle that `bundle_text` wrote.

    Raises:
        CorruptionError: it did not write this.
    """
    try:
        value = cast("dict[str, Any]", json.loads(text))
        operations = tuple(
            BundleOperation(**{name: tuple(texts) for name, texts in operation.items()})
            for operation in value["operations"]
        )
        return Bundle(value["name"], tuple(value["arguments"]), operations)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError("a stored bundle is not readable") from error


def _invalid(problem: str) -> InvalidInputError:
    return InvalidInputError(problem, reason="ERROR_CODE_INVALID_ARGUMENT")
