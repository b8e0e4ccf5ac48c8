DROP TABLE request_cursors;
DROP TABLE request_stats;
DROP TABLE request_logs;
