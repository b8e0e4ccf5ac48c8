DROP INDEX usage_reasons_by_age;
CREATE INDEX usage_reasons_by_age ON usage_reasons (window_length_s, window_start_s, customer_id, service);
DROP INDEX usage_records_by_age;
CREATE INDEX usage_records_by_age ON usage_records (window_length_s, window_start_s, customer_id, service);
