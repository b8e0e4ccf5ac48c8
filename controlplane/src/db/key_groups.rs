//! The master key groups: numbers, check values and how each stands. Their secrets are in keyring files only.

use crate::db::schema::key_groups::{self, dsl};
use crate::db::{DbError, ReadTx, WriteTx, number, schema, word};
use crate::domain::KeyGroupState;
use apikey::{CheckValue, Group};
use diesel::prelude::*;

/// A master key group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyGroupRow {
    /// Its number.
    pub group: Group,
    /// Which secret it has, without telling it.
    pub check: CheckValue,
    /// How it stands.
    pub state: KeyGroupState,
    /// When it was added, unix milliseconds.
    pub added_at_ms: i64,
    /// When every edge had confirmed it, unix milliseconds.
    pub confirmed_at_ms: Option<i64>,
    /// When it was retired, unix milliseconds; set exactly where it is not wanted any more.
    pub retired_at_ms: Option<i64>,
    /// When it was removed, unix milliseconds.
    pub removed_at_ms: Option<i64>,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = key_groups, treat_none_as_null = true, treat_none_as_default_value = false)]
struct Columns {
    key_group: i64,
    check_value: String,
    state: String,
    added_at_ms: i64,
    confirmed_at_ms: Option<i64>,
    retired_at_ms: Option<i64>,
    removed_at_ms: Option<i64>,
}

/// Every group that there ever was, by rising number.
pub fn all(tx: &mut ReadTx<'_>) -> Result<Vec<KeyGroupRow>, DbError> {
    let rows: Vec<Columns> =
        dsl::key_groups.order(dsl::key_group).select(Columns::as_select()).load(tx.connection())?;
    rows.into_iter().map(row).collect()
}

/// One group.
pub fn find(tx: &mut ReadTx<'_>, group: Group) -> Result<Option<KeyGroupRow>, DbError> {
    let found: Option<Columns> = dsl::key_groups
        .find(i64::from(group.get()))
        .select(Columns::as_select())
        .first(tx.connection())
        .optional()?;
    found.map(row).transpose()
}

/// Those that every edge must hold.
pub fn held(tx: &mut ReadTx<'_>) -> Result<Vec<(Group, CheckValue)>, DbError> {
    let all = all(tx)?.into_iter();
    Ok(all.filter(|row| row.state != KeyGroupState::Removed).map(|row| (row.group, row.check)).collect())
}

/// Adds a group.
pub fn insert(tx: &mut WriteTx<'_>, row: &KeyGroupRow) -> Result<(), DbError> {
    diesel::insert_into(dsl::key_groups).values(columns(row)).execute(tx.connection())?;
    Ok(())
}

/// Replaces what is written about a group.
pub fn update(tx: &mut WriteTx<'_>, row: &KeyGroupRow) -> Result<(), DbError> {
    let target = dsl::key_groups.find(i64::from(row.group.get()));
    diesel::update(target).set(columns(row)).execute(tx.connection())?;
    Ok(())
}

/// Groups in which a number was ever given to a key, whatever the table of groups says.
pub fn with_keys(tx: &mut ReadTx<'_>) -> Result<Vec<Group>, DbError> {
    use schema::derivation_counters::dsl as counters;
    let numbers: Vec<i64> = counters::derivation_counters
        .select(counters::key_group)
        .distinct()
        .order(counters::key_group)
        .load(tx.connection())?;
    numbers.into_iter().map(|column| group("derivation_counters", column)).collect()
}

/// How many keys of a group were issued and are not revoked.
pub fn live_keys(tx: &mut ReadTx<'_>, group: Group) -> Result<u64, DbError> {
    use schema::api_keys::dsl as keys;
    let live = keys::api_keys
        .filter(keys::key_group.eq(i64::from(group.get())))
        .filter(keys::revoked_at_ms.is_null());
    let count: i64 = live.count().get_result(tx.connection())?;
    number("api_keys", "count", count)
}

fn columns(row: &KeyGroupRow) -> Columns {
    Columns {
        key_group: i64::from(row.group.get()),
        check_value: row.check.to_string(),
        state: row.state.word().to_owned(),
        added_at_ms: row.added_at_ms,
        confirmed_at_ms: row.confirmed_at_ms,
        retired_at_ms: row.retired_at_ms,
        removed_at_ms: row.removed_at_ms,
    }
}

fn row(columns: Columns) -> Result<KeyGroupRow, DbError> {
    Ok(KeyGroupRow {
        group: group("key_groups", columns.key_group)?,
        check: word("key_groups", "check_value", &columns.check_value)?,
        state: word("key_groups", "state", &columns.state)?,
        added_at_ms: columns.added_at_ms,
        confirmed_at_ms: columns.confirmed_at_ms,
        retired_at_ms: columns.retired_at_ms,
        removed_at_ms: columns.removed_at_ms,
    })
}

fn group(table: &'static str, column: i64) -> Result<Group, DbError> {
    let no: u8 = number(table, "key_group", column)?;
    Group::new(no).ok_or_else(|| DbError::unexpected(table, format!("key_group is {no}")))
}
