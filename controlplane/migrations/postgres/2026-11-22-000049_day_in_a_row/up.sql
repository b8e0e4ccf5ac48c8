-- All that is shown of a day stands in one row: why requests were refused, a column a reason, and what the request log has counted of
-- all keys together. So a month of a customer is some 30 rows (benches/REPORT.md, "Statistics").
ALTER TABLE usage_sums
    ADD COLUMN address_not_allowed BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN rate_limited BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN too_many_failures BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN content_too_large BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN revoked BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN expired BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN no_service BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN suspended_no_payment BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN suspended_spending_limit BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN suspended_operator BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN customer_suspended BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN client_errors BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN server_errors BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN received_bytes BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN sent_bytes BIGINT NOT NULL DEFAULT 0;

-- What was counted so far.
INSERT INTO usage_sums (customer_id, window_length_s, window_start_s, service, admitted, burst, rejected, refused,
        unserved_guaranteed, unserved_burst,
        address_not_allowed, rate_limited, too_many_failures, content_too_large, revoked, expired, no_service, disabled,
        suspended_no_payment, suspended_spending_limit, suspended_operator, customer_suspended)
    SELECT customer_id, window_length_s, window_start_s, service, 0, 0, 0, 0, 0, 0,
        SUM(CASE WHEN reason = 'address_not_allowed' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'rate_limited' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'too_many_failures' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'content_too_large' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'revoked' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'expired' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'no_service' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'disabled' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'suspended_no_payment' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'suspended_spending_limit' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'suspended_operator' THEN count ELSE 0 END),
        SUM(CASE WHEN reason = 'customer_suspended' THEN count ELSE 0 END)
    FROM usage_reason_sums GROUP BY customer_id, window_length_s, window_start_s, service
    ON CONFLICT (customer_id, window_length_s, window_start_s, service) DO UPDATE SET
        address_not_allowed = excluded.address_not_allowed, rate_limited = excluded.rate_limited,
        too_many_failures = excluded.too_many_failures, content_too_large = excluded.content_too_large,
        revoked = excluded.revoked, expired = excluded.expired, no_service = excluded.no_service,
        disabled = excluded.disabled, suspended_no_payment = excluded.suspended_no_payment,
        suspended_spending_limit = excluded.suspended_spending_limit, suspended_operator = excluded.suspended_operator,
        customer_suspended = excluded.customer_suspended;
DROP TABLE usage_reason_sums;

-- And what the request log has counted, of all keys together.
INSERT INTO usage_sums (customer_id, window_length_s, window_start_s, service, admitted, burst, rejected, refused,
        unserved_guaranteed, unserved_burst, client_errors, server_errors, received_bytes, sent_bytes)
    SELECT customer_id, window_length_s, window_start_s, service, 0, 0, 0, 0, 0, 0,
        SUM(client_errors), SUM(server_errors), SUM(received_bytes), SUM(sent_bytes)
    FROM request_stats WHERE window_length_s > 60 GROUP BY customer_id, window_length_s, window_start_s, service
    ON CONFLICT (customer_id, window_length_s, window_start_s, service) DO UPDATE SET
        client_errors = excluded.client_errors, server_errors = excluded.server_errors,
        received_bytes = excluded.received_bytes, sent_bytes = excluded.sent_bytes;

-- Of a month only one key's is read from here, and the response times. With the counts in an index each change of the hour and the
-- day in which we are was a further entry in every index of PostgreSQL, which reading went through until they were swept.
DROP INDEX request_stats_sums;
DROP INDEX request_stats_by_customer;
CREATE INDEX request_stats_by_customer ON request_stats (customer_id, window_length_s, window_start_s, fingerprint);

-- Room for a change beside its row.
ALTER TABLE request_stats SET (fillfactor = 70);
ALTER TABLE usage_sums SET (fillfactor = 70);
