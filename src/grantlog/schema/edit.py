"""Editing a schema text statement by statement: what is not touched stays as it was written.

The places of statements come from the grammar; the text between them, comments and layout, is
carried over. Whether the result is a schema is compile.py's question.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from lark import Lark, Token, Tree

from grantlog.errors import GrantlogError, InvalidInputError, NotFoundError, SchemaError
from grantlog.schema.parse import parse_member, parse_schema
from grantlog.schema.source import normalise

_INDENT: Final = "    "
_WORD: Final = re.compile(r"[\w-]")


@dataclass(frozen=True, slots=True)
class EntityEdits:
    """What to do to one entity, in this order."""

    write: tuple[str, ...] = ()
    """Statements to add."""
    update: tuple[str, ...] = ()
    """Statements to put in the place of those that have their names."""
    delete: tuple[str, ...] = ()
    """Names of statements to remove."""


def edit_schema(text: str, edits: Mapping[str, EntityEdits]) -> str:
    """The text with the edits made, entities by name.

    Raises:
        SchemaError: a statement to write or update is none.
        NotFoundError: no such entity, or no such name in it.
        InvalidInputError: a name to write exists, or a rule's name stands for an entity.
    """
    text = normalise(text)
    parse_schema(text)
    statements = _statements(text)
    changes: list[_Change] = []
    for name in sorted(edits):
        changes.extend(_entity(name, statements, text).changes(text, edits[name]))
    # From the end, so that earlier places stay what they are.
    for change in sorted(changes, key=lambda change: change.start, reverse=True):
        text = text[: change.start] + change.text + text[change.end :]
    return text


@dataclass(frozen=True, slots=True)
class _Change:
    start: int
    end: int
    text: str


@dataclass(slots=True)
class _Member:
    """A statement of an entity; `start` is None for one that is not in the text yet."""

    name: str
    start: int | None = None
    end: int = 0
    text: str = ""


class _Entity:
    """One entity's statements as edits leave them."""

    def __init__(self, name: str, members: list[_Member], brace: int) -> None:
        self._name = name
        self._members = {member.name: member for member in members}
        self._brace = brace
        self._gone: list[_Member] = []

    def changes(self, text: str, edits: EntityEdits) -> Iterator[_Change]:
        """The changes of the text that make the edits."""
        updated: dict[str, str] = {}
        for number, statement in enumerate(edits.write):
            name, _ = self._read(statement, f"write[{number}]")
            if name in self._members:
                raise InvalidInputError(
                    f"{self._name} has {name} already: update it",
                    reason="ERROR_CODE_ALREADY_EXIST",
                )
            self._members[name] = _Member(name, text=normalise(statement).strip())
        for number, statement in enumerate(edits.update):
            name, own = self._read(statement, f"update[{number}]")
            member = self._find(name)
            member.text = own
            updated[name] = own
        for name in edits.delete:
            self._gone.append(self._find(name))
            del self._members[name]
        yield from self._made(text, updated)

    def _made(self, text: str, updated: Mapping[str, str]) -> Iterator[_Change]:
        for member in self._gone:
            if member.start is not None:
                yield _removal(text, member.start, member.end)
        for member in self._members.values():
            if member.start is not None and member.name in updated:
                following = text[member.end : member.end + 1]
                glue = " " if _WORD.match(following) else ""
                yield _Change(member.start, member.end, member.text + glue)
        added = [member.text for member in self._members.values() if member.start is None]
        if added:
            yield _insertion(text, self._brace, added)

    def _find(self, name: str) -> _Member:
        member = self._members.get(name)
        if member is None:
            raise NotFoundError(
                f"{self._name} has no relation, attribute or permission {name!r}",
                reason="ERROR_CODE_REFERENCE_NOT_FOUND",
            )
        return member

    def _read(self, statement: str, place: str) -> tuple[str, str]:
        """The name that a statement declares, and the statement without what surrounds it."""
        try:
            parse_member(statement)
        except SchemaError as error:
            raise SchemaError(
                f"in {self._name}.{place}: {error.problem}",
                line=error.line,
                column=error.column,
                excerpt=error.excerpt,
                reason=error.reason,
            ) from error
        normalised = normalise(statement)
        (tree,) = _trees(_tree(normalised, "member"))
        return _name(tree), normalised[tree.meta.start_pos : tree.meta.end_pos]


def _removal(text: str, start: int, end: int) -> _Change:
    """Remove a statement, with its line where nothing else stands on it."""
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    if text[line_start:start].strip() or text[end:line_end].strip(" \t;"):
        return _Change(start, end, "")
    return _Change(line_start, min(line_end + 1, len(text)), "")


def _insertion(text: str, brace: int, statements: list[str]) -> _Change:
    """Add statements, a line each, before an entity's closing brace."""
    lines = "".join(f"{_INDENT}{statement}\n" for statement in statements)
    line_start = text.rfind("\n", 0, brace) + 1
    if text[line_start:brace].strip():
        return _Change(brace, brace, f"\n{lines}")
    return _Change(line_start, line_start, lines)


def _statements(text: str) -> dict[str, Tree[Token]]:
    """Entities and rules of a text, by name."""
    return {_name(tree): tree for tree in _trees(_tree(text, "schema"))}


def _entity(name: str, statements: Mapping[str, Tree[Token]], text: str) -> _Entity:
    tree = statements.get(name)
    if tree is None:
        raise _no_entity(name)
    if tree.data != "entity":
        raise InvalidInputError(
            f"{name} is a rule: only entities can be written in part",
            reason="ERROR_CODE_CANNOT_CONVERT_TO_ENTITY_STATEMENT",
        )
    brace = tree.meta.end_pos - 1
    assert text[brace] == "}", "an entity ends with its brace"
    return _Entity(name, [_member(member) for member in _trees(tree)], brace)


def _no_entity(name: str) -> GrantlogError:
    return NotFoundError(
        f"the schema has no entity {name!r}; in part, only statements of existing entities can be "
        "written",
        reason="ERROR_CODE_ENTITY_STATEMENT_NOT_FOUND",
    )


def _member(tree: Tree[Token]) -> _Member:
    return _Member(_name(tree), tree.meta.start_pos, tree.meta.end_pos)


def _name(tree: Tree[Token]) -> str:
    return str(tree.children[0])


def _trees(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tree(text: str, start: str) -> Tree[Token]:
    tree = _parser().parse(text, start=start)
    return cast("Tree[Token]", tree)


@functools.cache
def _parser() -> Lark:
    """The grammar once more, with the place of each statement and nothing built from it."""
    return Lark(
        Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        start=["schema", "member"],
        propagate_positions=True,
    )
