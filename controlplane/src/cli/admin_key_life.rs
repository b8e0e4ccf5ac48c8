//! `suiftly admin key expire | rotate | re-enable | delete`.

use crate::cli::as_user::open_as_user;
use crate::cli::confirm::{Confirmed, WaitArguments, confirm};
use crate::cli::moment::{duration_s, moment_s};
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::domain::revocations::RevocableFingerprint;
use crate::domain::{KeyState, key_life};
use crate::keyring;
use apikey::Fingerprint;
use clap::Args;
use serde::Serialize;

/// When a key ends.
#[derive(Args, Debug)]
pub struct ExpireArguments {
    /// The key's fingerprint: 16 hex digits
    #[arg(long, value_name = "HEX")]
    fingerprint: String,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct When {
    /// From when on it is refused: a time such as 2027-01-31T00:00:00Z, or one from now such as 30d
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Take the expiry away
    #[arg(long)]
    never: bool,
}

/// Which key is replaced.
#[derive(Args, Debug)]
pub struct RotateArguments {
    /// The old key's fingerprint: 16 hex digits
    #[arg(long, value_name = "HEX")]
    fingerprint: String,
    /// How long the old key stays good
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    overlap: String,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Which key is good again.
#[derive(Args, Debug)]
pub struct ReEnableArguments {
    /// The key's fingerprint: 16 hex digits
    #[arg(long, value_name = "HEX")]
    fingerprint: String,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Which key is deleted.
#[derive(Args, Debug)]
pub struct DeleteArguments {
    /// The key's fingerprint: 16 hex digits
    #[arg(long, value_name = "HEX")]
    fingerprint: String,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(Serialize)]
struct Deleted {
    fingerprint: String,
    state: &'static str,
    #[serde(flatten)]
    confirmed: Confirmed,
}

#[derive(Serialize)]
struct Expired {
    fingerprint: String,
    expires_at: Option<String>,
    #[serde(flatten)]
    confirmed: Confirmed,
}

#[derive(Serialize)]
struct Rotated<'a> {
    api_key: &'a str,
    fingerprint: String,
    derivation: u16,
    group: u8,
    version: u8,
    old_fingerprint: String,
    old_expires_at: String,
    #[serde(flatten)]
    confirmed: Confirmed,
}

#[derive(Serialize)]
struct ReEnabled {
    fingerprint: String,
    re_enabled: bool,
    #[serde(flatten)]
    confirmed: Confirmed,
}

/// Sets or takes away a key's expiry; the edges know it ahead and act at that second by themselves.
///
/// # Errors
/// [`Failure`].
pub fn expire(arguments: &ExpireArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let fingerprint = fingerprint_of(&arguments.fingerprint)?;
    let at_s = arguments.when.at.as_deref().map(|text| moment_s(text, clock)).transpose().map_err(usage)?;
    let mut database = open_as_user(config)?;
    let position = key_life::expire(&mut database, fingerprint, at_s, clock.now_ms())?;
    drop(database);
    let expires_at = at_s.map(time_of);
    let answer = Expired {
        fingerprint: fingerprint.to_string(),
        confirmed: confirm(config, position, arguments.wait),
        expires_at: expires_at.clone(),
    };
    let text = lines(&[
        ("fingerprint", answer.fingerprint.clone()),
        ("expires at", expires_at.unwrap_or_else(|| "never".to_owned())),
        ("edge", answer.confirmed.text()),
    ]);
    Ok(answer.confirmed.conclude(Reply::new(&answer, text)?))
}

/// Makes a new key like the old one, which stays good for the overlap.
///
/// # Errors
/// [`Failure`].
pub fn rotate(arguments: &RotateArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let old = fingerprint_of(&arguments.fingerprint)?;
    let overlap_s = duration_s(&arguments.overlap).map_err(usage)?;
    let mut database = open_as_user(config)?;
    let keyring = keyring::load_or_make(&config.keyring)?;
    let (new, end_s) = key_life::rotate(&mut database, &keyring, old, overlap_s, clock.now_ms())?;
    drop(database);
    let answer = Rotated {
        api_key: new.text.as_str(),
        fingerprint: new.row.fingerprint.to_string(),
        derivation: new.row.derivation.get(),
        group: new.row.group.get(),
        version: new.row.version.number(),
        old_fingerprint: old.to_string(),
        old_expires_at: time_of(end_s),
        confirmed: confirm(config, new.position, arguments.wait),
    };
    let text = lines(&[
        ("key", format!("{}   (shown once, not stored)", answer.api_key)),
        ("fingerprint", answer.fingerprint.clone()),
        ("old key", format!("{}, good until {}", answer.old_fingerprint, answer.old_expires_at)),
        ("edge", answer.confirmed.text()),
    ]);
    Ok(answer.confirmed.conclude(Reply::new(&answer, text)?))
}

/// Takes a revocation back.
///
/// # Errors
/// [`Failure`].
pub fn re_enable(arguments: &ReEnableArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let fingerprint = fingerprint_of(&arguments.fingerprint)?;
    let mut database = open_as_user(config)?;
    let (re_enabled, position) = key_life::re_enable(&mut database, fingerprint, clock.now_ms())?;
    drop(database);
    let answer = ReEnabled {
        fingerprint: fingerprint.to_string(),
        re_enabled,
        confirmed: confirm(config, position, arguments.wait),
    };
    let what = if re_enabled { "is revoked no more" } else { "was not revoked" };
    let text = lines(&[("key", format!("{} {what}", answer.fingerprint)), ("edge", answer.confirmed.text())]);
    Ok(answer.confirmed.conclude(Reply::new(&answer, text)?))
}

/// Deletes a key for ever.
///
/// # Errors
/// [`Failure`].
pub fn delete(arguments: &DeleteArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let fingerprint = fingerprint_of(&arguments.fingerprint)?;
    let mut database = open_as_user(config)?;
    let position = key_life::delete(&mut database, fingerprint, clock.now_ms())?;
    drop(database);
    let answer = Deleted {
        fingerprint: fingerprint.to_string(),
        state: KeyState::Deleted.word(),
        confirmed: confirm(config, position, arguments.wait),
    };
    let text = lines(&[
        ("key", format!("{} is deleted, and refused for ever", answer.fingerprint)),
        ("edge", answer.confirmed.text()),
    ]);
    Ok(answer.confirmed.conclude(Reply::new(&answer, text)?))
}

fn fingerprint_of(text: &str) -> Result<Fingerprint, Failure> {
    let fingerprint: Fingerprint = text.parse().map_err(|error| usage(format!("--fingerprint: {error}")))?;
    RevocableFingerprint::try_from(fingerprint)
        .map(RevocableFingerprint::get)
        .map_err(|error| usage(error.to_string()))
}

/// A second in UTC.
pub(in crate::cli) fn time_of(unix_s: u64) -> String {
    rfc3339_ms(i64::try_from(unix_s).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000))
}

fn usage(text: String) -> Failure {
    Failure::new(Exit::Usage, text)
}
