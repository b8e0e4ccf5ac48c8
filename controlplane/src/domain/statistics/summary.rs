//! The last 24 hours in one look.

use crate::db::request_sums::{self, RequestSums};
use crate::db::time_pieces::TimePieces;
use crate::db::usage_sums;
use crate::db::{DbError, ReadTx};
use crate::domain::requests::{Sketch, Window};
use crate::domain::statistics::usage::figures_of;
use crate::domain::statistics::{Asked, LatencyBucket};
use crate::domain::usage::figures::Figures;
use std::collections::BTreeMap;

const DAY_S: i64 = 86_400;

/// What requests add up to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Part {
    /// What is billed and what is not; true numbers.
    pub figures: Figures,
    /// Why requests were rejected; empty where one key was asked for.
    pub rejected_by: BTreeMap<String, u64>,
    /// The rest, from the request log.
    pub requests: RequestSums,
    /// The response times.
    pub times: Sketch,
}

impl Part {
    /// How fast they were answered.
    pub fn latency(&self) -> LatencyBucket {
        LatencyBucket::of(&self.times)
    }

    fn add(&mut self, more: &Self) {
        self.figures.add(&more.figures);
        for (reason, count) in &more.rejected_by {
            *self.rejected_by.entry(reason.clone()).or_default() += count;
        }
        self.requests.add(&more.requests);
        self.times.merge(&more.times);
    }
}

/// The last 24 hours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// From when on, unix seconds: the minute 24 hours ago.
    pub from_s: i64,
    /// All of it, also what the edge refused before it knew for which service.
    pub total: Part,
    /// By the word of the service; those with requests only.
    pub services: BTreeMap<String, Part>,
}

/// The last 24 hours until a moment, unix milliseconds.
///
/// # Errors
/// [`DbError`].
pub fn summary(tx: &mut ReadTx<'_>, asked: &Asked, now_ms: i64) -> Result<Summary, DbError> {
    let now_s = now_ms.div_euclid(1_000);
    let from_s = Window::Minute.start_of(now_s) - DAY_S;
    let time_s = from_s..Window::Minute.start_of(now_s) + Window::Minute.length_s();
    // All of it is one bucket.
    let pieces = |rest_from_s| TimePieces::of(&time_s, i64::MAX, rest_from_s);
    let mut services = BTreeMap::<String, Part>::new();
    let time = pieces(request_sums::mark(tx)?.rest_from_s(asked.customer));
    for row in request_sums::sums(tx, asked.of_requests(), &time)? {
        services.entry(row.service).or_default().requests.add(&row.sums);
    }
    for row in request_sums::times(tx, asked.of_requests(), &time)? {
        services.entry(row.service).or_default().times.merge(&row.times);
    }
    if asked.key.is_some() {
        for part in services.values_mut() {
            part.figures = figures_of(&part.requests);
        }
    } else {
        let time = pieces(usage_sums::mark(tx)?.rest_from_s(asked.customer));
        for row in usage_sums::usage(tx, asked.whose(), &time)? {
            services.entry(row.service).or_default().figures.add(&Figures::of(&row.sums));
        }
        for row in usage_sums::reasons(tx, asked.whose(), &time)? {
            let by = &mut services.entry(row.service).or_default().rejected_by;
            *by.entry(row.reason).or_default() += row.count;
        }
    }
    let mut total = Part::default();
    services.values().for_each(|part| total.add(part));
    services.remove("");
    Ok(Summary { from_s, total, services })
}
