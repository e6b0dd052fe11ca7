"""What the OpenAPI document says in words: about operations, messages, fields and statuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class OperationText:
    """One operation in words."""

    summary: str
    description: str
    may_miss: bool = False
    """Whether what it names may not exist: 404."""
    may_clash: bool = False
    """Whether another write may come in between: 409."""


OPERATIONS: Final[dict[str, OperationText]] = {
    "permissions.check": OperationText(
        "Check a permission",
        "Does the subject hold the permission on the entity?",
        may_miss=True,
    ),
    "permissions.bulk-check": OperationText(
        "Check up to 100 permissions",
        "All items stand at one snapshot; the answers keep their order. An item that is wrong in "
        "itself is denied, and named in a header.",
        may_miss=True,
    ),
    "permissions.expand": OperationText(
        "Expand a permission",
        "Who holds the permission, and through what: a tree of operators with subjects and values "
        "as leaves.",
        may_miss=True,
    ),
    "permissions.lookupEntity": OperationText(
        "Find entities",
        "All entities of a type on which the subject holds the permission, in the order of their "
        "ids.",
        may_miss=True,
    ),
    "permissions.lookupEntityStream": OperationText(
        "Find entities, as a stream",
        "As the lookup, one entity a line, each with the token to go on after it.",
        may_miss=True,
    ),
    "permissions.lookupSubject": OperationText(
        "Find subjects",
        "All subjects of a kind that hold the permission on the entity, in the order of their ids.",
        may_miss=True,
    ),
    "permissions.subjectPermission": OperationText(
        "List a subject's permissions",
        "Every permission and relation of the entity, and whether the subject holds it.",
        may_miss=True,
    ),
    "watch.watch": OperationText(
        "Watch changes",
        "The changes after the token, or after the head, revision by revision and for ever; an "
        "empty list of changes is a heartbeat.",
    ),
    "watch.events": OperationText(
        "Watch changes as server-sent events",
        "The id of an event is the token to go on from, its data a WatchResponse; a browser's "
        "EventSource goes on by itself.",
    ),
    "schemas.write": OperationText(
        "Write a schema",
        "The text becomes a new version, in force at once.",
        may_clash=True,
    ),
    "schemas.partial-write": OperationText(
        "Edit a schema",
        "Adds, replaces and deletes statements by entity; what else the text holds, comments "
        "included, stays.",
        may_miss=True,
        may_clash=True,
    ),
    "schemas.read": OperationText(
        "Read a schema", "The version that is named, or the one in force.", may_miss=True
    ),
    "schemas.list": OperationText("List schema versions", "Newest first.", may_miss=True),
    "data.write": OperationText(
        "Write relationships and attributes",
        "All of them or none. What already holds is no change.",
        may_miss=True,
        may_clash=True,
    ),
    "relationships.write": OperationText(
        "Write relationships",
        "The older twin of data.write, for relationships alone.",
        may_miss=True,
        may_clash=True,
    ),
    "data.relationships.read": OperationText(
        "Read relationships", "Stored tuples that the filter admits, in the order of their keys."
    ),
    "data.attributes.read": OperationText(
        "Read attributes", "Stored attributes that the filter admits, in the order of their keys."
    ),
    "data.delete": OperationText(
        "Delete relationships and attributes",
        "What the filters admit. An empty filter stands for nothing of its kind; one of the two "
        "must not be empty.",
        may_clash=True,
    ),
    "relationships.delete": OperationText(
        "Delete relationships",
        "The older twin of data.delete, for relationships alone.",
        may_clash=True,
    ),
    "bundle.run": OperationText(
        "Run a bundle",
        "Fills the bundle's templates with the arguments and writes what they say, all or nothing.",
        may_miss=True,
        may_clash=True,
    ),
    "bundle.write": OperationText(
        "Write bundles", "Stores bundles under their names, replacing.", may_clash=True
    ),
    "bundle.read": OperationText("Read a bundle", "As it was written.", may_miss=True),
    "bundle.delete": OperationText(
        "Delete a bundle", "By its name.", may_miss=True, may_clash=True
    ),
    "tenants.create": OperationText(
        "Create a tenant",
        "Puts a tenant on the list. Data that it already has are kept.",
        may_clash=True,
    ),
    "tenants.list": OperationText("List tenants", "In the order of their ids."),
    "tenants.delete": OperationText(
        "Delete a tenant", "Ends the tenant and all of its data.", may_miss=True, may_clash=True
    ),
}
"""By operation id."""

ANSWER_HEADERS: Final[dict[str, dict[str, str]]] = {
    "permissions.bulk-check": {
        "grantlog-item-errors": "Items, counted from 0, that are denied because they are wrong: "
        "`3=REASON,7=REASON`."
    }
}
"""Names and meanings of headers that an answer may carry, by operation id."""

FIELDS: Final[dict[str, str]] = {
    "schema_version": "The version to answer by; empty is the one in force.",
    "snap_token": "At least as fresh as this; empty is the head.",
    "depth": "A budget of steps; 20 suits most schemas.",
    "only_permission": "Leave relations out.",
    "page_size": "How many at most; 0 leaves it to the server.",
    "continuous_token": "Of the page before; empty is the first page. Other fields must be equal.",
    "context": "Facts and data that hold for this request alone, and win over stored ones.",
    "arguments": "Attributes that a rule is called with, if the permission is a rule.",
    "scope": "Ids by entity type: only these entities are candidates.",
    "items": "Answered in this order.",
    "schema": "The text of the whole schema.",
    "partials": "Edits by the name of the entity.",
    "tuple_filter": "Which relationships; an empty object is none.",
    "attribute_filter": "Which attributes; an empty object is none.",
    "base.v1.WatchRequest.snap_token": "Changes after it; empty is after the head.",
    "base.v1.BundleRunRequest.arguments": "A value for each argument that the bundle declares.",
    "base.v1.SchemaPartialWriteRequestMetadata.schema_version": "The version that is edited; "
    "another one in force is a conflict. Empty is the one in force.",
    "base.v1.Partials.write": "Statements to add.",
    "base.v1.Partials.update": "Statements that replace those of the same name.",
    "base.v1.Partials.delete": "Names of statements to delete.",
    "base.v1.Context.data": "What rules read as `context.data`.",
    "base.v1.Subject.relation": "With it the subject is a userset: `team:1#member`.",
    "base.v1.DataBundle.arguments": "Names that templates use as `{{.name}}`.",
}
"""By the full name of a field, or by its name where that means the same everywhere."""

MESSAGES: Final[dict[str, str]] = {
    "base.v1.Tuple": "A fact: `doc:1#viewer@user:2`.",
    "base.v1.Attribute": "A typed fact on an entity: `doc:1$public`.",
    "base.v1.AttributeValue": "A value with its type in `@type`; integers have 32 bits, doubles "
    "are finite.",
    "base.v1.Entity": "A typed thing: `doc:1`.",
    "base.v1.Subject": "An entity, or with `relation` a userset.",
    "base.v1.TupleFilter": "Conditions on tuples, all of which must hold.",
    "base.v1.AttributeFilter": "Conditions on attributes, all of which must hold.",
    "base.v1.Operation": "Templates: tuples as `doc:{{.id}}#viewer@user:{{.user}}`, attributes as "
    "`doc:{{.id}}$public|boolean:true`.",
    "google.rpc.ErrorInfo": "What programs and people need: `reason` is the name of the error, "
    "`metadata.explanation` says what to do.",
}
"""By full name."""

STATUSES: Final[dict[int, str]] = {
    400: "The request is wrong, or asks for what cannot be answered: a rule is broken, a token is "
    "not one or too old, the depth did not suffice.",
    404: "What the request names does not exist.",
    409: "Another write came in between: read again and retry.",
    413: "The body has more than 4 MiB.",
    415: "The body says of itself that it is not JSON.",
    429: "A documented bound was reached.",
    500: "A defect of this server.",
    503: "Something that is needed does not answer, or this node is shutting down: retry.",
    504: "It took longer than a call may take.",
}
"""What an error of this status means."""

TERMS: Final[list[dict[str, Any]]] = [
    {
        "name": "grantlog-as-of",
        "in": "header",
        "description": "Answer as of exactly this revision or time, with the schema of then; "
        "the other two have no say then.",
        "schema": {
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]{1,18}$"},
                {"type": "string", "format": "date-time"},
            ]
        },
    },
    {
        "name": "grantlog-consistency",
        "in": "header",
        "description": "Answer at the head, at what the node knows of it, or at what it knew a "
        "bounded time ago.",
        "schema": {"type": "string", "enum": ["head", "node", "bounded"]},
    },
    {
        "name": "grantlog-max-staleness-ms",
        "in": "header",
        "description": "The bound of `bounded`, which it implies, in milliseconds: every write "
        "that was committed so long ago is in the answer.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 86_400_000},
    },
]
"""The headers of calls whose answer stands at a revision."""

STANDING: Final[dict[str, str]] = {
    "grantlog-token": "The snap token of the revision that the answer stands at.",
    "grantlog-source": "The copy furthest from the writes that was read: `primary` or `replica`.",
    "grantlog-age-ms": "How long ago that revision was last known to be the tenant's head; not of "
    "answers as of the past.",
}
"""What these calls say of their answer, and where it comes from."""

FILTERS: Final[dict[str, str]] = {
    "entity_types": "Only changes about entities of these types, separated by commas.",
    "relations": "Only changes of these relations or attributes.",
    "subjects": "Only changes of tuples with these subjects: user, user:1, team:2#member.",
}
"""Query parameters of watching."""

ABOUT: Final = """\
Authorization from relationships, attributes and a schema.

In requests null is the same as leaving a field out, whole numbers may stand in quotes, and fields
that are not known are ignored. A body may have 4 MiB. An error is a google.rpc.Status.
"""
