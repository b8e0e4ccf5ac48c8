//! Up to where minutes are added up into the hours and days that statistics are read from.
//!
//! A [`Mark`] makes each count stand in a sum once: a job adds up minute after minute and moves the mark in the same transaction; what
//! is added to a minute later is added to the sums by who adds it; and who reads takes the sums and the minutes behind the mark.

use crate::db::schema::stats_marks::dsl;
use crate::db::{DbError, ReadTx, WriteTx};
use apikey::CustomerId;
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};

const MINUTE_S: i64 = 60;

/// Whose minutes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `usage_records` and `usage_reasons`.
    Usage,
    /// `request_stats`.
    Requests,
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Requests => "requests",
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Self::Usage => "usage_records",
            Self::Requests => "request_stats",
        }
    }
}

/// Added up are the minutes that begin earlier, and of the one that begins then those of customers up to this id.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mark {
    /// Unix seconds.
    pub window_start_s: i64,
    /// A customer's id, or 0.
    pub customer: i64,
}

impl Mark {
    /// Whether a customer's minute is added up.
    pub fn covers(self, window_start_s: i64, customer: u32) -> bool {
        window_start_s < self.window_start_s
            || window_start_s == self.window_start_s && i64::from(customer) <= self.customer
    }

    /// From where on a customer's minutes are not added up, unix seconds.
    pub fn rest_from_s(self, customer: CustomerId) -> i64 {
        let is_covered = self.covers(self.window_start_s, customer.get());
        self.window_start_s + if is_covered { MINUTE_S } else { 0 }
    }
}

/// Where the mark stands; at the beginning of all time where nothing was added up yet.
pub fn read(tx: &mut ReadTx<'_>, source: Source) -> Result<Mark, DbError> {
    let found: Option<(i64, i64)> = dsl::stats_marks
        .find(source.word())
        .select((dsl::window_start_s, dsl::customer_id))
        .first(tx.connection())
        .optional()?;
    Ok(found.map_or_else(Mark::default, |(window_start_s, customer)| Mark { window_start_s, customer }))
}

/// Where both marks stand.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Marks {
    /// That of usage.
    pub usage: Mark,
    /// That of the request log.
    pub requests: Mark,
}

/// Where both stand, in one query.
pub fn both(tx: &mut ReadTx<'_>) -> Result<Marks, DbError> {
    let found: Vec<(String, i64, i64)> = dsl::stats_marks
        .select((dsl::source, dsl::window_start_s, dsl::customer_id))
        .load(tx.connection())?;
    let of = |source: Source| {
        let row = found.iter().find(|(word, ..)| word == source.word());
        row.map_or_else(Mark::default, |(_, window_start_s, customer)| Mark {
            window_start_s: *window_start_s,
            customer: *customer,
        })
    };
    Ok(Marks { usage: of(Source::Usage), requests: of(Source::Requests) })
}

/// Moves the mark.
pub fn set(tx: &mut WriteTx<'_>, source: Source, mark: Mark) -> Result<(), DbError> {
    let values = (dsl::window_start_s.eq(mark.window_start_s), dsl::customer_id.eq(mark.customer));
    let target = dsl::stats_marks.find(source.word());
    if diesel::update(target).set(values).execute(tx.connection())? == 0 {
        diesel::insert_into(dsl::stats_marks)
            .values((dsl::source.eq(source.word()), values.0, values.1))
            .execute(tx.connection())?;
    }
    Ok(())
}

/// What is to be added up next: a minute's rows of the customers above `after` and up to `up_to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// When the minute begins, unix seconds.
    pub window_start_s: i64,
    /// Above this customer's id.
    pub after: i64,
    /// Up to this one, included.
    pub up_to: i64,
    /// Where the mark stands then.
    pub mark: Mark,
}

impl Chunk {
    /// The condition that a row is one of these.
    pub fn condition(&self) -> String {
        format!(
            "window_length_s = {MINUTE_S} AND window_start_s = {} AND customer_id > {} AND customer_id <= {}",
            self.window_start_s, self.after, self.up_to
        )
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    number: Option<i64>,
}

/// The next of what begins before `before_s` (unix seconds) and is not added up: about `rows` rows, whole customers. None: all is, and
/// the mark stands there, so that old minutes can go also where nothing new has come.
pub fn next_chunk(
    tx: &mut WriteTx<'_>,
    source: Source,
    before_s: i64,
    rows: u32,
) -> Result<Option<Chunk>, DbError> {
    let (mark, table) = (read(tx, source)?, source.table());
    let first = format!(
        "SELECT MIN(window_start_s) AS number FROM {table} WHERE window_length_s = {MINUTE_S} AND window_start_s >= {} \
         AND window_start_s < {before_s}",
        mark.window_start_s
    );
    let first: Number = diesel::sql_query(first).get_result(tx.connection())?;
    let Some(window_start_s) = first.number else {
        let reached_s = (before_s + MINUTE_S - 1).div_euclid(MINUTE_S) * MINUTE_S;
        if reached_s > mark.window_start_s {
            set(tx, source, Mark { window_start_s: reached_s, customer: 0 })?;
        }
        return Ok(None);
    };
    let after = if window_start_s == mark.window_start_s { mark.customer } else { 0 };
    let last = format!(
        "SELECT customer_id AS number FROM {table} WHERE window_length_s = {MINUTE_S} AND window_start_s = {window_start_s} \
         AND customer_id > {after} ORDER BY customer_id LIMIT 1 OFFSET {}",
        rows.saturating_sub(1)
    );
    let last: Option<Number> = diesel::sql_query(last).get_result(tx.connection()).optional()?;
    Ok(Some(match last.and_then(|last| last.number) {
        Some(up_to) => Chunk { window_start_s, after, up_to, mark: Mark { window_start_s, customer: up_to } },
        None => {
            let mark = Mark { window_start_s: window_start_s + MINUTE_S, customer: 0 };
            Chunk { window_start_s, after, up_to: i64::from(u32::MAX), mark }
        }
    }))
}
