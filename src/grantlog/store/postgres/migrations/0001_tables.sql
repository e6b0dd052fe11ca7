-- The tables of the primary and, with the same statements over them, of every replica.
-- Ids compare by bytes everywhere (COLLATE "C"): order, pages and limits must not depend on a locale.

CREATE TABLE meta (
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- Lives of the log. A failover, a restore or a copied data directory opens the next one.
CREATE TABLE epochs (
    epoch bigint PRIMARY KEY,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    system_identifier text NOT NULL,
    timeline bigint NOT NULL,
    reason text NOT NULL
);

-- The head of every tenant when an epoch opened: the last revision that survived of the one before.
CREATE TABLE epoch_heads (
    epoch bigint NOT NULL REFERENCES epochs (epoch),
    tenant_id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant_id, epoch)
);

CREATE SEQUENCE tenant_keys;

-- One row a tenant, for ever. Its lock orders the tenant's writes. In a replica, `revision` is the
-- applied revision. `tenant_key` names the rows of the tenant's current life: deletion gives a new
-- one, so that dead rows can neither be read nor be in the way before they are purged.
CREATE TABLE heads (
    tenant_id text COLLATE "C" PRIMARY KEY,
    tenant_key bigint NOT NULL DEFAULT nextval('tenant_keys'),
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    digest bytea NOT NULL,
    salt bytea NOT NULL,
    commit_time timestamptz NOT NULL,
    begins_rev bigint NOT NULL DEFAULT 0,      -- the deletion that began this life, 0 for the first
    floor_rev bigint NOT NULL DEFAULT 0,       -- reads below it are refused: history was collected
    schema_version text COLLATE "C" NOT NULL DEFAULT '',
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 50);

-- The list that Tenancy shows. A tenant works without being on it.
CREATE TABLE tenants (
    tenant_id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL
);

-- The log. A transaction is one row per part; every part carries the whole transaction's digest.
CREATE TABLE transactions (
    tenant_id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    part integer NOT NULL,
    parts integer NOT NULL,
    epoch bigint NOT NULL,
    commit_time timestamptz NOT NULL,
    write_id bytea NOT NULL,
    digest bytea NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (tenant_id, revision, part)
);

CREATE TABLE schemas (
    tenant_key bigint NOT NULL,
    version text COLLATE "C" NOT NULL,
    created_rev bigint NOT NULL,
    created_at timestamptz NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (tenant_key, version)
);

-- What is true now. `subject_relation` stands before the subject's type and id in the key, so that
-- the usersets of a relation are one range of the index however many direct subjects it has.
CREATE TABLE relation_tuples (
    tenant_key bigint NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    relation text COLLATE "C" NOT NULL,
    subject_relation text COLLATE "C" NOT NULL,
    subject_type text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    created_rev bigint NOT NULL,
    PRIMARY KEY (tenant_key, entity_type, entity_id, relation, subject_relation, subject_type, subject_id)
        INCLUDE (created_rev)
);

CREATE INDEX relation_tuples_by_subject ON relation_tuples
    (tenant_key, subject_type, subject_id, subject_relation, entity_type, relation, entity_id)
    INCLUDE (created_rev);

-- What was true: moved here when it expires. The same fact may have lived several times.
CREATE TABLE relation_tuples_history (
    tenant_key bigint NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    relation text COLLATE "C" NOT NULL,
    subject_relation text COLLATE "C" NOT NULL,
    subject_type text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    created_rev bigint NOT NULL,
    expired_rev bigint NOT NULL
);

CREATE INDEX relation_tuples_history_by_entity ON relation_tuples_history
    (tenant_key, entity_type, entity_id, relation, expired_rev);
CREATE INDEX relation_tuples_history_by_subject ON relation_tuples_history
    (tenant_key, subject_type, subject_id, subject_relation, expired_rev);
CREATE INDEX relation_tuples_history_by_expiry ON relation_tuples_history
    (tenant_key, expired_rev);

-- `value` is JSON text, not jsonb: jsonb refuses \u0000 and loses -0.0, NaN and infinities.
CREATE TABLE attributes (
    tenant_key bigint NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    attribute text COLLATE "C" NOT NULL,
    value_type smallint NOT NULL,
    value text NOT NULL,
    created_rev bigint NOT NULL,
    PRIMARY KEY (tenant_key, entity_type, entity_id, attribute)
);

CREATE TABLE attributes_history (
    tenant_key bigint NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    attribute text COLLATE "C" NOT NULL,
    value_type smallint NOT NULL,
    value text NOT NULL,
    created_rev bigint NOT NULL,
    expired_rev bigint NOT NULL
);

CREATE INDEX attributes_history_by_entity ON attributes_history
    (tenant_key, entity_type, entity_id, attribute, expired_rev);
CREATE INDEX attributes_history_by_expiry ON attributes_history
    (tenant_key, expired_rev);

-- Lives that ended and whose rows wait to be purged in batches.
CREATE TABLE dead_lives (
    tenant_key bigint PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    died_rev bigint NOT NULL
);

-- Processes that follow the log, kept in the primary. `applied_through` is the primary's time up to
-- which a replica has folded everything; garbage collection of history waits for the slowest.
CREATE TABLE followers (
    name text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,            -- 'maintenance' or 'replica'
    beat_at timestamptz NOT NULL,
    applied_through timestamptz,
    detail text NOT NULL DEFAULT ''
);
