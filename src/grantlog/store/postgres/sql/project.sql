-- Folding the log into a replica. A replica holds heads, facts, schemas and dead lives; it has no
-- log, no epochs and no list of tenants. A database with an epoch is a primary: never fold into it.

-- name: positions
SELECT tenant_id, epoch, revision, digest FROM heads WHERE revision > 0;

-- name: is_primary
-- And whether it was a replica before it became one; a physical copy of such a one is none.
SELECT EXISTS (SELECT FROM epochs) AS is_primary,
    NOT pg_is_in_recovery()
        AND EXISTS (SELECT FROM meta WHERE name IN ('replica', 'replica_id', 'follows')) AS was_replica;

-- By heads' primary key; in one order, so that two who fold several tenants wait for each other.
-- name: lock_heads
SELECT tenant_id, tenant_key, epoch, revision, digest, begins_rev, schema_version,
    EXISTS (SELECT FROM epochs) AS is_primary
FROM heads WHERE tenant_id = ANY($1::text[])
ORDER BY tenant_id
FOR UPDATE;

-- name: insert_heads
INSERT INTO heads (tenant_id, epoch, revision, digest, salt, commit_time)
SELECT k.tenant_id, 0, 0, $2, k.salt, k.commit_time
FROM unnest($1::text[], $3::bytea[], $4::timestamptz[]) AS k (tenant_id, salt, commit_time)
ON CONFLICT (tenant_id) DO NOTHING;

-- name: next_life
WITH ended AS (
    INSERT INTO dead_lives (tenant_key, tenant_id, died_rev) VALUES ($1, $2, $3)
)
SELECT nextval('tenant_keys');

-- By heads' primary key, as the statements of rows.sql; the heads are locked.
-- name: move_heads
UPDATE heads AS h
SET tenant_key = k.tenant_key, epoch = k.epoch, revision = k.revision, digest = k.digest,
    commit_time = k.commit_time, begins_rev = k.begins_rev, schema_version = k.schema_version,
    changed_xid = pg_current_xact_id()
FROM (
    SELECT found.place, n.tenant_key, n.epoch, n.revision, n.digest, n.commit_time, n.begins_rev,
        n.schema_version
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[],
        $6::timestamptz[], $7::bigint[], $8::text[])
        AS n (tenant_id, tenant_key, epoch, revision, digest, commit_time, begins_rev,
            schema_version)
    CROSS JOIN LATERAL (
        SELECT ctid AS place FROM heads WHERE tenant_id = n.tenant_id LIMIT 1
    ) AS found
) AS k
WHERE h.ctid = k.place;

-- name: adopt_epoch
UPDATE heads SET epoch = greatest(epoch, $4), changed_xid = pg_current_xact_id()
WHERE tenant_id = $1 AND revision = $2 AND digest = $3;

-- name: forget
WITH gone AS (
    DELETE FROM heads WHERE tenant_id = $1 AND epoch = $2 AND revision = $3 AND digest = $4
    RETURNING tenant_key, revision
)
INSERT INTO dead_lives (tenant_key, tenant_id, died_rev)
SELECT tenant_key, $1, revision FROM gone
RETURNING tenant_key;

-- name: clear
TRUNCATE relation_tuples, relation_tuples_history, attributes, attributes_history, schemas, heads,
    dead_lives, tenants, bundles, copying;

-- name: digest_head
SELECT tenant_key, epoch, revision, digest, floor_rev, begins_rev FROM heads WHERE tenant_id = $1;

-- By schemas_pkey.
-- name: digest_schemas
SELECT version, created_rev, source FROM schemas
WHERE tenant_key = $1 AND created_rev <= $2
ORDER BY version;

-- Live rows in the order of relation_tuples_pkey, merged with the few of history that hold at $2.
-- name: digest_tuples
SELECT live.entity_type, live.entity_id, live.relation, live.subject_relation, live.subject_type,
    live.subject_id, live.created_rev
FROM relation_tuples AS live
WHERE live.tenant_key = $1 AND live.created_rev <= $2
UNION ALL
SELECT past.entity_type, past.entity_id, past.relation, past.subject_relation, past.subject_type,
    past.subject_id, past.created_rev
FROM relation_tuples_history AS past
WHERE past.tenant_key = $1 AND past.created_rev <= $2 AND past.expired_rev > $2
ORDER BY entity_type, entity_id, relation, subject_relation, subject_type, subject_id;

-- name: digest_attributes
SELECT live.entity_type, live.entity_id, live.attribute, live.value_type, live.value, live.created_rev
FROM attributes AS live
WHERE live.tenant_key = $1 AND live.created_rev <= $2
UNION ALL
SELECT past.entity_type, past.entity_id, past.attribute, past.value_type, past.value, past.created_rev
FROM attributes_history AS past
WHERE past.tenant_key = $1 AND past.created_rev <= $2 AND past.expired_rev > $2
ORDER BY entity_type, entity_id, attribute;
