//! The map files that HAProxy and the module read at start.
//!
//! `policies.map`, `revocations.map`, `allowlists.map`, `plans.map` and `changes.journal` belong to the database, and are put
//! back when somebody has edited them. A change of a policy, a revocation or an allowlist is appended to the journal; now
//! and then the tables are written whole, by rename, and the journal becomes short again. `plans.map` is small
//! and always written whole. `services.map` and `errors.map` belong to the operator: they are written only
//! where they are missing.

use crate::db::stream::Position;
use crate::edge::journal_file::JournalFile;
use crate::edge::local_revocations;
use crate::edge::mirror::Mirror;
use edgeformat::map_file::{self, Entry};
use edgeformat::{AllowlistEntry, Change, Policy, Revocation, journal};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Read by HAProxy's group, written by nobody else.
const MODE: u32 = 0o640;

pub(in crate::edge) const POLICIES: &str = "policies.map";
pub(in crate::edge) const REVOCATIONS: &str = "revocations.map";
pub(in crate::edge) const ALLOWLISTS: &str = "allowlists.map";
pub(in crate::edge) const PLANS: &str = "plans.map";
const SERVICES: &str = "services.map";
const ERRORS: &str = "errors.map";
pub(in crate::edge) const JOURNAL: &str = journal::FILE;

/// How long the journal may become before the tables are written whole: some 30,000 changes, which a starting
/// HAProxy reads in a few milliseconds.
const JOURNAL_LEN_MAX: u64 = 1 << 20;

/// A file could not be written or looked at; nothing may be pushed then.
#[derive(Debug, thiserror::Error)]
#[error("the map file {} cannot be {what}; check the space and the permissions of its folder", .file.display())]
pub struct MapFileIoError {
    file: PathBuf,
    what: &'static str,
    source: std::io::Error,
}

/// The map files of this machine, and what is known of those on disk.
#[derive(Debug)]
pub struct MapFiles {
    folder: PathBuf,
    /// What we wrote last, by file name.
    written: BTreeMap<&'static str, Stamp>,
    /// What the files hold; none when they must be written whole.
    durable: Option<Durable>,
}

#[derive(Debug)]
struct Durable {
    /// Which mirror: a new one does not follow from the one before by its changes.
    generation: u64,
    /// Up to where.
    position: Position,
    journal: JournalFile,
}

/// All tables, written beside the ones in force while changes went on.
#[derive(Debug)]
pub struct Drafts {
    generation: u64,
    policies: Stamp,
    revocations: Stamp,
    allowlists: Stamp,
}

/// Tells a file that somebody has touched from the one that we wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::edge) struct Stamp {
    inode: u64,
    pub(in crate::edge) len: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    pub(in crate::edge) fn of(file: &std::fs::Metadata) -> Self {
        Self { inode: file.ino(), len: file.len(), modified_s: file.mtime(), modified_ns: file.mtime_nsec() }
    }
}

impl MapFiles {
    /// Files in this folder, which exists.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder, written: BTreeMap::new(), durable: None }
    }

    /// Makes the files what the mirror says. `generation` is another number whenever the mirror was replaced
    /// and did not only take in changes.
    ///
    /// # Errors
    /// The first file that cannot be written; the next call tries again.
    pub fn make_durable(&mut self, mirror: &Mirror, generation: u64) -> Result<(), MapFileIoError> {
        if self.durable.is_some() && self.somebody_was_here()? {
            self.durable = None;
        }
        match self.lacking(mirror, generation) {
            Some(changes) if changes.is_empty() => {}
            Some(changes) => self.append(mirror, &changes)?,
            None => self.write_all(mirror, generation)?,
        }
        self.write_if_missing(SERVICES, map_file::default_services)?;
        self.write_if_missing(ERRORS, map_file::default_errors)?;
        self.write_if_missing(local_revocations::FILE, map_file::default_local_revocations)
    }

    /// The changes that the files lack; none where these are not known, or no journal is there to take them.
    fn lacking(&self, mirror: &Mirror, generation: u64) -> Option<Vec<Change>> {
        let durable = self.durable.as_ref().filter(|durable| durable.journal.is_usable())?;
        if durable.generation != generation || durable.position.stream != mirror.position().stream {
            return None;
        }
        let changes = mirror.changes_after(durable.position.sequence)?;
        Some(changes.into_iter().map(|(_, change)| change).collect())
    }

    /// A plan stands in its file before a policy names it and leaves after the last one: an HAProxy that
    /// starts in between reads no policy without its plan.
    fn append(&mut self, mirror: &Mirror, changes: &[Change]) -> Result<(), MapFileIoError> {
        if changes.iter().any(|change| matches!(change, Change::SetPlan(_))) {
            self.write_old_and_new_plans(mirror)?;
        }
        let path = self.folder.join(JOURNAL);
        let Some(durable) = &mut self.durable else { return Ok(()) };
        let stamp = durable.journal.append(changes);
        let stamp = stamp.map_err(|source| MapFileIoError { file: path, what: "written", source })?;
        durable.position = mirror.position();
        self.written.insert(JOURNAL, stamp);
        if changes.iter().any(|change| matches!(change, Change::RemovePlan(_))) {
            self.write_plans(mirror)?;
        }
        Ok(())
    }

    fn write_all(&mut self, mirror: &Mirror, generation: u64) -> Result<(), MapFileIoError> {
        self.durable = None;
        let at = mirror.position();
        self.write_old_and_new_plans(mirror)?;
        self.write(POLICIES, &policies_text(mirror), damage::<Policy>)?;
        self.write(REVOCATIONS, &revocations_text(mirror), damage::<Revocation>)?;
        self.write(ALLOWLISTS, &allowlists_text(mirror), damage::<AllowlistEntry>)?;
        let path = self.folder.join(JOURNAL);
        let (journal, stamp) = JournalFile::begin(&path, at.stream, at.sequence)
            .map_err(|source| MapFileIoError { file: path, what: "written", source })?;
        self.written.insert(JOURNAL, stamp);
        self.write_plans(mirror)?;
        self.durable = Some(Durable { generation, position: at, journal });
        Ok(())
    }

    /// Whether the tables should be written whole, so that the journal becomes short. To be asked about once a
    /// minute: what came since the question before the last stays in the shortened journal.
    pub fn wants_drafts(&mut self) -> bool {
        let Some(durable) = &mut self.durable else { return false };
        durable.journal.mark();
        durable.journal.len() > JOURNAL_LEN_MAX
    }

    /// Puts the drafts in force and shortens the journal; drafts of a mirror that was replaced meanwhile are
    /// left where they are and overwritten by the next ones.
    ///
    /// # Errors
    /// A file cannot be written; the files are written whole by the next [`Self::make_durable`].
    pub fn adopt(&mut self, drafts: &Drafts) -> Result<(), MapFileIoError> {
        if self.durable.is_some() && self.somebody_was_here()? {
            self.durable = None;
        }
        let Some(mut durable) = self.durable.take_if(|durable| durable.generation == drafts.generation)
        else {
            return Ok(());
        };
        let stamps =
            [(POLICIES, drafts.policies), (REVOCATIONS, drafts.revocations), (ALLOWLISTS, drafts.allowlists)];
        for (name, stamp) in stamps {
            let path = self.folder.join(name);
            rename_into_place(&draft_of(&path), &path).map_err(|source| MapFileIoError {
                file: path,
                what: "written",
                source,
            })?;
            self.written.insert(name, stamp);
        }
        let stamp = durable.journal.shorten().map_err(|source| MapFileIoError {
            file: self.folder.join(JOURNAL),
            what: "written",
            source,
        })?;
        self.written.insert(JOURNAL, stamp);
        self.durable = Some(durable);
        Ok(())
    }

    /// The plans of both the file and the mirror.
    fn write_old_and_new_plans(&mut self, mirror: &Mirror) -> Result<(), MapFileIoError> {
        let mut plans = self.plans_on_disk();
        plans.extend(mirror.plans().iter().map(|(number, plan)| (*number, *plan)));
        self.write(PLANS, &map_file::write_plans(plans.into_values()), |_| None)
    }

    fn write_plans(&mut self, mirror: &Mirror) -> Result<(), MapFileIoError> {
        self.write(PLANS, &map_file::write_plans(mirror.plans().values().copied()), |_| None)
    }

    /// The plans in the file as it is; none where it is missing or damaged, since it is then replaced anyway.
    fn plans_on_disk(&self) -> BTreeMap<edgeformat::PlanNumber, edgeformat::Plan> {
        let text = std::fs::read_to_string(self.folder.join(PLANS)).unwrap_or_default();
        let plans = map_file::read_plans(&text).unwrap_or_default();
        plans.into_iter().map(|plan| (plan.number, plan)).collect()
    }

    /// Whether a file of the database is not the one that we wrote.
    fn somebody_was_here(&self) -> Result<bool, MapFileIoError> {
        let mut touched = false;
        for name in [PLANS, POLICIES, REVOCATIONS, ALLOWLISTS, JOURNAL] {
            let on_disk = self.stamp_on_disk(name)?;
            if on_disk.is_none() || on_disk.as_ref() != self.written.get(name) {
                tracing::warn!(file = %self.folder.join(name).display(), "{}", advice(name));
                touched = true;
            }
        }
        Ok(touched)
    }

    fn write(
        &mut self,
        name: &'static str,
        text: &str,
        damage: impl Fn(&str) -> Option<String>,
    ) -> Result<(), MapFileIoError> {
        let path = self.folder.join(name);
        let stamp = self.stamp_on_disk(name)?;
        // What we wrote is taken from the stamp; what a run before us wrote is read, once.
        let found = match &stamp {
            Some(stamp) if self.written.get(name) != Some(stamp) => std::fs::read(&path).ok(),
            _ => None,
        };
        if let (Some(found), Some(stamp)) = (&found, stamp) {
            if found == text.as_bytes() {
                self.written.insert(name, stamp);
                return Ok(());
            }
            // A hand edit while we run was reported already, by its stamp.
            let at_start = !self.written.contains_key(name);
            if let Some(reason) = std::str::from_utf8(found).ok().filter(|_| at_start).and_then(damage) {
                tracing::warn!(file = %path.display(), reason, "{}", advice(name));
            }
        }
        let written = write_by_rename(&path, text);
        let stamp = written.map_err(|source| MapFileIoError { file: path, what: "written", source })?;
        self.written.insert(name, stamp);
        Ok(())
    }

    fn write_if_missing(&self, name: &'static str, text: fn() -> String) -> Result<(), MapFileIoError> {
        if self.stamp_on_disk(name)?.is_some() {
            return Ok(());
        }
        let path = self.folder.join(name);
        tracing::info!(file = %path.display(), "the file was missing and is made with its defaults");
        match write_by_rename(&path, &text()) {
            Ok(_) => Ok(()),
            Err(source) => Err(MapFileIoError { file: path, what: "written", source }),
        }
    }

    fn stamp_on_disk(&self, name: &'static str) -> Result<Option<Stamp>, MapFileIoError> {
        let path = self.folder.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) => Ok(Some(Stamp::of(&found))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MapFileIoError { file: path, what: "looked at", source }),
        }
    }
}

/// Writes all tables of a mirror beside the ones in force. Takes a second for a million entries, so it runs
/// on a thread of its own; [`MapFiles::adopt`] does the rest.
///
/// # Errors
/// A draft cannot be written.
pub fn write_drafts(folder: &Path, mirror: &Mirror, generation: u64) -> Result<Drafts, MapFileIoError> {
    let write = |name: &str, text: String| {
        let file = draft_of(&folder.join(name));
        write_draft(&file, text.as_bytes()).map_err(|source| MapFileIoError { file, what: "written", source })
    };
    let policies = write(POLICIES, policies_text(mirror))?;
    let revocations = write(REVOCATIONS, revocations_text(mirror))?;
    let allowlists = write(ALLOWLISTS, allowlists_text(mirror))?;
    Ok(Drafts { generation, policies, revocations, allowlists })
}

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension("map.draft")
}

fn policies_text(mirror: &Mirror) -> String {
    let at = mirror.position();
    map_file::write_snapshot(at.stream, at.sequence, mirror.policies().values().copied())
}

fn revocations_text(mirror: &Mirror) -> String {
    let at = mirror.position();
    map_file::write_snapshot(at.stream, at.sequence, mirror.revocations().values().copied())
}

fn allowlists_text(mirror: &Mirror) -> String {
    let at = mirror.position();
    map_file::write_snapshot(at.stream, at.sequence, mirror.allowlists().iter().copied())
}

fn damage<E: Entry>(text: &str) -> Option<String> {
    map_file::read_table::<E>(text, |_| Ok(())).err().map(|error| error.to_string())
}

fn advice(name: &str) -> &'static str {
    match name {
        REVOCATIONS | JOURNAL => {
            "the file is not as it was written; it belongs to the database and is put back. Instead of editing it, use \
             `suiftly admin key revoke`"
        }
        ALLOWLISTS => {
            "the file is not as it was written; it belongs to the database and is put back. Instead of editing it, use \
             `suiftly admin service allowlist`"
        }
        _ => {
            "the file is not as it was written; it belongs to the database and is put back. Instead of editing it, use \
             `suiftly admin service enable|disable|suspend|resume`"
        }
    }
}

/// After this returns, a crash or a power failure leaves either the old or the new text, whole.
fn write_by_rename(path: &Path, text: &str) -> std::io::Result<Stamp> {
    // One writer a folder (`serve.lock`), so one name is enough, and what a crash left behind is overwritten.
    let draft = path.with_extension("map.new");
    let stamp = write_draft(&draft, text.as_bytes())?;
    rename_into_place(&draft, path)?;
    Ok(stamp)
}

/// Writes a file that nobody reads yet. The stamp is taken before the file has its name: what somebody does to it a
/// moment later is not taken for ours.
pub(in crate::edge) fn write_draft(draft: &Path, text: &[u8]) -> std::io::Result<Stamp> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(draft)?;
    // The mode above is cut by the umask.
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    file.write_all(text)?;
    file.sync_all()?;
    Ok(Stamp::of(&file.metadata()?))
}

/// Gives a draft its name, for good.
pub(in crate::edge) fn rename_into_place(draft: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::rename(draft, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::changes::feed::Snapshot;
    use edgeformat::StreamId;
    use edgeformat::journal::Reader;

    const STREAM: StreamId = StreamId::from_u64(7);

    fn empty() -> Mirror {
        Mirror::from_snapshot(Snapshot {
            position: Position { stream: STREAM, sequence: 0 },
            plans: Vec::new(),
            policies: Vec::new(),
            revocations: Vec::new(),
            allowlists: Vec::new(),
            key_groups: Vec::new(),
            recent: Vec::new(),
        })
    }

    fn revoke(mirror: &mut Mirror, count: u64) {
        let from = mirror.position().sequence;
        let change = |n: u64| format!("+r:{:016X}:0:revoked", 0x4100_0001_0000_0000 + n).parse().unwrap();
        mirror.advance((from + 1..=from + count).map(|n| (n, change(n))).collect());
    }

    /// The tables as a starting HAProxy puts them together: the fingerprints, and up to where.
    fn read_back(folder: &Path) -> (usize, u64) {
        let mut found = std::collections::BTreeSet::new();
        let text = std::fs::read_to_string(folder.join(REVOCATIONS)).unwrap();
        let header = map_file::read_table::<Revocation>(&text, |revocation| {
            found.insert(revocation.fingerprint);
            Ok(())
        })
        .unwrap();
        assert!(header.has_journal);
        let mut reader = Reader::default();
        let journal = std::fs::read(folder.join(JOURNAL)).unwrap();
        reader
            .read(&journal, |batch| {
                for change in batch.changes {
                    if let Change::SetRevocation(revocation) = change {
                        found.insert(revocation.fingerprint);
                    }
                }
            })
            .unwrap();
        assert!(reader.header().unwrap().after <= header.sequence, "changes are missing between the two");
        assert_eq!(reader.offset(), journal.len() as u64);
        (found.len(), reader.end())
    }

    #[test]
    fn a_long_journal_becomes_short_and_nothing_is_missing_before_during_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let (mut mirror, mut files) = (empty(), MapFiles::new(folder.path().to_owned()));
        files.make_durable(&mirror, 0).unwrap();
        assert!(!files.wants_drafts());
        for _ in 0..3 {
            revoke(&mut mirror, 15_000);
            files.make_durable(&mirror, 0).unwrap();
        }
        assert_eq!(read_back(folder.path()), (45_000, 45_000));
        assert!(files.wants_drafts(), "more than 1 MiB");
        let drafts = write_drafts(folder.path(), &mirror, 0).unwrap();
        // Changes go on while the drafts are written.
        revoke(&mut mirror, 10);
        files.make_durable(&mirror, 0).unwrap();
        assert_eq!(read_back(folder.path()), (45_010, 45_010));
        files.adopt(&drafts).unwrap();
        assert_eq!(read_back(folder.path()), (45_010, 45_010));
        // What came before the mark before the last one has gone from the journal; the next time all of it has.
        revoke(&mut mirror, 1);
        files.make_durable(&mirror, 0).unwrap();
        files.wants_drafts();
        files.wants_drafts();
        files.adopt(&write_drafts(folder.path(), &mirror, 0).unwrap()).unwrap();
        assert_eq!(read_back(folder.path()), (45_011, 45_011));
        assert!(std::fs::metadata(folder.path().join(JOURNAL)).unwrap().len() < 200);
        // The agent takes none of its own writes for somebody else's.
        assert!(!files.somebody_was_here().unwrap());
    }

    #[test]
    fn drafts_of_a_mirror_that_was_replaced_are_not_adopted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut mirror, mut files) = (empty(), MapFiles::new(folder.path().to_owned()));
        revoke(&mut mirror, 5);
        files.make_durable(&mirror, 0).unwrap();
        let drafts = write_drafts(folder.path(), &mirror, 0).unwrap();
        let mut other = empty();
        revoke(&mut other, 2);
        files.make_durable(&other, 1).unwrap();
        files.adopt(&drafts).unwrap();
        assert_eq!(read_back(folder.path()), (2, 2));
    }
}
