"""Drives a server with the official Python client (REST): run with the clients' environment.

Usage: python_sdk.py BASE_URL TENANT. Prints one line per call made; exits non-zero at the first
answer that is not the expected one.
"""

import json
import sys

import permify
from permify.exceptions import ApiException

SCHEMA = """
entity user {}
entity team { relation member @user @team#member }
entity doc {
  relation viewer @user @team#member
  relation banned @user
  attribute public boolean
  attribute level integer
  permission view = (viewer or public) not banned
  permission read = clearance(level) and viewer
}
rule clearance(level integer) { level <= context.data.clearance }
"""


def expect(name, got, want):
    if got != want:
        sys.exit(f"{name}: got {got!r}, expected {want!r}")
    print(f"ok {name}")


def main(base_url, tenant):
    client = permify.ApiClient(permify.Configuration(host=base_url))
    schemas, data = permify.SchemaApi(client), permify.DataApi(client)
    permission, tenancy = permify.PermissionApi(client), permify.TenancyApi(client)

    created = tenancy.tenants_create(permify.TenantCreateRequest(id=tenant, name="a tenant"))
    expect("tenants.create", (created.tenant.id, created.tenant.name), (tenant, "a tenant"))

    version = schemas.schemas_write(
        tenant, permify.SchemaWriteBody(var_schema=SCHEMA)
    ).schema_version
    expect("schemas.write", (len(version), version.islower() or version.isdigit()), (20, True))
    meta = permify.SchemaReadRequestMetadata(schema_version=version)
    # The client's model looks for camelCase here; the contract's answers have the protos' names.
    read = schemas.schemas_read_without_preload_content(
        tenant, permify.SchemaReadBody(metadata=meta)
    )
    definitions = json.loads(read.data)["schema"]["entity_definitions"]
    expect("schemas.read", sorted(definitions), ["doc", "team", "user"])
    listed = schemas.schemas_list(tenant, permify.SchemaListBody(page_size=10))
    expect("schemas.list", (listed.head, [s.version for s in listed.schemas]), (version, [version]))

    token = data.data_write(tenant, write_body()).snap_token
    expect("data.write", bool(token), True)

    def can(doc, name, user, token=token, **extra):
        body = permify.CheckBody(
            metadata=permify.PermissionCheckRequestMetadata(snap_token=token, depth=20),
            entity=permify.Entity(type="doc", id=doc),
            permission=name,
            subject=permify.Subject(type="user", id=user),
            **extra,
        )
        return permission.permissions_check(tenant, body).can.value

    allowed, denied = "CHECK_RESULT_ALLOWED", "CHECK_RESULT_DENIED"
    expect("check direct", can("1", "view", "ann"), allowed)
    expect("check userset", can("1", "view", "bob"), allowed)
    expect("check stranger", can("1", "view", "eve"), denied)
    expect("check public", can("2", "view", "eve"), allowed)
    expect("check banned", can("2", "view", "mal"), denied)
    context = {"tuples": [], "attributes": [], "data": {"clearance": 5}}
    expect(
        "check rule", can("1", "read", "ann", context=permify.Context.from_dict(context)), allowed
    )
    context["data"]["clearance"] = 2
    expect(
        "check rule low",
        can("1", "read", "ann", context=permify.Context.from_dict(context)),
        denied,
    )

    where = permify.TupleFilter(entity=permify.EntityFilter(type="doc", ids=["1"]))
    page = data.data_relationships_read(
        tenant,
        permify.ReadRelationshipsBody(
            metadata=permify.RelationshipReadRequestMetadata(snap_token=token),
            filter=where,
            page_size=1,
        ),
    )
    expect("relationships.read", (len(page.tuples), bool(page.continuous_token)), (1, True))
    attributes = data.data_attributes_read(
        tenant,
        permify.ReadAttributesBody(
            metadata=permify.AttributeReadRequestMetadata(snap_token=token),
            filter=permify.AttributeFilter(entity=permify.EntityFilter(type="doc", ids=["2"])),
        ),
    )
    expect("attributes.read", [a.attribute for a in attributes.attributes], ["public"])

    deleted = data.data_delete(
        tenant,
        permify.DataDeleteBody(
            tuple_filter=permify.TupleFilter(
                entity=permify.EntityFilter(type="doc", ids=["1"]), relation="viewer"
            ),
            attribute_filter=permify.AttributeFilter(),
        ),
    )
    expect("check after delete", can("1", "view", "ann", deleted.snap_token), denied)

    try:
        schemas.schemas_write(
            tenant, permify.SchemaWriteBody(var_schema="entity user {\n  relation a\n}")
        )
    except ApiException as error:
        body = json.loads(error.body)
        expect("schema error", (error.status, body["code"], body["message"][:2]), (400, 3, "3:"))
    else:
        sys.exit("a broken schema was accepted")
    expect("tenants.delete", tenancy.tenants_delete(tenant).tenant_id, tenant)
    print("all ok")


def write_body():
    def fact(entity, relation, subject):
        return {"entity": entity, "relation": relation, "subject": subject}

    def attribute(doc, name, kind, value):
        return {
            "entity": {"type": "doc", "id": doc},
            "attribute": name,
            "value": {"@type": f"type.googleapis.com/base.v1.{kind}", "data": value},
        }

    doc1, doc2 = {"type": "doc", "id": "1"}, {"type": "doc", "id": "2"}
    return permify.DataWriteBody.from_dict(
        {
            "metadata": {"schema_version": ""},
            "tuples": [
                fact(doc1, "viewer", {"type": "user", "id": "ann"}),
                fact(doc1, "viewer", {"type": "team", "id": "eng", "relation": "member"}),
                fact({"type": "team", "id": "eng"}, "member", {"type": "user", "id": "bob"}),
                fact(doc2, "banned", {"type": "user", "id": "mal"}),
            ],
            "attributes": [
                attribute("1", "level", "IntegerValue", 3),
                attribute("2", "public", "BooleanValue", True),
            ],
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
