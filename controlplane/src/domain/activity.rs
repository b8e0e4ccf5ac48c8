//! The activity log of an account: who changed what, from where and when. A row is written in the same transaction as the
//! change, so that neither is there without the other.
//!
//! Who acts belongs to the connection ([`crate::db::Database::act_as`]): rules need not pass it on, and none can forget it.

use crate::db::activity::{self, ActivityRow};
use crate::db::{DbError, WriteTx};
use apikey::CustomerId;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The longest name of an actor, in bytes.
const NAME_LEN_MAX: usize = 64;
/// The longest detail, in bytes of JSON.
const DETAIL_LEN_MAX: usize = 4_096;

/// Who changes something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// What kind of somebody.
    pub kind: ActorKind,
    /// The session's or token's id, the operator's name, the user of the operating system; empty for the system itself.
    pub name: String,
    /// The address that the change came from; none where it did not come over a network.
    pub source: Option<String>,
    /// The request that the change came with.
    pub request_id: Option<String>,
}

impl Actor {
    /// The control plane itself: a job, a repair.
    pub const fn system() -> Self {
        Self { kind: ActorKind::System, name: String::new(), source: None, request_id: None }
    }

    /// An operator with a token of this name, over the API from this address.
    pub fn operator(name: &str, source: Option<IpAddr>) -> Self {
        let source = source.map(|address| address.to_string());
        Self { kind: ActorKind::Operator, name: shortened(name), source, request_id: None }
    }

    /// A command on this machine, by the user of the operating system that runs it.
    pub fn command(user: &str) -> Self {
        Self { kind: ActorKind::Command, name: shortened(user), source: None, request_id: None }
    }
}

crate::domain::words::words! {
    /// What kind of somebody changes something.
    ActorKind: "wallet, token, operator, command, system" {
        /// The customer, signed in with the wallet.
        Wallet = "wallet",
        /// A script of the customer's, with an API token.
        Token = "token",
        /// An operator, over the API.
        Operator = "operator",
        /// A `suiftly` command on a machine of ours.
        Command = "command",
        /// The control plane itself.
        System = "system",
    }
}

crate::domain::words::words! {
    /// What changed an account. Scripts read these words: a change keeps its word for ever.
    Action: "a word of the activity log" {
        /// The customer was made.
        CustomerCreated = "customer_created",
        /// The customer was suspended.
        CustomerSuspended = "customer_suspended",
        /// The customer's suspension ended.
        CustomerResumed = "customer_resumed",
        /// The account was closed.
        CustomerClosed = "customer_closed",
        /// A wallet signed in.
        SignedIn = "signed_in",
        /// A session ended: by its owner, an operator, or because a refresh token was used twice.
        SessionEnded = "session_ended",
        /// An API token was made.
        TokenCreated = "token_created",
        /// An API token was renamed.
        TokenChanged = "token_changed",
        /// An API token was revoked.
        TokenRevoked = "token_revoked",
        /// A service was subscribed to, switched on or off, suspended, resumed, cancelled, or got another tier or other rates.
        ServiceChanged = "service_changed",
        /// An operator gave credit, or took it back.
        CreditChanged = "credit_changed",
        /// How much may be charged in 28 days was changed.
        SpendingLimitChanged = "spending_limit_changed",
        /// The list of addresses that may use a service was changed.
        AllowlistChanged = "allowlist_changed",
        /// A key was made.
        KeyCreated = "key_created",
        /// A key was revoked.
        KeyRevoked = "key_revoked",
        /// A key's revocation was taken back.
        KeyReEnabled = "key_re_enabled",
        /// A key got another expiry, or lost it.
        KeyExpiryChanged = "key_expiry_changed",
        /// A key got another name.
        KeyRenamed = "key_renamed",
        /// A key was deleted.
        KeyDeleted = "key_deleted",
        /// A key was replaced by a new one.
        KeyRotated = "key_rotated",
    }
}

/// Adds a row in the name of the transaction's actor.
///
/// `detail` is a JSON object without any secret.
///
/// # Errors
/// [`DbError`]; the transaction must then be given up.
pub fn note(
    tx: &mut WriteTx<'_>,
    customer: CustomerId,
    action: Action,
    detail: &Value,
    now_ms: i64,
) -> Result<(), DbError> {
    let number = activity::last_number(tx, customer)? + 1;
    let row = row_of(tx.actor().clone(), customer, number, action, detail, now_ms);
    activity::insert(tx, &row)
}

/// Adds rows of one action to the logs of many customers, in the order given, in the name of the transaction's actor. Takes
/// few statements, however many rows: thousands of keys are revoked at once.
///
/// # Errors
/// As [`note`].
pub fn note_many(
    tx: &mut WriteTx<'_>,
    action: Action,
    notes: &[(CustomerId, Value)],
    now_ms: i64,
) -> Result<(), DbError> {
    if notes.is_empty() {
        return Ok(());
    }
    let customers: BTreeSet<CustomerId> = notes.iter().map(|(customer, _)| *customer).collect();
    let mut last = activity::last_numbers(tx, &customers)?;
    let actor = tx.actor().clone();
    let rows: Vec<ActivityRow> = notes
        .iter()
        .map(|(customer, detail)| {
            let number = last.entry(*customer).or_insert(0);
            *number += 1;
            row_of(actor.clone(), *customer, *number, action, detail, now_ms)
        })
        .collect();
    activity::insert_many(tx, &rows)
}

fn row_of(
    Actor { kind, name, source, request_id }: Actor,
    customer: CustomerId,
    number: i64,
    action: Action,
    detail: &Value,
    at_ms: i64,
) -> ActivityRow {
    let detail = detail.to_string();
    // What does not fit says that it did not; the change itself must not fail for it.
    let detail = if detail.len() > DETAIL_LEN_MAX { r#"{"left_out":true}"#.to_owned() } else { detail };
    ActivityRow { customer, number, at_ms, actor_kind: kind, actor: name, source, request_id, action, detail }
}

/// A name of at most 64 bytes, without control characters.
fn shortened(text: &str) -> String {
    let mut name: String = text.chars().filter(|c| !c.is_control()).collect();
    while name.len() > NAME_LEN_MAX {
        name.pop();
    }
    name
}
