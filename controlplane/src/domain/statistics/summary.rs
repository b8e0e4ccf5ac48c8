//! The last 24 hours in one look.

use crate::db::request_sums;
use crate::db::statistics::{self, Services};
use crate::db::time_pieces::TimePieces;
use crate::db::usage_sums::Logged;
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
    pub rejected_by: BTreeMap<&'static str, u64>,
    /// The rest, from the request log.
    pub logged: Logged,
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
            *self.rejected_by.entry(reason).or_default() += count;
        }
        self.logged.add(&more.logged);
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
    let bucket_s = i64::MAX;
    let mut services = BTreeMap::<String, Part>::new();
    let time = TimePieces::of(&time_s, bucket_s, request_sums::mark(tx)?.rest_from_s(asked.customer));
    for row in request_sums::times(tx, asked.of_requests(), &time)? {
        services.entry(row.service).or_default().times.merge(&row.times);
    }
    if asked.key.is_some() {
        for row in request_sums::sums(tx, asked.of_requests(), &time, Services::Apart)? {
            let part = services.entry(row.service).or_default();
            part.figures.add(&figures_of(&row.sums));
            part.logged.add(&row.sums.logged);
        }
    } else {
        for row in statistics::usage(tx, asked.whose(), &time_s, bucket_s, Services::Apart)? {
            let part = services.entry(row.service).or_default();
            part.figures.add(&Figures::of(&row.sums));
            part.logged.add(&row.logged);
            for (reason, count) in row.rejected_by {
                *part.rejected_by.entry(reason).or_default() += count;
            }
        }
    }
    let mut total = Part::default();
    services.values().for_each(|part| total.add(part));
    services.remove("");
    Ok(Summary { from_s, total, services })
}
