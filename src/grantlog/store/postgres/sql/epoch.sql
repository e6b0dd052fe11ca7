-- The log's lives. The timeline is the one being written (the control file's lags behind promotion).

-- name: life
SELECT control.system_identifier::text AS system_identifier,
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint AS timeline,
    pg_postmaster_start_time() AS started,
    known.epoch, known.system_identifier AS known_identifier, known.timeline AS known_timeline
FROM pg_control_system() AS control
LEFT JOIN LATERAL (
    SELECT epoch, system_identifier, timeline FROM epochs ORDER BY epoch DESC LIMIT 1
) AS known ON true;

-- name: is_replica
-- What `grantlog migrate`, a projector's first use and its folding leave in a replica's database.
SELECT EXISTS (SELECT FROM meta WHERE name IN ('replica', 'replica_id', 'follows'));

-- name: lock_epochs
SELECT pg_advisory_xact_lock($1);

-- name: stop_writers
LOCK TABLE heads IN EXCLUSIVE MODE;

-- name: insert_epoch
-- The first is 1. A later one has the time as its number (seconds since 1970), so that two databases
-- that go on from one backup give different ones; past all that is known here and, $4, elsewhere.
INSERT INTO epochs (epoch, system_identifier, timeline, reason)
SELECT CASE
        WHEN max(epoch) IS NULL THEN 1
        ELSE greatest(max(epoch) + 1, $4 + 1, floor(extract(epoch FROM clock_timestamp()))::bigint)
    END, $1, $2, $3
FROM epochs
RETURNING epoch;

-- name: record_heads
INSERT INTO epoch_heads (epoch, tenant_id, revision)
SELECT $1, tenant_id, revision FROM heads;

-- name: lower_recorded
-- Of a tenant whose log was rewritten, no more survived than what stands before the rewritten revision.
UPDATE epoch_heads AS e
SET revision = least(e.revision, k.survived)
FROM unnest($2::text[], $3::bigint[]) AS k (tenant_id, survived)
WHERE e.epoch = $1 AND e.tenant_id = k.tenant_id;

-- name: move_heads
UPDATE heads SET epoch = $1, changed_xid = pg_current_xact_id();

-- name: set_back
-- By the primary keys of heads and transactions: what somebody saw in the log and is not in it. A head
-- of a later epoch is fine: whoever opened that recorded what survived.
SELECT k.tenant_id, k.epoch, k.revision, coalesce(head.revision, 0) AS head
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[])
    AS k (tenant_id, epoch, revision, digest)
CROSS JOIN (SELECT coalesce(max(epoch), 0) AS epoch FROM epochs) AS newest
LEFT JOIN LATERAL (
    SELECT epoch, revision FROM heads WHERE tenant_id = k.tenant_id LIMIT 1
) AS head ON true
LEFT JOIN LATERAL (
    SELECT digest FROM transactions
    WHERE tenant_id = k.tenant_id AND revision = k.revision AND part = 0
    LIMIT 1
) AS held ON true
WHERE k.epoch > newest.epoch
    OR (k.epoch = coalesce(head.epoch, newest.epoch) AND (
        k.revision > coalesce(head.revision, 0) OR held.digest <> k.digest
    ));

-- name: newest
SELECT epoch, opened_at, reason FROM epochs ORDER BY epoch DESC LIMIT 1;

-- name: durable
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
