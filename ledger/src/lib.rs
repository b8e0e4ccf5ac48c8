//! The usage ledger: counters in a mapped file that HAProxy's workers add to and the agent reads.
//!
//! The layout is [`edgeformat::ledger`]'s; here are the file and the memory. What is counted is in the page cache at once:
//! it outlives the process that counted, however that ends. (It does not outlive a power cut; see
//! [`edgeformat::ledger::Header::boot`].)
//!
//! | file | what it does |
//! |---|---|
//! | `counting` | **adding**: finding and taking slots, opening the file that is in force |
//! | `reading` | reading all of it, with nobody waiting; whether somebody still counts in it |
//! | `file` | making a file, whole, before anybody counts in it |
//! | `words` | the memory: the only unsafe code |

mod counting;
mod file;
mod reading;
mod words;

pub use counting::{Ledger, SlotNumber};
pub use file::create;
pub use reading::LedgerReader;

use edgeformat::ledger::HeaderError;
use std::path::PathBuf;

/// Why a ledger file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct OpenError {
    /// Which file.
    pub path: PathBuf,
    /// Why not.
    pub reason: Unusable,
}

/// See [`OpenError`].
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be opened, locked or mapped.
    #[error("it cannot be opened: {0}")]
    Io(#[from] std::io::Error),
    /// It is damaged, or of another version.
    #[error(transparent)]
    Header(#[from] HeaderError),
}
