//! What edges have reported and nobody believes until a person has looked.

use crate::db::many_rows::{self, Cell};
use crate::db::schema::usage_set_aside::dsl;
use crate::db::usage_cursors::{counters_of, text_of};
use crate::db::{DbError, ReadTx, WriteTx, bits_of, column_of, customer_id, word};
use diesel::prelude::*;
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counters, LedgerId};

/// Why it was not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is no such customer.
    UnknownCustomer,
    /// More, or less, than any plan lets through in that time.
    TooMuch,
    /// A number that nobody counts to.
    NoCount,
}

impl Why {
    /// As the column has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnknownCustomer => "unknown_customer",
            Self::TooMuch => "too_much",
            Self::NoCount => "no_count",
        }
    }
}

/// What a person has decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It was used.
    Accepted,
    /// It was not.
    Discarded,
}

impl Decision {
    /// As the column has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Discarded => "discarded",
        }
    }
}

impl std::str::FromStr for Decision {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Accepted, Self::Discarded].into_iter().find(|decision| decision.word() == text).ok_or(())
    }
}

/// What was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAsideRow {
    /// Its number.
    pub id: i64,
    /// Who reported it.
    pub edge: String,
    /// From which ledger; none where the number is none.
    pub ledger: Option<LedgerId>,
    /// Whose it would be.
    pub key: PolicyKey,
    /// The minute that it belongs to, unix seconds.
    pub window_start_s: i64,
    /// How much.
    pub counters: Counters,
    /// Why it was not believed: [`Why::word`].
    pub why: String,
    /// When, unix milliseconds.
    pub created_at_ms: i64,
    /// What was decided.
    pub decision: Option<Decision>,
}

/// A slot to set aside.
pub type NewSetAside = (PolicyKey, Counters, Why);

/// Adds rows, numbered on from the last.
pub fn insert(
    tx: &mut WriteTx<'_>,
    (edge, ledger): (&str, LedgerId),
    window_start_s: i64,
    slots: &[NewSetAside],
    now_ms: i64,
) -> Result<(), DbError> {
    let last: Option<i64> = dsl::usage_set_aside.select(diesel::dsl::max(dsl::id)).first(tx.connection())?;
    let rows: Vec<Vec<Cell>> = slots
        .iter()
        .zip(last.unwrap_or(0).saturating_add(1)..)
        .map(|((key, counters, why), id)| {
            vec![
                Cell::Integer(id),
                Cell::Text(edge.to_owned()),
                Cell::Integer(column_of(ledger.get())),
                Cell::Integer(i64::from(key.customer.get())),
                Cell::Text(key.service.name().to_owned()),
                Cell::Integer(window_start_s),
                Cell::Text(text_of(counters)),
                Cell::Text(why.word().to_owned()),
                Cell::Integer(now_ms),
            ]
        })
        .collect();
    let columns = [
        "id",
        "edge",
        "ledger_id",
        "customer_id",
        "service",
        "window_start_s",
        "counters",
        "why",
        "created_at_ms",
    ];
    many_rows::insert(tx.connection(), "usage_set_aside", &columns, &rows)
}

/// How many nobody has decided on.
pub fn count_undecided(tx: &mut ReadTx<'_>) -> Result<i64, DbError> {
    Ok(dsl::usage_set_aside.filter(dsl::decided_at_ms.is_null()).count().get_result(tx.connection())?)
}

type Columns = (i64, String, i64, i64, String, i64, String, String, i64, Option<String>);
const COLUMNS: (
    dsl::id,
    dsl::edge,
    dsl::ledger_id,
    dsl::customer_id,
    dsl::service,
    dsl::window_start_s,
    dsl::counters,
    dsl::why,
    dsl::created_at_ms,
    dsl::decision,
) = (
    dsl::id,
    dsl::edge,
    dsl::ledger_id,
    dsl::customer_id,
    dsl::service,
    dsl::window_start_s,
    dsl::counters,
    dsl::why,
    dsl::created_at_ms,
    dsl::decision,
);

/// Those that nobody has decided on, the oldest first, at most `limit`.
pub fn undecided(tx: &mut ReadTx<'_>, limit: u32) -> Result<Vec<SetAsideRow>, DbError> {
    let rows: Vec<Columns> = dsl::usage_set_aside
        .filter(dsl::decided_at_ms.is_null())
        .order(dsl::id)
        .limit(i64::from(limit))
        .select(COLUMNS)
        .load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// The one with this number.
pub fn find(tx: &mut ReadTx<'_>, id: i64) -> Result<Option<SetAsideRow>, DbError> {
    let found: Option<Columns> =
        dsl::usage_set_aside.find(id).select(COLUMNS).first(tx.connection()).optional()?;
    found.map(row).transpose()
}

/// Notes what was decided.
pub fn set_decision(tx: &mut WriteTx<'_>, id: i64, decision: Decision, now_ms: i64) -> Result<(), DbError> {
    let columns = (dsl::decided_at_ms.eq(now_ms), dsl::decision.eq(decision.word()));
    diesel::update(dsl::usage_set_aside.find(id)).set(columns).execute(tx.connection())?;
    Ok(())
}

fn row(
    (id, edge, ledger, customer, service, window_start_s, counters, why, created_at_ms, decision): Columns,
) -> Result<SetAsideRow, DbError> {
    const TABLE: &str = "usage_set_aside";
    let decision = match decision.as_deref() {
        None => None,
        Some(text) => Some(word(TABLE, "decision", text)?),
    };
    Ok(SetAsideRow {
        id,
        edge,
        ledger: LedgerId::from_u64(bits_of(ledger)),
        key: PolicyKey {
            customer: customer_id(TABLE, customer)?,
            service: word(TABLE, "service", &service)?,
        },
        window_start_s,
        counters: counters_of(TABLE, &counters)?,
        why,
        created_at_ms,
        decision,
    })
}
