-- The log's lives. The timeline is the one being written (the control file's lags behind promotion).

-- name: life
SELECT control.system_identifier::text AS system_identifier,
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint AS timeline,
    known.epoch, known.system_identifier AS known_identifier, known.timeline AS known_timeline
FROM pg_control_system() AS control
LEFT JOIN LATERAL (
    SELECT epoch, system_identifier, timeline FROM epochs ORDER BY epoch DESC LIMIT 1
) AS known ON true;

-- name: lock_epochs
SELECT pg_advisory_xact_lock($1);

-- name: stop_writers
LOCK TABLE heads IN EXCLUSIVE MODE;

-- name: insert_epoch
INSERT INTO epochs (epoch, system_identifier, timeline, reason)
SELECT coalesce(max(epoch), 0) + 1, $1, $2, $3 FROM epochs
RETURNING epoch;

-- name: record_heads
INSERT INTO epoch_heads (epoch, tenant_id, revision)
SELECT $1, tenant_id, revision FROM heads;

-- name: move_heads
UPDATE heads SET epoch = $1, changed_xid = pg_current_xact_id();

-- name: durable
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
