"""The calls of the official Python client (REST) that python_sdk.py leaves out, streams included.

Usage: python_sdk_rest.py BASE_URL TENANT. Prints one line per call made; exits non-zero at the first
answer that is not the expected one.
"""

import json
import sys
import threading

import permify

SCHEMA = """
entity user {}
entity team { relation member @user }
entity folder { relation owner @user  permission view = owner }
entity doc {
  relation parent @folder
  relation viewer @user @team#member
  permission view = viewer or parent.view
}
"""
FIRST_LINE_S_MAX = 30


def expect(name, got, want):
    if got != want:
        sys.exit(f"{name}: got {got!r}, expected {want!r}")
    print(f"ok {name}")


def fact(entity, relation, subject):
    entity_type, _, entity_id = entity.partition(":")
    subject_type, _, rest = subject.partition(":")
    subject_id, _, subject_relation = rest.partition("#")
    return {
        "entity": {"type": entity_type, "id": entity_id},
        "relation": relation,
        "subject": {"type": subject_type, "id": subject_id, "relation": subject_relation},
    }


def main(base_url, tenant):
    client = permify.ApiClient(permify.Configuration(host=base_url))
    schemas, data = permify.SchemaApi(client), permify.DataApi(client)
    permission, bundles = permify.PermissionApi(client), permify.BundleApi(client)
    schemas.schemas_write(tenant, permify.SchemaWriteBody(var_schema=SCHEMA))

    def body(kind, **fields):
        return getattr(permify, kind).from_dict(fields)

    edit = {"doc": {"write": ["relation editor @user"], "update": [], "delete": []}}
    version = schemas.schemas_partial_write(
        tenant, body("PartialWriteBody", metadata={"schema_version": ""}, partials=edit)
    ).schema_version
    expect("schemas.partial-write", len(version), 20)

    facts = [
        fact("doc:1", "viewer", "team:eng#member"),
        fact("team:eng", "member", "user:bob"),
        fact("doc:2", "parent", "folder:f"),
        fact("folder:f", "owner", "user:ann"),
        fact("doc:3", "viewer", "user:ann"),
    ]
    metadata = {"schema_version": ""}
    token = data.relationships_write(
        tenant, body("WriteRelationshipsBody", metadata=metadata, tuples=facts)
    ).snap_token
    expect("relationships.write", bool(token), True)
    asked = {"schema_version": "", "snap_token": token, "depth": 20}
    ann, bob = ({"type": "user", "id": name, "relation": ""} for name in ("ann", "bob"))
    docs = [{"type": "doc", "id": number} for number in "123"]

    items = [{"entity": doc, "permission": "view", "subject": bob} for doc in docs]
    bulk = permission.permissions_bulk_check(
        tenant, body("BulkCheckBody", metadata=asked, items=items)
    )
    allowed, denied = "CHECK_RESULT_ALLOWED", "CHECK_RESULT_DENIED"
    expect("permissions.bulk-check", [r.can.value for r in bulk.results], [allowed, denied, denied])

    tree = permission.permissions_expand(
        tenant,
        body("PermissionExpandBody", metadata=asked, entity=docs[0], permission="viewer"),
    ).tree
    expect("permissions.expand", tree.entity.id, "1")

    lookup = {"metadata": asked, "entity_type": "doc", "permission": "view", "subject": ann}
    found = permission.permissions_lookup_entity(
        tenant, body("LookupEntityBody", page_size=1, **lookup)
    )
    rest = permission.permissions_lookup_entity(
        tenant,
        body("LookupEntityBody", page_size=1, continuous_token=found.continuous_token, **lookup),
    )
    expect("permissions.lookupEntity", found.entity_ids + rest.entity_ids, ["2", "3"])
    stream = permission.permissions_lookup_entity_stream_without_preload_content(
        tenant, body("LookupEntityStreamBody", **lookup)
    )
    lines = [json.loads(line) for line in stream.read().decode().splitlines()]
    expect(
        "permissions.lookupEntityStream",
        [line["result"]["entity_id"] for line in lines],
        ["2", "3"],
    )
    subjects = permission.permissions_lookup_subject(
        tenant,
        body(
            "LookupSubjectBody", metadata=asked, entity=docs[0], permission="view",
            subject_reference={"type": "user", "relation": ""},
        ),
    )  # fmt: skip
    expect("permissions.lookupSubject", subjects.subject_ids, ["bob"])
    names = permission.permissions_subject_permission(
        tenant,
        body("SubjectPermissionBody", metadata=asked | {"only_permission": True},
             entity=docs[2], subject=ann),
    )  # fmt: skip
    expect("permissions.subjectPermission", {k: v.value for k, v in names.results.items()},
           {"view": allowed})  # fmt: skip

    watched = watch_from(client, tenant, token)
    bundle = {
        "name": "share", "arguments": ["doc", "user"],
        "operations": [{
            "relationships_write": ["doc:{{.doc}}#editor@user:{{.user}}"],
            "relationships_delete": [], "attributes_write": [], "attributes_delete": [],
        }],
    }  # fmt: skip
    written = bundles.bundle_write(tenant, body("BundleWriteBody", bundles=[bundle]))
    expect("bundle.write", written.names, ["share"])
    read = bundles.bundle_read(tenant, body("BundleReadBody", name="share"))
    expect("bundle.read", read.bundle.arguments, ["doc", "user"])
    ran = data.bundle_run(
        tenant, body("RunBundleBody", name="share", arguments={"doc": "9", "user": "c+d@x"})
    )
    expect("bundle.run", bool(ran.snap_token), True)
    watched.join(FIRST_LINE_S_MAX)
    expect("watch.watch", watched.changes, ["doc:9#editor@user:c+d@x"])
    gone = bundles.bundle_delete(tenant, body("BundleDeleteBody", name="share"))
    expect("bundle.delete", gone.name, "share")

    where = {"entity": {"type": "doc", "ids": ["3"]}, "relation": "viewer"}
    data.relationships_delete(tenant, body("DeleteRelationshipsBody", filter=where))
    left = permission.permissions_lookup_entity(
        tenant, body("LookupEntityBody", **(lookup | {"metadata": asked | {"snap_token": ""}}))
    )
    expect("relationships.delete", left.entity_ids, ["2"])
    listed = permify.TenancyApi(client).tenants_list(permify.TenantListRequest(page_size=100))
    expect("tenants.list", "t1" in [record.id for record in listed.tenants], True)
    print("all ok")


def watch_from(client, tenant, token):
    """A thread that reads the watch stream up to its first changes."""

    class Watching(threading.Thread):
        changes = None

        def run(self):
            stream = permify.WatchApi(client).watch_watch_without_preload_content(
                tenant, permify.WatchBody(snap_token=token)
            )
            for line in iter(stream.readline, b""):
                changes = json.loads(line)["result"]["changes"]["data_changes"]
                if changes:
                    self.changes = [tuple_text(change["tuple"]) for change in changes]
                    break
            stream.close()

    thread = Watching(daemon=True)
    thread.start()
    return thread


def tuple_text(item):
    entity, subject = item["entity"], item["subject"]
    return f"{entity['type']}:{entity['id']}#{item['relation']}@{subject['type']}:{subject['id']}"


if __name__ == "__main__":
    main(*sys.argv[1:])
