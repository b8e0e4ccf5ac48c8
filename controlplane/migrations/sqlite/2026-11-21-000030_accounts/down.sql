DROP TABLE idempotency_keys;
DROP TABLE activity;
DROP TABLE api_tokens;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE sign_in_challenges;
