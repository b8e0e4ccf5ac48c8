//! The mark of a database that holds made-up data, and what only making it up needs.

use crate::db::schema::demo::dsl;
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of};
use crate::domain::demo::Mark;
use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::Text;

/// Tables that are empty before anybody was sold anything. In one of the demo's own making they are not.
const OF_CUSTOMERS: [&str; 11] = [
    "customers",
    "services",
    "api_keys",
    "revocations",
    "credit_entries",
    "usage_records",
    "usage_set_aside",
    "request_logs",
    "request_stats",
    "activity",
    "sessions",
];

/// The mark; none on a database that is not for show.
pub fn find(tx: &mut ReadTx<'_>) -> Result<Option<Mark>, DbError> {
    let found: Option<(i64, i64, Option<i64>)> = dsl::demo
        .select((dsl::seed, dsl::begun_at_ms, dsl::finished_at_ms))
        .first(tx.connection())
        .optional()?;
    Ok(found.map(|(seed, begun_at_ms, finished_at_ms)| Mark {
        seed: bits_of(seed),
        begun_at_ms,
        finished_at_ms,
    }))
}

/// Marks the database.
pub fn insert(tx: &mut WriteTx<'_>, mark: &Mark) -> Result<(), DbError> {
    let columns = (
        dsl::one.eq(1),
        dsl::seed.eq(column_of(mark.seed)),
        dsl::begun_at_ms.eq(mark.begun_at_ms),
        dsl::finished_at_ms.eq(mark.finished_at_ms),
    );
    diesel::insert_into(dsl::demo).values(columns).execute(tx.connection())?;
    Ok(())
}

/// Notes that everything is there.
pub fn finish(tx: &mut WriteTx<'_>, finished_at_ms: i64) -> Result<(), DbError> {
    diesel::update(dsl::demo).set(dsl::finished_at_ms.eq(finished_at_ms)).execute(tx.connection())?;
    Ok(())
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Which tables hold anything of customers.
pub fn tables_in_use(tx: &mut ReadTx<'_>) -> Result<Vec<String>, DbError> {
    let looks = OF_CUSTOMERS
        .map(|table| format!("SELECT '{table}' AS name WHERE EXISTS (SELECT 1 FROM {table})"))
        .join(" UNION ALL ");
    let names: Vec<Name> = diesel::sql_query(looks).load(tx.connection())?;
    Ok(names.into_iter().map(|row| row.name).collect())
}
