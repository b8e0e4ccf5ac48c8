DROP INDEX request_stats_sums;
DROP INDEX request_stats_by_customer;
CREATE INDEX request_stats_by_customer ON request_stats (customer_id, window_start_s);

-- Each request in one window again: the shortest that is left.
DELETE FROM request_stats WHERE window_length_s = 86400
    AND window_start_s >= (SELECT MIN(window_start_s - window_start_s % 86400) FROM request_stats WHERE window_length_s = 3600);
DELETE FROM request_stats WHERE window_length_s = 3600
    AND window_start_s >= (SELECT MIN(window_start_s - window_start_s % 3600) FROM request_stats WHERE window_length_s = 60);

DROP TABLE usage_reason_sums;
DROP TABLE usage_sums;
DROP TABLE stats_marks;
