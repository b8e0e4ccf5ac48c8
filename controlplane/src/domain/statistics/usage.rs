//! What was used, bucket by bucket.

use crate::db::request_sums::{self, RequestSums};
use crate::db::statistics::{self, Services};
use crate::db::time_pieces::TimePieces;
use crate::db::usage_sums::Logged;
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
    pub rejected_by: Option<BTreeMap<&'static str, u64>>,
    /// The rest, from the request log.
    pub logged: Logged,
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
    if asked.key.is_none() {
        for row in statistics::usage(tx, asked.whose(), &period.time_s, bucket_s, Services::Together)? {
            let Some(bucket) = buckets.get_mut(&row.start_s) else { continue };
            bucket.figures.add(&Figures::of(&row.sums));
            bucket.logged.add(&row.logged);
            let by = bucket.rejected_by.get_or_insert_default();
            row.rejected_by.iter().for_each(|(reason, count)| *by.entry(reason).or_default() += count);
        }
        return Ok(buckets);
    }
    let rest_from_s = request_sums::mark(tx)?.rest_from_s(asked.customer);
    let time = TimePieces::of(&period.time_s, bucket_s, rest_from_s);
    for row in request_sums::sums(tx, asked.of_requests(), &time, Services::Together)? {
        if let Some(bucket) = buckets.get_mut(&row.start_s) {
            bucket.figures.add(&figures_of(&row.sums));
            bucket.logged.add(&row.sums.logged);
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
