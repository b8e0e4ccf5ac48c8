//! The activity log: rows are only added.

use crate::db::given_rows::{Column, GivenRows};
use crate::db::many_rows::{self, Cell};
use crate::db::schema::activity::dsl;
use crate::db::{DbError, ReadTx, WriteTx, customer_id, word};
use crate::domain::activity::{Action, ActorKind};
use apikey::CustomerId;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::collections::{BTreeMap, BTreeSet};

/// One change of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActivityRow {
    /// Whose account.
    pub customer: CustomerId,
    /// Counts the changes of this account from 1, without a gap.
    pub number: i64,
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// What kind of somebody did it.
    pub actor_kind: ActorKind,
    /// Who: see [`crate::domain::activity::Actor`].
    pub actor: String,
    /// From which address.
    pub source: Option<String>,
    /// With which request.
    pub request_id: Option<String>,
    /// What.
    pub action: Action,
    /// The details: a JSON object.
    pub detail: String,
}

/// The number of the newest row of a customer; 0 where there is none.
pub fn last_number(tx: &mut ReadTx<'_>, customer: CustomerId) -> Result<i64, DbError> {
    let last: Option<i64> = dsl::activity
        .filter(dsl::customer_id.eq(i64::from(customer.get())))
        .order(dsl::number.desc())
        .select(dsl::number)
        .first(tx.connection())
        .optional()?;
    Ok(last.unwrap_or(0))
}

#[derive(QueryableByName)]
struct LastNumber {
    #[diesel(sql_type = BigInt)]
    customer_id: i64,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The numbers of the newest rows of customers; 0 for one that has none. One look into the primary key for each, however many
/// rows there are.
pub fn last_numbers(
    tx: &mut ReadTx<'_>,
    customers: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<CustomerId, i64>, DbError> {
    let ids = customers.iter().map(|customer| i64::from(customer.get())).collect();
    let query = "SELECT given.customer AS customer_id, COALESCE((SELECT MAX(activity.number) FROM activity \
        WHERE activity.customer_id = given.customer), 0) AS number FROM given";
    let rows: Vec<LastNumber> =
        GivenRows::new(vec![("customer", Column::Integers(ids))]).load(tx.connection(), query)?;
    rows.into_iter().map(|row| Ok((customer_id("activity", row.customer_id)?, row.number))).collect()
}

/// Adds many rows.
pub fn insert_many(tx: &mut WriteTx<'_>, rows: &[ActivityRow]) -> Result<(), DbError> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let cells = |row: &ActivityRow| {
        vec![
            Cell::Integer(i64::from(row.customer.get())),
            Cell::Integer(row.number),
            Cell::Integer(row.at_ms),
            text(row.actor_kind.word()),
            text(&row.actor),
            row.source.as_deref().map_or(Cell::Null, text),
            row.request_id.as_deref().map_or(Cell::Null, text),
            text(row.action.word()),
            text(&row.detail),
        ]
    };
    let rows: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
    let columns =
        ["customer_id", "number", "at_ms", "actor_kind", "actor", "source", "request_id", "action", "detail"];
    many_rows::insert(tx.connection(), "activity", &columns, &rows)
}

/// Adds a row.
pub fn insert(tx: &mut WriteTx<'_>, row: &ActivityRow) -> Result<(), DbError> {
    let columns = (
        dsl::customer_id.eq(i64::from(row.customer.get())),
        dsl::number.eq(row.number),
        dsl::at_ms.eq(row.at_ms),
        dsl::actor_kind.eq(row.actor_kind.word()),
        dsl::actor.eq(&row.actor),
        dsl::source.eq(&row.source),
        dsl::request_id.eq(&row.request_id),
        dsl::action.eq(row.action.word()),
        dsl::detail.eq(&row.detail),
    );
    diesel::insert_into(dsl::activity).values(columns).execute(tx.connection())?;
    Ok(())
}

type Columns = (i64, i64, String, String, Option<String>, Option<String>, String, String);

/// At most `limit` rows of a customer, newest first, all older than `before`.
pub fn page(
    tx: &mut ReadTx<'_>,
    customer: CustomerId,
    before: i64,
    limit: i64,
) -> Result<Vec<ActivityRow>, DbError> {
    let rows: Vec<Columns> = dsl::activity
        .filter(dsl::customer_id.eq(i64::from(customer.get())).and(dsl::number.lt(before)))
        .order(dsl::number.desc())
        .limit(limit)
        .select((
            dsl::number,
            dsl::at_ms,
            dsl::actor_kind,
            dsl::actor,
            dsl::source,
            dsl::request_id,
            dsl::action,
            dsl::detail,
        ))
        .load(tx.connection())?;
    rows.into_iter().map(|columns| row(customer, columns)).collect()
}

fn row(
    customer: CustomerId,
    (number, at_ms, actor_kind, actor, source, request_id, action, detail): Columns,
) -> Result<ActivityRow, DbError> {
    Ok(ActivityRow {
        customer,
        number,
        at_ms,
        actor_kind: word("activity", "actor_kind", &actor_kind)?,
        actor,
        source,
        request_id,
        action: word("activity", "action", &action)?,
        detail,
    })
}
