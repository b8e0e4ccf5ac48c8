#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod allowlist;
pub mod change;
pub mod command;
pub mod digest;
pub mod field;
pub mod journal;
pub mod keyring;
pub mod ledger;
pub mod map_file;
pub mod packed;
pub mod plan;
pub mod policy;
pub mod prefix;
pub mod reason;
pub mod revocation;
pub mod status;
pub mod stream;

pub use allowlist::AllowlistEntry;
pub use change::Change;
pub use digest::{TableDigest, digest_of_bytes};
pub use field::FieldError;
pub use keyring::{Keyring, KeyringError};
pub use packed::Decision;
pub use plan::{Plan, PlanNumber};
pub use policy::{Policy, PolicyKey, PolicyState};
pub use prefix::Prefix;
pub use reason::Reason;
pub use revocation::{Revocation, RevocationKind};
pub use stream::StreamId;
