//! The module in HAProxy that knows a customer from the API key alone.
//!
//! `haproxy.cfg` calls one converter for each request; it decodes the key, checks its tag, whether it was revoked and
//! what the customer may, counts, and answers with one integer ([`edgeformat::packed`]). The tables are read at start
//! and changed over HAProxy's runtime socket.
//!
//! | file | what it does |
//! |---|---|
//! | `authorize` | **the hot path**: credential → decision |
//! | `credentials`, `keyring`, `revocations`, `policies`, `usage` | what it asks, in this order |
//! | `outcome` | asked by a third, on rare paths: what became of a request that was let through |
//! | `allowed`, `allowlists` | asked by a second converter, for those who want addresses checked |
//! | `tables` | policies, revocations and allowlists behind their lock; a change in place |
//! | `local_revocations` | keys that the operator of this edge refuses beside the database's |
//! | `load` | a whole load: begin, parts, commit |
//! | `journal` | what came after the tables' files were written, read again before the first request |
//! | `commands` | `suiftly status`, `apply`, `show` |
//! | `start`, `settings` | reading everything when HAProxy loads the module |
//! | `haproxy` | the only file that talks to HAProxy; in builds for Lua only |
//!
//! Invariants: no network connection, no thread, no file opened after the start but through one kept folder, time only from `clock`, and nothing
//! lets a request through when something is wrong: a panic, a missing table or a missing keyring refuse it.

pub mod allowed;
pub mod allowlists;
pub mod authorize;
pub mod clock;
pub mod commands;
pub mod counts;
pub mod credentials;
pub mod edge;
#[cfg(any(feature = "lua53", feature = "lua54"))]
#[allow(unsafe_code, reason = "mlua's macro makes the C entry point; nothing written by hand is unsafe")]
mod haproxy;
pub mod journal;
pub mod keyring;
pub mod load;
pub mod local_revocations;
pub mod outcome;
pub mod panic_guard;
#[cfg(feature = "panic-trigger")]
mod panic_trigger;
pub mod policies;
pub mod revocations;
pub mod settings;
pub mod start;
pub mod tables;
pub mod usage;
