//! `suiftly edge offered`: which revocations came back after a restore.

use crate::cli::{Exit, Failure, Reply, key_text};
use crate::clock::rfc3339_ms;
use crate::config::Config;
use crate::db::{Database, DbError, revocations};
use crate::domain::RevocationSource;
use clap::Args;
use serde::Serialize;

const MS_PER_S: i64 = 1_000;

/// Which of them.
#[derive(Args, Debug)]
pub struct OfferedArguments {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Those after this one: the `next_cursor` of the answer before
    #[arg(long, value_name = "HEX")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<ListedRevocation>,
    /// On all pages.
    total: u64,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ListedRevocation {
    fingerprint: String,
    kind: &'static str,
    /// None: at once.
    in_force_from: Option<String>,
    offered_at: String,
}

/// Lists them by fingerprint.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &OfferedArguments, config: &Config) -> Result<Reply, Failure> {
    let after = arguments.cursor.as_deref().map(key_text::revocable).transpose();
    let after = after.map_err(|reason| Failure::new(Exit::Usage, format!("--cursor: {reason}")))?;
    let source = RevocationSource::OfferedByEdge;
    let mut database = Database::open(&config.database)?;
    let (rows, total) = database.read(|tx| {
        let after = after.map(|fingerprint| fingerprint.get());
        let rows = revocations::page_from(tx, source, after, arguments.limit)?;
        Ok::<_, DbError>((rows, revocations::count_from(tx, source)?))
    })?;
    let items: Vec<ListedRevocation> = rows
        .iter()
        .map(|(revocation, offered_at_ms)| {
            let from_s = i64::try_from(revocation.in_force_from_s).unwrap_or(i64::MAX);
            ListedRevocation {
                fingerprint: revocation.fingerprint.to_string(),
                kind: revocation.kind.word(),
                in_force_from: (from_s > 0).then(|| rfc3339_ms(from_s.saturating_mul(MS_PER_S))),
                offered_at: rfc3339_ms(*offered_at_ms),
            }
        })
        .collect();
    let is_full = u32::try_from(items.len()) == Ok(arguments.limit);
    let next_cursor = items.last().filter(|_| is_full).map(|item| item.fingerprint.clone());
    let mut text = format!("{:16}  {:7}  {:24}  {}\n", "FINGERPRINT", "KIND", "IN FORCE FROM", "OFFERED");
    for item in &items {
        let from = item.in_force_from.as_deref().unwrap_or("at once");
        text.push_str(&format!("{}  {:7}  {from:24}  {}\n", item.fingerprint, item.kind, item.offered_at));
    }
    text.push_str(&format!("{} of {total}\n", items.len()));
    Reply::new(&Listed { items, total, next_cursor }, text)
}
