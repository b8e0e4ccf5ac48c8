//! The activity log: rows are only added.

use crate::db::schema::activity::dsl;
use crate::db::{DbError, ReadTx, WriteTx, word};
use crate::domain::activity::{Action, ActorKind};
use apikey::CustomerId;
use diesel::prelude::*;

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
