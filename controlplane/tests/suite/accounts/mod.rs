//! Accounts: sign-in, sessions, API tokens, and the conventions of the API, on both databases.

mod api_tokens;
mod conventions;
mod customer;
mod description;
mod keys;
mod official_wallet;
mod pending_usage;
mod process;
mod server;
mod services;
mod sessions;
mod sign_in;
mod statistics;
mod wallet;
