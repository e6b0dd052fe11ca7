"""What each reason means to a caller: the words of docs/errors.md's tables.

Codes do not stand here: they follow from the reason and its family by `wire/status.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from grantlog.engine.question import DEPTH_MAX
from grantlog.errors import (
    ConflictError,
    CorruptionError,
    GrantlogError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from grantlog.wire.http_errors import BodyTooLargeError, MediaTypeError, PathError


class Reason(NamedTuple):
    """A reason that callers meet.

    Attributes:
        family: the class of errors that it belongs to; decides the codes of a reason of ours.
        when: what happened.
        do: what the caller does about it.
    """

    family: type[GrantlogError]
    when: str
    do: str


_SCHEMA_TEXT: Final = "mend the text at the line and column that the message names"

CONTRACT: Final[dict[str, Reason]] = {
    "ERROR_CODE_VALIDATION": Reason(
        InvalidInputError,
        "a field breaks its rule, the body is not JSON for the message, a filter of a deletion is "
        "empty, a text holds a NUL",
        "mend the field that the message names",
    ),
    "ERROR_CODE_DEPTH_NOT_ENOUGH": Reason(
        InvalidInputError,
        "the depth ran out before a decision, or an answer hangs on its own denial",
        f"ask with more depth (up to {DEPTH_MAX:,}); see [Depth](check.md#depth)",
    ),
    "ERROR_CODE_INVALID_CONTINUOUS_TOKEN": Reason(
        InvalidInputError,
        "a continuation token that is garbled, or of another request",
        "repeat the request that returned the token, or begin without one",
    ),
    "ERROR_CODE_ENTITY_AND_SUBJECT_CANNOT_BE_EQUAL": Reason(
        InvalidInputError, "a tuple relates a userset to itself", "leave it out: it says nothing"
    ),
    "ERROR_CODE_UNIQUE_CONSTRAINT": Reason(
        InvalidInputError, "a tenant of that id is on the list already", "use it, or another id"
    ),
    "ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED": Reason(
        InvalidInputError,
        "more facts in one write than `GRANTLOG_FACTS_PER_WRITE_MAX`",
        "send them in several writes",
    ),
    "ERROR_CODE_INVALID_ARGUMENT": Reason(
        InvalidInputError,
        "an attribute's value that is not readable or cannot be stored; a bundle or its arguments "
        "that cannot be used; in a schema, an unknown type or an argument that does not fit",
        "mend what the message names",
    ),
    "ERROR_CODE_MISSING_ARGUMENT": Reason(
        InvalidInputError,
        "a bundle is run, or a rule asked, without one of its arguments; in a schema, a call with "
        "another number of arguments than the rule takes",
        "give the arguments that the message names",
    ),
    "ERROR_CODE_ALREADY_EXIST": Reason(
        InvalidInputError,
        "a statement to write in part whose name is taken; a template twice in one list, or a "
        "bundle twice in one request",
        "update the statement instead; leave the second one out",
    ),
    "ERROR_CODE_CANNOT_CONVERT_TO_ENTITY_STATEMENT": Reason(
        InvalidInputError,
        "a schema edit in part that names a rule",
        "write the whole schema to change a rule",
    ),
    "ERROR_CODE_SCHEMA_PARSE": Reason(
        InvalidInputError, "a schema text that does not follow the grammar", _SCHEMA_TEXT
    ),
    "ERROR_CODE_SCHEMA_COMPILE": Reason(
        InvalidInputError,
        "a permission of a non-boolean attribute alone, a rule that CEL refuses or that is no "
        "condition, too many statements",
        _SCHEMA_TEXT,
    ),
    "ERROR_CODE_NO_ENTITY_REFERENCES_FOUND_IN_SCHEMA": Reason(
        InvalidInputError, "a schema without an entity", "write at least one, as `entity user {}`"
    ),
    "ERROR_CODE_DUPLICATED_ENTITY_REFERENCE": Reason(
        InvalidInputError, "an entity or rule whose name is taken", _SCHEMA_TEXT
    ),
    "ERROR_CODE_DUPLICATED_RELATION_REFERENCE": Reason(
        InvalidInputError, "a relation or attribute whose name is taken", _SCHEMA_TEXT
    ),
    "ERROR_CODE_DUPLICATED_PERMISSION_REFERENCE": Reason(
        InvalidInputError, "a permission whose name is taken", _SCHEMA_TEXT
    ),
    "ERROR_CODE_RELATION_REFERENCE_NOT_FOUND_IN_ENTITY_REFERENCES": Reason(
        InvalidInputError, "a schema's `@type` or `@type#relation` is not declared", _SCHEMA_TEXT
    ),
    "ERROR_CODE_UNDEFINED_RELATION_REFERENCE": Reason(
        InvalidInputError, "an expression names what is not declared", _SCHEMA_TEXT
    ),
    "ERROR_CODE_NOT_SUPPORTED_RELATION_WALK": Reason(
        InvalidInputError, "`a.b.c` in an expression", "name the second step as a permission"
    ),
    "ERROR_CODE_INVALID_RULE_REFERENCE": Reason(
        InvalidInputError,
        "a call of a rule that is not declared, or with what is no attribute",
        _SCHEMA_TEXT,
    ),
    "ERROR_CODE_NOT_SUPPORTED_WALK": Reason(
        InvalidInputError, "an argument with a dot", "pass an attribute of the entity itself"
    ),
    "ERROR_CODE_NOT_FOUND": Reason(
        NotFoundError, "deleting a tenant that does not exist", "check its id"
    ),
    "ERROR_CODE_SCHEMA_NOT_FOUND": Reason(
        NotFoundError,
        "the tenant has no schema or no such version; the schema has no such entity type or "
        "permission",
        "write a schema, or check the name and the tenant",
    ),
    "ERROR_CODE_ENTITY_DEFINITION_NOT_FOUND": Reason(
        NotFoundError, "the entity type is the name of a rule", "check the name"
    ),
    "ERROR_CODE_RULE_DEFINITION_NOT_FOUND": Reason(
        NotFoundError, "the permission is the name of an entity type", "check the name"
    ),
    "ERROR_CODE_RELATION_DEFINITION_NOT_FOUND": Reason(
        NotFoundError,
        "a tuple's relation is none of its entity type",
        "use a relation that the explanation lists, or add it to the schema",
    ),
    "ERROR_CODE_SUBJECT_TYPE_NOT_FOUND": Reason(
        NotFoundError,
        "a tuple's subject is of a type that the relation does not admit",
        "use one that the explanation lists, or add it to the schema",
    ),
    "ERROR_CODE_ATTRIBUTE_DEFINITION_NOT_FOUND": Reason(
        NotFoundError, "an attribute that its entity type does not declare", "check the name"
    ),
    "ERROR_CODE_ATTRIBUTE_TYPE_MISMATCH": Reason(
        NotFoundError,
        "an attribute's value is missing, of an unknown type, or not of the declared one; a check "
        "of an attribute that is not boolean",
        "send a value of the type that the explanation names",
    ),
    "ERROR_CODE_BUNDLE_NOT_FOUND": Reason(
        NotFoundError, "the tenant has no bundle of that name", "check the name, or write it"
    ),
    "ERROR_CODE_ENTITY_STATEMENT_NOT_FOUND": Reason(
        NotFoundError,
        "a schema edit in part of an entity that does not exist",
        "check the name; write the whole schema to add an entity",
    ),
    "ERROR_CODE_REFERENCE_NOT_FOUND": Reason(
        NotFoundError,
        "a schema edit in part updates or deletes a name that the entity does not have",
        "check the name; write it to add it",
    ),
    "ERROR_CODE_SERIALIZATION": Reason(
        ConflictError,
        "somebody else changed it first: a schema edit in part of a version that is no longer in "
        "force, transactions in each other's way",
        "read again and retry",
    ),
    "ERROR_CODE_CANCELLED": Reason(
        GrantlogError, "the caller ended the call", "nothing: the work has ended too"
    ),
    "ERROR_CODE_NOT_IMPLEMENTED": Reason(
        GrantlogError, "a call that this version does not serve", "use a newer version"
    ),
    "ERROR_CODE_INTERNAL": Reason(
        CorruptionError,
        "data breaks an invariant, or a fault of ours; the answer says no more, the log does",
        "look at the server's log and report it; retrying does not help",
    ),
}
"""Names of the contract's `ErrorCode`."""

OURS: Final[dict[str, Reason]] = {
    "INVALID_SNAP_TOKEN": Reason(
        InvalidInputError,
        "a snap token that is garbled or belongs to another tenant",
        "send the token as it was received, to the tenant that it came from",
    ),
    "BEYOND_HEAD": Reason(
        InvalidInputError,
        "a token or revision beyond the tenant's head: no such write was acknowledged",
        "check that token and server belong together",
    ),
    "INVALID_AS_OF": Reason(
        InvalidInputError,
        "`grantlog-as-of` is neither a revision nor a time with its offset, comes with a snap "
        "token, a later schema version or another key of [freshness](freshness.md), or on a call "
        "that has no past",
        "send it as `42` or `2026-11-21T20:26:00Z`, or leave it out",
    ),
    "INVALID_CONSISTENCY": Reason(
        InvalidInputError,
        "`grantlog-consistency` is none, or comes on a call that reads no facts or schemas",
        "send `head`, `node` or `bounded`, or leave it out",
    ),
    "INVALID_MAX_STALENESS": Reason(
        InvalidInputError,
        "`grantlog-max-staleness-ms` is no number of milliseconds up to a day, contradicts "
        "`grantlog-consistency`, or comes on a call that reads no facts or schemas",
        "send whole milliseconds, or leave it out",
    ),
    "UNKNOWN_METADATA": Reason(
        InvalidInputError,
        "metadata or a header that begins with `grantlog-` and means nothing: it is mistyped",
        "send the name that the message proposes, or leave it out",
    ),
    "AS_OF_IN_FUTURE": Reason(
        InvalidInputError, "`grantlog-as-of` is a time to come", "check the clock; leave it out"
    ),
    "RULE_EVALUATION_FAILED": Reason(
        InvalidInputError,
        "a rule that the answer hangs on could not be evaluated: an absent key of `context.data`, "
        "a division by zero",
        "send the key that the message names, or ask `has(…)` in the rule",
    ),
    "LOST_WRITE": Reason(
        PreconditionError,
        "the token's write was lost when the database was restored or failed over",
        "write it again, or ask without the token",
    ),
    "BEHIND_WINDOW": Reason(
        PreconditionError,
        "the history of that revision has been collected, or the tenant deleted since",
        "ask as of a later revision; begin a listing anew",
    ),
    "TENANT_DELETED": Reason(
        PreconditionError,
        "the place to watch from lies in a life of the tenant that has ended",
        "watch from the `snap_token` of the details to hear of its next life",
    ),
    "FAILED_PRECONDITION": Reason(
        PreconditionError,
        "the database is not what this version needs: not migrated, or without a right",
        "run `grantlog migrate`; an operator has to look at it",
    ),
    "LIMIT_EXCEEDED": Reason(
        LimitError,
        "a documented bound was reached; the message names it and its value",
        "ask for less; see [limits](limits.md)",
    ),
    "SLOW_READER": Reason(
        LimitError,
        "the reader of a stream takes less than what happens",
        "go on from the `snap_token` of the details, and read faster",
    ),
    "INVALID_PATH": Reason(
        PathError,
        "over REST, a path that is not percent-encoded UTF-8",
        "encode the id in the path",
    ),
    "UNSUPPORTED_MEDIA_TYPE": Reason(
        MediaTypeError,
        "over REST, a body that says of itself that it is not JSON in UTF-8",
        "send `Content-Type: application/json`, uncompressed",
    ),
    "BODY_TOO_LARGE": Reason(
        BodyTooLargeError,
        "over REST, a body larger than [allowed](limits.md)",
        "send less at once",
    ),
    "UNAVAILABLE": Reason(
        UnavailableError,
        "a part that is needed does not answer, or this node is about to stop",
        "retry with backoff",
    ),
    "PROJECTION_LAGGING": Reason(
        UnavailableError,
        "no replica has reached the revision, and the primary has enough to do",
        "retry with backoff",
    ),
}
"""Reasons of our own; the contract has no name for them."""

NOT_FOR_CALLERS: Final = {
    "STALE_SCHEMA": "a write is validated anew inside when another schema comes into force",
    "NOT_ROUTED": "its callers get the words of the contract's gateway instead, as below",
    "ERROR_CODE_UNAUTHENTICATED": "callers are not asked who they are yet",
    "FORBIDDEN": "likewise",
}
"""Reasons in the error tree that no caller of the API meets, and why."""
