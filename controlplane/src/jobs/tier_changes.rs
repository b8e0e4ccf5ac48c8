//! A tier's new rates come into force: services that have the tier get them, and the edges are told.

use crate::app::chain_of;
use crate::db::{Database, DbError};
use crate::domain::{DomainError, tier_changes};
use crate::jobs::{Done, Job};
use std::time::Duration;

/// How often it looks: so late new rates are at most, beside the time that all services take.
const EVERY: Duration = Duration::from_secs(20);

/// The job.
pub(super) fn give_services_what_their_tier_means() -> [Job; 1] {
    [Job { name: "new rates of tiers", every: EVERY, run: Box::new(part) }]
}

/// One transaction, until there is nothing left.
fn part(database: &mut Database, now_ms: i64) -> Result<Done, DbError> {
    match tier_changes::refresh_some(database, now_ms) {
        Ok(rows) => Ok(Done { rows, more: rows > 0 }),
        Err(DomainError::Db(error)) => Err(error),
        // No free plan number: only an operator can help, and nothing else must wait for that.
        Err(error) => {
            tracing::error!(error = chain_of(&error), "services did not get the new rates of their tier");
            Ok(Done::default())
        }
    }
}
