-- The files in which edges count (`edgeformat::ledger`). Who reports one first owns it for ever.
CREATE TABLE ledgers (
    ledger_id BIGINT NOT NULL PRIMARY KEY,
    edge TEXT NOT NULL,
    generation BIGINT NOT NULL CHECK (generation >= 0),
    created_at_ms BIGINT NOT NULL,
    -- The earliest moment that its counts can come from, as far as the edge is believed.
    counts_from_ms BIGINT NOT NULL,
    first_heard_at_ms BIGINT NOT NULL,
    heard_at_ms BIGINT NOT NULL,
    closed_at_ms BIGINT
);

CREATE INDEX ledgers_by_edge ON ledgers (edge, first_heard_at_ms);

-- What was taken of each slot: its last whole counters, with commas between, without the zeros at the end.
CREATE TABLE usage_cursors (
    ledger_id BIGINT NOT NULL,
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    counters TEXT NOT NULL CHECK (length(counters) <= 400),
    heard_at_ms BIGINT NOT NULL,
    PRIMARY KEY (ledger_id, customer_id, service)
);

-- One row a window. Each request stands in exactly one of them: rows of minutes move into those of hours, and these into days.
CREATE TABLE usage_records (
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    window_start_s BIGINT NOT NULL,
    window_length_s BIGINT NOT NULL CHECK (window_length_s IN (60, 3600, 86400)),
    admitted BIGINT NOT NULL,
    burst BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    unserved_guaranteed BIGINT NOT NULL,
    unserved_burst BIGINT NOT NULL,
    PRIMARY KEY (customer_id, service, window_start_s, window_length_s),
    CHECK (window_start_s % window_length_s = 0)
);

-- The order in which windows grow old.
CREATE INDEX usage_records_by_age ON usage_records (window_length_s, window_start_s, customer_id, service);

-- Why requests of a window were rejected or refused, as far as there were any.
CREATE TABLE usage_reasons (
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    window_start_s BIGINT NOT NULL,
    window_length_s BIGINT NOT NULL CHECK (window_length_s IN (60, 3600, 86400)),
    reason TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (customer_id, service, window_start_s, window_length_s, reason)
);

CREATE INDEX usage_reasons_by_age ON usage_reasons (window_length_s, window_start_s, customer_id, service);

-- What an edge reported and nobody believes until a person has looked.
CREATE TABLE usage_set_aside (
    id BIGINT NOT NULL PRIMARY KEY,
    edge TEXT NOT NULL,
    ledger_id BIGINT NOT NULL,
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    window_start_s BIGINT NOT NULL,
    counters TEXT NOT NULL CHECK (length(counters) <= 400),
    why TEXT NOT NULL CHECK (why IN ('unknown_customer', 'too_much', 'no_count')),
    created_at_ms BIGINT NOT NULL,
    decided_at_ms BIGINT,
    decision TEXT CHECK (decision IN ('accepted', 'discarded')),
    CHECK ((decided_at_ms IS NULL) = (decision IS NULL))
);

CREATE INDEX usage_set_aside_undecided ON usage_set_aside (id) WHERE decided_at_ms IS NULL;

-- Who may run the jobs, and until when.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);

-- Rows that change every few seconds: the next version of one finds its place beside it, and no index is touched.
ALTER TABLE usage_cursors SET (fillfactor = 45);
ALTER TABLE usage_records SET (fillfactor = 70);
