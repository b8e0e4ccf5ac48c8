-- From which second on a key is refused as expired, unix seconds; set by its owner, or when it is rotated.
ALTER TABLE api_keys ADD COLUMN expires_at_s BIGINT CHECK (expires_at_s > 0);
