"""Bounds of the schema language, in one place.

They keep every later step linear and away from the interpreter's recursion limit (1,000 frames):
what is compiled here may be walked by plain recursion, one or two frames a level, anywhere.
`docs/schema-language.md` lists them for users.
"""

from __future__ import annotations

from typing import Final

from grantlog.model.ids import NAME_BYTES_MAX

schema_bytes_max: Final = 256 * 1024
"""UTF-8 length of a whole schema text."""

name_bytes_max: Final = NAME_BYTES_MAX
"""Length of a name; the API's validation refuses longer ones in every request."""

entities_max: Final = 1_000
"""Entities in one schema."""

members_max: Final = 1_000
"""Relations, attributes and permissions of one entity together."""

rules_max: Final = 500
"""Rules in one schema."""

parameters_max: Final = 64
"""Parameters of one rule; a call has as many arguments."""

expression_depth_max: Final = 200
"""Operators on the longest path through an expression.

A chain nests to the left, so `a or b or c` is two deep and a chain may have 201 operands. Brackets
alone add nothing. Comparing or printing a value of this depth takes up to 3 frames a level.
"""

rule_bytes_max: Final = 16 * 1024
"""UTF-8 length of one rule's body; its checked form is up to 20 times as long."""

rule_nesting_max: Final = 32
"""Braces within braces in a rule's body; CEL itself stops at 32 brackets of any kind."""

rule_ms_max: Final = 40.0
"""Milliseconds that one run of a rule may take at most, by `cel_cost`: meanwhile nobody else is
answered."""

rule_input_max: Final = 64 * 1024
"""What a rule may be given: characters, and eight for each item of a list or map, of its arguments
and `context.data` together. A rule that could take longer than `rule_ms_max` gets less."""

rule_input_min: Final = 128
"""A rule that cannot take this much within its time is refused."""

warning_edges_max: Final = 50_000
"""References among relations and permissions that the search for suspicious cycles looks at."""

warnings_max: Final = 100
"""Warnings kept for one schema."""

excerpt_chars_max: Final = 120
"""Characters of the offending line that an error shows."""

problem_chars_max: Final = 1_000
"""Characters of an error's sentence: it may quote what is as long as the schema."""
