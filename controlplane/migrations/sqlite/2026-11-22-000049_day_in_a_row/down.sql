DROP INDEX request_stats_by_customer;
CREATE INDEX request_stats_by_customer ON request_stats (customer_id, window_length_s, window_start_s);
CREATE INDEX request_stats_sums ON request_stats (customer_id, window_length_s, window_start_s, service, fingerprint,
        guaranteed, burst, rejected, refused, unserved, client_errors, server_errors, received_bytes, sent_bytes)
    WHERE window_length_s > 60;

-- Rows of requests that only the log knows, and that no ledger counted.
DELETE FROM usage_sums WHERE admitted = 0 AND burst = 0 AND rejected = 0 AND refused = 0 AND unserved_guaranteed = 0
    AND unserved_burst = 0;

CREATE TABLE usage_reason_sums (
    customer_id BIGINT NOT NULL,
    window_length_s BIGINT NOT NULL CHECK (window_length_s IN (3600, 86400)),
    window_start_s BIGINT NOT NULL,
    service TEXT NOT NULL,
    reason TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (customer_id, window_length_s, window_start_s, service, reason)
);
CREATE INDEX usage_reason_sums_by_age ON usage_reason_sums (window_length_s, window_start_s);
INSERT INTO usage_reason_sums (customer_id, window_length_s, window_start_s, service, reason, count)
    SELECT customer_id, window_length_s, window_start_s, service, 'address_not_allowed', address_not_allowed FROM usage_sums WHERE address_not_allowed > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'rate_limited', rate_limited FROM usage_sums WHERE rate_limited > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'too_many_failures', too_many_failures FROM usage_sums WHERE too_many_failures > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'content_too_large', content_too_large FROM usage_sums WHERE content_too_large > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'revoked', revoked FROM usage_sums WHERE revoked > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'expired', expired FROM usage_sums WHERE expired > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'no_service', no_service FROM usage_sums WHERE no_service > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'disabled', disabled FROM usage_sums WHERE disabled > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'suspended_no_payment', suspended_no_payment FROM usage_sums WHERE suspended_no_payment > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'suspended_spending_limit', suspended_spending_limit FROM usage_sums WHERE suspended_spending_limit > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'suspended_operator', suspended_operator FROM usage_sums WHERE suspended_operator > 0
    UNION ALL SELECT customer_id, window_length_s, window_start_s, service, 'customer_suspended', customer_suspended FROM usage_sums WHERE customer_suspended > 0;

ALTER TABLE usage_sums RENAME TO usage_sums_after;
DROP INDEX usage_sums_by_age;
CREATE TABLE usage_sums (
    customer_id BIGINT NOT NULL,
    window_length_s BIGINT NOT NULL CHECK (window_length_s IN (3600, 86400)),
    window_start_s BIGINT NOT NULL,
    service TEXT NOT NULL,
    admitted BIGINT NOT NULL,
    burst BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    unserved_guaranteed BIGINT NOT NULL,
    unserved_burst BIGINT NOT NULL,
    PRIMARY KEY (customer_id, window_length_s, window_start_s, service)
);
INSERT INTO usage_sums SELECT customer_id, window_length_s, window_start_s, service,
        admitted, burst, rejected, refused, unserved_guaranteed, unserved_burst
    FROM usage_sums_after;
DROP TABLE usage_sums_after;
CREATE INDEX usage_sums_by_age ON usage_sums (window_length_s, window_start_s);
