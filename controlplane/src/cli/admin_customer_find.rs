//! `suiftly admin customer find`: who it is, and all that support needs, on one screen.

use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply, key_text};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::db::activity::ActivityRow;
use crate::db::api_keys::ApiKeyRow;
use crate::domain::WalletAddress;
use crate::domain::support::{self, By, Overview};
use apikey::{CustomerId, Fingerprint};
use clap::Args;
use serde::Serialize;

/// By what the customer is found.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct FindArguments {
    /// The wallet's address: 0x and 64 hex digits
    #[arg(long, value_name = "ADDRESS")]
    wallet: Option<WalletAddress>,
    /// A key's fingerprint: 16 hex digits
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// A key, or - to read it from stdin, where no list of processes shows it
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// The customer's id
    #[arg(long, visible_alias = "customer", value_name = "N")]
    id: Option<CustomerId>,
}

#[derive(Serialize)]
struct Found {
    customer_id: u32,
    wallet: String,
    status: &'static str,
    created_at: String,
    services: Vec<FoundService>,
    keys: KeyCounts,
    open_sessions: u64,
    api_tokens: u64,
    last_activity: Option<LastActivity>,
    /// Of the key by which the customer was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<FoundKey>,
}

#[derive(Serialize)]
struct FoundService {
    service: &'static str,
    state: &'static str,
    tier: &'static str,
}

#[derive(Serialize, Default)]
struct KeyCounts {
    active: u64,
    expired: u64,
    revoked: u64,
}

#[derive(Serialize)]
struct LastActivity {
    number: i64,
    time: String,
    action: &'static str,
    actor_kind: &'static str,
    actor: String,
}

#[derive(Serialize)]
struct FoundKey {
    fingerprint: String,
    service: Option<&'static str>,
    /// `unknown` where this database has not issued it.
    state: &'static str,
}

/// Finds and shows it.
///
/// # Errors
/// [`Failure`], `NotFound` where there is none.
pub fn run(arguments: &FindArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let by = by(arguments)?;
    let mut database = Database::open(&config.database)?;
    let now_ms = clock.now_ms();
    let found = support::find(&mut database, &by, now_ms)?.ok_or_else(|| {
        let what = match &by {
            By::Id(customer) => format!("the id {customer}"),
            By::Wallet(wallet) => format!("the wallet {}", wallet.as_str()),
            By::Key(fingerprint) => format!("the key {fingerprint}"),
        };
        Failure::new(Exit::NotFound, format!("there is no customer with {what} in this database"))
    })?;
    let now_s = u64::try_from(now_ms / 1_000).unwrap_or(0);
    let found = found_of(&found, &by, now_s);
    let reply = Reply::new(&found, text_of(&found))?;
    Ok(match by {
        By::Key(_) => reply.with_note(
            "note: a fingerprint, and also a key that was made up, names a customer; `suiftly admin key inspect` says whether a key is authentic",
        ),
        By::Id(_) | By::Wallet(_) => reply,
    })
}

fn by(arguments: &FindArguments) -> Result<By, Failure> {
    match (&arguments.wallet, &arguments.fingerprint, &arguments.key, arguments.id) {
        (Some(wallet), ..) => Ok(By::Wallet(wallet.clone())),
        (_, Some(text), ..) => key_text::revocable(text)
            .map(|fingerprint| By::Key(fingerprint.get()))
            .map_err(|reason| Failure::new(Exit::Usage, format!("--fingerprint: {reason}"))),
        (_, _, Some(argument), _) => Ok(By::Key(key_text::decode(argument)?.fingerprint())),
        (.., Some(customer)) => Ok(By::Id(customer)),
        _ => Err(Failure::new(Exit::Usage, "name whom to find with --wallet, --fingerprint, --key or --id")),
    }
}

fn state_of(key: &ApiKeyRow, now_s: u64) -> &'static str {
    match (key.revoked_at_ms, key.expires_at_s) {
        (Some(_), _) => "revoked",
        (None, Some(at_s)) if at_s <= now_s => "expired",
        (None, _) => "active",
    }
}

fn found_of(overview: &Overview, by: &By, now_s: u64) -> Found {
    let mut keys = KeyCounts::default();
    for key in &overview.keys {
        match state_of(key, now_s) {
            "revoked" => keys.revoked += 1,
            "expired" => keys.expired += 1,
            _ => keys.active += 1,
        }
    }
    let service = |service: &crate::db::services::ServiceRow| FoundService {
        service: service.key.service.name(),
        state: service.state.word(),
        tier: service.tier.word(),
    };
    let last = |row: &ActivityRow| LastActivity {
        number: row.number,
        time: rfc3339_ms(row.at_ms),
        action: row.action.word(),
        actor_kind: row.actor_kind.word(),
        actor: row.actor.clone(),
    };
    let key = |fingerprint: Fingerprint| {
        let row = overview.keys.iter().find(|key| key.fingerprint == fingerprint);
        FoundKey {
            fingerprint: fingerprint.to_string(),
            service: row.map(|row| row.service.name()),
            state: row.map_or("unknown", |row| state_of(row, now_s)),
        }
    };
    let profile = &overview.profile;
    Found {
        customer_id: profile.customer.get(),
        wallet: profile.wallet.as_str().to_owned(),
        status: profile.status.word(),
        created_at: rfc3339_ms(profile.created_at_ms),
        services: overview.services.iter().map(service).collect(),
        keys,
        open_sessions: overview.open_sessions,
        api_tokens: overview.api_tokens,
        last_activity: overview.last_activity.as_ref().map(last),
        key: match by {
            By::Key(fingerprint) => Some(key(*fingerprint)),
            By::Id(_) | By::Wallet(_) => None,
        },
    }
}

fn text_of(found: &Found) -> String {
    let keys = &found.keys;
    let mut rows = vec![
        ("customer", found.customer_id.to_string()),
        ("wallet", found.wallet.clone()),
        ("status", found.status.to_owned()),
        ("created", found.created_at.clone()),
    ];
    if let Some(key) = &found.key {
        let service = key.service.unwrap_or("not issued by this database");
        rows.push(("this key", format!("{}  {service}  {}", key.fingerprint, key.state)));
    }
    let mut name = "services";
    for service in &found.services {
        let FoundService { service, state, tier } = service;
        rows.push((name, format!("{service:7}  {state}  {tier}")));
        name = "";
    }
    if found.services.is_empty() {
        rows.push((name, "none".to_owned()));
    }
    rows.push((
        "keys",
        format!("{} active, {} expired, {} revoked", keys.active, keys.expired, keys.revoked),
    ));
    rows.push(("sessions", format!("{} open", found.open_sessions)));
    rows.push(("API tokens", format!("{} good", found.api_tokens)));
    let last = found.last_activity.as_ref().map_or_else(
        || "none".to_owned(),
        |last| {
            let who = crate::cli::fitting::fitting(&format!("{} {}", last.actor_kind, last.actor), 36);
            format!("{}  {}  {who}", last.time, last.action)
        },
    );
    rows.push(("last change", last));
    lines(&rows)
}
