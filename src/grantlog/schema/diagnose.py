"""Plain words for a text that the parser cannot read: what stands there and what to write."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set as AbstractSet
from typing import Final

from lark import UnexpectedInput, UnexpectedToken

from grantlog.schema import limits
from grantlog.schema.source import Position, RefusalError, position_of

KEYWORDS: Final = frozenset(
    {"entity", "relation", "attribute", "permission", "action", "rule"}
    | {"and", "or", "not", "in", "true", "false"}
)
"""Words that cannot be names; grammar.lark has them too, in `NAME`."""

_WORD: Final = re.compile(r"[\w-]+")
_NOT_OF_NAMES: Final = re.compile(r"[^A-Za-z_]")
_MEMBERS: Final = frozenset({"_RELATION", "_ATTRIBUTE", "_PERMISSION"})
_IN_RULE: Final = frozenset({"TEXT"})

# What may stand at a place, in the order in which a sentence names it.
_PHRASES: Final[tuple[tuple[str, str], ...]] = (
    ("NAME", "a name"),
    ("AT", "`@` and an entity type"),
    ("LBRACE", "`{`"),
    ("EQUAL", "`=`"),
    ("LPAR", "`(`"),
    ("RPAR", "`)`"),
    ("COMMA", "`,`"),
    ("RSQB", "`]`"),
    ("OR", "an operator (`or`, `and`, `not`)"),
    ("NOT", "`not`"),
    ("_ENTITY", "`entity`"),
    ("_RULE", "`rule`"),
    ("_RELATION", "`relation`, `attribute`, `permission`"),
    ("RBRACE", "`}`"),
    ("$END", "the end of the text"),
)


def unexpected(text: str, error: UnexpectedInput) -> RefusalError:
    """The finding for an error of the parser on a normalised text."""
    offset, expected = _offset(text, error), _expected(error)
    at = position_of(text, offset)
    hint, found = _hint(text, offset, expected), _found(text, offset)
    return _unclosed(text, offset, at, expected) or RefusalError(
        f"{hint}expected {_one_of(expected)}, found {found}", at
    )


def bad_name(word: str, at: Position) -> RefusalError:
    """The finding for a word that stands where a name stands and is none."""
    wrong = _NOT_OF_NAMES.search(word)
    if wrong is None:
        return RefusalError(
            f"this name has {len(word)} bytes; the API addresses names of at most "
            f"{limits.name_bytes_max}: choose a shorter one",
            at,
        )
    what = "the digit " if wrong[0].isdigit() else ""
    return RefusalError(
        f"`{word}` is not a name: names are made of the letters a to z, A to Z and `_`; "
        f"{what}`{wrong[0]}` cannot be part of one",
        Position(at.line, at.column + wrong.start()),
    )


def bad_character(char: str, at: Position) -> RefusalError:
    """The finding for a character that no schema may hold."""
    what = "a NUL character" if char == "\0" else f"half of a surrogate pair (U+{ord(char):04X})"
    return RefusalError(f"the text holds {what}: remove it", at)


def _offset(text: str, error: UnexpectedInput) -> int:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return len(text.rstrip())
    assert isinstance(error.pos_in_stream, int)
    return error.pos_in_stream


def _expected(error: UnexpectedInput) -> AbstractSet[str]:
    """The terminals that lead on from here: tried one by one, look-ahead sets promise too much."""
    return error.interactive_parser.accepts()


def _unclosed(
    text: str, offset: int, at: Position, expected: AbstractSet[str]
) -> RefusalError | None:
    """Comments, strings and bodies without an end; the text tells, not the parser's state."""
    char = text[offset : offset + 1]
    if text.startswith("/*", offset):
        return RefusalError("this comment is never closed: add `*/`", at)
    if char in ("'", '"'):
        if expected >= _IN_RULE:
            return RefusalError(f"this string is never closed: add `{char}`", at)
        return RefusalError("strings have a place inside rule bodies only", at)
    if _is_end(text, offset) and expected >= _IN_RULE:
        return RefusalError("the body of this rule is never closed: add `}`", at)
    return None


def _found(text: str, offset: int) -> str:
    word = _WORD.match(text, offset)
    if word:
        return f"`{word[0]}`" if len(word[0]) <= limits.name_bytes_max else "a very long word"
    if _is_end(text, offset):
        return "the end of the text"
    char = text[offset]
    if char.isascii() and char.isprintable():
        return f"`{char}`"
    return f"U+{ord(char):04X} ({unicodedata.name(char, 'a control character').lower()})"


def _is_end(text: str, offset: int) -> bool:
    return offset >= len(text.rstrip())


def _one_of(expected: AbstractSet[str]) -> str:
    phrases = [
        phrase
        for terminal, phrase in _PHRASES
        if terminal in expected and not (terminal == "NOT" and "OR" in expected)
    ]
    *most, last = phrases or ["something else"]
    return f"{', '.join(most)} or {last}" if most else last


def _hint(text: str, offset: int, expected: AbstractSet[str]) -> str:
    """Advice for the mistakes that people make, ending in a blank; empty where there is none."""
    match = _WORD.match(text, offset)
    word = match[0] if match else text[offset : offset + 1]
    if word == "not" and "LPAR" in expected:
        return (
            "`not` stands between two operands, as in `a not b` (those of a without those of b): "
        )
    if word in KEYWORDS and expected == {"NAME"}:
        return f"`{word}` is a word of the language and cannot be a name: "
    if word in ("relation", "attribute", "permission", "action") and "_ENTITY" in expected:
        return f"`{word}` belongs inside an entity: "
    if word in ("entity", "rule") and expected >= _MEMBERS and "RBRACE" in expected:
        return f"the entity before this `{word}` is not closed: "
    if "AT" in expected and "HASH" not in expected and match:
        return f"the kinds of subjects of a relation are written with `@`, as `@{word}`: "
    return ""
