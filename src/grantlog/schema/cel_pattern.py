"""How large the program is that a regular expression becomes: an upper bound, from its text.

`matches` compiles its pattern anew each time it runs, and at worst takes a step for each of the
program's instructions at each character. Constants are from `benchmarks/rules_micro.py`.
"""

from __future__ import annotations

import re
from typing import Final

_LITERAL: Final = 4
"""A character, in either case, in UTF-8."""
_CLASS: Final = 16
"""`.`, `\\w`, `[^a]`: ranges of UTF-8."""
_MEMBER: Final = 4
"""A character of a class."""
_UNICODE: Final = 800
"""`\\pL`: hundreds of ranges."""
_PERL: Final = tuple("dDwWsSC")
_GROUP: Final = 2

_PIECE: Final = re.compile(
    r"""
    \\[pP](?:\{[^}]*\}?|.)?            | # a Unicode class
    \\[dDwWsSC]                        | # a Perl class
    \\x\{[^}]*\}?|\\.?                 | # another escape
    \[\^?\]?(?:\[:[^:]*:\]|\\[pP](?:\{[^}]*\}?|.)?|\\.|[^]\\])*\]? | # a class
    \{\d+(?:,\d*)?\} | [*+?]           | # how often
    \(\?(?:P?<[^>]*>|[imsU:-]*)|\(     | # a group opens
    \) | \| | .
    """,
    re.VERBOSE | re.DOTALL,
)
_REPEATED: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_UNICODE_CLASS: Final = re.compile(r"\\[pP]")


def pattern_size(pattern: str) -> int:
    """Instructions, at most, of the program of a pattern in RE2's syntax."""
    whole = [0]
    """The sizes of the groups that are open."""
    last = 0
    """What a repetition would repeat; it is part of the innermost group's size already."""
    for piece in _PIECE.findall(pattern):
        if piece[0] == "(":
            whole.append(_GROUP)
            last = 0
        elif piece == ")" and len(whole) > 1:
            last = whole.pop()
            whole[-1] += last
        elif piece[0] in "*+?" or _REPEATED.fullmatch(piece):
            more = last * (_times(piece) - 1) + 1
            whole[-1] += more
            last += more
        else:
            last = _atom(piece)
            whole[-1] += last
    return sum(whole) + 1


def _times(piece: str) -> int:
    """How often a repetition copies what it repeats."""
    match = _REPEATED.fullmatch(piece)
    if match is None:
        return 1
    least, most = int(match[1]), match[2]
    return max(1, int(most) if most else least + 1)


def _atom(piece: str) -> int:
    if piece[0] == "[":
        unicodes = len(_UNICODE_CLASS.findall(piece))
        return _CLASS + _MEMBER * len(piece) + _UNICODE * unicodes
    if piece[:2] in (r"\p", r"\P"):
        return _UNICODE
    return _CLASS if piece == "." or piece[1:] in _PERL else _LITERAL
