-- One transaction of the primary: lock the head, read, apply, append.

-- name: begin
BEGIN ISOLATION LEVEL READ COMMITTED;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: lock_head
-- The clock is read above the CTE, so behind the wait for the lock: a later writer never gets an
-- earlier time. Nothing but the head row itself may be read here, the snapshot is from before the wait.
WITH locked AS MATERIALIZED (
    SELECT tenant_key, epoch, revision, digest, salt, commit_time, begins_rev, schema_version
    FROM heads WHERE tenant_id = $1
    FOR NO KEY UPDATE
)
SELECT tenant_key, epoch, revision, digest, salt, commit_time, begins_rev, schema_version,
    clock_timestamp() AS now
FROM locked;

-- name: lock_first_write
-- Nobody can wait for a head row that is not committed yet: `past` waits for this instead.
SELECT pg_advisory_xact_lock($1::int, hashtext($2::text));

-- name: insert_head
INSERT INTO heads (tenant_id, epoch, revision, digest, salt, commit_time)
SELECT $1, max(epoch), 0, $2, $3, $4 FROM epochs
ON CONFLICT (tenant_id) DO NOTHING;

-- name: read_facts
-- By the primary keys. Tuples that hold answer their place, attributes that are set its negative.
-- LIMIT keeps the planner from turning the join around: on tables it knows nothing about yet it would
-- read the whole tenant and look into the arrays.
SELECT k.place, NULL::smallint AS value_type, NULL::text AS value
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) WITH ORDINALITY
    AS k (entity_type, entity_id, relation, subject_relation, subject_type, subject_id, place)
CROSS JOIN LATERAL (
    SELECT 1
    FROM relation_tuples AS live
    WHERE live.tenant_key = $1
        AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
        AND live.relation = k.relation AND live.subject_relation = k.subject_relation
        AND live.subject_type = k.subject_type AND live.subject_id = k.subject_id
    LIMIT 1
) AS found
UNION ALL
SELECT -k.place, found.value_type, found.value
FROM unnest($8::text[], $9::text[], $10::text[]) WITH ORDINALITY
    AS k (entity_type, entity_id, attribute, place)
CROSS JOIN LATERAL (
    SELECT live.value_type, live.value
    FROM attributes AS live
    WHERE live.tenant_key = $1
        AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
        AND live.attribute = k.attribute
    LIMIT 1
) AS found;

-- name: append
WITH logged AS (
    INSERT INTO transactions (tenant_id, revision, part, parts, epoch, commit_time, write_id, digest,
        payload)
    SELECT $1, k.revision, k.part, k.parts, k.epoch, k.commit_time, k.write_id, k.digest, k.payload
    FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::timestamptz[],
        $7::bytea[], $8::bytea[], $9::bytea[])
        AS k (revision, part, parts, epoch, commit_time, write_id, digest, payload)
)
UPDATE heads
SET revision = $10, digest = $11, commit_time = $12, schema_version = $13,
    changed_xid = pg_current_xact_id()
WHERE tenant_id = $1;

-- name: put
-- As create_tuples of rows.sql and append, in one go; how many of the tuples did not hold before.
WITH created AS (
    INSERT INTO relation_tuples (tenant_key, entity_type, entity_id, relation, subject_relation,
        subject_type, subject_id, created_rev)
    SELECT k.tenant_key, k.entity_type, k.entity_id, k.relation, k.subject_relation, k.subject_type,
        k.subject_id, k.created_rev
    FROM unnest($14::bigint[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[],
        $20::text[], $21::bigint[])
        AS k (tenant_key, entity_type, entity_id, relation, subject_relation, subject_type,
            subject_id, created_rev)
    ON CONFLICT DO NOTHING
    RETURNING 1
), logged AS (
    INSERT INTO transactions (tenant_id, revision, part, parts, epoch, commit_time, write_id, digest,
        payload)
    SELECT $1, k.revision, k.part, k.parts, k.epoch, k.commit_time, k.write_id, k.digest, k.payload
    FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::timestamptz[],
        $7::bytea[], $8::bytea[], $9::bytea[])
        AS k (revision, part, parts, epoch, commit_time, write_id, digest, payload)
), moved AS (
    UPDATE heads
    SET revision = $10, digest = $11, commit_time = $12, schema_version = $13,
        changed_xid = pg_current_xact_id()
    WHERE tenant_id = $1
)
SELECT count(*) FROM created;

-- name: outcome
SELECT write_id, digest FROM transactions WHERE tenant_id = $1 AND revision = $2 AND part = 0;

-- name: is_listed
SELECT true FROM tenants WHERE tenant_id = $1;

-- name: list_tenant
INSERT INTO tenants (tenant_id, name, created_at) VALUES ($1, $2, $3);

-- name: end_life
WITH dead AS (
    INSERT INTO dead_lives (tenant_key, tenant_id, died_rev)
    SELECT tenant_key, tenant_id, $2 FROM heads WHERE tenant_id = $1
), unlisted AS (
    DELETE FROM tenants WHERE tenant_id = $1
)
UPDATE heads SET tenant_key = nextval('tenant_keys'), begins_rev = $2 WHERE tenant_id = $1;
