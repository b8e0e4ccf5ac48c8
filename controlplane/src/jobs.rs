//! What has to be done from time to time, by one `suiftly serve` of all that run on a database.
//!
//! `driver` is a thread in every `serve`; of these one has the lease (`leader`) and runs the jobs of [`all`]. A job is a
//! function of the database and the time: it looks at what is there, does a bounded part of what it finds to do in one
//! transaction, and says whether there is more. So it can be cut off anywhere, run twice, or run by two leaders at once, which
//! the lease does not rule out for a moment: the second finds nothing left to do, or waits for the first one's transaction. It
//! keeps no state of its own and is told nothing: to be late, to be repeated and to be on time are the same.

mod driver;
mod leader;
mod requests;
mod services;
mod sign_ins;
mod tier_changes;
mod usage;

pub use driver::{Running, start};

use crate::config::UsageConfig;
use crate::db::{Database, DbError};
use std::time::Duration;

/// One job.
pub struct Job {
    /// Its name in logs.
    pub name: &'static str,
    /// How long after it had nothing left to do it looks again.
    pub every: Duration,
    /// Does a part, of which no other writer notices much: see [`PART_LIMIT`].
    pub run: Part,
}

/// A part of a job, at a time in unix milliseconds.
pub type Part = Box<dyn FnMut(&mut Database, i64) -> Result<Done, DbError> + Send>;

/// How long the transaction of a part should take at most: writers of both databases take turns.
pub const PART_LIMIT: Duration = Duration::from_millis(300);

/// What a part has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Done {
    /// Rows that were moved or removed; for the log.
    pub rows: u64,
    /// Whether there may be more to do now.
    pub more: bool,
}

/// Every job; lines of the request log are kept for as long as said. One more is one more line here.
pub fn all(usage: &UsageConfig, keep_requests: Duration) -> Vec<Job> {
    let mut jobs = Vec::new();
    jobs.extend(usage::jobs(*usage));
    jobs.extend(requests::jobs(keep_requests));
    jobs.extend(services::jobs());
    jobs.extend(sign_ins::forget_old_sign_ins());
    jobs.extend(tier_changes::give_services_what_their_tier_means());
    jobs
}
