"""Templates of facts: `doc:{{.id}}#viewer@user:{{.user}}`. Arguments go in as they are.

Nothing is escaped and nothing is computed: `{{.name}}` is all there is. An argument fills the place
it stands in and cannot bring structure of its own: a `#` in an id would make another fact of it.
Only what stands for a whole fact, a whole subject (directly behind the `@`) or a value (behind the
`|`) may be any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from grantlog.errors import InvalidInputError
from grantlog.model.ids import NAME

ARGUMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PLACE: Final = re.compile(r"(?<!\{)\{\{[ \t]*\.([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*\}\}(?!\})")
_INVALID: Final = "ERROR_CODE_INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an argument goes."""

    argument: str
    before: str
    """The text before it, other arguments as one blank each."""


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and places, in order."""

    text: str
    parts: tuple[str | Place, ...]

    def fill(self, arguments: Mapping[str, str]) -> str:
        """The text with the arguments in their places.

        Raises:
            InvalidInputError: an argument is missing, or brings structure of its own.
        """
        return "".join(
            part if isinstance(part, str) else _value(self, part, arguments) for part in self.parts
        )


def parse_template(text: str) -> Template:
    """Read a template.

    Raises:
        InvalidInputError: something else than `{{.name}}` stands in double braces.
    """
    parts = tuple(_parts(text))
    for part in parts:
        if isinstance(part, str) and ("{{" in part or "}}" in part):
            raise InvalidInputError(
                f"the template {text!r} holds double braces that are no argument: write "
                "{{.name}}, a name being made of letters, digits and underscores; there are no "
                "functions or conditions",
                reason=_INVALID,
            )
    return Template(text, parts)


def _parts(text: str) -> Iterator[str | Place]:
    end = 0
    before = ""
    for found in _PLACE.finditer(text):
        literal = text[end : found.start()]
        if literal:
            yield literal
        before += literal
        yield Place(found[1], before)
        before += " "
        end = found.end()
    if text[end:]:
        yield text[end:]


def _value(template: Template, place: Place, arguments: Mapping[str, str]) -> str:
    value = arguments.get(place.argument)
    if value is None:
        raise InvalidInputError(
            f"the template {template.text!r} needs the argument {place.argument!r}",
            reason="ERROR_CODE_MISSING_ARGUMENT",
        )
    if len(template.parts) > 1 and not _fits(place.before, value):
        raise InvalidInputError(
            f"the argument {place.argument!r} cannot be {value[:100]!r} in {template.text!r}: it "
            "would make another fact of it",
            reason=_INVALID,
        )
    return value


def _fits(before: str, value: str) -> bool:
    """Whether a value keeps to its place."""
    _, _, behind_hash = before.partition("#")
    is_subject = behind_hash.endswith("@") and behind_hash.count("@") == 1
    if is_subject or "|" in before:
        return True
    if before.endswith(("#", "$")):  # a relation's or an attribute's name
        return NAME.fullmatch(value) is not None or value == "..."
    return not set("#$|") & set(value)
