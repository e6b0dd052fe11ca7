"""The error tree. Errors are typed data; `wire/status.py` alone turns them into status codes.

    GrantlogError
    ├── InvalidInputError         the caller must change the request
    │   ├── SchemaError           a schema text that does not parse or check, with its position
    │   ├── InvalidTokenError     a garbled or foreign snap token
    │   └── DepthExceededError    the depth budget ran out before a decision
    ├── UnauthenticatedError
    ├── ForbiddenError
    ├── NotFoundError
    ├── PreconditionError         the state does not allow it (a lost write, a window left behind)
    ├── ConflictError             retry after reading again
    ├── LimitError                a documented bound was reached
    ├── UnavailableError          retry with backoff
    │   ├── ProjectionLaggingError
    │   └── OtherEpochError
    └── CorruptionError           stop and page

A class carries its facts as attributes. `reason` is a name of the wire's `ErrorCode` enum, or one
of our own additive names without that prefix; `explanation` says to a person what to do.
"""

from __future__ import annotations

from collections.abc import Mapping


class GrantlogError(Exception):
    """Something that a caller is told about.

    Attributes:
        reason: the machine's name of the error, `ERROR_CODE_*` where the wire has one.
        explanation: one sentence for a person: what is wrong and what to do.
        retriable: whether the same request may succeed later.
        facts: by name, what a program needs to go on: the token to resume from, say.
    """

    default_reason = "ERROR_CODE_INTERNAL"
    retriable = False

    def __init__(
        self,
        explanation: str = "",
        *,
        reason: str | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self.reason = reason or self.default_reason
        self.explanation = explanation
        self.facts: Mapping[str, str] = facts or {}
        super().__init__(f"{self.reason}: {explanation}" if explanation else self.reason)


class InvalidInputError(GrantlogError):
    """The request is wrong in itself."""

    default_reason = "ERROR_CODE_VALIDATION"


class FieldViolationError(InvalidInputError):
    """A field breaks its validation rule; `str` of it is the wire contract's text."""

    def __init__(self, text: str) -> None:
        super().__init__(text, reason="ERROR_CODE_VALIDATION")
        self.text = text


class SchemaError(InvalidInputError):
    """A schema text that does not parse or check.

    Attributes:
        line: 1-based line of the text, 0 where no position applies.
        column: 1-based column in code points, 0 where no position applies.
        problem: what is wrong, without the position.
        excerpt: the offending line with a caret under the column, may be empty.
    """

    default_reason = "ERROR_CODE_SCHEMA_COMPILE"

    def __init__(
        self,
        problem: str,
        *,
        line: int = 0,
        column: int = 0,
        excerpt: str = "",
        reason: str | None = None,
    ) -> None:
        self.line = line
        self.column = column
        self.problem = problem
        self.excerpt = excerpt
        text = f"{line}:{column}: {problem}" if line else problem
        super().__init__(f"{text}\n{excerpt}" if excerpt else text, reason=reason)


class InvalidTokenError(InvalidInputError):
    """A snap token or continuation token that is garbled or belongs elsewhere."""

    default_reason = "INVALID_SNAP_TOKEN"


class BeyondHeadError(InvalidInputError):
    """A token or revision beyond the tenant's head: no such write was acknowledged."""

    default_reason = "BEYOND_HEAD"


class DepthExceededError(InvalidInputError):
    """The depth budget ran out before a decision."""

    default_reason = "ERROR_CODE_DEPTH_NOT_ENOUGH"


class RuleFailedError(InvalidInputError):
    """A rule could not be evaluated on the facts and context given (an absent key, say)."""

    default_reason = "RULE_EVALUATION_FAILED"


class UnauthenticatedError(GrantlogError):
    """The caller is not known."""

    default_reason = "ERROR_CODE_UNAUTHENTICATED"


class ForbiddenError(GrantlogError):
    """The caller may not use this part of the API; never the answer of a check."""

    default_reason = "FORBIDDEN"


class NotFoundError(GrantlogError):
    """What the request names does not exist."""

    default_reason = "ERROR_CODE_NOT_FOUND"


class PreconditionError(GrantlogError):
    """The state does not allow it, and retrying will not help."""

    default_reason = "FAILED_PRECONDITION"


class LostWriteError(PreconditionError):
    """A token of a write that a failover or restore lost."""

    default_reason = "LOST_WRITE"


class BehindWindowError(PreconditionError):
    """A read of a revision whose history has been collected."""

    default_reason = "BEHIND_WINDOW"


class TenantDeletedError(PreconditionError):
    """The place asked for lies in a life of the tenant that has ended."""

    default_reason = "TENANT_DELETED"


class ConflictError(GrantlogError):
    """Somebody else changed it first; read again and retry."""

    default_reason = "ERROR_CODE_SERIALIZATION"
    retriable = True


class StaleSchemaError(ConflictError):
    """Another schema version came into force between validation and commit."""

    default_reason = "STALE_SCHEMA"


class LimitError(GrantlogError):
    """A documented bound was reached; `explanation` names it and its value."""

    default_reason = "LIMIT_EXCEEDED"


class SlowReaderError(LimitError):
    """The reader of a stream takes less than what happens."""

    default_reason = "SLOW_READER"


class UnavailableError(GrantlogError):
    """A part that is needed does not answer; retry with backoff."""

    default_reason = "UNAVAILABLE"
    retriable = True


class ProjectionLaggingError(UnavailableError):
    """The replica has not reached the revision asked for within the wait."""

    default_reason = "PROJECTION_LAGGING"


class OtherEpochError(UnavailableError):
    """The primary's log is in another epoch than the one in which the revision was resolved."""


class NotImplementedYetError(GrantlogError):
    """A call of the contract that this version does not answer."""

    default_reason = "ERROR_CODE_NOT_IMPLEMENTED"


class CorruptionError(GrantlogError):
    """Data breaks an invariant: stop and page."""

    default_reason = "ERROR_CODE_INTERNAL"
