-- What a filter of a removal matches, at most $8 (attributes: $5) rows. One statement for each index
-- range that a filter can name; the conditions behind the range are residual. All take the same
-- parameters: tenant_key, entity_type, entity_ids, relation, subject_type, subject_ids,
-- subject_relation, limit. '' and the empty array are no condition.

-- name: tuples_exact
-- Primary key. Direct subjects are points; usersets are a range that leaves direct subjects out.
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1 AND entity_type = $2 AND entity_id = ANY ($3::text[]) AND relation = $4
    AND subject_relation = '' AND subject_type = $5 AND subject_id = ANY ($6::text[])
    AND $7 = ''
UNION ALL
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1 AND entity_type = $2 AND entity_id = ANY ($3::text[]) AND relation = $4
    AND subject_relation > '' AND subject_type = $5 AND subject_id = ANY ($6::text[])
    AND ($7 = '' OR subject_relation = $7)
LIMIT $8;

-- name: tuples_by_entity
-- Primary key, up to the entity.
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1 AND entity_type = $2 AND entity_id = ANY ($3::text[])
    AND ($4 = '' OR relation = $4) AND ($5 = '' OR subject_type = $5)
    AND (cardinality($6::text[]) = 0 OR subject_id = ANY ($6))
    AND ($7 = '' OR subject_relation = $7)
LIMIT $8;

-- name: tuples_by_subject
-- relation_tuples_by_subject, up to the subject.
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1 AND subject_type = $5 AND subject_id = ANY ($6::text[])
    AND ($2 = '' OR entity_type = $2)
    AND (cardinality($3::text[]) = 0 OR entity_id = ANY ($3))
    AND ($4 = '' OR relation = $4) AND ($7 = '' OR subject_relation = $7)
LIMIT $8;

-- name: tuples_by_entity_type
-- Primary key, up to the entity's type.
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1 AND entity_type = $2
    AND (cardinality($3::text[]) = 0 OR entity_id = ANY ($3))
    AND ($4 = '' OR relation = $4) AND ($5 = '' OR subject_type = $5)
    AND (cardinality($6::text[]) = 0 OR subject_id = ANY ($6))
    AND ($7 = '' OR subject_relation = $7)
LIMIT $8;

-- name: tuples_by_subject_type
-- relation_tuples_by_subject, up to the subject's type.
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1 AND subject_type = $5
    AND ($2 = '' OR entity_type = $2)
    AND (cardinality($3::text[]) = 0 OR entity_id = ANY ($3))
    AND ($4 = '' OR relation = $4)
    AND (cardinality($6::text[]) = 0 OR subject_id = ANY ($6))
    AND ($7 = '' OR subject_relation = $7)
LIMIT $8;

-- name: tuples_any
-- No index narrows these: the whole of the tenant is looked at.
SELECT entity_type, entity_id, relation, subject_relation, subject_type, subject_id
FROM relation_tuples
WHERE tenant_key = $1
    AND ($2 = '' OR entity_type = $2)
    AND (cardinality($3::text[]) = 0 OR entity_id = ANY ($3))
    AND ($4 = '' OR relation = $4) AND ($5 = '' OR subject_type = $5)
    AND (cardinality($6::text[]) = 0 OR subject_id = ANY ($6))
    AND ($7 = '' OR subject_relation = $7)
LIMIT $8;

-- name: attributes_by_entity
-- Primary key, up to the entity.
SELECT entity_type, entity_id, attribute, value_type, value
FROM attributes
WHERE tenant_key = $1 AND entity_type = $2 AND entity_id = ANY ($3::text[])
    AND (cardinality($4::text[]) = 0 OR attribute = ANY ($4))
LIMIT $5;

-- name: attributes_by_entity_type
-- Primary key, up to the entity's type.
SELECT entity_type, entity_id, attribute, value_type, value
FROM attributes
WHERE tenant_key = $1 AND entity_type = $2
    AND (cardinality($3::text[]) = 0 OR entity_id = ANY ($3))
    AND (cardinality($4::text[]) = 0 OR attribute = ANY ($4))
LIMIT $5;

-- name: attributes_any
-- No index narrows these: the whole of the tenant is looked at.
SELECT entity_type, entity_id, attribute, value_type, value
FROM attributes
WHERE tenant_key = $1 AND ($2 = '' OR entity_type = $2)
    AND (cardinality($3::text[]) = 0 OR entity_id = ANY ($3))
    AND (cardinality($4::text[]) = 0 OR attribute = ANY ($4))
LIMIT $5;
