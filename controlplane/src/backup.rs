//! A backup of the database as one file, the same for both kinds of database, and putting it back.
//!
//! ```text
//! {"suiftly_backup":1,"made_by":"0.1.0","schema":"20261121000004","made_at":"2026-…Z","stream":"9f3c…","sequence":42}
//! {"table":"customers","columns":["customer_id","wallet_address","status","created_at_ms"]}
//! [305419896,"0x…","active",1795267200000]
//! …
//! {"end":{"rows":1234,"sha256":"…"}}
//! ```
//!
//! One JSON value a line, every table once, rows by their key; the last line has the SHA-256 of all bytes before it. The
//! keyring's secrets are not in it: who has a backup cannot make keys. Back the keyring file up apart.

mod file;
mod restore;
mod write;

pub use file::{Checked, check};
pub use restore::{Restored, restore};
pub use write::{Written, write_file, write_to};

use crate::db::DbError;
use crate::domain::DomainError;
use crate::edge::control_socket::ControlSocketError;
use crate::keyring::KeyringFileError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of the format.
const FORMAT: u32 = 1;
/// The longest line, in bytes: no row comes near it.
const LINE_LEN_MAX: u64 = 1 << 20;

/// Why there is no backup, or why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is there already.
    #[error("{} is there already; name another file, or give --force", .0.display())]
    Exists(PathBuf),
    /// The file cannot be read or written.
    #[error("{} cannot be {what}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no whole backup.
    #[error("{} line {line}: {reason}; nothing was restored", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The tables of the backup are others than ours.
    #[error(
        "{} was made by suiftly {made_by} with tables of version {schema}, this suiftly has version {ours}; restore it with that \
         version of suiftly and then start the newer one, which brings the tables up to date",
        .file.display()
    )]
    OtherSchema {
        /// The file.
        file: PathBuf,
        /// Who made it.
        made_by: String,
        /// The last migration in it.
        schema: String,
        /// Our last migration.
        ours: String,
    },
    /// There is something to lose.
    #[error("the database holds {0} customers; --replace throws away what it holds")]
    HoldsCustomers(u64),
    /// There is no keyring for what is restored.
    #[error(
        "there is no keyring {}, and without it no key in the backup works; put your copy of it there first (the backup does \
         not hold it), or name it with SUIFTLY_KEYRING",
        .0.display()
    )]
    NoKeyring(PathBuf),
    /// `suiftly serve` runs, or its lock cannot be taken.
    #[error(transparent)]
    Serve(#[from] ControlSocketError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringFileError),
    /// A rule.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    suiftly_backup: u32,
    /// The version of suiftly.
    pub made_by: String,
    /// The last migration of the database.
    pub schema: String,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// The database's history, 16 hex digits.
    pub stream: String,
    /// The last change in it.
    pub sequence: u64,
}

/// The line before a table's rows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableLine {
    table: String,
    columns: Vec<String>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
    sha256: String,
}
