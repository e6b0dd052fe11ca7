"""An example of each operation, in an order in which they work on a fresh server."""

from __future__ import annotations

from typing import Any, Final

SCHEMA: Final = """\
entity user {}

entity team {
  relation member @user
}

entity folder {
  relation owner @user
}

entity doc {
  relation folder @folder
  relation viewer @user @team#member

  attribute public boolean
  attribute level integer

  permission view = viewer or folder.owner or public
  permission audit = viewer and cleared(level)
}

rule cleared(level integer) {
  context.data.clearance >= level
}
"""

PATH: Final = {"tenant_id": "t1", "id": "acme"}
"""Path variables: the tenant that is always there, and the one that an example creates."""

_DOC: Final = {"type": "doc", "id": "plan"}
_ANN: Final = {"type": "user", "id": "ann"}
_BOB: Final = {"type": "user", "id": "bob"}
_MEMBERS: Final = {"type": "team", "id": "eng", "relation": "member"}
_ASKED: Final = {"depth": 20}


def _tuple(entity: dict[str, str], relation: str, subject: dict[str, str]) -> dict[str, Any]:
    return {"entity": entity, "relation": relation, "subject": subject}


EXAMPLES: Final[dict[str, Any]] = {
    "tenants.create": {"id": "acme", "name": "Acme Inc."},
    "tenants.list": {"page_size": 20},
    "schemas.write": {"schema": SCHEMA},
    "schemas.partial-write": {
        "metadata": {},
        "partials": {
            "doc": {
                "write": ["relation editor @user", "permission edit = editor"],
                "update": ["permission view = viewer or editor or folder.owner or public"],
                "delete": [],
            }
        },
    },
    "schemas.read": {"metadata": {}},
    "schemas.list": {"page_size": 20},
    "data.write": {
        "metadata": {},
        "tuples": [_tuple(_DOC, "viewer", _MEMBERS), _tuple(_DOC, "editor", _BOB)],
        "attributes": [
            {
                "entity": _DOC,
                "attribute": "level",
                "value": {"@type": "type.googleapis.com/base.v1.IntegerValue", "data": 2},
            }
        ],
    },
    "relationships.write": {
        "metadata": {},
        "tuples": [_tuple({"type": "team", "id": "eng"}, "member", _ANN)],
    },
    "bundle.write": {
        "bundles": [
            {
                "name": "share",
                "arguments": ["doc", "user"],
                "operations": [
                    {
                        "relationships_write": ["doc:{{.doc}}#viewer@user:{{.user}}"],
                        "attributes_write": ["doc:{{.doc}}$public|boolean:false"],
                    }
                ],
            }
        ]
    },
    "bundle.read": {"name": "share"},
    "bundle.run": {"name": "share", "arguments": {"doc": "memo", "user": "ann"}},
    "permissions.check": {
        "metadata": _ASKED,
        "entity": _DOC,
        "permission": "audit",
        "subject": _ANN,
        "context": {"data": {"clearance": 3}},
    },
    "permissions.bulk-check": {
        "metadata": _ASKED,
        "items": [
            {"entity": _DOC, "permission": "view", "subject": _ANN},
            {"entity": _DOC, "permission": "edit", "subject": _ANN},
        ],
    },
    "permissions.expand": {"metadata": {}, "entity": _DOC, "permission": "view"},
    "permissions.lookupEntity": {
        "metadata": _ASKED,
        "entity_type": "doc",
        "permission": "view",
        "subject": _ANN,
        "page_size": 100,
    },
    "permissions.lookupEntityStream": {
        "metadata": _ASKED,
        "entity_type": "doc",
        "permission": "view",
        "subject": _ANN,
        "scope": {"doc": {"data": ["plan", "memo"]}},
    },
    "permissions.lookupSubject": {
        "metadata": _ASKED,
        "entity": _DOC,
        "permission": "view",
        "subject_reference": {"type": "user"},
    },
    "permissions.subjectPermission": {
        "metadata": {"depth": 20, "only_permission": True},
        "entity": _DOC,
        "subject": _ANN,
        "context": {"data": {"clearance": 1}},
    },
    "data.relationships.read": {
        "metadata": {},
        "filter": {"entity": {"type": "doc", "ids": ["plan"]}},
        "page_size": 20,
    },
    "data.attributes.read": {
        "metadata": {},
        "filter": {"entity": {"type": "doc"}, "attributes": ["level"]},
    },
    "watch.watch": {"snap_token": ""},
    "data.delete": {
        "tuple_filter": {"entity": {"type": "doc", "ids": ["plan"]}, "relation": "editor"},
        "attribute_filter": {},
    },
    "relationships.delete": {"filter": {"entity": {"type": "team", "ids": ["eng"]}}},
    "bundle.delete": {"name": "share"},
    "tenants.delete": None,
}
"""Bodies by operation id, None where there is none; for paths filled from PATH."""
