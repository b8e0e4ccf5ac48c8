-- The history that `sequence` counts in. One row, made by the program (its id is random).
CREATE TABLE stream (
    stream_id BIGINT NOT NULL PRIMARY KEY CHECK (stream_id <> 0),
    sequence BIGINT NOT NULL CHECK (sequence >= 0),
    only_row INTEGER NOT NULL DEFAULT 1 UNIQUE CHECK (only_row = 1)
);

CREATE TABLE customers (
    customer_id BIGINT NOT NULL PRIMARY KEY CHECK (customer_id BETWEEN 1 AND 4294967295),
    wallet_address TEXT NOT NULL UNIQUE CHECK (length(wallet_address) = 66 AND wallet_address = lower(wallet_address)),
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    created_at_ms BIGINT NOT NULL
);

-- The catalogue: what a tier means from a moment on. Data, so that a price list can change without a release.
CREATE TABLE tiers (
    tier TEXT NOT NULL CHECK (tier IN ('starter', 'pro', 'enterprise')),
    valid_from_ms BIGINT NOT NULL,
    guaranteed_per_s BIGINT NOT NULL CHECK (guaranteed_per_s BETWEEN 0 AND 1048575),
    burst_per_s BIGINT NOT NULL CHECK (burst_per_s BETWEEN 0 AND 1048575),
    burst_priority BIGINT NOT NULL CHECK (burst_priority BETWEEN 0 AND 255),
    PRIMARY KEY (tier, valid_from_ms)
);

INSERT INTO tiers (tier, valid_from_ms, guaranteed_per_s, burst_per_s, burst_priority) VALUES
    ('starter', 0, 12, 0, 0),
    ('pro', 0, 200, 500, 3),
    ('enterprise', 0, 1000, 2000, 2);

-- One row a distinct triple of rates; the edge knows it by its number. A number never gets another meaning.
CREATE TABLE plans (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number BETWEEN 1 AND 1023),
    guaranteed_per_s BIGINT NOT NULL CHECK (guaranteed_per_s BETWEEN 0 AND 1048575),
    burst_per_s BIGINT NOT NULL CHECK (burst_per_s BETWEEN 0 AND 1048575),
    burst_priority BIGINT NOT NULL CHECK (burst_priority BETWEEN 0 AND 255),
    UNIQUE (guaranteed_per_s, burst_per_s, burst_priority)
);

CREATE TABLE services (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    service TEXT NOT NULL CHECK (service IN ('seal', 'grpc', 'graphql')),
    state TEXT NOT NULL CHECK (state IN (
        'not_provisioned', 'disabled', 'enabled', 'suspended_no_payment', 'suspended_spending_limit',
        'suspended_operator', 'cancellation_pending'
    )),
    -- Where `resume` leads back to; set exactly while an operator has suspended the service.
    state_before_suspension TEXT CHECK (state_before_suspension IN (
        'disabled', 'enabled', 'suspended_no_payment', 'suspended_spending_limit', 'cancellation_pending'
    )),
    tier TEXT NOT NULL CHECK (tier IN ('starter', 'pro', 'enterprise')),
    plan BIGINT NOT NULL REFERENCES plans (number),
    -- Without a CHECK: later sources must not need the table to be rebuilt. The program knows the words.
    source TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (customer_id, service),
    CHECK ((state = 'suspended_operator') = (state_before_suspension IS NOT NULL))
);

-- Per customer and group over all services: the next derivation. Only grows, so that none is given twice.
CREATE TABLE derivation_counters (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    key_group BIGINT NOT NULL CHECK (key_group BETWEEN 0 AND 31),
    next BIGINT NOT NULL CHECK (next BETWEEN 1 AND 1001),
    PRIMARY KEY (customer_id, key_group)
);

-- The keys that we issued, by fingerprint. Their text is not stored anywhere.
CREATE TABLE api_keys (
    fingerprint BIGINT NOT NULL PRIMARY KEY,
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    service TEXT NOT NULL CHECK (service IN ('seal', 'grpc', 'graphql')),
    key_group BIGINT NOT NULL CHECK (key_group BETWEEN 0 AND 31),
    derivation BIGINT NOT NULL CHECK (derivation BETWEEN 1 AND 1023),
    version BIGINT NOT NULL CHECK (version IN (0, 1)),
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);

CREATE INDEX api_keys_of_customer ON api_keys (customer_id, service);

-- No foreign key: a key that we never issued can be stolen, and revoked, too.
CREATE TABLE revocations (
    fingerprint BIGINT NOT NULL PRIMARY KEY,
    in_force_from_s BIGINT NOT NULL CHECK (in_force_from_s >= 0),
    kind TEXT NOT NULL CHECK (kind IN ('revoked', 'expired')),
    source TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- What the edges must be told, in commit order and without a gap.
CREATE TABLE change_log (
    sequence BIGINT NOT NULL PRIMARY KEY CHECK (sequence > 0),
    change TEXT NOT NULL CHECK (length(change) BETWEEN 1 AND 80),
    created_at_ms BIGINT NOT NULL
);
