-- Who may use the operators' paths of the API. The token itself is shown once and stored nowhere: it is 32 random bytes,
-- so its plain SHA-256 (lower-case hex) tells nothing about it.
CREATE TABLE operator_tokens (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    token_sha256 TEXT NOT NULL UNIQUE CHECK (length(token_sha256) = 64),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);
