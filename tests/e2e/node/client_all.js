// The calls of the official Node client (gRPC) that client.js leaves out, streams included.
// Usage: node client_all.js ENDPOINT TENANT. Prints one line per call made; exits non-zero at the
// first answer that is not the expected one.
const assert = require("node:assert");
const permify = require("@permify/permify-node");

const SCHEMA = `
entity user {}
entity folder { relation owner @user  permission view = owner }
entity doc {
  relation parent @folder
  relation viewer @user
  attribute public boolean
  permission view = viewer or parent.view
}
`;

const { CheckResult } = permify.grpc.base;
const { CHECK_RESULT_ALLOWED: ALLOWED, CHECK_RESULT_DENIED: DENIED } = CheckResult;

function expect(name, got, want) {
  assert.deepStrictEqual(got, want, name);
  console.log(`ok ${name}`);
}

const user = (id) => ({ type: "user", id, relation: "" });
const doc = (id) => ({ type: "doc", id });

async function main(endpoint, tenantId) {
  const client = permify.grpc.newClient({ endpoint, cert: undefined, insecure: true });
  await client.schema.write({ tenantId, schema: SCHEMA });
  const edited = await client.schema.partialWrite({
    tenantId,
    metadata: { schemaVersion: "" },
    partials: { doc: { write: ["relation editor @user"], update: [], delete: [] } },
  });
  expect("schema.partialWrite", edited.schemaVersion.length, 20);

  const { snapToken } = await client.data.writeRelationships({
    tenantId,
    metadata: { schemaVersion: "" },
    tuples: [
      { entity: doc("1"), relation: "viewer", subject: user("bob") },
      { entity: doc("2"), relation: "parent", subject: { type: "folder", id: "f", relation: "" } },
      { entity: { type: "folder", id: "f" }, relation: "owner", subject: user("ann") },
      { entity: doc("3"), relation: "viewer", subject: user("ann") },
    ],
  });
  expect("data.writeRelationships", snapToken.length > 0, true);
  const metadata = { schemaVersion: "", snapToken, depth: 20 };

  const bulk = await client.permission.bulkCheck({
    tenantId,
    metadata,
    items: ["1", "2", "3"].map((id) => ({ entity: doc(id), permission: "view", subject: user("ann") })),
    context: undefined,
    arguments: [],
  });
  expect("permission.bulkCheck", bulk.results.map((r) => r.can), [DENIED, ALLOWED, ALLOWED]);
  const { tree } = await client.permission.expand({
    tenantId, metadata, entity: doc("1"), permission: "viewer", context: undefined, arguments: [],
  });
  expect("permission.expand", tree.node.leaf.type.subjects.subjects.map((s) => s.id), ["bob"]);

  const lookup = {
    tenantId, metadata, entityType: "doc", permission: "view", subject: user("ann"),
    context: undefined, scope: {}, pageSize: 0, continuousToken: "",
  };
  const entities = await client.permission.lookupEntity(lookup);
  expect("permission.lookupEntity", entities.entityIds, ["2", "3"]);
  const streamed = [];
  for await (const message of client.permission.lookupEntityStream(lookup)) {
    streamed.push(message.entityId);
  }
  expect("permission.lookupEntityStream", streamed, ["2", "3"]);
  const subjects = await client.permission.lookupSubject({
    tenantId, metadata, entity: doc("2"), permission: "view",
    subjectReference: { type: "user", relation: "" },
    context: undefined, arguments: [], pageSize: 0, continuousToken: "",
  });
  expect("permission.lookupSubject", subjects.subjectIds, ["ann"]);
  const names = await client.permission.subjectPermission({
    tenantId, metadata: { ...metadata, onlyPermission: true }, entity: doc("3"),
    subject: user("ann"), context: undefined,
  });
  expect("permission.subjectPermission", names.results, { view: ALLOWED });

  const watching = (async () => {
    for await (const message of client.watch.watch({ tenantId, snapToken })) {
      if (message.changes.dataChanges.length) return message.changes.dataChanges;
    }
  })();
  const written = await client.bundle.write({
    tenantId,
    bundles: [{
      name: "share",
      arguments: ["doc", "user"],
      operations: [{
        relationshipsWrite: ["doc:{{.doc}}#editor@user:{{.user}}"],
        relationshipsDelete: [],
        attributesWrite: ["doc:{{.doc}}$public|boolean:true"],
        attributesDelete: [],
      }],
    }],
  });
  expect("bundle.write", written.names, ["share"]);
  const read = await client.bundle.read({ tenantId, name: "share" });
  expect("bundle.read", read.bundle.arguments, ["doc", "user"]);
  await client.data.runBundle({ tenantId, name: "share", arguments: { doc: "9", user: "c+d" } });
  const changes = await watching;
  expect("watch.watch", changes.map(({ type }) => (type.tuple ? type.tuple.subject.id : type.attribute.attribute)), [
    "c+d", "public",
  ]);
  expect("bundle.delete", (await client.bundle.delete({ tenantId, name: "share" })).name, "share");

  const attributes = await client.data.readAttributes({
    tenantId, metadata: { snapToken: "" }, filter: { entity: { type: "doc", ids: ["9"] }, attributes: [] },
    pageSize: 0, continuousToken: "",
  });
  expect("data.readAttributes", attributes.attributes.map((a) => a.attribute), ["public"]);
  await client.data.deleteRelationships({
    tenantId, filter: { entity: { type: "doc", ids: ["3"] }, relation: "viewer", subject: undefined },
  });
  await client.data.delete({
    tenantId,
    tupleFilter: { entity: { type: "doc", ids: ["2"] }, relation: "", subject: undefined },
    attributeFilter: { entity: undefined, attributes: [] },
  });
  const left = await client.permission.lookupEntity({ ...lookup, metadata: { ...metadata, snapToken: "" } });
  expect("data.deleteRelationships, data.delete", left.entityIds, []);
  const tenants = await client.tenancy.list({ pageSize: 100, continuousToken: "" });
  expect("tenancy.list", tenants.tenants.some((t) => t.id === "t1"), true);
  console.log("all ok");
}

main(process.argv[2], process.argv[3]).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
