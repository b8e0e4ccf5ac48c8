//! Reading keyring and tables when HAProxy loads the module. Whatever is wrong here refuses the start: a running
//! HAProxy goes on with what it has, a new one does not come up half blind.

use crate::clock::Clock;
use crate::edge::Edge;
use crate::keyring::PreparedKeyring;
use crate::policies::Policies;
use crate::revocations::Revocations;
use crate::settings::Settings;
use crate::tables::{SharedTables, Tables};
use crate::usage::Usage;
use edgeformat::keyring::KEYRING_LEN_MAX;
use edgeformat::map_file::{self, Entry};
use edgeformat::{FieldError, Keyring, Policy, Revocation, StreamId};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The largest map file, in bytes: some 16 million entries.
const MAP_LEN_MAX: u64 = 1 << 30;

/// Why the module cannot start: which file, where in it, what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct StartError {
    path: PathBuf,
    reason: String,
}

impl StartError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Reads and checks everything that the module needs.
///
/// # Errors
/// The first file that cannot be used, with line and reason.
pub fn start(settings: &Settings, clock: Clock) -> Result<Edge, StartError> {
    let keyring = read_keyring(&settings.keyring)?;
    let map = |name: &str| settings.maps.join(name);
    // HAProxy reads these three itself, but says nothing about values that make no sense.
    check(&map("plans.map"), |text| map_file::read_plans(text).map(drop))?;
    check(&map("services.map"), |text| map_file::read_services(text).map(drop))?;
    check(&map("errors.map"), map_file::read_errors)?;
    let usage = Usage::default();
    let tables = read_tables(&map("policies.map"), &map("revocations.map"), &usage)?;
    Edge::new(keyring, SharedTables::new(tables), usage, clock)
        .map_err(|reason| StartError::new(Path::new("/dev/urandom"), reason))
}

fn read_keyring(path: &Path) -> Result<PreparedKeyring, StartError> {
    let metadata = std::fs::metadata(path).map_err(|error| missing(path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let reason =
            format!("others may read the keyring (mode {mode:04o}); run: chmod 600 {}", path.display());
        return Err(StartError::new(path, reason));
    }
    let text = read_text(path, KEYRING_LEN_MAX)?;
    let keyring = Keyring::parse(&text).map_err(|error| StartError::new(path, error))?;
    Ok(PreparedKeyring::new(&keyring))
}

fn read_tables(policies_path: &Path, revocations_path: &Path, usage: &Usage) -> Result<Tables, StartError> {
    let full = |full: crate::tables::Full| FieldError::new(full.to_string());
    let text = read_text(policies_path, MAP_LEN_MAX)?;
    let mut policies = Policies::with_room_for(announced::<Policy>(&text));
    let policies_header = map_file::read_table::<Policy>(&text, |policy| {
        let known = policies.get(policy.key.customer, policy.key.service).is_some();
        once(known, "this customer and service")?;
        policies.insert(&policy, usage.slot_for(policy.key)).map_err(full)
    })
    .map_err(|error| StartError::new(policies_path, error))?;

    let text = read_text(revocations_path, MAP_LEN_MAX)?;
    let mut revocations = Revocations::with_room_for(announced::<Revocation>(&text));
    let revocations_header = map_file::read_table::<Revocation>(&text, |revocation| {
        once(revocations.get(revocation.fingerprint).is_some(), "this fingerprint")?;
        revocations.insert(&revocation).map_err(full)
    })
    .map_err(|error| StartError::new(revocations_path, error))?;

    // The files are written one after the other. With the older sequence the agent sends what one of them lacks, and
    // changes that the other has already change nothing. Files of two streams are served, and loaded anew at once.
    let same_stream = policies_header.stream == revocations_header.stream;
    let (stream, sequence) = if same_stream {
        (policies_header.stream, policies_header.sequence.min(revocations_header.sequence))
    } else {
        (StreamId::NONE, 0)
    };
    Ok(Tables { stream, sequence, policies, revocations })
}

/// How many entries the first line announces, so that room is reserved once; the count itself is checked at the end.
fn announced<E: Entry>(text: &str) -> usize {
    let header = map_file::read_header::<E>(text.lines().next().unwrap_or_default());
    // A line has at least 8 bytes: a header that lies cannot make us reserve more than the file's own size.
    header.map_or(0, |header| header.count.min(text.len() / 8))
}

fn once(known: bool, what: &str) -> Result<(), FieldError> {
    if known { Err(FieldError::new(format!("{what} stands here twice"))) } else { Ok(()) }
}

fn check<E: ToString>(path: &Path, read: impl FnOnce(&str) -> Result<(), E>) -> Result<(), StartError> {
    let text = read_text(path, MAP_LEN_MAX)?;
    read(&text).map_err(|error| StartError::new(path, error))
}

fn read_text(path: &Path, len_max: u64) -> Result<String, StartError> {
    let file = std::fs::File::open(path).map_err(|error| missing(path, &error))?;
    let mut text = String::new();
    match file.take(len_max + 1).read_to_string(&mut text) {
        Ok(len) if len as u64 > len_max => Err(StartError::new(path, format!("larger than {len_max} bytes"))),
        Ok(_) => Ok(text),
        Err(error) => Err(StartError::new(path, error)),
    }
}

fn missing(path: &Path, error: &std::io::Error) -> StartError {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "; `suiftly serve` makes it at its first start",
        _ => "",
    };
    StartError::new(path, format!("cannot be read: {error}{hint}"))
}
