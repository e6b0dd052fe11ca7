"""The part of lark that grantlog uses; lark's own annotations are partly unknown."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_Leaf = TypeVar("_Leaf")
_Result = TypeVar("_Result")
_Decorated = TypeVar("_Decorated")

class Token(str):
    type: str
    line: int | None
    column: int | None
    def update(self, type: str | None = None, value: str | None = None) -> Token: ...

class InteractiveParser:
    def accepts(self) -> set[str]: ...

class UnexpectedInput(Exception):
    pos_in_stream: int | None
    interactive_parser: InteractiveParser

class UnexpectedToken(UnexpectedInput):
    token: Token

class Transformer(Generic[_Leaf, _Result]): ...

def v_args(*, inline: bool = False) -> Callable[[_Decorated], _Decorated]: ...

class Meta:
    start_pos: int
    end_pos: int

class Tree(Generic[_Leaf]):
    data: str
    children: list[_Leaf | Tree[_Leaf]]
    meta: Meta

class Lark:
    def __init__(
        self,
        grammar: str,
        *,
        parser: str,
        lexer: str,
        start: list[str],
        transformer: Transformer[Any, Any] | None = None,
        propagate_positions: bool = False,
    ) -> None: ...
    def parse(self, text: str, *, start: str) -> object: ...
