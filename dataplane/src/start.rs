//! Reading keyring and tables when HAProxy loads the module. Whatever is wrong here refuses the start: a running
//! HAProxy goes on with what it has, a new one does not come up half blind.

use crate::allowlists::Allowlists;
use crate::clock::Clock;
use crate::edge::Edge;
use crate::journal::{Followed, Journal};
use crate::keyring::PreparedKeyring;
use crate::local_revocations::LocalRevocations;
use crate::policies::Policies;
use crate::revocations::Revocations;
use crate::settings::Settings;
use crate::tables::{SharedTables, Tables};
use crate::usage::Usage;
use edgeformat::journal::{self, Batch};
use edgeformat::keyring::KEYRING_LEN_MAX;
use edgeformat::map_file::{self, Entry, Header};
use edgeformat::{AllowlistEntry, Change, FieldError, Keyring, Policy, Revocation, StreamId};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The largest map file, in bytes: some 16 million entries.
const MAP_LEN_MAX: u64 = 1 << 30;

/// The file of the allowlists.
const ALLOWLISTS: &str = "allowlists.map";

/// How much of the journal is read at once, in bytes.
const READ_LEN: usize = 4 << 20;

/// The shortest change in a journal, in bytes: for how many new entries room is reserved at most.
const CHANGE_LEN_MIN: usize = 20;

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
    let usage = Usage::open(&settings.ledger, settings.count_at)
        .map_err(|error| StartError::new(&settings.ledger, error))?;
    let (tables, journal) = read_tables(&settings.maps)?;
    let edge = Edge::new(keyring, SharedTables::new(tables), usage, clock)
        .map_err(|reason| StartError::new(Path::new("/dev/urandom"), reason))?;
    let local_revocations = read_local_revocations(&map("local-revocations.map"))?;
    Ok(Edge { journal, local_revocations, ..edge })
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

fn read_tables(maps: &Path) -> Result<(Tables, Journal), StartError> {
    let full = |full: crate::tables::Full| FieldError::new(full.to_string());
    let (policies_path, revocations_path) = (maps.join("policies.map"), maps.join("revocations.map"));
    let journal_path = maps.join(journal::FILE);
    // Opened before the others are read: should the agent write all of them anew meanwhile, this one still has
    // everything that the older ones of them lack.
    let followed = Followed::open(maps);
    let journal_len = followed.as_ref().map_or(Ok(0), Followed::len_bytes);
    let journal_len = journal_len.map_err(|error| StartError::new(&journal_path, error))?;
    let room =
        |announced: usize| announced + usize::try_from(journal_len).map_or(0, |len| len / CHANGE_LEN_MIN);

    let text = read_text(&policies_path, MAP_LEN_MAX)?;
    let mut policies = Policies::with_room_for(room(announced::<Policy>(&text)));
    let policies_header = map_file::read_digested_table::<Policy>(&text, |policy, digest| {
        let known = policies.get(policy.key.customer, policy.key.service).is_some();
        once(known, "this customer and service")?;
        policies.insert_digested(&policy, digest).map_err(full)
    })
    .map_err(|error| StartError::new(&policies_path, error))?;

    let text = read_text(&revocations_path, MAP_LEN_MAX)?;
    let mut revocations = Revocations::with_room_for(room(announced::<Revocation>(&text)));
    let revocations_header = map_file::read_digested_table::<Revocation>(&text, |revocation, digest| {
        once(revocations.get(revocation.fingerprint).is_some(), "this fingerprint")?;
        revocations.insert_digested(&revocation, digest).map_err(full)
    })
    .map_err(|error| StartError::new(&revocations_path, error))?;

    let (allowlists, allowlists_header) = read_allowlists(maps)?;

    // The files are written one after the other. With the oldest sequence the agent sends what one of them lacks, and
    // changes that another has already change nothing. Files of two streams are served, and loaded anew at once.
    // A missing file of allowlists is as good as one that was written with the policies and is empty.
    let headers = [policies_header, revocations_header, allowlists_header.unwrap_or(policies_header)];
    let at = Sequences::of(headers.map(|header| header.sequence));
    let has_journal = headers.iter().any(|header| header.has_journal);
    let stream = policies_header.stream;
    let mut tables = Tables { stream, sequence: at.oldest(), policies, revocations, allowlists };
    if headers.iter().any(|header| header.stream != stream) {
        (tables.stream, tables.sequence) = (StreamId::NONE, 0);
        let followed = followed.ok().filter(|_| has_journal);
        return Ok((tables, followed.map_or_else(Journal::none, Journal::followed)));
    }
    let journal = if has_journal {
        let mut followed = followed.map_err(|error| missing(&journal_path, &error))?;
        replay(&mut followed, &mut tables, at).map_err(|reason| StartError::new(&journal_path, reason))?;
        Journal::followed(followed)
    } else {
        Journal::none()
    };
    if allowlists_header.is_none() && tables.policies.ask_for_addresses() {
        return Err(missing(&maps.join(ALLOWLISTS), &rustix::io::Errno::NOENT.into()));
    }
    Ok((tables, journal))
}

/// The allowlists; without a header where the file is missing, as in a folder from before there were any. That is good
/// enough as long as no policy asks for addresses.
fn read_allowlists(maps: &Path) -> Result<(Allowlists, Option<Header>), StartError> {
    let path = maps.join(ALLOWLISTS);
    let mut allowlists = Allowlists::default();
    if matches!(path.try_exists(), Ok(false)) {
        return Ok((allowlists, None));
    }
    let text = read_text(&path, MAP_LEN_MAX)?;
    let header = map_file::read_digested_table::<AllowlistEntry>(&text, |entry, digest| {
        once(allowlists.has(&entry), "this prefix of this customer and service")?;
        allowlists.insert_digested(&entry, digest).map_err(|full| FieldError::new(full.to_string()))
    });
    let header = header.map_err(|error| StartError::new(&path, error))?;
    Ok((allowlists, Some(header)))
}

/// Up to where each table's file goes.
#[derive(Clone, Copy)]
struct Sequences {
    policies: u64,
    revocations: u64,
    allowlists: u64,
}

impl Sequences {
    const fn of([policies, revocations, allowlists]: [u64; 3]) -> Self {
        Self { policies, revocations, allowlists }
    }

    fn oldest(self) -> u64 {
        self.policies.min(self.revocations).min(self.allowlists)
    }
}

/// The operator's own file; without it nothing is refused beside the database's.
fn read_local_revocations(path: &Path) -> Result<LocalRevocations, StartError> {
    let text = if path.exists() { read_text(path, MAP_LEN_MAX)? } else { String::new() };
    let entries = map_file::read_local_revocations(&text).map_err(|error| StartError::new(path, error))?;
    let mut set = Revocations::with_room_for(entries.len());
    for revocation in &entries {
        set.insert(revocation).map_err(|full| StartError::new(path, full))?;
    }
    Ok(LocalRevocations::new(set))
}

/// Applies the journal to the tables of the files: to each what came after its own sequence.
fn replay(followed: &mut Followed, tables: &mut Tables, at: Sequences) -> Result<(), String> {
    let mut no_room = Ok(());
    let mut replay_batch = |batch: Batch| {
        for change in &batch.changes {
            let known = match change {
                Change::SetPolicy(_) | Change::RemovePolicy(_) => at.policies,
                Change::SetRevocation(_) | Change::RemoveRevocation(_) => at.revocations,
                Change::SetAllowed(_) | Change::RemoveAllowed(_) => at.allowlists,
                Change::SetPlan(_)
                | Change::RemovePlan(_)
                | Change::SetKeyGroup(..)
                | Change::RemoveKeyGroup(_) => continue,
            };
            if batch.to > known && no_room.is_ok() {
                no_room = tables.apply(change);
            }
        }
    };
    while !followed.read_on(READ_LEN, &mut replay_batch)? {}
    no_room.map_err(|full| full.to_string())?;
    let header = followed.header().ok_or("the file is empty; its first line is missing")?;
    if header.stream != tables.stream {
        return Err(format!("it belongs to stream {}, the tables to {}", header.stream, tables.stream));
    }
    if header.after > tables.sequence {
        return Err(format!(
            "it begins after {}, a table ends at {}: changes between them are missing",
            header.after, tables.sequence
        ));
    }
    tables.sequence = followed.end().max(at.oldest());
    Ok(())
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
