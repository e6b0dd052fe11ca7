-- Listing facts by filter, in key order, in pages. Run with plans made for the values at hand
-- (plan_cache_mode = force_custom_plan): conditions that are not given fold away, and what remains
-- picks its index: relation_tuples_pkey for entities (also in order, for pages of everything),
-- relation_tuples_by_subject for subjects, attributes_pkey for attributes, and the history tables'
-- likewise where the head is past the revision asked for.

-- name: list_tuples
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, fact.entity_type, fact.entity_id,
    fact.relation, fact.subject_type, fact.subject_id, fact.subject_relation
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT page.entity_type, page.entity_id, page.relation, page.subject_relation, page.subject_type,
        page.subject_id
    FROM (
        (
            SELECT live.entity_type, live.entity_id, live.relation, live.subject_relation,
                live.subject_type, live.subject_id
            FROM relation_tuples AS live
            WHERE live.tenant_key = head.tenant_key
                AND ($3::text = '' OR live.entity_type = $3)
                AND (cardinality($4::text[]) = 0 OR live.entity_id = ANY ($4))
                AND ($5::text = '' OR live.relation = $5)
                AND ($6::text = '' OR live.subject_type = $6)
                AND (cardinality($7::text[]) = 0 OR live.subject_id = ANY ($7))
                AND ($8::text = '' OR live.subject_relation = $8)
                AND ($9::text = '' OR (live.entity_type, live.entity_id, live.relation,
                    live.subject_relation, live.subject_type, live.subject_id)
                    > ($9, $10::text, $11::text, $12::text, $13::text, $14::text))
                AND live.created_rev <= $2::bigint
            ORDER BY live.entity_type, live.entity_id, live.relation, live.subject_relation,
                live.subject_type, live.subject_id
            LIMIT $15
        )
        UNION ALL
        SELECT past.entity_type, past.entity_id, past.relation, past.subject_relation,
            past.subject_type, past.subject_id
        FROM relation_tuples_history AS past
        WHERE $2 < head.revision
            AND past.tenant_key = head.tenant_key
            AND ($3 = '' OR past.entity_type = $3)
            AND (cardinality($4) = 0 OR past.entity_id = ANY ($4))
            AND ($5 = '' OR past.relation = $5)
            AND ($6 = '' OR past.subject_type = $6)
            AND (cardinality($7) = 0 OR past.subject_id = ANY ($7))
            AND ($8 = '' OR past.subject_relation = $8)
            AND ($9 = '' OR (past.entity_type, past.entity_id, past.relation,
                past.subject_relation, past.subject_type, past.subject_id)
                > ($9, $10, $11, $12, $13, $14))
            AND past.created_rev <= $2 AND past.expired_rev > $2
    ) AS page
    ORDER BY page.entity_type, page.entity_id, page.relation, page.subject_relation,
        page.subject_type, page.subject_id
    LIMIT $15
) AS fact ON true;

-- name: list_attributes
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, fact.entity_type, fact.entity_id,
    fact.attribute, fact.value_type, fact.value
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT page.entity_type, page.entity_id, page.attribute, page.value_type, page.value
    FROM (
        (
            SELECT live.entity_type, live.entity_id, live.attribute, live.value_type, live.value
            FROM attributes AS live
            WHERE live.tenant_key = head.tenant_key
                AND ($3::text = '' OR live.entity_type = $3)
                AND (cardinality($4::text[]) = 0 OR live.entity_id = ANY ($4))
                AND (cardinality($5::text[]) = 0 OR live.attribute = ANY ($5))
                AND ($6::text = '' OR (live.entity_type, live.entity_id, live.attribute)
                    > ($6, $7::text, $8::text))
                AND live.created_rev <= $2::bigint
            ORDER BY live.entity_type, live.entity_id, live.attribute
            LIMIT $9
        )
        UNION ALL
        SELECT past.entity_type, past.entity_id, past.attribute, past.value_type, past.value
        FROM attributes_history AS past
        WHERE $2 < head.revision
            AND past.tenant_key = head.tenant_key
            AND ($3 = '' OR past.entity_type = $3)
            AND (cardinality($4) = 0 OR past.entity_id = ANY ($4))
            AND (cardinality($5) = 0 OR past.attribute = ANY ($5))
            AND ($6 = '' OR (past.entity_type, past.entity_id, past.attribute) > ($6, $7, $8))
            AND past.created_rev <= $2 AND past.expired_rev > $2
    ) AS page
    ORDER BY page.entity_type, page.entity_id, page.attribute
    LIMIT $9
) AS fact ON true
