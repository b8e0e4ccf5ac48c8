//! `suiftly admin key …`.

use crate::cli::as_user::open_as_user;
use crate::cli::confirm::{Confirmed, WaitArguments, confirm};
use crate::cli::fitting::fitting;
use crate::cli::moment::moment_s;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply, admin_key_life, key, key_text, revocation_list};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::Database;
use crate::domain::keys::{KeyName, NAME_LEN_MAX, NewKey};
use crate::domain::revocations::{CHUNK_MAX, CHUNK_PAUSE, RevocableFingerprint, Revoked, revoke};
use crate::domain::{DomainError, RevocationSource, ServiceState, keys};
use crate::keyring;
use apikey::{CustomerId, Service, Version};
use clap::{Args, Subcommand};
use edgeformat::PolicyKey;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// What an operator can do with keys.
#[derive(Subcommand, Debug)]
pub enum AdminKeyCommand {
    /// Make a key; it is shown once and not stored
    #[command(
        after_help = "Example:\n  suiftly admin key create --customer 305419896 --service seal --name backend"
    )]
    Create(CreateArguments),
    /// List a customer's keys
    #[command(after_help = "Example:\n  suiftly admin key list --customer 305419896 --json")]
    List {
        /// The customer's id
        #[arg(long, value_name = "N")]
        customer: CustomerId,
        /// seal, grpc or graphql; without it all
        #[arg(long, value_name = "NAME")]
        service: Option<Service>,
    },
    /// Refuse keys from now on, also such that were issued elsewhere
    #[command(after_help = "Example:\n  suiftly admin key revoke --fingerprint 4100000112345678")]
    Revoke(RevokeArguments),
    /// Have a key refused as expired from a time on; the edges do it by themselves then
    #[command(after_help = "Example:\n  suiftly admin key expire --fingerprint 4100000112345678 --at 30d")]
    Expire(admin_key_life::ExpireArguments),
    /// Make a new key like an old one, which stays good for a while
    #[command(
        after_help = "Example:\n  suiftly admin key rotate --fingerprint 4100000112345678 --overlap 24h"
    )]
    Rotate(admin_key_life::RotateArguments),
    /// Take the revocation of a key back
    #[command(after_help = "Example:\n  suiftly admin key re-enable --fingerprint 4100000112345678")]
    ReEnable(admin_key_life::ReEnableArguments),
    /// Delete a key: it is refused for ever, and takes no place any more
    #[command(after_help = "Example:\n  suiftly admin key delete --fingerprint 4100000112345678")]
    Delete(admin_key_life::DeleteArguments),
    /// Say what a key is, whether it is authentic and what is known of it
    #[command(after_help = "Example:\n  suiftly admin key inspect --key -  < file-with-the-key")]
    Inspect {
        /// The key, or - to read it from stdin, where no list of processes shows it
        #[arg(long, value_name = "TEXT")]
        key: String,
    },
}

/// For whom a key is made.
#[derive(Args, Debug)]
pub struct CreateArguments {
    /// The customer's id
    #[arg(long, value_name = "N")]
    customer: CustomerId,
    /// seal, grpc or graphql
    #[arg(long, value_name = "NAME")]
    service: Service,
    /// 1, or 0 where the group accepts it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    version: u8,
    /// What it is called: at most 64 characters
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// From when on it is refused: a time such as 2027-01-31T00:00:00Z, or one from now such as 30d; without it never
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// Which keys are revoked.
#[derive(Args, Debug)]
pub struct RevokeArguments {
    #[command(flatten)]
    what: RevokeWhat,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct RevokeWhat {
    /// A key's fingerprint: 16 hex digits
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// A key, or - to read it from stdin, where no list of processes shows it
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// A file with one fingerprint a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &AdminKeyCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        AdminKeyCommand::Create(arguments) => create(arguments, config, clock),
        AdminKeyCommand::Expire(arguments) => admin_key_life::expire(arguments, config, clock),
        AdminKeyCommand::Rotate(arguments) => admin_key_life::rotate(arguments, config, clock),
        AdminKeyCommand::ReEnable(arguments) => admin_key_life::re_enable(arguments, config, clock),
        AdminKeyCommand::Delete(arguments) => admin_key_life::delete(arguments, config, clock),
        AdminKeyCommand::List { customer, service } => list(*customer, *service, config, clock),
        AdminKeyCommand::Revoke(arguments) => revoke_some(arguments, config, clock),
        AdminKeyCommand::Inspect { key } => inspect(key, config, clock),
    }
}

#[derive(Serialize)]
struct Created<'a> {
    api_key: &'a str,
    fingerprint: String,
    derivation: u16,
    group: u8,
    version: u8,
    customer_id: u32,
    service: &'static str,
    service_state: Option<&'static str>,
    name: &'a str,
    expires_at: Option<String>,
    sequence: u64,
}

fn create(arguments: &CreateArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let key = PolicyKey { customer: arguments.customer, service: arguments.service };
    let version = Version::from_number(arguments.version)
        .ok_or_else(|| Failure::new(Exit::Usage, "a key's version is 0 or 1"))?;
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let name = KeyName::new(&arguments.name).ok_or_else(|| {
        usage(format!(
            "--name: a name has at most {NAME_LEN_MAX} characters, no control characters and no blanks around it"
        ))
    })?;
    let expires_at_s =
        arguments.expires_at.as_deref().map(|text| moment_s(text, clock)).transpose().map_err(usage)?;
    let new = NewKey { name, expires_at_s, ..NewKey::by_operator(key, version) };
    let mut database = open_as_user(config)?;
    let keyring = keyring::load_or_make(&config.keyring)?;
    let issued = keys::create(&mut database, &keyring, &new, clock.now_ms())?;
    let row = &issued.row;
    let created = Created {
        api_key: issued.text.as_str(),
        fingerprint: row.fingerprint.to_string(),
        derivation: row.derivation.get(),
        group: row.group.get(),
        version: row.version.number(),
        customer_id: row.customer.get(),
        service: row.service.name(),
        service_state: issued.service_state.map(ServiceState::word),
        name: &row.name,
        expires_at: row.expires_at_s.map(admin_key_life::time_of),
        sequence: issued.position.sequence,
    };
    let text = lines(&[
        ("key", format!("{}   (shown once, not stored)", created.api_key)),
        ("fingerprint", created.fingerprint.clone()),
        ("customer", row.customer.to_string()),
        ("service", row.service.to_string()),
        ("derivation", format!("{} in group {}, version {}", row.derivation, row.group, created.version)),
    ]);
    let reply = Reply::new(&created, text)?;
    Ok(match issued.service_state {
        Some(ServiceState::Enabled | ServiceState::CancellationPending) => reply,
        state => {
            let state = state.map_or("not_provisioned", ServiceState::word);
            reply.with_note(format!(
                "note: the service is {state}, so the key is refused until `suiftly admin service` changes that"
            ))
        }
    })
}

#[derive(Serialize)]
struct Listed {
    items: Vec<ListedKey>,
    /// All keys fit one answer; the field is there because every list has it.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ListedKey {
    fingerprint: String,
    service: &'static str,
    group: u8,
    derivation: u16,
    version: u8,
    name: String,
    state: &'static str,
    created_at: String,
    revoked_at: Option<String>,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

fn list(
    customer: CustomerId,
    service: Option<Service>,
    config: &Config,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let now_s = u64::try_from(clock.now_ms() / 1_000).unwrap_or(0);
    let mut database = open_as_user(config)?;
    let rows = keys::list(&mut database, customer, service)?;
    let items: Vec<ListedKey> = rows
        .iter()
        .map(|row| ListedKey {
            fingerprint: row.fingerprint.to_string(),
            service: row.service.name(),
            group: row.group.get(),
            derivation: row.derivation.get(),
            version: row.version.number(),
            name: row.name.clone(),
            state: row.state(now_s).word(),
            created_at: rfc3339_ms(row.created_at_ms),
            revoked_at: row.revoked_at_ms.map(rfc3339_ms),
            expires_at: row.expires_at_s.map(admin_key_life::time_of),
            last_used_at: row.last_used_at_s.map(|at_s| rfc3339_ms(at_s.saturating_mul(1_000))),
        })
        .collect();
    let text = if items.is_empty() { "no keys".to_owned() } else { table(&items) };
    Reply::new(&Listed { items, next_cursor: None }, text)
}

/// How many characters of a name fit beside the rest.
const NAME_WIDTH: usize = 20;

fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(before, _)| format!("{before}Z"))
}

fn table(items: &[ListedKey]) -> String {
    let mut text = format!(
        "{:16}  {:7}  {:>5}  {:>10}  {:>7}  {:20}  {:7}  {}\n",
        "FINGERPRINT", "SERVICE", "GROUP", "DERIVATION", "VERSION", "CREATED", "STATE", "NAME"
    );
    for item in items {
        text.push_str(&format!(
            "{:16}  {:7}  {:>5}  {:>10}  {:>7}  {:20}  {:7}  {}\n",
            item.fingerprint,
            item.service,
            item.group,
            item.derivation,
            item.version,
            to_the_second(&item.created_at),
            item.state,
            fitting(&item.name, NAME_WIDTH)
        ));
    }
    text
}

#[derive(Serialize)]
struct RevokedAnswer {
    revoked: u64,
    already: u64,
    unknown: u64,
    #[serde(flatten)]
    confirmed: Confirmed,
}

fn revoke_some(arguments: &RevokeArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let (fingerprints, repeated) = fingerprints(&arguments.what)?;
    let mut database = open_as_user(config)?;
    let mut done = revoke_in_chunks(&mut database, &fingerprints, clock)?;
    drop(database);
    done.already += repeated;
    let confirmed = confirm(config, done.position, arguments.wait);
    let text = lines(&[
        ("revoked", done.revoked.to_string()),
        ("already", done.already.to_string()),
        ("unknown", format!("{} (of these; not issued by this database)", done.unknown)),
        ("", confirmed.text()),
    ]);
    let Revoked { revoked, already, unknown, .. } = done;
    let answer = RevokedAnswer { revoked, already, unknown, confirmed: confirmed.clone() };
    Ok(confirmed.conclude(Reply::new(&answer, text)?))
}

fn fingerprints(what: &RevokeWhat) -> Result<(Vec<RevocableFingerprint>, u64), Failure> {
    if let Some(file) = &what.file {
        let list = revocation_list::read(file)?;
        return Ok((list.fingerprints, list.repeated));
    }
    let fingerprint = match (&what.fingerprint, &what.key) {
        (Some(text), _) => key_text::revocable(text)
            .map_err(|reason| Failure::new(Exit::Usage, format!("--fingerprint: {reason}")))?,
        (None, Some(argument)) => {
            // The text of a key proves nothing here: what is revoked is its name.
            let decoded = key_text::decode(argument)?;
            let revocable = RevocableFingerprint::try_from(decoded.fingerprint());
            revocable.map_err(|error| Failure::new(Exit::Usage, format!("--key: {error}")))?
        }
        (None, None) => {
            return Err(Failure::new(Exit::Usage, "name what to revoke with --fingerprint, --key or --file"));
        }
    };
    Ok((vec![fingerprint], 0))
}

/// One transaction a chunk. What has been committed when one fails stays revoked; the command can be given
/// again.
fn revoke_in_chunks(
    database: &mut Database,
    fingerprints: &[RevocableFingerprint],
    clock: &Clock,
) -> Result<Revoked, Failure> {
    let position = database.read(crate::db::stream::position)?;
    let mut sum = Revoked { revoked: 0, already: 0, unknown: 0, position };
    let show_progress = fingerprints.len() > CHUNK_MAX && std::io::stderr().is_terminal();
    for (number, chunk) in fingerprints.chunks(CHUNK_MAX).enumerate() {
        if number > 0 {
            std::thread::sleep(CHUNK_PAUSE);
        }
        let done = revoke(database, chunk, RevocationSource::Operator, clock.now_ms()).map_err(|error| {
            let mut failure = Failure::from(error);
            failure.text.push_str(&format!(
                "; {} keys were revoked before that, give the command again",
                sum.revoked
            ));
            failure
        })?;
        sum = Revoked {
            revoked: sum.revoked + done.revoked,
            already: sum.already + done.already,
            unknown: sum.unknown + done.unknown,
            position: done.position,
        };
        if show_progress {
            // Progress is a courtesy; that it cannot be shown is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{} of {}", sum.revoked + sum.already, fingerprints.len());
        }
    }
    if show_progress {
        let _ = writeln!(std::io::stderr());
    }
    Ok(sum)
}

#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    fields: key::Fields,
    authentic: bool,
    reason: Option<&'static str>,
    known: bool,
    state: &'static str,
}

fn inspect(argument: &str, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let decoded = key_text::decode(argument)?;
    let keyring = keyring::load(&config.keyring.file)?;
    let reason = key::authenticate(&keyring, &decoded).err();
    let mut database = open_as_user(config)?;
    let known = keys::known(&mut database, decoded.fingerprint())
        .map_err(|error: DomainError| Failure::from(error))?;
    let now_s = u64::try_from(clock.now_ms() / 1_000).unwrap_or(0);
    let in_force = known.revocation.filter(|revocation| revocation.in_force_from_s <= now_s);
    let state = match (in_force, known.issued.is_some()) {
        (Some(revocation), _) => revocation.kind.word(),
        (None, true) => "active",
        (None, false) => "unknown",
    };
    let fields = key::Fields::of(&decoded);
    let authentic = reason.map_or_else(|| "yes".to_owned(), |reason| format!("NO: {}", reason.title()));
    let mut rows = fields.rows();
    rows.push(("authentic", authentic));
    rows.push((
        "known",
        if known.issued.is_some() { "yes, issued by this database" } else { "no" }.to_owned(),
    ));
    rows.push(("state", state.to_owned()));
    let text = lines(&rows);
    let reason_code = reason.map(edgeformat::Reason::code);
    let inspected = Inspected {
        fields,
        authentic: reason.is_none(),
        reason: reason_code,
        known: known.issued.is_some(),
        state,
    };
    Reply::new(&inspected, text)
}
