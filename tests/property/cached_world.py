"""What is asked of a node with caches: schemas, all facts that can ever hold, and questions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from grantlog.engine.plan import build_plan
from grantlog.engine.question import RequestContext
from grantlog.errors import (
    BehindWindowError,
    BeyondHeadError,
    LostWriteError,
    NotFoundError,
    OtherEpochError,
    ProjectionLaggingError,
)
from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.tuples import Entity, parse_tuple
from grantlog.schema.compile import compile_schema
from grantlog.testing.oracle import read_language

FIRST = """
entity user {}
entity group {
  relation member @user @group#member
}
entity folder {
  relation parent @folder
  relation viewer @user @group#member
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation viewer @user @group#member
  relation blocked @user
  attribute public boolean
  attribute tag string
  permission view = viewer or parent.view
  permission read = view not blocked
  permission open = public or read
  permission cleared = tagged(tag) and viewer
}
rule tagged(tag string) {
  tag == context.data.tag
}
"""
SECOND = FIRST.replace("view not blocked", "viewer or view").replace("public or", "public and")
SCHEMAS = (FIRST, SECOND)

TUPLES = tuple(
    map(
        parse_tuple,
        (
            "doc:1#parent@folder:1",
            "doc:1#viewer@user:1",
            "doc:1#viewer@user:2",
            "doc:1#viewer@group:1#member",
            "doc:1#viewer@group:2#member",
            "doc:1#viewer@group:3#member",
            "doc:1#blocked@user:1",
            "folder:1#parent@folder:2",
            "folder:1#viewer@group:1#member",
            "folder:1#viewer@group:2#member",
            "folder:1#viewer@group:3#member",
            "folder:2#viewer@user:1",
            "folder:2#viewer@group:1#member",
            "group:1#member@user:1",
            "group:2#member@user:1",
            "group:3#member@user:1",
            "group:1#member@group:2#member",
        ),
    )
)
"""All that can ever hold; writes put some and remove others."""
ATTRIBUTES = (
    Attribute(Entity("doc", "1"), "public", AttributeValue(AttributeType.BOOLEAN, True)),
    Attribute(Entity("doc", "1"), "public", AttributeValue(AttributeType.BOOLEAN, False)),
    Attribute(Entity("doc", "1"), "tag", AttributeValue(AttributeType.STRING, "x")),
    Attribute(Entity("doc", "1"), "tag", AttributeValue(AttributeType.STRING, "y")),
)
OVERTAKEN = (
    BehindWindowError, BeyondHeadError, LostWriteError, NotFoundError, OtherEpochError,
    ProjectionLaggingError,
)  # fmt: skip
"""What a question may meet that a deletion or a restore came before."""
NAMES = ("view", "read", "open", "cleared", "viewer")
DEPTHS = (1, 2, 3, 5, 20)
CONTEXTS = (
    RequestContext(),
    RequestContext(),
    RequestContext(tuples=(parse_tuple("group:1#member@user:1"),)),
    RequestContext(data={"tag": "x"}),
    RequestContext(data={"tag": "y"}),
)
language = lru_cache(read_language)


@lru_cache
def compiled(text: str) -> tuple[Any, Any]:
    schema = compile_schema(text)
    return schema, build_plan(schema)
