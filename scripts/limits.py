"""Every bound that a caller can meet: the rows of docs/limits.md, with the code's own numbers."""

from __future__ import annotations

from typing import Final, NamedTuple

from grantlog_api import rest_body, rest_protocol, rest_reader
from grantlog_api.handlers import tenancy as tenancy_calls
from grantlog_api.settings import ApiSettings

from grantlog.api.v1 import service_pb2
from grantlog.app import bundles as bundle_runs
from grantlog.app import data, list_schemas, listing, lookup, schema_cache, terms
from grantlog.engine import expand, expand_facts, question
from grantlog.engine.lookup_entity.lookup import WALK_NODES_MAX
from grantlog.engine.lookup_subject.lookup import SUBJECTS_MAX
from grantlog.model import bundle, ids
from grantlog.ports.bundles import BUNDLES_MAX
from grantlog.schema import limits as language
from grantlog.serving import calls, grpc_door
from grantlog.serving import watching as watch_calls
from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.wire import convert, json_struct
from grantlog.wire import schema as schema_message
from grantlog.wire.rules import rules_of

MESSAGE_LEVELS: Final = 100
"""Of protobuf's own reader."""
CEL_ITERATIONS: Final = 10_000
"""Of the CEL library."""
GRPC_METADATA_BYTES: Final = 8 * 1024
"""Of grpcio; the native server takes 16 KiB."""
_BULK: Final = service_pb2.PermissionBulkCheckRequest.DESCRIPTOR.fields_by_name["items"]
BULK_ITEMS_MAX: Final[int] = rules_of(_BULK).repeated.max_items

LIMIT: Final = "`LIMIT_EXCEEDED`"
VALIDATION: Final = "`ERROR_CODE_VALIDATION`"
ARGUMENT: Final = "`ERROR_CODE_INVALID_ARGUMENT`"
PARSE: Final = "`ERROR_CODE_SCHEMA_PARSE`"
COMPILE: Final = "`ERROR_CODE_SCHEMA_COMPILE`"
UNAVAILABLE: Final = "`UNAVAILABLE`"
SHORTER: Final = "a shorter page, with the token that leads on"


class Limit(NamedTuple):
    """A bound.

    Attributes:
        what: what is bounded.
        most: the value that is still allowed.
        unit: of the value: bytes, seconds, ….
        beyond: what the caller gets who exceeds it.
        setting: the variable that changes it, "" if there is none.
    """

    what: str
    most: float
    unit: str
    beyond: str
    setting: str = ""


def _of_setting(what: str, name: str, unit: str, beyond: str) -> Limit:
    most = ApiSettings.model_fields[name].default
    return Limit(what, most, unit, beyond, f"GRANTLOG_{name.upper()}")


_WRITER: Final = WriterLimits()
_CHECK: Final = question.DEFAULT_LIMITS

REQUESTS: Final = {
    "grpc message": Limit(
        "a request over gRPC", grpc_door.MESSAGE_BYTES_MAX, "bytes", "RESOURCE_EXHAUSTED"
    ),
    "rest body": Limit(
        "a body over REST", rest_body.BODY_BYTES_MAX, "bytes", "`BODY_TOO_LARGE`, HTTP 413"
    ),
    "rest head": Limit(
        "the head of a REST request", rest_protocol.HEAD_BYTES_MAX, "bytes", "HTTP 431"
    ),
    "rest head time": Limit(
        "the time that a head may take to arrive",
        rest_protocol.HEAD_S_MAX, "seconds", "the connection ends",
    ),
    "rest unread": Limit(
        "how long a REST client may read nothing of what waits for it",
        rest_reader.UNREAD_S_MAX, "seconds", "the connection ends",
    ),
    "grpc metadata": Limit(
        "metadata of a gRPC request", GRPC_METADATA_BYTES, "bytes",
        "RESOURCE_EXHAUSTED with grpcio; the native server takes 16 KiB, then HTTP 431",
    ),
    "answer": Limit("an answer", calls.ANSWER_BYTES_MAX, "bytes", LIMIT),
    "call time": _of_setting("the time of a call", "request_timeout_s", "seconds",
        "DEADLINE_EXCEEDED"),
    "connections": Limit(
        "REST connections of one process", rest_protocol.CONNECTIONS_MAX, "", "HTTP 503"
    ),
    "id": Limit("an id: of a tenant, entity or subject", ids.ID_BYTES_MAX, "bytes", VALIDATION),
    "name": Limit(
        "a name: of a type, relation, permission or attribute",
        ids.NAME_BYTES_MAX, "bytes", VALIDATION,
    ),
    "depth": Limit("`depth`", question.DEPTH_MAX, "steps", VALIDATION),
    "bulk items": Limit("items of a bulk check", BULK_ITEMS_MAX, "", VALIDATION),
    "message nesting": Limit(
        "messages within messages, over gRPC", MESSAGE_LEVELS, "levels", VALIDATION
    ),
    "json nesting": Limit(
        "objects and lists of a JSON body", json_struct.DEPTH_MAX, "levels", VALIDATION
    ),
    "context facts": Limit(
        "tuples and attributes in a context", convert.CONTEXT_FACTS_MAX, "", LIMIT
    ),
    "context data": Limit("`context.data`", convert.CONTEXT_DATA_BYTES_MAX, "bytes", LIMIT),
    "filter values": Limit(
        "ids, or attributes, in one list of a filter", convert.FILTER_VALUES_MAX, "", LIMIT
    ),
    "scope": Limit("ids in a lookup's `scope`", convert.SCOPE_IDS_MAX, "", LIMIT),
    "staleness": Limit(
        f"`{terms.MAX_STALENESS}`", terms.STALENESS_MS_MAX, "milliseconds",
        "`INVALID_MAX_STALENESS`",
    ),
    "watch filter": Limit(
        "values of one filter of Watch", watch_calls.VALUES_MAX, "", VALIDATION
    ),
}  # fmt: skip

PAGES: Final = {
    "lookup page": Limit("ids of a lookup", lookup.PAGE_MAX, "", SHORTER),
    "tuple page": Limit("tuples of a listing", listing.PAGE_MAX, "", SHORTER),
    "attribute page": Limit(
        "attributes of a listing", listing.ATTRIBUTES_PAGE_MAX, "", SHORTER
    ),
    "attribute page bytes": Limit(
        "their values together", listing.PAGE_BYTES_MAX, "bytes", SHORTER
    ),
    "schema page": Limit("schema versions of a listing", list_schemas.PAGE_MAX, "", SHORTER),
    "tenant page": Limit("tenants of a listing", tenancy_calls.PAGE_MAX, "", SHORTER),
}  # fmt: skip

WRITES: Final = {
    "facts": _of_setting(
        "tuples and attributes of one write", "facts_per_write_max", "",
        "`ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED`",
    ),
    "changes": _of_setting(
        "changes of one write: what a deletion by filter may match", "changes_per_write_max", "",
        LIMIT,
    ),
    "value": Limit(
        "an attribute's value: the bytes of its texts, 8 for any other item",
        data.VALUE_BYTES_MAX, "bytes", LIMIT,
    ),
    "waiting writes": Limit(
        "writes of one tenant that wait", _WRITER.queue_writes_max, "", UNAVAILABLE
    ),
    "bundle name": Limit("a bundle's name", bundle.NAME_BYTES_MAX, "bytes", ARGUMENT),
    "bundle arguments": Limit("arguments of a bundle", bundle.ARGUMENTS_MAX, "", ARGUMENT),
    "bundle templates": Limit("templates of a bundle", bundle.TEMPLATES_MAX, "", ARGUMENT),
    "bundle": Limit("a bundle", bundle.DEFINITION_BYTES_MAX, "bytes", ARGUMENT),
    "filled bundle": Limit(
        "what a bundle's templates may come to", bundle_runs.FILLED_BYTES_MAX, "bytes", ARGUMENT
    ),
    "bundles of a request": Limit(
        "bundles of one request", bundle_runs.BUNDLES_PER_WRITE_MAX, "", VALIDATION
    ),
    "bundles": Limit("bundles of a tenant", BUNDLES_MAX, "", LIMIT),
}  # fmt: skip

SCHEMAS: Final = {
    "schema": Limit("a schema", language.schema_bytes_max, "bytes", PARSE),
    "schema name": Limit("a name in it", language.name_bytes_max, "bytes", PARSE),
    "entities": Limit("entities", language.entities_max, "", COMPILE),
    "members": Limit(
        "relations, attributes and permissions of an entity", language.members_max, "", COMPILE
    ),
    "rules": Limit("rules", language.rules_max, "", COMPILE),
    "parameters": Limit("parameters of a rule", language.parameters_max, "", COMPILE),
    "operators": Limit(
        "operators within operators", language.expression_depth_max, "levels", PARSE
    ),
    "operators read": Limit(
        "the same, for a schema to be read back (chains of one operator count once)",
        schema_message.OPERATORS_NESTED_MAX, "levels", LIMIT + " by Schema.Read",
    ),
    "rule body": Limit("a rule's body", language.rule_bytes_max, "bytes", PARSE),
    "braces": Limit("braces within braces in it", language.rule_nesting_max, "levels", PARSE),
    "waiting compiles": Limit(
        "schemas that wait to be compiled", schema_cache.COMPILES_WAITING_MAX, "", UNAVAILABLE
    ),
}  # fmt: skip

QUESTIONS: Final = {
    "nodes": Limit("steps that one check looks at", _CHECK.nodes_max, "", LIMIT),
    "usersets": Limit(
        "usersets that one relation of one entity is searched through",
        _CHECK.usersets_max, "", LIMIT + ", unless one of them allows",
    ),
    "arrow": Limit(
        "subjects that one arrow of one entity is followed to",
        _CHECK.fanout_max, "", LIMIT + ", unless one of them allows",
    ),
    "keys": Limit("facts that a check asks for at once", _CHECK.keys_max, "", LIMIT),
    "rule loops": Limit("loop iterations of one rule", CEL_ITERATIONS, "", LIMIT),
    "rule input": Limit(
        "characters, and eight for each item, that one rule is given",
        language.rule_input_max, "", LIMIT,
    ),
    "slow rule input": Limit(
        "as much as lets the rule end, by its expression, within",
        language.rule_ms_max, "milliseconds", LIMIT,
    ),
    "slow rule": Limit(
        "how much a rule must be able to take in that time",
        language.rule_input_min, "", COMPILE,
    ),
    "tree nodes": Limit("nodes of an expansion", expand.NODES_MAX, "", LIMIT),
    "tree levels": Limit("its levels", expand.LEVELS_MAX, "", LIMIT),
    "tree subjects": Limit("subjects that it names", expand_facts.SUBJECTS_MAX, "", LIMIT),
    "lookup entities": Limit(
        "entities that LookupEntity passes through", WALK_NODES_MAX, "", LIMIT
    ),
    "lookup subjects": Limit("subjects that LookupSubject reads", SUBJECTS_MAX, "", LIMIT),
}  # fmt: skip

STREAMS: Final = {
    "streams": _of_setting("streams open on one node", "streams_max", "", LIMIT),
    "stall": _of_setting(
        "how long a reader may leave a message unread", "stream_stall_s_max", "seconds",
        "`SLOW_READER`",
    ),
    "watched transactions": _of_setting(
        "transactions that wait for one watcher", "watch_transactions_max", "", "`SLOW_READER`"
    ),
    "watched changes": _of_setting(
        "changes in them", "watch_changes_max", "", "`SLOW_READER`"
    ),
}  # fmt: skip

GROUPS: Final = {
    "requests": REQUESTS,
    "pages": PAGES,
    "writes": WRITES,
    "schemas": SCHEMAS,
    "questions": QUESTIONS,
    "streams": STREAMS,
}
LIMITS: Final = {name: row for group in GROUPS.values() for name, row in group.items()}
