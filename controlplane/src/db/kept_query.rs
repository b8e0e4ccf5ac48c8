//! A query whose text is the same each time, with its numbers bound: a connection reads and plans it once and keeps it, which a query
//! of `diesel::sql_query` or `dsl::sql` is not.

use crate::db::connection::{AnyConnection, MultiBackend};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The query, which answers columns of these SQL types. Its texts are words of this program, and there are few of them: a connection
/// keeps one plan for each as long as it lives. What differs from call to call is a number.
pub struct KeptQuery<Types> {
    parts: Vec<Part>,
    types: PhantomData<Types>,
}

enum Part {
    Text(Cow<'static, str>),
    Number(i64),
}

impl<Types> KeptQuery<Types> {
    /// A query that begins with this text.
    pub(in crate::db) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { parts: vec![Part::Text(text.into())], types: PhantomData }
    }

    /// The rows of all of these; none without a query.
    pub(in crate::db) fn all_of(queries: impl IntoIterator<Item = Self>) -> Option<Self> {
        queries.into_iter().reduce(|mut all, query| {
            all.parts.push(Part::Text(" UNION ALL ".into()));
            all.parts.extend(query.parts);
            all
        })
    }

    /// Goes on with a text.
    pub(in crate::db) fn text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    /// Goes on with a number.
    pub(in crate::db) fn number(mut self, number: i64) -> Self {
        self.parts.push(Part::Number(number));
        self
    }
}

impl<Types> QueryFragment<MultiBackend> for KeptQuery<Types> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => pass.push_sql(text),
                Part::Number(number) => pass.push_bind_param::<BigInt, i64>(number)?,
            }
        }
        Ok(())
    }
}

/// None that is static: plans are kept by the text.
impl<Types> QueryId for KeptQuery<Types> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Types> Query for KeptQuery<Types> {
    type SqlType = Types;
}

impl<Types> RunQueryDsl<AnyConnection> for KeptQuery<Types> {}

/// With its numbers in their places.
impl<Types> fmt::Display for KeptQuery<Types> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Number(number) => write!(f, "{number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::databases::{Backend, TestDatabase, on_both_databases};
    use diesel::connection::InstrumentationEvent;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    on_both_databases! { it_is_prepared_once_and_answers_with_the_numbers_of_each_call, }

    fn it_is_prepared_once_and_answers_with_the_numbers_of_each_call(backend: Backend) {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        let prepared = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&prepared);
        database.connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if matches!(event, InstrumentationEvent::CacheQuery { .. }) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        for number in 1..=3 {
            let query = KeptQuery::<(BigInt, BigInt)>::new("SELECT CAST(")
                .number(number)
                .text(" AS BIGINT), CAST(")
                .number(-number)
                .text(" AS BIGINT)");
            assert_eq!(
                query.to_string(),
                format!("SELECT CAST({number} AS BIGINT), CAST(-{number} AS BIGINT)")
            );
            assert_eq!(query.load::<(i64, i64)>(&mut database.connection).unwrap(), [(number, -number)]);
        }
        assert_eq!(prepared.load(Ordering::Relaxed), 1);
    }
}
