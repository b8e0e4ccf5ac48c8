DROP TABLE leases;
DROP TABLE usage_set_aside;
DROP TABLE usage_reasons;
DROP TABLE usage_records;
DROP TABLE usage_cursors;
DROP TABLE ledgers;
