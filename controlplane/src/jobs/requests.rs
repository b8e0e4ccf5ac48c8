//! The request log grows old: its statistics' minutes are added up in hours and days, and it is forgotten.

use crate::domain::requests::{add_up, forget_old, forget_old_windows};
use crate::jobs::{Done, Job};
use std::time::Duration;

/// How often these jobs look.
const EVERY: Duration = Duration::from_secs(60);

/// The jobs. Each works until nothing is left, in short transactions.
pub(super) fn jobs(keep: Duration) -> [Job; 3] {
    let done = |rows| Done { rows, more: false };
    [
        Job {
            name: "request statistics added up",
            every: EVERY,
            run: Box::new(move |database, now_ms| add_up(database, now_ms).map(done)),
        },
        Job {
            name: "forget old request statistics",
            every: EVERY,
            run: Box::new(move |database, now_ms| forget_old_windows(database, now_ms).map(done)),
        },
        Job {
            name: "forget old request log",
            every: EVERY,
            run: Box::new(move |database, now_ms| forget_old(database, now_ms, keep).map(done)),
        },
    ]
}
