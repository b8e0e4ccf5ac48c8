//! The customers' API: a file a route. Each binds what comes, calls a rule, and answers.

pub mod account;
pub mod activity;
pub mod auth;
pub mod billing;
pub mod catalogue;
pub mod keys;
pub mod services;
pub mod stats;
pub mod tokens;
