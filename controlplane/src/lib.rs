#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod access_tokens;
pub mod app;
pub mod backup;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod doctor;
pub mod domain;
pub mod edge;
pub mod http;
pub mod jobs;
pub mod keyring;
pub mod ledger_view;
pub mod private_file;
pub mod problem;
pub mod random;
pub mod secrets;

// The tests' databases are one file for the unit tests here and the tests in `tests/`, which knows us by this name.
#[cfg(test)]
extern crate self as controlplane;
#[cfg(test)]
#[path = "../tests/suite/harness/databases.rs"]
mod databases;
