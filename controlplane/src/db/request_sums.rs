//! Reading what requests add up to, over a time in buckets: the counters alone, or the sketches of response times.

use crate::db::time_pieces::{Piece, TimePieces};
use crate::db::usage_sums::{Whose, bucket_of};
use crate::db::{DbError, ReadTx, column_of, stats_marks};
use crate::domain::requests::Sketch;
use apikey::Fingerprint;
use diesel::prelude::*;
use diesel::{QueryableByName, sql_types};

const SUMMED: [&str; 9] = [
    "guaranteed",
    "burst",
    "rejected",
    "refused",
    "unserved",
    "client_errors",
    "server_errors",
    "received_bytes",
    "sent_bytes",
];

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

/// Sums of the columns of the same names.
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
    /// Served with a status of 400 to 499.
    pub client_errors: i64,
    /// Served with a status of 500 to 599.
    pub server_errors: i64,
    /// Bytes from the caller.
    pub received_bytes: i64,
    /// Bytes to the caller.
    pub sent_bytes: i64,
}

impl RequestSums {
    /// Adds what others add up to.
    pub const fn add(&mut self, more: &Self) {
        self.guaranteed += more.guaranteed;
        self.burst += more.burst;
        self.rejected += more.rejected;
        self.refused += more.refused;
        self.unserved += more.unserved;
        self.client_errors += more.client_errors;
        self.server_errors += more.server_errors;
        self.received_bytes += more.received_bytes;
        self.sent_bytes += more.sent_bytes;
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

/// The sums by bucket and service. A bucket can come more than once, with parts of it. No sketch is read.
pub fn sums(tx: &mut ReadTx<'_>, asked: Asked, time: &TimePieces) -> Result<Vec<RequestRow>, DbError> {
    type Columns = (i64, String, i64, i64, i64, i64, i64, i64, i64, i64, i64);
    type Types = (
        sql_types::BigInt,
        sql_types::Text,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
        sql_types::BigInt,
    );
    let mut rows = Vec::new();
    for piece in &time.pieces {
        let text = select_sums(asked, piece, time.bucket_s);
        // By their places: to find a column of each row by its name takes as long as reading the row.
        let found: Vec<Columns> = diesel::dsl::sql::<Types>(&text).load(tx.connection())?;
        rows.extend(found.into_iter().map(|columns| RequestRow {
            start_s: columns.0,
            service: columns.1,
            sums: RequestSums {
                guaranteed: columns.2,
                burst: columns.3,
                rejected: columns.4,
                refused: columns.5,
                unserved: columns.6,
                client_errors: columns.7,
                server_errors: columns.8,
                received_bytes: columns.9,
                sent_bytes: columns.10,
            },
        }));
    }
    Ok(rows)
}

/// The response times by bucket and service, in any number of parts.
pub fn times(tx: &mut ReadTx<'_>, asked: Asked, time: &TimePieces) -> Result<Vec<TimesRow>, DbError> {
    #[derive(QueryableByName)]
    struct Columns {
        #[diesel(sql_type = sql_types::BigInt)]
        start_s: i64,
        #[diesel(sql_type = sql_types::Text)]
        service: String,
        #[diesel(sql_type = sql_types::Text)]
        sketch: String,
    }
    let mut rows = Vec::new();
    for piece in &time.pieces {
        let text = format!(
            "SELECT {} AS start_s, service, sketch FROM request_stats WHERE {}",
            bucket_of(time.bucket_s),
            condition(asked, piece)
        );
        for Columns { start_s, service, sketch } in
            diesel::sql_query(text).load::<Columns>(tx.connection())?
        {
            let times =
                sketch.parse().map_err(|_| DbError::unexpected("request_stats", "a sketch is none"))?;
            rows.push(TimesRow { start_s, service, times });
        }
    }
    Ok(rows)
}

/// The statement behind [`sums()`]; public for the test that asks the databases how they run it.
pub fn select_sums(asked: Asked, piece: &Piece, bucket_s: i64) -> String {
    if piece.length_s() == bucket_s {
        // A row is a part of one bucket already; who asked adds them up faster than the database does.
        let columns = SUMMED.join(", ");
        let condition = condition(asked, piece);
        return format!(
            "SELECT window_start_s AS start_s, service, {columns} FROM request_stats WHERE {condition}"
        );
    }
    let summed = SUMMED.map(|name| format!("CAST(COALESCE(SUM({name}), 0) AS BIGINT) AS {name}")).join(", ");
    format!(
        "SELECT {} AS start_s, service, {summed} FROM request_stats WHERE {} GROUP BY 1, 2",
        bucket_of(bucket_s),
        condition(asked, piece)
    )
}

fn condition(asked: Asked, piece: &Piece) -> String {
    let Asked { whose, key } = asked;
    let (length_s, time) = match piece {
        Piece::Minutes(time) => (60, time),
        Piece::Sums(length_s, time) => (*length_s, time),
    };
    let mut text = format!(
        "customer_id = {} AND window_length_s = {length_s} AND window_start_s >= {} AND window_start_s < {}",
        whose.customer.get(),
        time.start,
        time.end
    );
    if length_s > 60 {
        // The index of sums has this condition; SQLite uses it only where it stands in the query, too.
        text.push_str(" AND window_length_s > 60");
    }
    if let Some(service) = whose.service {
        text.push_str(&format!(" AND service = '{}'", service.name()));
    }
    if let Some(key) = key {
        text.push_str(&format!(" AND fingerprint = {}", column_of(key.get())));
    }
    text
}
