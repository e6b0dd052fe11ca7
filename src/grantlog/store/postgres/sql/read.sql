-- Reading facts at exact revisions: many keys of many tenants, one statement, one snapshot.
--
-- Every key says in which context it stands: a tenant and a revision t (parameters 1 and 2). The
-- contexts' heads come from the same snapshot as the rows, so that the reader can refuse a context
-- whose t is not here (any more) whatever rows were found for it.
--
-- A section is unnest'ed keys with a LATERAL lookup each: live rows created at or before t, and
-- rows of history whose life contains t, which are looked for only where the head is past t.
-- LATERAL with LIMIT can be planned in no other way than as a nested loop over index lookups, from
-- one key to thousands. Indexes: relation_tuples_pkey and relation_tuples_by_subject (both answer
-- without the heap), attributes_pkey; on the history tables by_entity and by_subject, or by_expiry
-- while the planner holds them for nearly empty (harmless: it stops at t).
--
-- Arrays come in the order of the key classes' fields (ports/facts.py). Answers are slots: the
-- ordinal of a key within its section. The rows of a page stay together and in order, because a
-- nested loop keeps the order of its outer side.

-- name: read
WITH context AS MATERIALIZED (
    SELECT array_agg(coalesce(heads.tenant_key, -1) ORDER BY asked.place) AS keys,
        array_agg(coalesce(heads.revision, 0) ORDER BY asked.place) AS revisions,
        array_agg(coalesce(heads.floor_rev, 0) ORDER BY asked.place) AS floors,
        array_agg(coalesce(heads.begins_rev, 0) ORDER BY asked.place) AS begins,
        array_agg(coalesce(heads.epoch, 0) ORDER BY asked.place) AS epochs
    FROM unnest($1::text[]) WITH ORDINALITY AS asked (tenant_id, place)
    LEFT JOIN heads ON heads.tenant_id = asked.tenant_id
)
SELECT context.revisions, context.floors, context.begins, context.epochs,
    direct.held AS direct, subjects.slots, subjects.relations, subjects.types, subjects.ids,
    member.held AS member, attribute.slots AS valued, attribute.types AS value_types,
    attribute.texts
FROM context
CROSS JOIN LATERAL (
    SELECT array_agg(k.slot) AS held
    FROM unnest($3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
        WITH ORDINALITY AS k (place, entity_type, entity_id, relation, subject_type, subject_id,
            subject_relation, slot)
    CROSS JOIN LATERAL (
        SELECT
        FROM relation_tuples AS live
        WHERE live.tenant_key = context.keys[k.place]
            AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
            AND live.relation = k.relation AND live.subject_relation = k.subject_relation
            AND live.subject_type = k.subject_type AND live.subject_id = k.subject_id
            AND live.created_rev <= ($2::bigint[])[k.place]
        UNION ALL
        SELECT
        FROM relation_tuples_history AS past
        WHERE ($2::bigint[])[k.place] < context.revisions[k.place]
            AND past.tenant_key = context.keys[k.place]
            AND past.entity_type = k.entity_type AND past.entity_id = k.entity_id
            AND past.relation = k.relation AND past.expired_rev > ($2::bigint[])[k.place]
            AND past.subject_relation = k.subject_relation
            AND past.subject_type = k.subject_type AND past.subject_id = k.subject_id
            AND past.created_rev <= ($2::bigint[])[k.place]
        LIMIT 1
    ) AS fact
) AS direct
CROSS JOIN LATERAL (
    SELECT array_agg(k.slot) AS slots, array_agg(fact.subject_relation) AS relations,
        array_agg(fact.subject_type) AS types, array_agg(fact.subject_id) AS ids
    FROM unnest($10::integer[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::text[])
        WITH ORDINALITY AS k (place, entity_type, entity_id, relation, after_relation, after_type,
            after_id, slot)
    CROSS JOIN LATERAL (
        SELECT page.subject_relation, page.subject_type, page.subject_id
        FROM (
            (
                SELECT live.subject_relation, live.subject_type, live.subject_id
                FROM relation_tuples AS live
                WHERE live.tenant_key = context.keys[k.place]
                    AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
                    AND live.relation = k.relation
                    AND (live.subject_relation, live.subject_type, live.subject_id)
                        > (k.after_relation, k.after_type, k.after_id)
                    AND live.created_rev <= ($2::bigint[])[k.place]
                ORDER BY live.subject_relation, live.subject_type, live.subject_id
                LIMIT 1001
            )
            UNION ALL
            SELECT past.subject_relation, past.subject_type, past.subject_id
            FROM relation_tuples_history AS past
            WHERE ($2::bigint[])[k.place] < context.revisions[k.place]
                AND past.tenant_key = context.keys[k.place]
                AND past.entity_type = k.entity_type AND past.entity_id = k.entity_id
                AND past.relation = k.relation AND past.expired_rev > ($2::bigint[])[k.place]
                AND (past.subject_relation, past.subject_type, past.subject_id)
                    > (k.after_relation, k.after_type, k.after_id)
                AND past.created_rev <= ($2::bigint[])[k.place]
        ) AS page
        ORDER BY page.subject_relation, page.subject_type, page.subject_id
        LIMIT 1001
    ) AS fact
) AS subjects
CROSS JOIN LATERAL (
    SELECT array_agg(k.slot) AS held
    FROM unnest($17::integer[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
            $23::text[], $24::text[], $25::text[])
        WITH ORDINALITY AS k (place, entity_type, entity_id, relation, userset_type,
            userset_relation, subject_type, subject_id, subject_relation, slot)
    CROSS JOIN LATERAL (
        SELECT
        FROM (
            SELECT live.entity_id
            FROM relation_tuples AS live
            WHERE live.tenant_key = context.keys[k.place]
                AND live.subject_type = k.subject_type AND live.subject_id = k.subject_id
                AND live.subject_relation = k.subject_relation
                AND live.entity_type = k.userset_type AND live.relation = k.userset_relation
                AND live.created_rev <= ($2::bigint[])[k.place]
            UNION ALL
            SELECT past.entity_id
            FROM relation_tuples_history AS past
            WHERE ($2::bigint[])[k.place] < context.revisions[k.place]
                AND past.tenant_key = context.keys[k.place]
                AND past.subject_type = k.subject_type AND past.subject_id = k.subject_id
                AND past.subject_relation = k.subject_relation
                AND past.expired_rev > ($2::bigint[])[k.place]
                AND past.entity_type = k.userset_type AND past.relation = k.userset_relation
                AND past.created_rev <= ($2::bigint[])[k.place]
        ) AS userset
        CROSS JOIN LATERAL (
            SELECT
            FROM relation_tuples AS live
            WHERE live.tenant_key = context.keys[k.place]
                AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
                AND live.relation = k.relation AND live.subject_relation = k.userset_relation
                AND live.subject_type = k.userset_type AND live.subject_id = userset.entity_id
                AND live.created_rev <= ($2::bigint[])[k.place]
            UNION ALL
            SELECT
            FROM relation_tuples_history AS past
            WHERE ($2::bigint[])[k.place] < context.revisions[k.place]
                AND past.tenant_key = context.keys[k.place]
                AND past.entity_type = k.entity_type AND past.entity_id = k.entity_id
                AND past.relation = k.relation AND past.expired_rev > ($2::bigint[])[k.place]
                AND past.subject_relation = k.userset_relation
                AND past.subject_type = k.userset_type AND past.subject_id = userset.entity_id
                AND past.created_rev <= ($2::bigint[])[k.place]
            LIMIT 1
        ) AS link
        LIMIT 1
    ) AS fact
) AS member
CROSS JOIN LATERAL (
    SELECT array_agg(k.slot) AS slots, array_agg(fact.value_type::integer) AS types,
        array_agg(fact.value) AS texts
    FROM unnest($26::integer[], $27::text[], $28::text[], $29::text[])
        WITH ORDINALITY AS k (place, entity_type, entity_id, attribute, slot)
    CROSS JOIN LATERAL (
        SELECT live.value_type, live.value
        FROM attributes AS live
        WHERE live.tenant_key = context.keys[k.place]
            AND live.entity_type = k.entity_type AND live.entity_id = k.entity_id
            AND live.attribute = k.attribute
            AND live.created_rev <= ($2::bigint[])[k.place]
        UNION ALL
        SELECT past.value_type, past.value
        FROM attributes_history AS past
        WHERE ($2::bigint[])[k.place] < context.revisions[k.place]
            AND past.tenant_key = context.keys[k.place]
            AND past.entity_type = k.entity_type AND past.entity_id = k.entity_id
            AND past.attribute = k.attribute AND past.expired_rev > ($2::bigint[])[k.place]
            AND past.created_rev <= ($2::bigint[])[k.place]
        LIMIT 1
    ) AS fact
) AS attribute;

-- Of reads without keys: the contexts' heads alone, in the columns of `read`, at a third of its cost.
-- By heads' primary key.

-- name: guards
SELECT array_agg(coalesce(heads.revision, 0) ORDER BY asked.place) AS revisions,
    array_agg(coalesce(heads.floor_rev, 0) ORDER BY asked.place) AS floors,
    array_agg(coalesce(heads.begins_rev, 0) ORDER BY asked.place) AS begins,
    array_agg(coalesce(heads.epoch, 0) ORDER BY asked.place) AS epochs
FROM unnest($1::text[]) WITH ORDINALITY AS asked (tenant_id, place)
LEFT JOIN heads ON heads.tenant_id = asked.tenant_id;
