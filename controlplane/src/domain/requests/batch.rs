//! What an edge hands over at once, and whether it can be true.

use crate::domain::requests::{Counts, Owner, RequestLine};
use apikey::{CustomerId, Service};
use serde::{Deserialize, Serialize};

/// The most lines of a batch: what one transaction writes in about 20 ms, since meanwhile nobody else writes.
pub const LINES_MAX: usize = 1_000;
/// The most rows of statistics of a batch.
pub const STATISTICS_MAX: usize = 200;
const S_PER_MINUTE: i64 = 60;
/// How far an edge's clock may be ahead; how long a request may last, and how long an edge may keep what it cannot hand over.
const AHEAD_MS_MAX: i64 = 120_000;
const LASTS_MS_MAX: i64 = 7 * 86_400_000;
const KEPT_MS_MAX: i64 = 86_400_000;

/// A part of what an edge has seen. Numbers rise by one within an instance, and a batch that comes twice is taken once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Which process counts: 16 hex digits, made at its start.
    pub instance: String,
    /// Its how many-th batch, from 1.
    pub number: i64,
    /// Requests.
    pub lines: Vec<RequestLine>,
    /// What requests add up to, these and those whose lines were left out.
    pub statistics: Vec<MinuteRow>,
}

/// What an owner's requests of one minute add up to, as far as they were not handed over before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinuteRow {
    /// The beginning of the minute, unix seconds.
    pub window_start_s: i64,
    /// Whose.
    pub owner: Owner,
    /// How many.
    pub counts: Counts,
}

/// Whether a request that ends now can have begun at this moment.
pub(crate) fn can_have_begun(time_ms: i64, now_ms: i64) -> bool {
    (now_ms - LASTS_MS_MAX..=now_ms + AHEAD_MS_MAX).contains(&time_ms)
}

impl Batch {
    /// Whether it is one that an agent of ours can have sent now. Not whether it is true: an edge is believed about itself.
    pub fn is_plausible(&self, now_ms: i64) -> bool {
        let is_near =
            |ms: i64| (now_ms - LASTS_MS_MAX - KEPT_MS_MAX..=now_ms + 2 * AHEAD_MS_MAX).contains(&ms);
        let is_instance =
            self.instance.len() == 16 && self.instance.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_instance
            && self.number > 0
            && self.lines.len() <= LINES_MAX
            && self.statistics.len() <= STATISTICS_MAX
            && self.lines.iter().all(|line| line.is_plausible() && is_near(line.time_ms))
            && self.statistics.iter().all(|row| {
                row.window_start_s % S_PER_MINUTE == 0
                    && is_near(row.window_start_s.saturating_mul(1_000))
                    && CustomerId::new(row.owner.customer).is_some()
                    && (row.owner.service.is_empty() || row.owner.service.parse::<Service>().is_ok())
                    && row.counts.are_plausible()
            })
    }
}
