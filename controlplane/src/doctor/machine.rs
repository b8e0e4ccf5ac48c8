//! The clock and the disk.

use super::{Finding, Patient};
use crate::clock::rfc3339_ms;
use crate::config::DatabaseConfig;
use std::time::UNIX_EPOCH;

/// Below this, in bytes, a journal or a database may not be written any more soon.
const FREE_MIN: u64 = 256 << 20;
const FREE_COMFORTABLE: u64 = 2 << 30;

/// Expiry and revocation happen at a second: a clock that is wrong brings keys back, or ends them early.
pub(super) fn clock(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "clock";
    let now_ms = patient.clock.now_ms();
    // What was written by this machine cannot be from the future.
    let mut written = vec![patient.config.state.maps().join("revocations.map")];
    if let DatabaseConfig::Sqlite(file) = &patient.config.database {
        written.push(file.clone());
    }
    let newest = written.iter().filter_map(|path| {
        let modified = std::fs::metadata(path).ok()?.modified().ok()?;
        i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    });
    let newest_ms = newest.max().unwrap_or(0);
    vec![if newest_ms > now_ms + 1000 {
        let seen = format!(
            "it says {}, but a file of ours was written at {}",
            rfc3339_ms(now_ms),
            rfc3339_ms(newest_ms)
        );
        Finding::problem(CHECK, seen, "set it, and let chrony or systemd-timesyncd keep it")
    } else {
        Finding::ok(CHECK, rfc3339_ms(now_ms))
    }]
}

pub(super) fn free_disk(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "free disk";
    let folder = &patient.config.state.folder;
    let free = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            return vec![Finding::warning(CHECK, format!("{}: {error}", folder.display()), "look with df")];
        }
    };
    let seen = format!("{} MiB in {}", free >> 20, folder.display());
    let todo = "make room: a change that cannot be written is not confirmed";
    vec![match free {
        free if free < FREE_MIN => Finding::problem(CHECK, seen, todo),
        free if free < FREE_COMFORTABLE => Finding::warning(CHECK, seen, todo),
        _ => Finding::ok(CHECK, seen),
    }]
}
