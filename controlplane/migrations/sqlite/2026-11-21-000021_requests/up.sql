-- One row a request as the edge logged it: what operators look at for some days. Nothing of it is ever billed. NULL: HAProxy
-- did not know. The primary key is also what retention goes along.
CREATE TABLE request_logs (
    time_ms BIGINT NOT NULL,
    edge TEXT NOT NULL CHECK (length(edge) BETWEEN 1 AND 64),
    -- Given by the database, a row of `request_cursors` an edge: whatever an edge repeats, no two lines are the same.
    seq BIGINT NOT NULL,
    request_id TEXT NOT NULL CHECK (length(request_id) <= 64),
    client TEXT NOT NULL CHECK (length(client) <= 45),
    customer_id BIGINT CHECK (customer_id BETWEEN 1 AND 4294967295),
    service TEXT CHECK (length(service) BETWEEN 1 AND 32),
    fingerprint BIGINT,
    class TEXT CHECK (class IN ('guaranteed', 'burst')),
    reason TEXT CHECK (length(reason) BETWEEN 1 AND 40),
    status BIGINT NOT NULL,
    received_bytes BIGINT NOT NULL,
    sent_bytes BIGINT NOT NULL,
    -- Times: -1 where it did not come that far.
    queue_ms BIGINT NOT NULL,
    connect_ms BIGINT NOT NULL,
    response_ms BIGINT NOT NULL,
    total_ms BIGINT NOT NULL,
    server TEXT NOT NULL CHECK (length(server) <= 64),
    -- HAProxy's four letters for how it ended.
    ending TEXT NOT NULL CHECK (length(ending) <= 8),
    PRIMARY KEY (time_ms, edge, seq)
);

CREATE INDEX request_logs_by_customer ON request_logs (customer_id, time_ms);

-- What the lines of a window add up to. Minutes become hours, hours become days: a row is added to the longer window and
-- deleted in the same transaction. `service` is empty and `fingerprint` 0 where the edge refused before it knew.
CREATE TABLE request_stats (
    customer_id BIGINT NOT NULL CHECK (customer_id BETWEEN 1 AND 4294967295),
    service TEXT NOT NULL CHECK (length(service) <= 32),
    fingerprint BIGINT NOT NULL,
    window_start_s BIGINT NOT NULL,
    window_length_s BIGINT NOT NULL CHECK (window_length_s IN (60, 3600, 86400)),
    guaranteed BIGINT NOT NULL,
    burst BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    unserved BIGINT NOT NULL,
    client_errors BIGINT NOT NULL,
    server_errors BIGINT NOT NULL,
    received_bytes BIGINT NOT NULL,
    sent_bytes BIGINT NOT NULL,
    -- Response times: `milliseconds:count`, separated by spaces, rising (`domain/requests/sketch.rs`).
    sketch TEXT NOT NULL,
    PRIMARY KEY (window_length_s, window_start_s, customer_id, service, fingerprint)
);

CREATE INDEX request_stats_by_customer ON request_stats (customer_id, window_start_s);

-- The last batch of lines that was taken from each edge, so that one that is sent twice is taken once.
CREATE TABLE request_cursors (
    edge TEXT NOT NULL PRIMARY KEY CHECK (length(edge) BETWEEN 1 AND 64),
    instance TEXT NOT NULL CHECK (length(instance) <= 32),
    number BIGINT NOT NULL,
    next_seq BIGINT NOT NULL
);
