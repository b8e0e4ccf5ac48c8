-- The edges: HAProxy machines that follow the change log, and how each stood when it was heard last. An edge on another
-- machine has a token (shown once; here its SHA-256, lower-case hex); the edge beside a `suiftly serve` has none.
CREATE TABLE edges (
    edge TEXT NOT NULL PRIMARY KEY CHECK (length(edge) BETWEEN 1 AND 64),
    token_sha256 TEXT UNIQUE CHECK (length(token_sha256) = 64),
    created_at_ms BIGINT NOT NULL,
    -- Nobody waits for it any more and its token is refused.
    removed_at_ms BIGINT,
    -- How many times it was asked to load everything anew.
    resyncs BIGINT NOT NULL DEFAULT 0,
    -- When it was heard last, and what it said: JSON.
    seen_at_ms BIGINT,
    report TEXT CHECK (length(report) <= 65536)
);
