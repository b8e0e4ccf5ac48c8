//! Who runs the jobs: the one whose lease it is.

use crate::db::{Database, DbError};
use crate::domain::leases;

/// The lease's name.
const LEASE: &str = "jobs";
/// How long it holds, in milliseconds: for so long nobody runs the jobs when the leader was killed.
const LENGTH_MS: i64 = 30_000;
/// How often the leader renews it and the others look for it, in milliseconds.
const LOOK_EVERY_MS: i64 = 10_000;

/// One who would run the jobs.
pub(super) struct Leader {
    /// Random, so that no two are the same, also not one that was started anew.
    holder: String,
    leads: bool,
    looked_at_ms: Option<i64>,
}

impl Leader {
    pub(super) const fn new(holder: String) -> Self {
        Self { holder, leads: false, looked_at_ms: None }
    }

    /// Whether it leads now. Looks into the database from time to time; whoever could not does not lead.
    pub(super) fn leads(&mut self, database: &mut Database, now_ms: i64) -> Result<bool, DbError> {
        let is_fresh = |looked_at_ms: i64| (0..LOOK_EVERY_MS).contains(&(now_ms - looked_at_ms));
        if self.looked_at_ms.is_some_and(is_fresh) {
            return Ok(self.leads);
        }
        self.looked_at_ms = Some(now_ms);
        let led = std::mem::replace(&mut self.leads, false);
        self.leads = leases::take(database, LEASE, &self.holder, LENGTH_MS, now_ms)?;
        if self.leads != led {
            tracing::info!(holder = self.holder, leads = self.leads, "who runs the jobs has changed");
        }
        Ok(self.leads)
    }

    /// Lets another one lead at once.
    pub(super) fn release(&mut self, database: &mut Database) -> Result<(), DbError> {
        if std::mem::replace(&mut self.leads, false) {
            leases::release(database, LEASE, &self.holder)?;
        }
        Ok(())
    }
}
