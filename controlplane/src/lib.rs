#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod app;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod doctor;
pub mod domain;
pub mod edge;
pub mod http;
pub mod keyring;
pub mod problem;
pub mod random;
