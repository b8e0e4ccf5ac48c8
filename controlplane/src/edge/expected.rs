//! What the database says that every worker should have, read apart from the agent: `suiftly edge diff`.

use crate::changes::feed;
use crate::config::Config;
use crate::db::{Database, DbError};
use crate::edge::mirror::Mirror;
use crate::edge::report::WorkerReport;
use edgeformat::status::TableStatus;

/// The database's tables in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// The history.
    pub stream: String,
    /// The last change.
    pub sequence: u64,
    policies: (u64, String),
    revocations: (u64, String),
    allowlists: (u64, String),
}

/// Reads all of it.
///
/// # Errors
/// [`DbError`].
pub fn read(config: &Config) -> Result<Expected, DbError> {
    let mirror = Mirror::from_snapshot(Database::open(&config.database)?.read(feed::snapshot)?);
    Ok(Expected {
        stream: mirror.position().stream.to_string(),
        sequence: mirror.position().sequence,
        policies: (mirror.policies().len() as u64, mirror.policies_digest().to_string()),
        revocations: (mirror.revocations().len() as u64, mirror.revocations_digest().to_string()),
        allowlists: (mirror.allowlists().len() as u64, mirror.allowlists_digest().to_string()),
    })
}

impl Expected {
    /// What a worker has otherwise, in words.
    pub fn differences(&self, worker: &WorkerReport) -> Vec<String> {
        let mut found = Vec::new();
        if !worker.ready {
            found.push("it refuses every request".to_owned());
        }
        // Tables of another moment differ by nature.
        if worker.sequence != self.sequence {
            found.push(format!("it stands at change {}, the database at {}", worker.sequence, self.sequence));
            return found;
        }
        let mut compare = |name: &str, has: &TableStatus, should: &(u64, String)| {
            if (has.count, &has.checksum) != (should.0, &should.1) {
                found.push(format!(
                    "its {name} are {} with checksum {}, the database has {} with {}",
                    has.count, has.checksum, should.0, should.1
                ));
            }
        };
        compare("policies", &worker.policies, &self.policies);
        compare("revocations", &worker.revocations, &self.revocations);
        // A module from before allowlists has none, and refuses whom it would be asked of.
        if let Some(allowlists) = &worker.allowlists {
            compare("allowlists", allowlists, &self.allowlists);
        }
        found
    }
}
