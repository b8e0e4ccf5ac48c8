//! The request log grows old: its statistics' minutes become hours and days, and its lines are forgotten.

use crate::domain::requests::{forget_old, roll_up};
use crate::jobs::{Done, Job};
use std::time::Duration;

/// How often these jobs look.
const EVERY: Duration = Duration::from_secs(60);

/// The jobs. Each works until nothing is left, in short transactions.
pub(super) fn jobs(keep: Duration) -> [Job; 2] {
    let done = |rows| Done { rows, more: false };
    [
        Job {
            name: "request statistics to hours and days",
            every: EVERY,
            run: Box::new(move |database, now_ms| roll_up(database, now_ms).map(done)),
        },
        Job {
            name: "forget old request log",
            every: EVERY,
            run: Box::new(move |database, now_ms| forget_old(database, now_ms, keep).map(done)),
        },
    ]
}
