//! What statistics show of a customer, bucket by bucket, in one query: the sums of whole hours or days, and the minutes that are not
//! added up yet. Of one key alone: `db/request_sums.rs`.

use crate::db::kept_query::KeptQuery;
use crate::db::stats_marks;
use crate::db::time_pieces::{Piece, TimePieces};
use crate::db::usage_records::{COUNTED, Sums};
use crate::db::usage_sums::{LOGGED, Logged, REASONS, sum_of, sum_of_reason};
use crate::db::{DbError, ReadTx, number};
use apikey::{CustomerId, Service};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use edgeformat::ledger::Counter;
use std::ops::Range;

/// Whose usage is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose {
    /// The customer.
    pub customer: CustomerId,
    /// Of which service; none: of all.
    pub service: Option<Service>,
}

impl Whose {
    /// The condition of one service.
    pub(in crate::db) fn of_service(self) -> String {
        self.service.map_or_else(String::new, |service| format!(" AND service = '{}'", service.name()))
    }
}

/// Whether rows tell services apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Services {
    /// A row is of one service.
    Apart,
    /// A row is of all services that were asked for; in the place of their word nothing stands.
    Together,
}

impl Services {
    pub(in crate::db) const fn column(self) -> &'static str {
        match self {
            Self::Apart => "service",
            Self::Together => "''",
        }
    }

    /// Groups by the first column, and the second where it is the service.
    pub(in crate::db) const fn group_by(self) -> &'static str {
        match self {
            Self::Apart => " GROUP BY 1, 2",
            Self::Together => " GROUP BY 1",
        }
    }
}

/// What was used of a service in a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// When the bucket begins, unix seconds.
    pub start_s: i64,
    /// The word of the service.
    pub service: String,
    /// The counters.
    pub sums: Sums,
    /// How often requests were refused, by the code that callers were answered: those that were.
    pub rejected_by: Vec<(&'static str, u64)>,
    /// What the request log has counted.
    pub logged: Logged,
}

/// What was used in a time (unix seconds), by buckets of `bucket_s` seconds. A bucket can come more than once, with parts of it.
pub fn usage(
    tx: &mut ReadTx<'_>,
    whose: Whose,
    time_s: &Range<i64>,
    bucket_s: i64,
    services: Services,
) -> Result<Vec<UsageRow>, DbError> {
    let marks = stats_marks::both(tx)?;
    let [of_usage, of_requests] = [marks.usage, marks.requests]
        .map(|mark| TimePieces::of(time_s, bucket_s, mark.rest_from_s(whose.customer)));
    // One query: to ask a server takes longer than to find the minutes of a customer.
    let selects = selects(whose, &of_usage, &of_requests, services);
    let Some(query) = KeptQuery::all_of(selects) else { return Ok(Vec::new()) };
    type Columns = (i64, String, Six<i64>, Twelve<i64>, Four<i64>);
    let found: Vec<Columns> = query.load(tx.connection())?;
    let row = |(start_s, service, sums, refused, logged)| {
        let (client_errors, server_errors, received_bytes, sent_bytes) = logged;
        Ok(UsageRow {
            start_s,
            service,
            sums: sums_of(sums),
            rejected_by: by_word(refused)?,
            logged: Logged { client_errors, server_errors, received_bytes, sent_bytes },
        })
    };
    found.into_iter().map(row).collect()
}

// By their places, which is faster than by their names; in the order of `COUNTED`, `REASONS` and `LOGGED`.
type Six<T> = (T, T, T, T, T, T);
type Twelve<T> = (T, T, T, T, T, T, T, T, T, T, T, T);
type Four<T> = (T, T, T, T);

const fn sums_of(columns: Six<i64>) -> Sums {
    let (admitted, burst, rejected, refused, unserved_guaranteed, unserved_burst) = columns;
    Sums { admitted, burst, rejected, refused, unserved_guaranteed, unserved_burst }
}

fn by_word(columns: Twelve<i64>) -> Result<Vec<(&'static str, u64)>, DbError> {
    let (a, b, c, d, e, f, g, h, i, j, k, l) = columns;
    let counts = REASONS.map(Counter::word).into_iter().zip([a, b, c, d, e, f, g, h, i, j, k, l]);
    let some = counts.filter(|(_, count)| *count != 0);
    some.map(|(word, count)| Ok((word, number("usage_sums", word, count)?))).collect()
}

/// A part of the statement behind [`usage()`].
pub type SelectUsage = KeptQuery<(BigInt, Text, Six<BigInt>, Twelve<BigInt>, Four<BigInt>)>;

/// The parts of the statement behind [`usage()`], where not the same is added up of usage and of requests; public for the test that
/// asks the databases how they run it.
pub fn selects(
    whose: Whose,
    of_usage: &TimePieces,
    of_requests: &TimePieces,
    services: Services,
) -> Vec<SelectUsage> {
    let mut selects = Vec::new();
    for piece in &of_usage.pieces {
        let part = Part { whose, piece, bucket_s: of_usage.bucket_s, services };
        if matches!(piece, Piece::Sums(..)) {
            selects.push(part.of_sums());
            continue;
        }
        // One service after the other: the primary keys have the service before the time, and PostgreSQL, given a list of
        // services, looks through all that it has of a customer.
        let of_services = whose.service.map_or_else(|| Service::ALL.to_vec(), |service| vec![service]);
        for service in of_services {
            selects.push(part.of_usage_minutes(service));
            selects.push(part.of_reason_minutes(service));
        }
    }
    for piece in &of_requests.pieces {
        if matches!(piece, Piece::Minutes(_)) {
            let part = Part { whose, piece, bucket_s: of_requests.bucket_s, services };
            selects.push(part.of_request_minutes());
        }
    }
    selects
}

/// What a part of the statement reads.
struct Part<'p> {
    whose: Whose,
    piece: &'p Piece,
    bucket_s: i64,
    services: Services,
}

impl Part<'_> {
    fn of_sums(&self) -> SelectUsage {
        let is_alone = self.piece.length_s() == self.bucket_s && self.services == Services::Apart;
        let column = |name: &'static str| if is_alone { name.to_owned() } else { sum_of(name) };
        let query = self.select(
            self.services.column(),
            COUNTED.map(column),
            REASONS.map(|reason| column(reason.word())),
            LOGGED.map(column),
        );
        let length_s = self.piece.length_s();
        let query = self
            .of_customer(query.text(" FROM usage_sums"))
            .text(format!(" AND window_length_s = {length_s}{}", self.whose.of_service()));
        begins_in(query, self.piece).text(if is_alone { "" } else { self.services.group_by() })
    }

    fn of_usage_minutes(&self, service: Service) -> SelectUsage {
        let counted = COUNTED.map(sum_of);
        self.of_ledger_minutes(service, "usage_records", counted, REASONS.map(|_| NONE.to_owned()))
    }

    fn of_reason_minutes(&self, service: Service) -> SelectUsage {
        let counted = COUNTED.map(|_| NONE.to_owned());
        self.of_ledger_minutes(service, "usage_reasons", counted, REASONS.map(sum_of_reason))
    }

    fn of_ledger_minutes(
        &self,
        service: Service,
        table: &str,
        counted: [String; 6],
        refused: [String; 12],
    ) -> SelectUsage {
        let service = format!("'{}'", service.name());
        let word = if self.services == Services::Apart { service.as_str() } else { "''" };
        let query = self.select(word, counted, refused, LOGGED.map(|_| NONE.to_owned()));
        let query = self.of_customer(query.text(format!(" FROM {table}")));
        // Rows of hours and days stand in the same table, and are in the sums. As an expression, since both databases would take it
        // for a good reason to read everybody's minutes by their age.
        let query = query.text(format!(" AND service = {service} AND window_length_s + 0 = 60"));
        begins_in(query, self.piece).text(" GROUP BY 1")
    }

    fn of_request_minutes(&self) -> SelectUsage {
        let query = self.select(
            self.services.column(),
            COUNTED.map(|_| NONE.to_owned()),
            REASONS.map(|_| NONE.to_owned()),
            LOGGED.map(sum_of),
        );
        let query = self
            .of_customer(query.text(" FROM request_stats"))
            .text(format!(" AND window_length_s = 60{}", self.whose.of_service()));
        begins_in(query, self.piece).text(self.services.group_by())
    }

    fn select(
        &self,
        service: &str,
        counted: [String; 6],
        refused: [String; 12],
        logged: [String; 4],
    ) -> SelectUsage {
        let bucket = bucket_of(self.piece, self.bucket_s);
        let counts = [counted.as_slice(), &refused, &logged].concat().join(", ");
        KeptQuery::new(format!("SELECT {bucket}, {service}, {counts}"))
    }

    fn of_customer(&self, query: SelectUsage) -> SelectUsage {
        query.text(" WHERE customer_id = ").number(self.whose.customer.get().into())
    }
}

/// A count of 0.
pub(in crate::db) const NONE: &str = "CAST(0 AS BIGINT)";

/// When the bucket of a row of this piece begins.
pub(in crate::db) fn bucket_of(piece: &Piece, bucket_s: i64) -> String {
    let start = "window_start_s";
    // The column itself where it is the same: groups come in its order from the index, and nothing is sorted.
    if piece.length_s() == bucket_s {
        start.to_owned()
    } else {
        format!("{start} - {start} % {}", bucket_s.max(1))
    }
}

/// Goes on with the condition that a window begins in the time of a piece.
pub(in crate::db) fn begins_in<Types>(query: KeptQuery<Types>, piece: &Piece) -> KeptQuery<Types> {
    let time = piece.time_s();
    query.text(" AND window_start_s >= ").number(time.start).text(" AND window_start_s < ").number(time.end)
}
