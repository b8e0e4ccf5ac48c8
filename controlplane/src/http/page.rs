//! Lists by pages: `limit`, and an opaque `cursor` that the page before has given.

use crate::problem::{Problem, ProblemDetails};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How many items a page has where nobody asks.
pub const LIMIT_DEFAULT: u16 = 50;
/// How many it has at most.
pub const LIMIT_MAX: u16 = 200;

/// What a list is asked.
#[derive(Deserialize, IntoParams, Debug)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many items at most: 1 to 200, 50 where it is not said
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
    /// `next_cursor` of the page before; the first page without it
    #[param(max_length = 200)]
    cursor: Option<String>,
}

impl PageQuery {
    /// How many items are wanted.
    ///
    /// # Errors
    /// [`Problem::BadQuery`].
    pub fn limit(&self) -> Result<usize, ProblemDetails> {
        match self.limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(usize::from(limit)),
            _ => Err(bad("limit", "write a number from 1 to 200")),
        }
    }

    /// After which item the page begins, as `read` understands it.
    ///
    /// # Errors
    /// [`Problem::BadQuery`]: it is none that we gave.
    pub fn after<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ProblemDetails> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let text =
            BASE64URL_NOPAD.decode(cursor.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after = text.as_deref().and_then(read);
        after.map(Some).ok_or_else(|| {
            bad("cursor", "this is no next_cursor of this list; leave it out for the first page")
        })
    }
}

fn bad(name: &str, detail: &str) -> ProblemDetails {
    ProblemDetails::of_field(Problem::BadQuery, name, detail)
}

/// A page.
#[derive(Serialize, ToSchema, Debug)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// What asks for the next page; `null` on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` of these rows, of which one more than `limit` was asked for: whether there is another page is then
    /// known. `key` is what the cursor says of an item.
    pub fn of<Row>(
        mut rows: Vec<Row>,
        limit: usize,
        key: impl Fn(&Row) -> String,
        item: impl Fn(Row) -> T,
    ) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more);
        let next_cursor = last.map(|row| BASE64URL_NOPAD.encode(key(row).as_bytes()));
        Self { items: rows.into_iter().map(item).collect(), next_cursor }
    }
}

/// The key of rows that are ordered by their creation and id.
pub fn key_of(created_at_ms: i64, id: &str) -> String {
    format!("{created_at_ms}:{id}")
}

/// The other way round.
pub fn created_and_id(key: &str) -> Option<(i64, String)> {
    let (created_at_ms, id) = key.split_once(':')?;
    is_id(id).then_some((created_at_ms.parse().ok()?, id.to_owned()))
}

/// Whether a text can be the id of a session or a token: 32 hex digits. Nothing else is asked of the database.
pub fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_cursor_leads_to_the_next_page_and_the_last_has_none() {
        let page = |rows: Vec<i64>| Page::of(rows, 2, |row| row.to_string(), |row| row);
        let first = page(vec![9, 8, 7]);
        assert_eq!(first.items, [9, 8]);
        let query = PageQuery { limit: None, cursor: first.next_cursor };
        assert_eq!(query.after(|key| key.parse::<i64>().ok()).unwrap(), Some(8));
        assert_eq!(page(vec![7, 6]).next_cursor, None);
        assert_eq!(page(vec![]).next_cursor, None);
        for cursor in ["", "!", "eA"] {
            let query = PageQuery { limit: Some(1), cursor: Some(cursor.to_owned()) };
            let problem = query.after(|key| key.parse::<i64>().ok()).unwrap_err();
            assert_eq!(problem.problem, Problem::BadQuery, "{cursor}");
        }
    }
}
