//! Reading what requests add up to, over a time in buckets: the counters alone, or the sketches of response times.

use crate::db::kept_query::KeptQuery;
use crate::db::statistics::{Services, Whose, begins_in, bucket_of};
use crate::db::time_pieces::{Piece, TimePieces};
use crate::db::usage_sums::{LOGGED, Logged, sum_of};
use crate::db::{DbError, ReadTx, column_of, stats_marks};
use crate::domain::requests::Sketch;
use apikey::Fingerprint;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

const OUTCOMES: [&str; 5] = ["guaranteed", "burst", "rejected", "refused", "unserved"];

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Whose requests.
    pub whose: Whose,
    /// Of which key; none: of all, and of those in which the edge found no key.
    pub key: Option<Fingerprint>,
}

/// What requests for a service add up to in a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestRow {
    /// When the bucket begins, unix seconds.
    pub start_s: i64,
    /// The word of the service; empty where the edge refused before it knew.
    pub service: String,
    /// The sums.
    pub sums: RequestSums,
}

/// How requests ended, and what else the log knows of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RequestSums {
    /// Served within the guaranteed rate.
    pub guaranteed: i64,
    /// Served in the burst.
    pub burst: i64,
    /// Admitted, then refused.
    pub rejected: i64,
    /// Refused though the key was right.
    pub refused: i64,
    /// Admitted, and no server answered.
    pub unserved: i64,
    /// What the log alone knows.
    pub logged: Logged,
}

impl RequestSums {
    /// Adds what others add up to.
    pub const fn add(&mut self, more: &Self) {
        self.guaranteed += more.guaranteed;
        self.burst += more.burst;
        self.rejected += more.rejected;
        self.refused += more.refused;
        self.unserved += more.unserved;
        self.logged.add(&more.logged);
    }
}

/// The response times of requests for a service in a part of a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimesRow {
    /// When the bucket begins, unix seconds.
    pub start_s: i64,
    /// The word of the service.
    pub service: String,
    /// The times.
    pub times: Sketch,
}

/// Where the mark of the request log's statistics stands.
pub fn mark(tx: &mut ReadTx<'_>) -> Result<stats_marks::Mark, DbError> {
    stats_marks::read(tx, stats_marks::Source::Requests)
}

/// The sums by bucket. A bucket can come more than once, with parts of it. No sketch is read.
pub fn sums(
    tx: &mut ReadTx<'_>,
    asked: Asked,
    time: &TimePieces,
    services: Services,
) -> Result<Vec<RequestRow>, DbError> {
    // By their places: to find a column of each row by its name takes as long as reading the row.
    type Columns = (i64, String, (i64, i64, i64, i64, i64), (i64, i64, i64, i64));
    let selects = time.pieces.iter().map(|piece| select_sums(asked, piece, time.bucket_s, services));
    let Some(query) = KeptQuery::all_of(selects) else { return Ok(Vec::new()) };
    let found: Vec<Columns> = query.load(tx.connection())?;
    let row = |(start_s, service, outcomes, logged)| {
        let (guaranteed, burst, rejected, refused, unserved) = outcomes;
        let (client_errors, server_errors, received_bytes, sent_bytes) = logged;
        let sums = RequestSums {
            guaranteed,
            burst,
            rejected,
            refused,
            unserved,
            logged: Logged { client_errors, server_errors, received_bytes, sent_bytes },
        };
        RequestRow { start_s, service, sums }
    };
    Ok(found.into_iter().map(row).collect())
}

/// The response times by bucket and service, in any number of parts.
pub fn times(tx: &mut ReadTx<'_>, asked: Asked, time: &TimePieces) -> Result<Vec<TimesRow>, DbError> {
    type Columns = (i64, String, String);
    let mut rows = Vec::new();
    for piece in &time.pieces {
        let bucket = bucket_of(piece, time.bucket_s);
        let query = KeptQuery::<(BigInt, Text, Text)>::new(format!(
            "SELECT {bucket}, service, sketch FROM request_stats WHERE "
        ));
        let found: Vec<Columns> = on(query, asked, piece).load(tx.connection())?;
        for (start_s, service, sketch) in found {
            let times =
                sketch.parse().map_err(|_| DbError::unexpected("request_stats", "a sketch is none"))?;
            rows.push(TimesRow { start_s, service, times });
        }
    }
    Ok(rows)
}

/// A part of the statement behind [`sums()`]; public for the test that asks the databases how they run it.
pub fn select_sums(asked: Asked, piece: &Piece, bucket_s: i64, services: Services) -> KeptQuery<SumColumns> {
    let summed = [OUTCOMES.map(sum_of).as_slice(), &LOGGED.map(sum_of)].concat().join(", ");
    let (bucket, service) = (bucket_of(piece, bucket_s), services.column());
    let query = KeptQuery::new(format!("SELECT {bucket}, {service}, {summed} FROM request_stats WHERE "));
    on(query, asked, piece).text(services.group_by())
}

type SumColumns = (BigInt, Text, (BigInt, BigInt, BigInt, BigInt, BigInt), (BigInt, BigInt, BigInt, BigInt));

fn on<Types>(query: KeptQuery<Types>, asked: Asked, piece: &Piece) -> KeptQuery<Types> {
    let Asked { whose, key } = asked;
    let query = query.text("customer_id = ").number(i64::from(whose.customer.get())).text(format!(
        " AND window_length_s = {}{}",
        piece.length_s(),
        whose.of_service()
    ));
    let query = begins_in(query, piece);
    match key {
        Some(key) => query.text(" AND fingerprint = ").number(column_of(key.get())),
        None => query,
    }
}
