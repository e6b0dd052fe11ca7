-- Reading a page of ids for each of many keys, as of one revision $2; see `reverse.sql`. Indexes:
-- relation_tuples_by_subject (entities), relation_tuples_pkey (of_kind); on the history tables
-- whichever serves.

-- name: entities
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.slots,
    found.ids
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
CROSS JOIN LATERAL (
    SELECT array_agg(k.slot) AS slots, array_agg(fact.entity_id) AS ids
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        WITH ORDINALITY AS k (subject_type, subject_id, subject_relation, entity_type, relation,
            after, slot)
    CROSS JOIN LATERAL (
        SELECT page.entity_id
        FROM (
            (
                SELECT live.entity_id
                FROM relation_tuples AS live
                WHERE live.tenant_key = head.tenant_key
                    AND live.subject_type = k.subject_type AND live.subject_id = k.subject_id
                    AND live.subject_relation = k.subject_relation
                    AND live.entity_type = k.entity_type AND live.relation = k.relation
                    AND live.entity_id > k.after AND live.created_rev <= $2::bigint
                ORDER BY live.entity_id
                LIMIT $9
            )
            UNION ALL
            SELECT past.entity_id
            FROM relation_tuples_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key
                AND past.subject_type = k.subject_type AND past.subject_id = k.subject_id
                AND past.subject_relation = k.subject_relation AND past.expired_rev > $2
                AND past.entity_type = k.entity_type AND past.relation = k.relation
                AND past.entity_id > k.after AND past.created_rev <= $2
        ) AS page
        ORDER BY page.entity_id
        LIMIT $9
    ) AS fact
) AS found;

-- name: of_kind
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.slots,
    found.ids
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
CROSS JOIN LATERAL (
    SELECT array_agg(k.slot) AS slots, array_agg(fact.subject_id) AS ids
    FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
        WITH ORDINALITY AS k (entity_type, entity_id, relation, subject_type, subject_relation,
            after, slot)
    CROSS JOIN LATERAL (
        SELECT page.subject_id
        FROM (
            (
                SELECT live.subject_id
                FROM relation_tuples AS live
                WHERE live.tenant_key = head.tenant_key
                    AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
                    AND live.relation = k.relation
                    AND live.subject_relation = k.subject_relation
                    AND live.subject_type = k.subject_type
                    AND live.subject_id > k.after AND live.created_rev <= $2::bigint
                ORDER BY live.subject_id
                LIMIT $9
            )
            UNION ALL
            SELECT past.subject_id
            FROM relation_tuples_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key
                AND past.entity_type = k.entity_type AND past.entity_id = k.entity_id
                AND past.relation = k.relation AND past.expired_rev > $2
                AND past.subject_relation = k.subject_relation
                AND past.subject_type = k.subject_type
                AND past.subject_id > k.after AND past.created_rev <= $2
        ) AS page
        ORDER BY page.subject_id
        LIMIT $9
    ) AS fact
) AS found;
