//! What is pending happens to services: downgrades, the end of cancelled ones, their removal.

use crate::db::{Database, DbError};
use crate::domain::DomainError;
use crate::domain::services::pending::let_happen;
use crate::jobs::{Done, Job};
use std::time::Duration;

/// How often it looks: a month's end is in force within this.
const EVERY: Duration = Duration::from_secs(30);

/// The job.
pub(super) fn jobs() -> [Job; 1] {
    [Job { name: "what is pending for services", every: EVERY, run: Box::new(part) }]
}

fn part(database: &mut Database, now_ms: i64) -> Result<Done, DbError> {
    match let_happen(database, now_ms) {
        Ok((rows, more)) => Ok(Done { rows, more }),
        Err(DomainError::Db(error)) => Err(error),
        // A rule, such as that there is no plan number left: it is said, and tried again.
        Err(other) => {
            tracing::error!(
                error = crate::app::chain_of(&other),
                "what is pending for services did not happen"
            );
            Ok(Done::default())
        }
    }
}
