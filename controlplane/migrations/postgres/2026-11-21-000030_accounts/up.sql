-- Texts that were given out to be signed. Neither nonce nor text stands here: the text says all of it, and comes back with the
-- signature. Kept for an hour beyond their end, since failures are counted from them.
CREATE TABLE sign_in_challenges (
    nonce_sha256 TEXT NOT NULL PRIMARY KEY CHECK (length(nonce_sha256) = 64),
    message_sha256 TEXT NOT NULL CHECK (length(message_sha256) = 64),
    wallet_address TEXT NOT NULL CHECK (length(wallet_address) = 66),
    -- Who asked for it, and who failed with it: an IPv4 address, or an IPv6 network of 64 bits.
    source TEXT NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    outcome TEXT CHECK (outcome IN ('signed_in', 'failed', 'displaced')),
    failed_source TEXT CHECK (length(failed_source) BETWEEN 1 AND 64),
    CHECK ((ended_at_ms IS NULL) = (outcome IS NULL))
);

CREATE INDEX sign_in_challenges_by_wallet ON sign_in_challenges (wallet_address, created_at_ms);
CREATE INDEX sign_in_challenges_by_age ON sign_in_challenges (expires_at_ms);

-- A sign-in and all that its refresh token is exchanged for.
CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY CHECK (length(session_id) = 32),
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    source TEXT NOT NULL CHECK (length(source) BETWEEN 1 AND 64),
    user_agent TEXT NOT NULL CHECK (length(user_agent) <= 256),
    created_at_ms BIGINT NOT NULL,
    refreshed_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT,
    end_reason TEXT CHECK (
        end_reason IN ('logout', 'ended_by_customer', 'ended_by_operator', 'refresh_token_reused', 'account_closed')
    ),
    CHECK ((ended_at_ms IS NULL) = (end_reason IS NULL))
);

CREATE INDEX sessions_by_customer ON sessions (customer_id, created_at_ms, session_id);
CREATE INDEX sessions_by_age ON sessions (expires_at_ms);

-- Each refresh token of a session, also those that were exchanged: one of these that comes again was stolen.
CREATE TABLE refresh_tokens (
    token_sha256 TEXT NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 64),
    session_id TEXT NOT NULL REFERENCES sessions (session_id) ON DELETE CASCADE,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    replaced_at_ms BIGINT
);

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_age ON refresh_tokens (expires_at_ms);

-- What customers' scripts sign in with.
CREATE TABLE api_tokens (
    token_id TEXT NOT NULL PRIMARY KEY CHECK (length(token_id) = 32),
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    token_sha256 TEXT NOT NULL UNIQUE CHECK (length(token_sha256) = 64),
    -- Words separated by spaces, in the order of `domain::Scope`.
    scopes TEXT NOT NULL CHECK (length(scopes) BETWEEN 1 AND 256),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    last_used_at_ms BIGINT,
    revoked_at_ms BIGINT,
    -- Counts changes, for `ETag`.
    version BIGINT NOT NULL CHECK (version >= 1)
);

CREATE INDEX api_tokens_by_age ON api_tokens (expires_at_ms);
CREATE INDEX api_tokens_by_customer ON api_tokens (customer_id, created_at_ms, token_id);

-- Everything that changed an account: who, from where, when, what. Rows are only added; `number` counts from 1 for each
-- customer, without a gap.
CREATE TABLE activity (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    number BIGINT NOT NULL CHECK (number >= 1),
    at_ms BIGINT NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('wallet', 'token', 'operator', 'command', 'system')),
    -- The session's or token's id, the operator's name, the operating system's user.
    actor TEXT NOT NULL CHECK (length(actor) <= 64),
    source TEXT CHECK (length(source) BETWEEN 1 AND 64),
    request_id TEXT CHECK (length(request_id) BETWEEN 1 AND 64),
    action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 40),
    -- A JSON object; never holds a key's, token's or signature's text.
    detail TEXT NOT NULL CHECK (length(detail) BETWEEN 2 AND 4096),
    PRIMARY KEY (customer_id, number)
);

-- Answers to requests with an `Idempotency-Key`, for a day. None holds a secret.
CREATE TABLE idempotency_keys (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    request_sha256 TEXT NOT NULL CHECK (length(request_sha256) = 64),
    -- What was made: its kind and its id, from which the answer is made again.
    kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 32),
    made TEXT NOT NULL CHECK (length(made) BETWEEN 1 AND 64),
    status BIGINT NOT NULL,
    answer TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (customer_id, idempotency_key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms);
