//! Many rows handed to one statement, which reads them as the table `given`; its column `place` is a row's number, from 0. The statement's text is the same on both
//! databases; how the rows travel is not: PostgreSQL takes each column as an array, SQLite all of them as one JSON text.
//! Either is faster than as many values in the text (`benches/REPORT.md`, "Usage collection").

use crate::db::connection::AnyConnection;
use crate::db::{DbError, column_of};
use apikey::Service;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use diesel::sqlite::Sqlite;
use edgeformat::PolicyKey;
use edgeformat::ledger::packed_key;
use serde_json::Value;

/// The values of a column, a row each.
pub(in crate::db) enum Column {
    /// `BIGINT`.
    Integers(Vec<i64>),
    /// `TEXT`.
    Texts(Vec<String>),
}

/// Rows by their columns, all equally long. Names are words of this program and never come from outside.
pub(in crate::db) struct GivenRows {
    columns: Vec<(&'static str, Column)>,
}

/// The customer of a row that was given as one of [`GivenRows::slots`].
pub(in crate::db) const CUSTOMER_OF_SLOT: &str = "given.slot / 256";

/// The service of such a row.
pub(in crate::db) fn service_of_slot() -> String {
    let words = Service::ALL.map(|service| format!("WHEN {} THEN '{}'", service.number(), service.name()));
    format!("CASE given.slot % 256 {} END", words.join(" "))
}

impl GivenRows {
    /// Rows with these columns.
    pub(in crate::db) const fn new(columns: Vec<(&'static str, Column)>) -> Self {
        Self { columns }
    }

    /// Runs a statement that reads from `given`, and answers how many rows it has changed.
    pub(in crate::db) fn execute(
        self,
        connection: &mut AnyConnection,
        statement: &str,
    ) -> Result<usize, DbError> {
        Ok(match connection {
            AnyConnection::Sqlite(connection) => {
                let text = format!("{} {statement}", self.as_json_table());
                diesel::sql_query(text).bind::<Text, _>(self.json()).execute(connection)?
            }
            AnyConnection::Postgres(connection) => {
                let text = format!("{} {statement}", self.as_arrays());
                self.bind_arrays(text).execute(connection)?
            }
        })
    }

    /// Runs a query that reads from `given`.
    pub(in crate::db) fn load<Row>(
        self,
        connection: &mut AnyConnection,
        query: &str,
    ) -> Result<Vec<Row>, DbError>
    where
        Row: QueryableByName<Sqlite> + QueryableByName<Pg> + 'static,
    {
        Ok(match connection {
            AnyConnection::Sqlite(connection) => {
                let text = format!("{} {query}", self.as_json_table());
                diesel::sql_query(text).bind::<Text, _>(self.json()).load(connection)?
            }
            AnyConnection::Postgres(connection) => {
                let text = format!("{} {query}", self.as_arrays());
                self.bind_arrays(text).load(connection)?
            }
        })
    }

    /// Whose slots, as one number each: [`CUSTOMER_OF_SLOT`] and [`service_of_slot`] take it apart again.
    pub(in crate::db) fn slots(keys: impl Iterator<Item = PolicyKey>) -> (&'static str, Column) {
        ("slot", Column::Integers(keys.map(|key| column_of(packed_key(key))).collect()))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// A value alone is read at once; from a row each of its values is parsed out again.
    fn as_json_table(&self) -> String {
        let cells: Vec<String> = match self.columns.as_slice() {
            [(_, Column::Integers(_))] => vec!["value".to_owned()],
            columns => (0..columns.len()).map(|place| format!("json_extract(value, '$[{place}]')")).collect(),
        };
        format!(
            "WITH given ({}, place) AS (SELECT {}, key FROM json_each(?1))",
            self.names(),
            cells.join(", ")
        )
    }

    /// The rows as `[[cell, …], …]`; of one column as `[cell, …]`.
    fn json(&self) -> String {
        if let [(_, Column::Integers(numbers))] = self.columns.as_slice() {
            return Value::from(numbers.as_slice()).to_string();
        }
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for (_, column) in &self.columns {
            let cells: Vec<Value> = match column {
                Column::Integers(numbers) => numbers.iter().map(|number| Value::from(*number)).collect(),
                Column::Texts(texts) => texts.iter().map(|text| Value::from(text.as_str())).collect(),
            };
            rows.resize_with(cells.len(), || Vec::with_capacity(self.columns.len()));
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
        }
        Value::from(rows.into_iter().map(Value::from).collect::<Vec<_>>()).to_string()
    }

    fn as_arrays(&self) -> String {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .zip(1..)
            .map(|((_, column), number)| match column {
                Column::Integers(_) => format!("${number}::bigint[]"),
                Column::Texts(_) => format!("${number}::text[]"),
            })
            .collect();
        let (names, arrays) = (self.names(), arrays.join(", "));
        // Numbered from 1 there.
        format!(
            "WITH given ({names}, place) AS (SELECT {names}, numbered.place - 1 \
             FROM unnest({arrays}) WITH ORDINALITY AS numbered ({names}, place))"
        )
    }

    fn bind_arrays(
        self,
        text: String,
    ) -> diesel::query_builder::BoxedSqlQuery<'static, Pg, diesel::query_builder::SqlQuery> {
        let mut query = diesel::sql_query(text).into_boxed::<Pg>();
        for (_, column) in self.columns {
            query = match column {
                Column::Integers(numbers) => query.bind::<Array<BigInt>, _>(numbers),
                Column::Texts(texts) => query.bind::<Array<Text>, _>(texts),
            };
        }
        query
    }
}
