-- What statistics are read from: hours and days that are added up from the minutes as soon as these are over, so that a month is a
-- few rows and not some thousand. Bills are not made from them, but from usage_records.

-- Up to where minutes are added up: every one that begins earlier, and of the one that begins then those of customers up to this one.
CREATE TABLE stats_marks (
    source TEXT NOT NULL PRIMARY KEY CHECK (source IN ('usage', 'requests')),
    window_start_s BIGINT NOT NULL,
    customer_id BIGINT NOT NULL
);

-- usage_records by hour and by day: each request stands in one of both.
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

CREATE INDEX usage_sums_by_age ON usage_sums (window_length_s, window_start_s);

-- usage_reasons in the same way.
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

-- What had become hours and days already. Minutes are added up by the job.
INSERT INTO usage_sums (customer_id, window_length_s, window_start_s, service, admitted, burst, rejected, refused,
        unserved_guaranteed, unserved_burst)
    SELECT customer_id, 3600, window_start_s, service, admitted, burst, rejected, refused, unserved_guaranteed, unserved_burst
    FROM usage_records WHERE window_length_s = 3600;
INSERT INTO usage_sums (customer_id, window_length_s, window_start_s, service, admitted, burst, rejected, refused,
        unserved_guaranteed, unserved_burst)
    SELECT customer_id, 86400, window_start_s - window_start_s % 86400, service, SUM(admitted), SUM(burst), SUM(rejected),
        SUM(refused), SUM(unserved_guaranteed), SUM(unserved_burst)
    FROM usage_records WHERE window_length_s > 60 GROUP BY customer_id, window_start_s - window_start_s % 86400, service;
INSERT INTO usage_reason_sums (customer_id, window_length_s, window_start_s, service, reason, count)
    SELECT customer_id, 3600, window_start_s, service, reason, count FROM usage_reasons WHERE window_length_s = 3600;
INSERT INTO usage_reason_sums (customer_id, window_length_s, window_start_s, service, reason, count)
    SELECT customer_id, 86400, window_start_s - window_start_s % 86400, service, reason, SUM(count)
    FROM usage_reasons WHERE window_length_s > 60
    GROUP BY customer_id, window_start_s - window_start_s % 86400, service, reason;

-- The request log's statistics: an hour stands in the hours and in its day from now on. Sketches that stand behind each other read
-- as their sum.
INSERT INTO request_stats (customer_id, service, fingerprint, window_start_s, window_length_s, guaranteed, burst, rejected,
        refused, unserved, client_errors, server_errors, received_bytes, sent_bytes, sketch)
    SELECT customer_id, service, fingerprint, window_start_s - window_start_s % 86400, 86400, SUM(guaranteed), SUM(burst),
        SUM(rejected), SUM(refused), SUM(unserved), SUM(client_errors), SUM(server_errors), SUM(received_bytes),
        SUM(sent_bytes), group_concat(sketch, ' ')
    FROM request_stats WHERE window_length_s = 3600
    GROUP BY customer_id, service, fingerprint, window_start_s - window_start_s % 86400
    ON CONFLICT (window_length_s, window_start_s, customer_id, service, fingerprint) DO UPDATE SET
        guaranteed = request_stats.guaranteed + excluded.guaranteed,
        burst = request_stats.burst + excluded.burst,
        rejected = request_stats.rejected + excluded.rejected,
        refused = request_stats.refused + excluded.refused,
        unserved = request_stats.unserved + excluded.unserved,
        client_errors = request_stats.client_errors + excluded.client_errors,
        server_errors = request_stats.server_errors + excluded.server_errors,
        received_bytes = request_stats.received_bytes + excluded.received_bytes,
        sent_bytes = request_stats.sent_bytes + excluded.sent_bytes,
        sketch = request_stats.sketch || ' ' || excluded.sketch;

-- A customer's windows of one length, in their order; of hours and days with all that is counted, so that the rows themselves, wide
-- with their sketches, are not read. Those change once a minute; minutes change every few seconds and have the narrow one.
DROP INDEX request_stats_by_customer;
CREATE INDEX request_stats_by_customer ON request_stats (customer_id, window_length_s, window_start_s);
CREATE INDEX request_stats_sums ON request_stats (customer_id, window_length_s, window_start_s, service, fingerprint,
        guaranteed, burst, rejected, refused, unserved, client_errors, server_errors, received_bytes, sent_bytes)
    WHERE window_length_s > 60;
