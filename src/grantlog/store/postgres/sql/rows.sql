-- Applying net row changes. Each statement reaches rows by the primary key, one nested loop over the
-- arrays: LIMIT keeps the planner from turning the join around, the row's place then finds it again.
-- Columns in the order: tenant_key (of many tenants' lives at once), entity_type, entity_id, relation, subject_relation, subject_type, subject_id,
-- then revisions. The head's lock keeps rows from moving in between.

-- name: expire_tuples
WITH gone AS (
    DELETE FROM relation_tuples AS live
    USING (
        SELECT found.place, k.expired_rev
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::bigint[])
            AS k (tenant_key, entity_type, entity_id, relation, subject_relation, subject_type,
                subject_id, expired_rev)
        CROSS JOIN LATERAL (
            SELECT t.ctid AS place
            FROM relation_tuples AS t
            WHERE t.tenant_key = k.tenant_key
                AND t.entity_type = k.entity_type AND t.entity_id = k.entity_id
                AND t.relation = k.relation AND t.subject_relation = k.subject_relation
                AND t.subject_type = k.subject_type AND t.subject_id = k.subject_id
            LIMIT 1
        ) AS found
    ) AS k
    WHERE live.ctid = k.place
    RETURNING live.tenant_key, live.entity_type, live.entity_id, live.relation,
        live.subject_relation, live.subject_type, live.subject_id, live.created_rev, k.expired_rev
)
INSERT INTO relation_tuples_history (tenant_key, entity_type, entity_id, relation, subject_relation,
    subject_type, subject_id, created_rev, expired_rev)
SELECT tenant_key, entity_type, entity_id, relation, subject_relation, subject_type, subject_id,
    created_rev, expired_rev
FROM gone;

-- name: create_tuples
INSERT INTO relation_tuples (tenant_key, entity_type, entity_id, relation, subject_relation,
    subject_type, subject_id, created_rev)
SELECT k.tenant_key, k.entity_type, k.entity_id, k.relation, k.subject_relation, k.subject_type,
    k.subject_id, k.created_rev
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::bigint[])
    AS k (tenant_key, entity_type, entity_id, relation, subject_relation, subject_type, subject_id,
        created_rev);

-- name: expire_attributes
WITH gone AS (
    DELETE FROM attributes AS live
    USING (
        SELECT found.place, k.expired_rev
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
            AS k (tenant_key, entity_type, entity_id, attribute, expired_rev)
        CROSS JOIN LATERAL (
            SELECT t.ctid AS place
            FROM attributes AS t
            WHERE t.tenant_key = k.tenant_key
                AND t.entity_type = k.entity_type AND t.entity_id = k.entity_id
                AND t.attribute = k.attribute
            LIMIT 1
        ) AS found
    ) AS k
    WHERE live.ctid = k.place
    RETURNING live.tenant_key, live.entity_type, live.entity_id, live.attribute, live.value_type,
        live.value, live.created_rev, k.expired_rev
)
INSERT INTO attributes_history (tenant_key, entity_type, entity_id, attribute, value_type, value,
    created_rev, expired_rev)
SELECT tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev, expired_rev
FROM gone;

-- name: create_attributes
INSERT INTO attributes (tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev)
SELECT k.tenant_key, k.entity_type, k.entity_id, k.attribute, k.value_type, k.value, k.created_rev
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[],
    $7::bigint[])
    AS k (tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev);

-- name: create_schemas
INSERT INTO schemas (tenant_key, version, created_rev, created_at, source)
SELECT k.tenant_key, k.version, k.created_rev, k.created_at, k.source
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[])
    AS k (tenant_key, version, created_rev, created_at, source);
