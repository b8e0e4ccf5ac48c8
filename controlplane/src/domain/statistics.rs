//! What a customer's requests add up to, in buckets of time: what was used, how fast it was answered, and the last day in one look.
//!
//! Two sources, which can differ a little. What is billed comes from the edges' ledgers: exact, counted in the minute in which a ledger
//! was read, some three seconds after the request, and not known by key. Everything else comes from the request log: by key, in the minute in which
//! the request began, and a line can be lost.
//!
//! Both are read from sums of hours and days, and from minutes only where those are not added up yet ([`crate::db::stats_marks`]):
//! a month is some hundred rows.

mod latency;
mod period;
mod summary;
mod usage;

pub use latency::{LatencyBucket, latency};
pub use period::{BadBucket, Period, Span};
pub use summary::{Part, Summary, summary};
pub use usage::{UsageBucket, usage};

use crate::db::request_sums;
use crate::db::statistics::Whose;
use apikey::{CustomerId, Fingerprint, Service};

/// When a minute is added up, counted from its beginning: its last readings and lines have come by then. What is later is added by
/// who brings it.
pub const MINUTE_IS_OVER_AFTER_S: i64 = 60 + 30;
/// How long the request log's minutes are kept, in seconds: 48 hours.
pub const MINUTES_KEPT_S: i64 = 48 * 3_600;
/// How long the hours are kept that statistics are read from, in seconds: 90 days.
pub const HOURS_KEPT_S: i64 = 90 * 86_400;

/// Whose requests are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The customer.
    pub customer: CustomerId,
    /// For one service only.
    pub service: Option<Service>,
    /// With one key only, which must be the customer's.
    pub key: Option<Fingerprint>,
}

impl Asked {
    const fn whose(&self) -> Whose {
        Whose { customer: self.customer, service: self.service }
    }

    const fn of_requests(&self) -> request_sums::Asked {
        request_sums::Asked { whose: self.whose(), key: self.key }
    }
}
