-- Reading facts backwards, as of one revision $2: which ids are there. As in `read.sql`, the head comes
-- from the same snapshot as the rows, so that the reader can refuse; history is looked at only where
-- the head is past $2. There is always a row: the guard.
--
-- Run with plans made for the values at hand (plan_cache_mode = force_custom_plan).
--
-- Distinct ids are found by skipping: one descent of the index for each id, however many rows an id
-- has. Indexes: relation_tuples_by_subject (subjects), relation_tuples_pkey and
-- attributes_pkey (known, having); on the history tables whichever serves.

-- name: known
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.id
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT DISTINCT page.id
    FROM (
        (
            WITH RECURSIVE step (id) AS (
                (
                    SELECT live.entity_id
                    FROM relation_tuples AS live
                    WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3::text
                        AND live.entity_id > $4::text AND live.created_rev <= $2::bigint
                    ORDER BY live.entity_id
                    LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT live.entity_id
                    FROM relation_tuples AS live
                    WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3::text
                        AND live.entity_id > step.id AND live.created_rev <= $2
                    ORDER BY live.entity_id
                    LIMIT 1
                )
                FROM step
                WHERE step.id IS NOT NULL
            )
            SELECT step.id FROM step WHERE step.id IS NOT NULL LIMIT $5
        )
        UNION ALL
        (
            WITH RECURSIVE step (id) AS (
                (
                    SELECT live.subject_id
                    FROM relation_tuples AS live
                    WHERE live.tenant_key = head.tenant_key AND live.subject_type = $3
                        AND live.subject_id > $4::text AND live.created_rev <= $2::bigint
                    ORDER BY live.subject_id
                    LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT live.subject_id
                    FROM relation_tuples AS live
                    WHERE live.tenant_key = head.tenant_key AND live.subject_type = $3
                        AND live.subject_id > step.id AND live.created_rev <= $2
                    ORDER BY live.subject_id
                    LIMIT 1
                )
                FROM step
                WHERE step.id IS NOT NULL
            )
            SELECT step.id FROM step WHERE step.id IS NOT NULL LIMIT $5
        )
        UNION ALL
        (
            WITH RECURSIVE step (id) AS (
                (
                    SELECT live.entity_id
                    FROM attributes AS live
                    WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3
                        AND live.entity_id > $4::text AND live.created_rev <= $2::bigint
                    ORDER BY live.entity_id
                    LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT live.entity_id
                    FROM attributes AS live
                    WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3
                        AND live.entity_id > step.id AND live.created_rev <= $2
                    ORDER BY live.entity_id
                    LIMIT 1
                )
                FROM step
                WHERE step.id IS NOT NULL
            )
            SELECT step.id FROM step WHERE step.id IS NOT NULL LIMIT $5
        )
        UNION ALL
        (
            SELECT DISTINCT past.entity_id
            FROM relation_tuples_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key AND past.entity_type = $3
                AND past.entity_id > $4 AND past.created_rev <= $2 AND past.expired_rev > $2
            ORDER BY past.entity_id
            LIMIT $5
        )
        UNION ALL
        (
            SELECT DISTINCT past.subject_id
            FROM relation_tuples_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key AND past.subject_type = $3
                AND past.subject_id > $4 AND past.created_rev <= $2 AND past.expired_rev > $2
            ORDER BY past.subject_id
            LIMIT $5
        )
        UNION ALL
        (
            SELECT DISTINCT past.entity_id
            FROM attributes_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key AND past.entity_type = $3
                AND past.entity_id > $4 AND past.created_rev <= $2 AND past.expired_rev > $2
            ORDER BY past.entity_id
            LIMIT $5
        )
    ) AS page (id)
    ORDER BY page.id
    LIMIT $5
) AS found ON true;

-- name: subjects
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.id
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT DISTINCT page.id
    FROM (
        (
            WITH RECURSIVE step (id) AS (
                (
                    SELECT live.subject_id
                    FROM relation_tuples AS live
                    WHERE live.tenant_key = head.tenant_key AND live.subject_type = $3::text
                        AND live.subject_relation = $4::text
                        AND live.subject_id > $5::text AND live.created_rev <= $2::bigint
                    ORDER BY live.subject_id
                    LIMIT 1
                )
                UNION ALL
                SELECT (
                    SELECT live.subject_id
                    FROM relation_tuples AS live
                    WHERE live.tenant_key = head.tenant_key AND live.subject_type = $3::text
                        AND live.subject_relation = $4::text
                        AND live.subject_id > step.id AND live.created_rev <= $2
                    ORDER BY live.subject_id
                    LIMIT 1
                )
                FROM step
                WHERE step.id IS NOT NULL
            )
            SELECT step.id FROM step WHERE step.id IS NOT NULL LIMIT $6
        )
        UNION ALL
        (
            SELECT DISTINCT past.subject_id
            FROM relation_tuples_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key AND past.subject_type = $3
                AND past.subject_relation = $4
                AND past.subject_id > $5 AND past.created_rev <= $2 AND past.expired_rev > $2
            ORDER BY past.subject_id
            LIMIT $6
        )
    ) AS page (id)
    ORDER BY page.id
    LIMIT $6
) AS found ON true;

-- name: known_among
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.id
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT DISTINCT asked.id
    FROM unnest($6::text[]) AS asked (id)
    CROSS JOIN LATERAL (
        (
            SELECT
            FROM relation_tuples AS live
            WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3::text
                AND live.entity_id = asked.id AND live.created_rev <= $2::bigint
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
            FROM relation_tuples AS live
            WHERE live.tenant_key = head.tenant_key AND live.subject_type = $3
                AND live.subject_id = asked.id AND live.created_rev <= $2::bigint
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
            FROM attributes AS live
            WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3
                AND live.entity_id = asked.id AND live.created_rev <= $2::bigint
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
            FROM relation_tuples_history AS past
            WHERE past.tenant_key = head.tenant_key AND past.entity_type = $3
                AND past.entity_id = asked.id AND past.created_rev <= $2 AND past.expired_rev > $2 AND $2 < head.revision
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
            FROM relation_tuples_history AS past
            WHERE past.tenant_key = head.tenant_key AND past.subject_type = $3
                AND past.subject_id = asked.id AND past.created_rev <= $2 AND past.expired_rev > $2 AND $2 < head.revision
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
            FROM attributes_history AS past
            WHERE past.tenant_key = head.tenant_key AND past.entity_type = $3
                AND past.entity_id = asked.id AND past.created_rev <= $2 AND past.expired_rev > $2 AND $2 < head.revision
            LIMIT 1
        )
        LIMIT 1
    ) AS fact
    WHERE asked.id > $4::text
    ORDER BY asked.id
    LIMIT $5
) AS found ON true;

-- name: subjects_among
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.id
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT DISTINCT asked.id
    FROM unnest($7::text[]) AS asked (id)
    CROSS JOIN LATERAL (
        (
            SELECT
            FROM relation_tuples AS live
            WHERE live.tenant_key = head.tenant_key AND live.subject_type = $3::text
                AND live.subject_relation = $4::text
                AND live.subject_id = asked.id AND live.created_rev <= $2::bigint
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
            FROM relation_tuples_history AS past
            WHERE past.tenant_key = head.tenant_key AND past.subject_type = $3
                AND past.subject_relation = $4
                AND past.subject_id = asked.id AND past.created_rev <= $2 AND past.expired_rev > $2 AND $2 < head.revision
            LIMIT 1
        )
        LIMIT 1
    ) AS fact
    WHERE asked.id > $5::text
    ORDER BY asked.id
    LIMIT $6
) AS found ON true;

-- name: having
SELECT head.revision, head.floor_rev, head.begins_rev, head.epoch, found.id, found.value_type,
    found.value
FROM (
    SELECT coalesce(heads.tenant_key, -1) AS tenant_key, coalesce(heads.revision, 0) AS revision,
        coalesce(heads.floor_rev, 0) AS floor_rev, coalesce(heads.begins_rev, 0) AS begins_rev,
        coalesce(heads.epoch, 0) AS epoch
    FROM (SELECT) AS always
    LEFT JOIN heads ON heads.tenant_id = $1
) AS head
LEFT JOIN LATERAL (
    SELECT page.id, page.value_type, page.value
    FROM (
        (
            SELECT live.entity_id, live.value_type, live.value
            FROM attributes AS live
            WHERE live.tenant_key = head.tenant_key AND live.entity_type = $3::text
                AND live.attribute = $4::text AND live.entity_id > $5::text
                AND live.created_rev <= $2::bigint
            ORDER BY live.entity_id
            LIMIT $6
        )
        UNION ALL
        (
            SELECT past.entity_id, past.value_type, past.value
            FROM attributes_history AS past
            WHERE $2 < head.revision AND past.tenant_key = head.tenant_key
                AND past.entity_type = $3 AND past.attribute = $4 AND past.entity_id > $5
                AND past.created_rev <= $2 AND past.expired_rev > $2
            ORDER BY past.entity_id
            LIMIT $6
        )
    ) AS page (id, value_type, value)
    ORDER BY page.id
    LIMIT $6
) AS found ON true;
