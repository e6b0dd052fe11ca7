-- API nodes that ask each other for facts, by the address at which the others reach them. Nothing
-- depends on it but who is asked first.
CREATE TABLE nodes (
    address text COLLATE "C" PRIMARY KEY,
    session text NOT NULL,                     -- which process stands there
    started_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL           -- by this database's clock
) WITH (fillfactor = 50);
