//! Keeping the edge on this machine in step with the database. Only this folder talks to HAProxy.
//!
//! [`agent::Agent`] is a reconciler: a signal or a tick makes it look at what should be ([`mirror`], from the
//! database) and what is (the files, every worker), and make it so. The signal carries no data, so that
//! start, crash, change and repair are one path. The order is fixed: files first ([`map_files`]), then every
//! worker ([`push`] over [`runtime_socket`]), then [`board`] tells whoever waits. What is not on disk is not
//! pushed, and what not every worker has confirmed is not acknowledged.
//!
//! [`requests`] stands apart: it only listens, to HAProxy's log lines.

pub mod agent;
pub mod board;
pub mod control_client;
pub mod control_plane;
pub mod control_protocol;
pub mod control_socket;
pub mod expected;
pub mod files_back;
pub mod follower;
mod journal_file;
pub mod key_confirmation;
pub mod key_groups;
pub mod ledger_files;
mod ledger_reading;
pub mod local_revocations;
pub mod map_files;
pub mod metering;
pub mod mirror;
mod native_map;
pub mod offer_back;
pub mod operator_maps;
pub mod plan_map;
pub mod push;
pub mod report;
pub mod reporter;
pub mod requests;
pub mod roster;
pub mod runtime_socket;
pub mod scanner;
pub mod source;
pub mod usage_counts;
pub mod usage_sink;
pub mod watcher;
pub mod workers;

/// The name of the edge on this machine where `SUIFTLY_EDGE_ID` names none.
pub const LOCAL_EDGE: &str = "local";
