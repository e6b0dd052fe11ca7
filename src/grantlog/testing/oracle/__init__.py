"""A second opinion on checks: written from the rules alone, sharing no code with the engine.

It parses schemas itself, looks at a whole world at once, and is as slow as it is plain.
"""

from grantlog.testing.oracle.judge import Question, Verdict, judge
from grantlog.testing.oracle.language import Language, read_language
from grantlog.testing.oracle.unshared import judge_unshared

__all__ = ["Language", "Question", "Verdict", "judge", "judge_unshared", "read_language"]
