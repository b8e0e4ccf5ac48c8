//! The thread that runs the jobs, as long as this process leads.

use crate::app::chain_of;
use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::db::{Database, DbError};
use crate::jobs::leader::Leader;
use crate::jobs::{Job, PART_LIMIT};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread looks whether something is to be done, or it should end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the end waits for the thread: for a part of a job, and to give the lease back.
const STOP_LIMIT: Duration = Duration::from_secs(1);
const STOP_LOOK_EVERY: Duration = Duration::from_millis(10);

/// The thread; dropped, it is told to end and waited for a while.
pub struct Running {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        let mut waited = Duration::ZERO;
        while !thread.is_finished() && waited < STOP_LIMIT {
            std::thread::sleep(STOP_LOOK_EVERY);
            waited += STOP_LOOK_EVERY;
        }
    }
}

/// Starts the thread. It ends with the value, or when `stopping` says so.
///
/// # Errors
/// The operating system gave no thread, or no random number.
pub fn start(
    config: DatabaseConfig,
    clock: Clock,
    jobs: Vec<Job>,
    stopping: Arc<AtomicBool>,
) -> std::io::Result<Running> {
    let holder = crate::random::nonzero_u64().map_err(std::io::Error::other)?;
    let leader = Leader::new(format!("{holder:016x}"));
    let told = Arc::clone(&stopping);
    let jobs = jobs.into_iter().map(|job| Planned { job, next_ms: None }).collect();
    let mut driver = Driver { config, clock, leader, jobs, database: None, logged: false };
    let thread = std::thread::Builder::new().name("jobs".to_owned()).spawn(move || driver.run(&told))?;
    Ok(Running { stopping, thread: Some(thread) })
}

struct Driver {
    config: DatabaseConfig,
    clock: Clock,
    leader: Leader,
    jobs: Vec<Planned>,
    /// Open between looks.
    database: Option<Database>,
    /// Whether it was logged that the database cannot be had.
    logged: bool,
}

struct Planned {
    job: Job,
    /// When it looks again, unix milliseconds; none: now.
    next_ms: Option<i64>,
}

impl Driver {
    fn run(&mut self, stopping: &AtomicBool) {
        while !stopping.load(Ordering::Relaxed) {
            match self.look(stopping) {
                Ok(()) => self.logged = false,
                Err(error) => {
                    self.database = None;
                    if !std::mem::replace(&mut self.logged, true) {
                        tracing::warn!(error = chain_of(&error), "it is not known who runs the jobs");
                    }
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        if let Some(mut database) = self.database.take()
            && let Err(error) = self.leader.release(&mut database)
        {
            tracing::warn!(
                error = chain_of(&error),
                "the jobs' lease could not be given back; it ends by itself"
            );
        }
    }

    /// Runs a part of each job that is due, if this process leads.
    fn look(&mut self, stopping: &AtomicBool) -> Result<(), DbError> {
        let database = match &mut self.database {
            Some(open) => open,
            none => none.insert(Database::open_again(&self.config)?),
        };
        for planned in &mut self.jobs {
            // Before each part: a lease that has run out meanwhile may be another one's.
            let now_ms = self.clock.now_ms();
            if stopping.load(Ordering::Relaxed) || !self.leader.leads(database, now_ms)? {
                return Ok(());
            }
            if planned.is_due(now_ms) {
                planned.run(database, &self.clock);
            }
        }
        Ok(())
    }
}

impl Planned {
    /// A clock that was set back must not keep a job waiting until it has caught up.
    fn is_due(&self, now_ms: i64) -> bool {
        self.next_ms.is_none_or(|next_ms| now_ms >= next_ms || now_ms < next_ms - self.every_ms())
    }

    fn every_ms(&self) -> i64 {
        i64::try_from(self.job.every.as_millis()).unwrap_or(i64::MAX)
    }

    fn run(&mut self, database: &mut Database, clock: &Clock) {
        let (name, begun) = (self.job.name, clock.instant());
        let now_ms = clock.now_ms();
        let done = (self.job.run)(database, now_ms);
        let took = begun.elapsed();
        match &done {
            Ok(done) if done.rows > 0 => {
                tracing::debug!(name, rows = done.rows, ?took, "a job has done a part")
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(name, error = chain_of(error), "a job has failed and is tried again")
            }
        }
        if took > PART_LIMIT {
            tracing::warn!(name, ?took, "a job has kept other writers waiting");
        }
        let has_more = done.is_ok_and(|done| done.more);
        self.next_ms = (!has_more).then(|| now_ms.saturating_add(self.every_ms()));
    }
}
