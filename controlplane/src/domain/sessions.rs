//! Sessions: begun by a sign-in, kept alive by exchanging refresh tokens, ended by their owner, an operator or a theft.

use crate::db::refresh_tokens::{self, RefreshTokenRow};
use crate::db::sessions::{self, SessionRow};
use crate::db::{Database, DbError, WriteTx};
use crate::domain::activity::{Action, Actor, ActorKind, note};
use crate::domain::token::{Bearer, Token};
use crate::domain::{CustomerStatus, DomainError};
use crate::random;
use apikey::CustomerId;
use data_encoding::HEXLOWER;
use serde_json::json;

/// How long a refresh token can be exchanged: 30 days.
pub const REFRESH_LIFE_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// The longest name of a browser that is kept, in bytes.
const USER_AGENT_LEN_MAX: usize = 256;

/// Sessions as bearers of refresh tokens.
#[derive(Debug)]
pub enum Refresh {}

impl Bearer for Refresh {
    const PREFIX: &'static str = "suiftly_refresh_";
}

/// The text of a refresh token.
pub type RefreshToken = Token<Refresh>;

crate::domain::words::words! {
    /// Why a session ended.
    EndReason: "logout, ended_by_customer, ended_by_operator, refresh_token_reused, account_closed" {
        /// Its owner signed out.
        Logout = "logout",
        /// Its owner ended it from another session.
        EndedByCustomer = "ended_by_customer",
        /// An operator ended it.
        EndedByOperator = "ended_by_operator",
        /// A refresh token came that had been exchanged already: somebody has a copy.
        RefreshTokenReused = "refresh_token_reused",
        /// The account was closed.
        AccountClosed = "account_closed",
    }
}

/// Whence a refresh token comes: for the activity log, most of all when it was stolen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whence {
    /// The address.
    pub address: String,
    /// The request.
    pub request_id: String,
}

impl Whence {
    fn actor(&self, session: &SessionRow) -> Actor {
        Actor {
            kind: ActorKind::Wallet,
            name: session.session_id.clone(),
            source: Some(self.address.clone()),
            request_id: Some(self.request_id.clone()),
        }
    }
}

/// What a sign-in or an exchange gives out.
#[derive(Debug)]
pub struct Granted {
    /// The session.
    pub session: SessionRow,
    /// Its refresh token, which nobody can ask for again.
    pub refresh_token: RefreshToken,
}

/// Begins a session.
///
/// # Errors
/// [`DomainError`].
pub fn begin(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    source: &str,
    user_agent: &str,
    now_ms: i64,
) -> Result<Granted, DomainError> {
    let bytes = random::bytes_32()?;
    let (half, _) = bytes.split_at(bytes.len() / 2);
    let session = SessionRow {
        session_id: HEXLOWER.encode(half),
        customer,
        source: source.to_owned(),
        user_agent: shortened(user_agent),
        created_at_ms: now_ms,
        refreshed_at_ms: now_ms,
        expires_at_ms: now_ms.saturating_add(REFRESH_LIFE_MS),
        ended: None,
    };
    sessions::insert(tx, &session)?;
    let refresh_token = RefreshToken::random()?;
    let digest = refresh_token.sha256_hex();
    refresh_tokens::insert(tx, &digest, &session.session_id, now_ms, session.expires_at_ms)?;
    Ok(Granted { session, refresh_token })
}

/// Why a refresh token was not exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshRefusal {
    /// We never gave it out.
    Unknown,
    /// Its 30 days are over.
    Expired,
    /// Its session has ended.
    SessionEnded,
    /// It was exchanged before; the session ends with this.
    Reused,
    /// The account is closed.
    Closed,
}

/// Exchanges a refresh token for another. One that was exchanged before ends its session: one of the two who have it is a thief.
///
/// # Errors
/// [`DomainError`]; then nothing has happened. A refusal is no error, since it may have ended the session.
pub fn refresh(
    database: &mut Database,
    token: &RefreshToken,
    whence: &Whence,
    now_ms: i64,
) -> Result<Result<Granted, RefreshRefusal>, DomainError> {
    let digest = token.sha256_hex();
    // Looked at without the writers' lock first: who guesses must not make others wait.
    if database.read(|tx| refresh_tokens::find(tx, &digest))?.is_none() {
        return Ok(Err(RefreshRefusal::Unknown));
    }
    database.write(|tx| {
        let Some(row) = refresh_tokens::find(tx, &digest)? else { return Ok(Err(RefreshRefusal::Unknown)) };
        let Some(session) = sessions::find(tx, &row.session_id)? else {
            return Ok(Err(RefreshRefusal::SessionEnded));
        };
        tx.act_as(whence.actor(&session));
        if let Some(refusal) = refusal_of(tx, &row, &session, now_ms)? {
            return Ok(Err(refusal));
        }
        let expires_at_ms = now_ms.saturating_add(REFRESH_LIFE_MS);
        let refresh_token = RefreshToken::random()?;
        refresh_tokens::set_replaced(tx, &digest, now_ms)?;
        refresh_tokens::insert(tx, &refresh_token.sha256_hex(), &session.session_id, now_ms, expires_at_ms)?;
        sessions::set_refreshed(tx, &session.session_id, now_ms, expires_at_ms)?;
        let session = SessionRow { refreshed_at_ms: now_ms, expires_at_ms, ..session };
        Ok(Ok(Granted { session, refresh_token }))
    })
}

fn refusal_of(
    tx: &mut WriteTx<'_>,
    row: &RefreshTokenRow,
    session: &SessionRow,
    now_ms: i64,
) -> Result<Option<RefreshRefusal>, DomainError> {
    if session.ended.is_some() {
        return Ok(Some(RefreshRefusal::SessionEnded));
    }
    if row.replaced_at_ms.is_some() {
        end(tx, session, EndReason::RefreshTokenReused, now_ms)?;
        tracing::warn!(
            session.id = session.session_id,
            customer.id = session.customer.get(),
            "a refresh token was used twice; its session was ended"
        );
        return Ok(Some(RefreshRefusal::Reused));
    }
    if now_ms >= row.expires_at_ms {
        return Ok(Some(RefreshRefusal::Expired));
    }
    let customer = crate::db::customers::find(tx, session.customer)?;
    let is_closed = customer.is_none_or(|customer| customer.status == CustomerStatus::Closed);
    Ok(is_closed.then_some(RefreshRefusal::Closed))
}

/// Ends a session by its refresh token, good or exchanged; `false` where there was none to end.
///
/// # Errors
/// [`DomainError`].
pub fn log_out(
    database: &mut Database,
    token: &RefreshToken,
    whence: &Whence,
    now_ms: i64,
) -> Result<bool, DomainError> {
    let digest = token.sha256_hex();
    if database.read(|tx| refresh_tokens::find(tx, &digest))?.is_none() {
        return Ok(false);
    }
    database.write(|tx| {
        let Some(row) = refresh_tokens::find(tx, &digest)? else { return Ok(false) };
        let Some(session) = sessions::find(tx, &row.session_id)? else { return Ok(false) };
        tx.act_as(whence.actor(&session));
        Ok(end(tx, &session, EndReason::Logout, now_ms)?)
    })
}

/// Ends a session that is open; `false` where it has ended.
///
/// # Errors
/// [`DbError`].
pub fn end(
    tx: &mut WriteTx<'_>,
    session: &SessionRow,
    reason: EndReason,
    now_ms: i64,
) -> Result<bool, DbError> {
    let ended = sessions::end(tx, &session.session_id, reason, now_ms)?;
    if ended {
        let detail = json!({ "session_id": session.session_id, "reason": reason.word() });
        note(tx, session.customer, Action::SessionEnded, &detail, now_ms)?;
    }
    Ok(ended)
}

/// Ends all sessions of a customer but one, whose id may be empty; answers how many.
///
/// # Errors
/// [`DbError`].
pub fn end_others(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    keep: &str,
    reason: EndReason,
    now_ms: i64,
) -> Result<usize, DbError> {
    let ended = sessions::end_all(tx, customer, keep, reason, now_ms)?;
    if ended > 0 {
        let detail = json!({ "sessions": ended, "reason": reason.word() });
        note(tx, customer, Action::SessionEnded, &detail, now_ms)?;
    }
    Ok(ended)
}

/// At most 256 bytes without control characters.
fn shortened(user_agent: &str) -> String {
    let mut text = String::new();
    for character in user_agent.chars().filter(|character| !character.is_control()) {
        if text.len() + character.len_utf8() > USER_AGENT_LEN_MAX {
            break;
        }
        text.push(character);
    }
    text
}
