-- What a publisher reads and leaves in the primary.

-- name: topic
SELECT name, partitions, cluster_id FROM change_topic;

-- name: record_topic
INSERT INTO change_topic (name, partitions, cluster_id) VALUES ($1, $2, $3)
ON CONFLICT (only_row) DO NOTHING;

-- name: add_leases
INSERT INTO publisher_leases (partition)
SELECT generate_series(0, $1::integer - 1)
ON CONFLICT (partition) DO NOTHING;

-- name: epoch
SELECT coalesce(max(epoch), 0) FROM epochs;

-- name: publishers
SELECT partition, publisher_epoch, (SELECT coalesce(max(epoch), 0) FROM epochs) AS epoch
FROM publisher_leases;

-- name: renew
UPDATE publisher_leases
SET lease_until = clock_timestamp() + make_interval(secs => $2::float8)
WHERE owner = $1
RETURNING partition, publisher_epoch, acknowledged_offset;

-- name: take
-- Whoever renews or marks at this moment keeps its lease: rows that are locked are passed over.
UPDATE publisher_leases AS l
SET owner = $1, publisher_epoch = l.publisher_epoch + 1, published_through = NULL,
    lease_until = clock_timestamp() + make_interval(secs => $2::float8)
FROM (
    SELECT partition FROM publisher_leases
    WHERE lease_until < clock_timestamp() AND partition < $4
        AND EXISTS (SELECT FROM change_topic WHERE name = $3 AND partitions = $4)
    FOR UPDATE SKIP LOCKED
) AS free
WHERE l.partition = free.partition
RETURNING l.partition, l.publisher_epoch, l.acknowledged_offset;

-- name: release
UPDATE publisher_leases SET lease_until = '-infinity' WHERE owner = $1;

-- name: trouble
UPDATE publisher_leases SET trouble = $3 WHERE owner = $1 AND partition = $2 AND trouble <> $3;

-- name: marks
-- By published_by_partition.
SELECT tenant_id, revision FROM published WHERE partition = ANY($1::integer[]);

-- name: acknowledge
-- The update of the lease waits for whoever takes it and then finds another epoch: no mark of a
-- publisher that lost its lease gets through.
WITH held AS (
    UPDATE publisher_leases AS l
    SET acknowledged_offset = greatest(l.acknowledged_offset, a.acknowledged_offset),
        published_through = coalesce(a.published_through, l.published_through)
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::timestamptz[])
        AS a (partition, publisher_epoch, acknowledged_offset, published_through)
    WHERE l.partition = a.partition AND l.publisher_epoch = a.publisher_epoch
    RETURNING l.partition
), marked AS (
    INSERT INTO published (tenant_id, partition, revision)
    SELECT t.tenant_id, t.partition, t.revision
    FROM unnest($5::text[], $6::integer[], $7::bigint[]) AS t (tenant_id, partition, revision)
    INNER JOIN held ON held.partition = t.partition
    ON CONFLICT (tenant_id) DO UPDATE
        SET partition = EXCLUDED.partition, revision = EXCLUDED.revision
)
SELECT partition FROM held;

-- name: unpublished
-- By transactions' primary key: what follows the given part of each tenant. Of a life that ended
-- nothing is read any more: its rows go away in batches, in no order.
SELECT r.tenant_id, r.revision, r.part, r.parts, r.epoch, r.payload
FROM unnest($1::text[], $2::bigint[], $3::integer[]) WITH ORDINALITY
    AS k (tenant_id, revision, part, place)
INNER JOIN heads AS h ON h.tenant_id = k.tenant_id
CROSS JOIN LATERAL (
    SELECT tenant_id, revision, part, parts, epoch, payload
    FROM transactions
    WHERE tenant_id = k.tenant_id AND (revision, part) > (k.revision, k.part)
        AND revision >= h.begins_rev
    ORDER BY revision, part
    LIMIT $4
) AS r
LIMIT $5;

-- name: status
SELECT l.partition, l.owner, l.publisher_epoch, l.acknowledged_offset, l.published_through,
    l.trouble, l.lease_until > clock_timestamp() AS held,
    clock_timestamp() - l.published_through AS lag
FROM publisher_leases AS l
WHERE l.partition < (SELECT partitions FROM change_topic)
ORDER BY l.partition;

-- name: behind
-- All of heads is looked at: it is asked by people.
SELECT count(*) AS tenants, coalesce(sum(h.revision - coalesce(p.revision, 0)), 0)::bigint AS revisions
FROM heads AS h
LEFT JOIN published AS p ON p.tenant_id = h.tenant_id
WHERE h.revision > coalesce(p.revision, 0);

-- name: forget_published
DELETE FROM published;

-- name: restart_leases
-- Epochs only ever rise, also of partitions that a topic with fewer of them leaves alone: the log may
-- come back to a topic where they stand.
UPDATE publisher_leases
SET publisher_epoch = publisher_epoch + 1, owner = '', lease_until = '-infinity',
    acknowledged_offset = -1, published_through = NULL, trouble = '';

-- name: lock_leases
SELECT partition FROM publisher_leases ORDER BY partition FOR UPDATE;

-- name: replace_topic
UPDATE change_topic
SET name = $1, partitions = $2, cluster_id = $3, recorded_at = clock_timestamp();
