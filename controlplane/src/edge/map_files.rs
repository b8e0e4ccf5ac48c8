//! The map files that HAProxy and the module read at start.
//!
//! `policies.map`, `revocations.map` and `plans.map` belong to the database: they are written whole, by
//! rename, whenever the mirror has moved, and put back when somebody has edited them. `services.map` and
//! `errors.map` belong to the operator: they are written only where they are missing.

use crate::edge::mirror::Mirror;
use edgeformat::map_file::{self, Entry};
use edgeformat::{Policy, Revocation};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Read by HAProxy's group, written by nobody else.
const MODE: u32 = 0o640;

const POLICIES: &str = "policies.map";
const REVOCATIONS: &str = "revocations.map";
const PLANS: &str = "plans.map";
const SERVICES: &str = "services.map";
const ERRORS: &str = "errors.map";

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
    /// Which state of the mirror the files have.
    revision: Option<u64>,
}

/// Tells a file that somebody has touched from the one that we wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    len: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Stamp {
    fn of(file: &std::fs::Metadata) -> Self {
        Self { inode: file.ino(), len: file.len(), modified_s: file.mtime(), modified_ns: file.mtime_nsec() }
    }
}

impl MapFiles {
    /// Files in this folder, which exists.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder, written: BTreeMap::new(), revision: None }
    }

    /// Makes the files what the mirror says. `revision` is another number whenever the mirror is another.
    ///
    /// # Errors
    /// The first file that cannot be written; the next call begins anew.
    pub fn make_durable(&mut self, mirror: &Mirror, revision: u64) -> Result<(), MapFileIoError> {
        if self.revision != Some(revision) || self.somebody_was_here()? {
            self.revision = None;
            self.write_all(mirror)?;
            self.revision = Some(revision);
        }
        self.write_if_missing(SERVICES, map_file::default_services)?;
        self.write_if_missing(ERRORS, map_file::default_errors)
    }

    /// A plan stands in its file before a policy names it and leaves after the last one: an HAProxy that
    /// starts between two of these renames reads no policy without its plan.
    fn write_all(&mut self, mirror: &Mirror) -> Result<(), MapFileIoError> {
        let at = mirror.position();
        let before = self.plans_on_disk();
        let mut with_old = before;
        with_old.extend(mirror.plans().iter().map(|(number, plan)| (*number, *plan)));
        self.write(PLANS, &map_file::write_plans(with_old.into_values()), |_| None)?;
        let policies = map_file::write_table(at.stream, at.sequence, mirror.policies().values().copied());
        self.write(POLICIES, &policies, damage::<Policy>)?;
        let revocations =
            map_file::write_table(at.stream, at.sequence, mirror.revocations().values().copied());
        self.write(REVOCATIONS, &revocations, damage::<Revocation>)?;
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
        for name in [PLANS, POLICIES, REVOCATIONS] {
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

fn damage<E: Entry>(text: &str) -> Option<String> {
    map_file::read_table::<E>(text, |_| Ok(())).err().map(|error| error.to_string())
}

fn advice(name: &str) -> &'static str {
    match name {
        REVOCATIONS => {
            "the file is not as it was written; it belongs to the database and is put back. Instead of editing it, use \
             `suiftly admin key revoke`"
        }
        _ => {
            "the file is not as it was written; it belongs to the database and is put back. Instead of editing it, use \
             `suiftly admin service enable|disable|suspend|resume`"
        }
    }
}

/// After this returns, a crash or a power failure leaves either the old or the new text, whole. The stamp is taken
/// before the file has its name: what somebody does to it a moment later is not taken for ours.
fn write_by_rename(path: &Path, text: &str) -> std::io::Result<Stamp> {
    // One writer a folder (`serve.lock`), so one name is enough, and what a crash left behind is overwritten.
    let draft = path.with_extension("map.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&draft)?;
    // The mode above is cut by the umask.
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let stamp = Stamp::of(&file.metadata()?);
    std::fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all()?,
        _ => File::open(".")?.sync_all()?,
    }
    Ok(stamp)
}
