//! Reading: what a customer's requests add up to over time, and the newest of them.

use crate::db::{Database, DbError, request_logs, request_stats};
use crate::domain::requests::{Counts, RequestLine};
use apikey::{CustomerId, Service};
use std::collections::BTreeMap;

/// The lengths of windows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 3,600 seconds.
    Hour,
    /// 86,400 seconds, UTC.
    Day,
}

impl Window {
    /// In seconds.
    pub const fn length_s(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Of this length, in seconds.
    pub fn from_length_s(length_s: i64) -> Option<Self> {
        [Self::Minute, Self::Hour, Self::Day].into_iter().find(|window| window.length_s() == length_s)
    }

    /// The beginning of the window in which a moment lies, unix seconds.
    pub const fn start_of(self, moment_s: i64) -> i64 {
        moment_s.div_euclid(self.length_s()) * self.length_s()
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct StatisticsQuery {
    /// Whose.
    pub customer: CustomerId,
    /// Of one service only.
    pub service: Option<Service>,
    /// Of one key only.
    pub fingerprint: Option<u64>,
    /// The first moment, unix seconds.
    pub since_s: i64,
    /// The moment after the last, unix seconds.
    pub until_s: i64,
    /// How long each point should be. What is kept in longer windows only, being old, is answered in those.
    pub window: Window,
}

/// What the requests of one window add up to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// The window's beginning, unix seconds.
    pub start_s: i64,
    /// Its length.
    pub window: Window,
    /// The sums.
    pub counts: Counts,
    /// The response times that 50, 95 and 99 of 100 answers did not exceed, in milliseconds; none without an answer.
    pub percentiles_ms: Option<[u64; 3]>,
}

/// The points of a time, in order; where nothing happened there is none.
///
/// # Errors
/// [`DbError`].
pub fn statistics(database: &mut Database, query: &StatisticsQuery) -> Result<Vec<Point>, DbError> {
    let rows = database.read(|tx| {
        request_stats::of(tx, query.customer, query.service, query.fingerprint, query.since_s, query.until_s)
    })?;
    let mut points = BTreeMap::<(i64, Window), Counts>::new();
    for row in rows {
        let window = row.window.max(query.window);
        points.entry((window.start_of(row.window_start_s), window)).or_default().merge(&row.counts);
    }
    let point = |((start_s, window), counts): ((i64, Window), Counts)| {
        let percentiles_ms = counts.times.quantiles([0.5, 0.95, 0.99]);
        Point { start_s, window, counts, percentiles_ms }
    };
    Ok(points.into_iter().map(point).collect())
}

/// The newest requests of a customer since a moment (unix milliseconds), newest first, at most `limit`.
///
/// # Errors
/// [`DbError`].
pub fn newest(
    database: &mut Database,
    customer: CustomerId,
    since_ms: i64,
    limit: u16,
) -> Result<Vec<RequestLine>, DbError> {
    database.read(|tx| request_logs::newest(tx, customer, since_ms, limit))
}
