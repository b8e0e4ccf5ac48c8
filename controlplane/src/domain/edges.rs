//! Which edges there are, and which of them everybody waits for.

use crate::db::edges::{self, EdgeRow};
use crate::db::{Database, DbError};
use crate::domain::DomainError;
use crate::domain::token::{Bearer, NAME_LEN_MAX, Token, is_name};

/// Edges as bearers of tokens.
#[derive(Debug)]
pub enum Edge {}

impl Bearer for Edge {
    const PREFIX: &'static str = "suiftly_edge_";
}

/// The text of an edge's token. It reads the change stream, reports for its own edge, and offers revocations.
pub type EdgeToken = Token<Edge>;

/// Makes an edge known and answers its token, which nobody can ask for again. Nobody waits for it before it was heard.
///
/// # Errors
/// [`DomainError::Refused`] where the name is taken or is no name.
pub fn add(database: &mut Database, edge: &str, now_ms: i64) -> Result<EdgeToken, DomainError> {
    if !is_name(edge) {
        return Err(DomainError::Refused(format!(
            "an edge's name has 1 to {NAME_LEN_MAX} letters, digits and -_.@"
        )));
    }
    let token = EdgeToken::random()?;
    database.write(|tx| match edges::find(tx, edge)? {
        Some(_) => Err(DomainError::Refused(format!(
            "there is an edge `{edge}` already; `suiftly admin edge renew-token` gives it another token"
        ))),
        None => Ok(edges::insert(tx, edge, Some(&token.sha256_hex()), now_ms)?),
    })?;
    Ok(token)
}

/// Gives an edge another token; the one before is refused at once. An edge that was removed is back.
/// `None` where there is none with this name.
///
/// # Errors
/// [`DomainError::Refused`] for the edge beside a `suiftly serve`, which needs no token.
pub fn renew_token(database: &mut Database, edge: &str) -> Result<Option<EdgeToken>, DomainError> {
    let token = EdgeToken::random()?;
    database.write(|tx| match edges::find(tx, edge)? {
        None => Ok(None),
        Some(row) if !row.has_token => Err(DomainError::Refused(format!(
            "the edge `{edge}` runs beside `suiftly serve` and has no token"
        ))),
        Some(_) => {
            edges::set_token(tx, edge, &token.sha256_hex())?;
            Ok(Some(token))
        }
    })
}

/// Removes an edge: its token is refused, and nobody waits for it any more. `false` where there is none with this name.
///
/// # Errors
/// [`DbError`].
pub fn remove(database: &mut Database, edge: &str, now_ms: i64) -> Result<bool, DbError> {
    database.write(|tx| match edges::find(tx, edge)? {
        None => Ok(false),
        Some(row) if row.removed_at_ms.is_some() => Ok(true),
        Some(_) => edges::set_removed(tx, edge, now_ms).map(|()| true),
    })
}

/// Every edge, removed ones included.
///
/// # Errors
/// [`DbError`].
pub fn list(database: &mut Database) -> Result<Vec<EdgeRow>, DbError> {
    database.read(edges::all)
}

/// The edge that the token belongs to, if it may follow the stream now.
///
/// # Errors
/// [`DbError`].
pub fn authenticate(database: &mut Database, token: &EdgeToken) -> Result<Option<EdgeRow>, DbError> {
    let found = database.read(|tx| edges::find_by_digest(tx, &token.sha256_hex()))?;
    Ok(found.filter(|row| row.removed_at_ms.is_none()))
}

/// Notes what an edge with a token has said of itself.
///
/// # Errors
/// [`DbError`].
pub fn take_report(database: &mut Database, edge: &str, report: &str, now_ms: i64) -> Result<(), DbError> {
    database.write(|tx| edges::set_report(tx, edge, report, now_ms))
}

/// The edge with this name.
///
/// # Errors
/// [`DbError`].
pub fn find(database: &mut Database, edge: &str) -> Result<Option<EdgeRow>, DbError> {
    database.read(|tx| edges::find(tx, edge))
}

/// Notes what the edge beside a `suiftly serve` has said, and makes it known the first time. Nothing happens where the name
/// belongs to an edge with a token.
///
/// # Errors
/// [`DbError`].
pub fn take_own_report(
    database: &mut Database,
    edge: &str,
    report: &str,
    now_ms: i64,
) -> Result<(), DbError> {
    database.write(|tx| {
        match edges::find(tx, edge)? {
            Some(row) if row.has_token => return Ok(()),
            Some(_) => {}
            None => edges::insert(tx, edge, None, now_ms)?,
        }
        edges::set_report(tx, edge, report, now_ms)
    })
}

/// Asks one edge, or all but `except`, to load everything anew. `false` where there is none with this name.
///
/// # Errors
/// [`DbError`].
pub fn ask_for_resync(
    database: &mut Database,
    edge: Option<&str>,
    except: Option<&str>,
) -> Result<bool, DbError> {
    database.write(|tx| {
        let all = edges::all(tx)?;
        let asked: Vec<&EdgeRow> = all
            .iter()
            .filter(|row| edge.is_none_or(|edge| edge == row.edge) && except != Some(row.edge.as_str()))
            .collect();
        for row in &asked {
            edges::ask_for_resync(tx, &row.edge)?;
        }
        Ok(!asked.is_empty())
    })
}
