//! What the control plane does, on both databases, as its library and as the program `suiftly`.
//!
//! One binary: the library, with all that it stands on, is linked once and not once for each file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod harness;
mod terminal;

mod accounts;
mod alerts;
mod allowlists;
mod backup;
mod catalogue;
mod cli;
mod config;
mod customers;
mod database;
mod demo;
mod edge;
mod jobs;
mod key_groups;
mod key_life;
mod keyring;
mod operator;
mod postgres;
mod random_life;
mod remote_agent;
mod request_log_rate;
mod requests;
mod serve;
mod support;
mod usage;
mod usage_api;
mod usage_commands;
mod writers;
