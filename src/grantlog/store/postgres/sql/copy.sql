-- Copying a tenant from the primary into a replica, in pages: `*_end` finds the last key or revision
-- of a page in an index alone, `*_page` is what COPY reads of it. The rows between two places are
-- one range of the same index. Pages of history hold whole revisions.

-- name: source_head
-- By the primary keys of heads and transactions.
SELECT h.tenant_key, h.epoch, h.revision, h.digest, h.begins_rev, h.floor_rev, h.salt, h.commit_time,
    h.schema_version,
    (SELECT t.digest FROM transactions AS t
        WHERE t.tenant_id = $1 AND t.revision = $2 AND t.part = 0) AS digest_there
FROM heads AS h
WHERE h.tenant_id = $1 AND h.revision > 0;

-- name: tuples_end
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1
    AND (entity_type, entity_id, relation, subject_relation, subject_type, subject_id)
        > ($2, $3, $4, $5, $6, $7)
ORDER BY entity_type, entity_id, relation, subject_relation, subject_type, subject_id
OFFSET $8 LIMIT 1;

-- name: tuples_page
SELECT $1::bigint AS tenant_key, entity_type, entity_id, relation, subject_relation, subject_type,
    subject_id, created_rev
FROM relation_tuples
WHERE tenant_key = $2 AND created_rev <= $3
    AND (entity_type, entity_id, relation, subject_relation, subject_type, subject_id)
        > ($4, $5, $6, $7, $8, $9)
    AND ($10::boolean
        OR (entity_type, entity_id, relation, subject_relation, subject_type, subject_id)
            <= ($11, $12, $13, $14, $15, $16));

-- name: attributes_end
SELECT entity_type, entity_id, attribute
FROM attributes
WHERE tenant_key = $1 AND (entity_type, entity_id, attribute) > ($2, $3, $4)
ORDER BY entity_type, entity_id, attribute
OFFSET $5 LIMIT 1;

-- name: attributes_page
SELECT $1::bigint AS tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev
FROM attributes
WHERE tenant_key = $2 AND created_rev <= $3
    AND (entity_type, entity_id, attribute) > ($4, $5, $6)
    AND ($7::boolean OR (entity_type, entity_id, attribute) <= ($8, $9, $10));

-- name: schemas_end
SELECT version
FROM schemas
WHERE tenant_key = $1 AND version > $2
ORDER BY version
OFFSET $3 LIMIT 1;

-- name: schemas_page
SELECT $1::bigint AS tenant_key, version, created_rev, created_at, source
FROM schemas
WHERE tenant_key = $2 AND created_rev <= $3 AND version > $4 AND ($5::boolean OR version <= $6);

-- name: past_tuples_end
-- By relation_tuples_history_by_expiry.
SELECT expired_rev
FROM relation_tuples_history
WHERE tenant_key = $1 AND expired_rev > $2 AND expired_rev <= $3
ORDER BY expired_rev
OFFSET $4 LIMIT 1;

-- name: past_tuples_page
SELECT $1::bigint AS tenant_key, entity_type, entity_id, relation, subject_relation, subject_type,
    subject_id, created_rev, expired_rev
FROM relation_tuples_history
WHERE tenant_key = $2 AND expired_rev > $3 AND expired_rev <= $4;

-- name: revived_tuples_page
SELECT $1::bigint AS tenant_key, entity_type, entity_id, relation, subject_relation, subject_type,
    subject_id, created_rev
FROM relation_tuples_history
WHERE tenant_key = $2 AND expired_rev > $3 AND expired_rev <= $4 AND created_rev <= $5;

-- name: past_attributes_end
-- By attributes_history_by_expiry.
SELECT expired_rev
FROM attributes_history
WHERE tenant_key = $1 AND expired_rev > $2 AND expired_rev <= $3
ORDER BY expired_rev
OFFSET $4 LIMIT 1;

-- name: past_attributes_page
SELECT $1::bigint AS tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev,
    expired_rev
FROM attributes_history
WHERE tenant_key = $2 AND expired_rev > $3 AND expired_rev <= $4;

-- name: revived_attributes_page
SELECT $1::bigint AS tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev
FROM attributes_history
WHERE tenant_key = $2 AND expired_rev > $3 AND expired_rev <= $4 AND created_rev <= $5;

-- Below: in the replica.

-- name: copies
SELECT tenant_id, tenant_key, source_key, epoch, revision, digest, begins_rev, floor_rev, salt,
    commit_time, schema_version, stage, place, bound_rev, copied_rows
FROM copying;

-- name: give_up_copy
-- What was copied before is purged like a life that ended.
WITH given_up AS (
    DELETE FROM copying WHERE tenant_id = $1 RETURNING tenant_key, tenant_id
)
INSERT INTO dead_lives (tenant_key, tenant_id, died_rev)
SELECT tenant_key, tenant_id, 0 FROM given_up;

-- name: is_folded
SELECT EXISTS (SELECT FROM heads WHERE tenant_id = $1 AND revision > 0);

-- name: begin_copy
INSERT INTO copying (tenant_id, tenant_key, source_key, epoch, revision, digest, begins_rev,
    floor_rev, salt, commit_time, schema_version, stage, place, bound_rev, copied_rows)
VALUES ($1, nextval('tenant_keys'), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0)
RETURNING tenant_key;

-- name: move_copy
-- Nobody moves on from a place where the copy does not stand.
UPDATE copying SET stage = $5, place = $6, bound_rev = $7, copied_rows = $8
WHERE tenant_id = $1 AND tenant_key = $2 AND stage = $3 AND place = $4;

-- name: incoming_tuples
CREATE TEMPORARY TABLE incoming (LIKE relation_tuples) ON COMMIT DROP;

-- name: incoming_attributes
CREATE TEMPORARY TABLE incoming (LIKE attributes) ON COMMIT DROP;

-- name: revive_tuples
-- A row that was copied as a live one before it expired is the same row.
INSERT INTO relation_tuples (tenant_key, entity_type, entity_id, relation, subject_relation,
    subject_type, subject_id, created_rev)
SELECT tenant_key, entity_type, entity_id, relation, subject_relation, subject_type, subject_id,
    created_rev
FROM incoming
ON CONFLICT (tenant_key, entity_type, entity_id, relation, subject_relation, subject_type, subject_id)
    DO NOTHING;

-- name: revive_attributes
INSERT INTO attributes (tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev)
SELECT tenant_key, entity_type, entity_id, attribute, value_type, value, created_rev
FROM incoming
ON CONFLICT (tenant_key, entity_type, entity_id, attribute) DO NOTHING;

-- name: place_head
INSERT INTO heads (tenant_id, epoch, revision, digest, salt, commit_time)
VALUES ($1, 0, 0, $2, $3, $4)
ON CONFLICT (tenant_id) DO NOTHING;

-- name: lock_copied_head
SELECT tenant_key, revision FROM heads WHERE tenant_id = $1 FOR UPDATE;

-- name: end_replaced
INSERT INTO dead_lives (tenant_key, tenant_id, died_rev) VALUES ($1, $2, 0);

-- name: install_copy
UPDATE heads AS h
SET tenant_key = c.tenant_key, epoch = c.epoch, revision = c.revision, digest = c.digest,
    salt = c.salt, commit_time = c.commit_time, begins_rev = c.begins_rev, floor_rev = $2,
    schema_version = c.schema_version, changed_xid = pg_current_xact_id()
FROM copying AS c
WHERE h.tenant_id = $1 AND c.tenant_id = $1;

-- name: forget_copy
DELETE FROM copying WHERE tenant_id = $1
