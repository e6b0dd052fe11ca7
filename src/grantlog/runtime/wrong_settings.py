"""What is said of a variable that does not fit: what it must be, never what it was.

The value is left out because it may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_MUST_BE: Final = MappingProxyType(
    {
        "missing": "must be set",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "bool_parsing": "must be true or false",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be {expected}",
        "string_pattern_mismatch": "is not written as it must be",
        "string_too_short": "must not be empty",
        "string_too_long": "must have at most {max_length} characters",
    }
)
"""By pydantic's names of errors, with what those have as context."""
_EXPLAINED: Final = frozenset(_MUST_BE) - {"missing", "literal_error", "bool_parsing"}
"""Where the unit or the form has to be known to put it right."""


def said_of(error: ErrorDetails, variable: str, fields: Mapping[str, FieldInfo]) -> str:
    """One variable, what it must be and, where that does not say it all, what it is for.

    Args:
        error: of validation.
        variable: its name in the environment; "" where several contradict each other.
        fields: the settings, by their names.
    """
    kind = error["type"]
    if kind == "value_error":
        words = error["msg"].removeprefix("Value error, ")
    else:
        words = _MUST_BE.get(kind, error["msg"]).format_map(error.get("ctx", {}))
    if not variable:
        return words
    field = fields.get(str(error["loc"][0]))
    use = " ".join((field.description or "").split()) if field and kind in _EXPLAINED else ""
    return f"{variable} {words}" + (f" ({use.rstrip('.')})" if use else "")
