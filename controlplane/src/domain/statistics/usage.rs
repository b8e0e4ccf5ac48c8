//! What was used, bucket by bucket.

use crate::db::request_sums::{self, RequestSums};
use crate::db::time_pieces::TimePieces;
use crate::db::usage_sums;
use crate::db::{DbError, ReadTx};
use crate::domain::statistics::{Asked, Period};
use crate::domain::usage::figures::Figures;
use std::collections::BTreeMap;

/// What was used in a bucket.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UsageBucket {
    /// What is billed and what is not: exact, from the ledgers; of one key from the request log. A short bucket can be negative.
    pub figures: Figures,
    /// Why requests were rejected; none where one key was asked for, which the ledgers do not know.
    pub rejected_by: Option<BTreeMap<String, u64>>,
    /// The rest, from the request log.
    pub requests: RequestSums,
}

/// The buckets of a period by their beginning, unix seconds: all of them.
///
/// # Errors
/// [`DbError`].
pub fn usage(
    tx: &mut ReadTx<'_>,
    asked: &Asked,
    period: &Period,
) -> Result<BTreeMap<i64, UsageBucket>, DbError> {
    let empty =
        UsageBucket { rejected_by: asked.key.is_none().then(BTreeMap::new), ..UsageBucket::default() };
    let mut buckets: BTreeMap<i64, UsageBucket> =
        period.starts().map(|start_s| (start_s, empty.clone())).collect();
    let bucket_s = period.bucket.length_s();
    let rest_from_s = request_sums::mark(tx)?.rest_from_s(asked.customer);
    let time = TimePieces::of(&period.time_s, bucket_s, rest_from_s);
    for row in request_sums::sums(tx, asked.of_requests(), &time)? {
        if let Some(bucket) = buckets.get_mut(&row.start_s) {
            bucket.requests.add(&row.sums);
        }
    }
    if asked.key.is_some() {
        for bucket in buckets.values_mut() {
            bucket.figures = figures_of(&bucket.requests);
        }
        return Ok(buckets);
    }
    let rest_from_s = usage_sums::mark(tx)?.rest_from_s(asked.customer);
    let time = TimePieces::of(&period.time_s, bucket_s, rest_from_s);
    for row in usage_sums::usage(tx, asked.whose(), &time)? {
        if let Some(bucket) = buckets.get_mut(&row.start_s) {
            bucket.figures.add(&Figures::of(&row.sums));
        }
    }
    for row in usage_sums::reasons(tx, asked.whose(), &time)? {
        let by = buckets.get_mut(&row.start_s).and_then(|bucket| bucket.rejected_by.as_mut());
        if let Some(by) = by {
            *by.entry(row.reason).or_default() += row.count;
        }
    }
    Ok(buckets)
}

/// The figures as the request log has them.
pub(super) const fn figures_of(sums: &RequestSums) -> Figures {
    Figures {
        guaranteed: sums.guaranteed,
        burst: sums.burst,
        rejected: sums.rejected + sums.refused,
        unserved: sums.unserved,
    }
}
