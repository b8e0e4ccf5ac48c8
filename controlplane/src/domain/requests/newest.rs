//! The newest requests.

use crate::db::{Database, DbError, request_logs};
use crate::domain::requests::RequestLine;
use apikey::CustomerId;

/// The newest requests of a customer since a moment (unix milliseconds), newest first, at most `limit`.
///
/// # Errors
/// [`DbError`].
pub fn newest(
    database: &mut Database,
    customer: CustomerId,
    since_ms: i64,
    limit: u16,
) -> Result<Vec<RequestLine>, DbError> {
    database.read(|tx| request_logs::newest(tx, customer, since_ms, limit))
}
