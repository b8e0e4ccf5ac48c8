//! How fast requests were answered, bucket by bucket.

use crate::db::request_sums;
use crate::db::time_pieces::TimePieces;
use crate::db::{DbError, ReadTx};
use crate::domain::requests::Sketch;
use crate::domain::statistics::{Asked, Period};
use std::collections::BTreeMap;

/// The response times of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LatencyBucket {
    /// How many requests a server answered.
    pub count: u64,
    /// The times that 50, 95 and 99 of 100 answers did not exceed, in milliseconds; none without an answer.
    pub percentiles_ms: Option<[u64; 3]>,
}

impl LatencyBucket {
    /// Of these times.
    pub fn of(times: &Sketch) -> Self {
        Self { count: times.count(), percentiles_ms: times.quantiles([0.5, 0.95, 0.99]) }
    }
}

/// The buckets of a period by their beginning, unix seconds: all of them. Each is read from the sum of its sketches.
///
/// # Errors
/// [`DbError`].
pub fn latency(
    tx: &mut ReadTx<'_>,
    asked: &Asked,
    period: &Period,
) -> Result<BTreeMap<i64, LatencyBucket>, DbError> {
    let mut times: BTreeMap<i64, Sketch> =
        period.starts().map(|start_s| (start_s, Sketch::default())).collect();
    let rest_from_s = request_sums::mark(tx)?.rest_from_s(asked.customer);
    let pieces = TimePieces::of(&period.time_s, period.bucket.length_s(), rest_from_s);
    for row in request_sums::times(tx, asked.of_requests(), &pieces)? {
        if let Some(sketch) = times.get_mut(&row.start_s) {
            sketch.merge(&row.times);
        }
    }
    Ok(times.iter().map(|(start_s, times)| (*start_s, LatencyBucket::of(times))).collect())
}
