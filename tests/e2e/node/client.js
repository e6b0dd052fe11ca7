// Drives a server with the official Node client (gRPC).
// Usage: node client.js ENDPOINT TENANT. Prints one line per call made; exits non-zero at the first
// answer that is not the expected one.
const assert = require("node:assert");
const permify = require("@permify/permify-node");

const SCHEMA = `
entity user {}
entity team { relation member @user }
entity doc {
  relation parent @folder
  relation viewer @user @team#member
  attribute public boolean
  permission view = viewer or public or parent.view
}
entity folder { relation owner @user  permission view = owner }
`;

const { CheckResult } = permify.grpc.base;

function expect(name, got, want) {
  assert.deepStrictEqual(got, want, name);
  console.log(`ok ${name}`);
}

async function main(endpoint, tenantId) {
  const client = permify.grpc.newClient({ endpoint, cert: undefined, insecure: true });
  const created = await client.tenancy.create({ id: tenantId, name: "a tenant" });
  expect("tenancy.create", created.tenant.id, tenantId);
  const { schemaVersion } = await client.schema.write({ tenantId, schema: SCHEMA });
  expect("schema.write", schemaVersion.length, 20);
  const read = await client.schema.read({ tenantId, metadata: { schemaVersion } });
  expect("schema.read", Object.keys(read.schema.entityDefinitions).sort(), [
    "doc", "folder", "team", "user",
  ]);
  const listed = await client.schema.list({ tenantId, pageSize: 5, continuousToken: "" });
  expect("schema.list", listed.head, schemaVersion);

  const bool = permify.grpc.base.BooleanValue.encode({ data: true }).finish();
  const { snapToken } = await client.data.write({
    tenantId,
    metadata: { schemaVersion: "" },
    tuples: [
      { entity: { type: "doc", id: "1" }, relation: "viewer", subject: { type: "team", id: "eng", relation: "member" } },
      { entity: { type: "team", id: "eng" }, relation: "member", subject: { type: "user", id: "bob", relation: "" } },
      { entity: { type: "doc", id: "3" }, relation: "parent", subject: { type: "folder", id: "f", relation: "" } },
      { entity: { type: "folder", id: "f" }, relation: "owner", subject: { type: "user", id: "ann", relation: "" } },
    ],
    attributes: [
      { entity: { type: "doc", id: "2" }, attribute: "public", value: { typeUrl: "type.googleapis.com/base.v1.BooleanValue", value: bool } },
    ],
  });
  expect("data.write", snapToken.length > 0, true);

  const can = async (doc, user) =>
    (await client.permission.check({
      tenantId,
      metadata: { schemaVersion: "", snapToken, depth: 20 },
      entity: { type: "doc", id: doc },
      permission: "view",
      subject: { type: "user", id: user, relation: "" },
      context: undefined,
      arguments: [],
    })).can;
  expect("check userset", await can("1", "bob"), CheckResult.CHECK_RESULT_ALLOWED);
  expect("check stranger", await can("1", "eve"), CheckResult.CHECK_RESULT_DENIED);
  expect("check attribute", await can("2", "eve"), CheckResult.CHECK_RESULT_ALLOWED);
  expect("check arrow", await can("3", "ann"), CheckResult.CHECK_RESULT_ALLOWED);

  const rows = await client.data.readRelationships({
    tenantId,
    metadata: { snapToken },
    filter: { entity: { type: "team", ids: [] }, relation: "", subject: undefined },
    pageSize: 10,
    continuousToken: "",
  });
  expect("data.readRelationships", rows.tuples.map((t) => t.subject.id), ["bob"]);

  await assert.rejects(
    client.permission.check({
      tenantId,
      metadata: { schemaVersion: "", snapToken, depth: 20 },
      entity: { type: "doc", id: "1" },
      permission: "no_such",
      subject: { type: "user", id: "bob", relation: "" },
      context: undefined,
      arguments: [],
    }),
    (error) => error.code === 5 && error.details === "ERROR_CODE_SCHEMA_NOT_FOUND",
  );
  console.log("ok check of an unknown permission");
  const gone = await client.tenancy.delete({ id: tenantId });
  expect("tenancy.delete", gone.tenantId, tenantId);
  console.log("all ok");
}

main(process.argv[2], process.argv[3]).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
