-- The log on Kafka: which topic carries it, who publishes each partition, and how far.

-- One row, laid down once: a topic of another name, of another number of partitions or of another
-- Kafka would split a tenant's order, so it is refused.
CREATE TABLE change_topic (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name text COLLATE "C" NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0),
    cluster_id text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row a partition. Whoever takes the lease raises the epoch; nobody marks anything as published
-- under an epoch that is not the row's.
CREATE TABLE publisher_leases (
    partition integer PRIMARY KEY,
    owner text COLLATE "C" NOT NULL DEFAULT '',
    publisher_epoch bigint NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    acknowledged_offset bigint NOT NULL DEFAULT -1,   -- the highest that Kafka ever acknowledged
    published_through timestamptz,                    -- everything before this time is on the topic
    trouble text NOT NULL DEFAULT ''                  -- why it does not publish, for people
) WITH (fillfactor = 50);

-- How far each tenant is on the topic. Not a column of heads: writers hold those rows locked.
CREATE TABLE published (
    tenant_id text COLLATE "C" PRIMARY KEY,
    partition integer NOT NULL,
    revision bigint NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX published_by_partition ON published (partition);
