//! The ledger files of this edge: one that workers count in, and those from before it, until nobody counts in them any more
//! and the control plane has all that they hold.
//!
//! The present one is `ledger` in the state folder; a former one is `ledger-<generation>`. A file is made whole before it
//! takes its place, by rename, so that a worker that starts finds the one or the other and never half of one. What cannot be
//! read is set aside under another name, never deleted.

use crate::app::chain_of;
use crate::clock::{Clock, rfc3339_ms};
use crate::random;
use edgeformat::digest_of_bytes;
use edgeformat::ledger::{Header, LedgerId, SLOTS_MAX, SLOTS_MIN};
use ledger::{LedgerReader, Unusable, create};
use std::io;
use std::path::{Path, PathBuf};

/// A table that filled in less than this is followed by a larger one; one that took longer, by one of its size, since what
/// filled it are customers who come no more.
const FILLED_FAST_MS: u64 = 24 * 60 * 60 * 1_000;
/// By how much larger.
const GROWTH: usize = 4;
/// Tells one run of the machine from the next.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The folder with the files.
#[derive(Debug)]
pub struct LedgerFiles {
    folder: PathBuf,
    clock: Clock,
    boot: u64,
}

/// What became of the file that workers count in.
#[derive(Debug, Default)]
pub struct Made {
    /// The file as it is now; none where there is no usable one.
    pub reader: Option<LedgerReader>,
    /// What went wrong, for an operator.
    pub problem: Option<String>,
    /// Another file took the place of one that could not be read: for an operator, once.
    pub alarm: Option<String>,
    /// Where the one is that could not be read.
    pub aside: Option<PathBuf>,
}

impl LedgerFiles {
    /// The files in this folder.
    ///
    /// `boot_id` names this run of the machine where the kernel does not tell it: in a unit that hides most of `/proc`.
    pub fn new(folder: PathBuf, clock: Clock, boot_id: Option<&str>) -> Self {
        let told = boot_id.map(str::to_owned).or_else(|| std::fs::read_to_string(BOOT_ID).ok());
        // Written with dashes there, without them by systemd.
        let hex_digits = told.map(|id| id.replace(|c: char| !c.is_ascii_hexdigit(), ""));
        let boot = hex_digits.filter(|id| !id.is_empty()).map_or(0, |id| digest_of_bytes(id.as_bytes()));
        Self { folder, clock, boot }
    }

    /// Whether it is known which run of the machine this is.
    pub const fn knows_the_boot(&self) -> bool {
        self.boot != 0
    }

    /// The file that workers count in.
    pub fn present(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Has a usable file in place: made where there is none, replaced where it is damaged or from before the machine was
    /// started last, which may have cost it what was counted shortly before.
    pub fn make_sure(&self, slots: usize) -> Made {
        let present = self.present();
        match LedgerReader::open(&present) {
            Ok(reader) if reader.header().is_some_and(|header| header.boot == self.boot) => {
                Made { reader: Some(reader), ..Made::default() }
            }
            Ok(reader) => self.replace(&reader, reader.fill().0),
            Err(error) => match &error.reason {
                Unusable::Io(cause) if cause.kind() == io::ErrorKind::NotFound => self.make(1, slots),
                Unusable::Io(_) => Made { problem: Some(chain_of(&error)), ..Made::default() },
                Unusable::Header(_) => self.set_aside(&present, &chain_of(&error), slots),
            },
        }
    }

    /// Puts a new file in the place of `reader`'s, for customers who come from now on.
    pub fn replace(&self, reader: &LedgerReader, slots: usize) -> Made {
        let (present, generation) = (self.present(), reader.header().map_or(0, |header| header.generation));
        let former = self.former_path(generation);
        let linked = match std::fs::hard_link(&present, &former) {
            // A crash in between leaves both names for one file.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(&present, &former) => {
                Ok(())
            }
            linked => linked,
        };
        match linked {
            Ok(()) => {
                let made = self.make(generation + 1, slots);
                if made.reader.is_none() && is_same(&present, &former) {
                    // Nothing has changed: the one file has its one name again. `former` takes care of it if this fails.
                    drop(std::fs::remove_file(&former));
                }
                made
            }
            Err(error) => Made { problem: Some(format!("{}: {error}", former.display())), ..Made::default() },
        }
    }

    /// Slots of the file that follows on one that has become too full, or is too small for so many policies.
    pub fn slots_after(&self, full: &Header, policies: usize) -> usize {
        let now_ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        let lasted_ms = now_ms.saturating_sub(full.created_at_ms);
        let slots = if lasted_ms < FILLED_FAST_MS { full.slots.saturating_mul(GROWTH) } else { full.slots };
        slots.max(Self::slots_for(policies)).clamp(SLOTS_MIN, SLOTS_MAX)
    }

    /// Slots of a file for so many policies: half full when all of them are used.
    pub fn slots_for(policies: usize) -> usize {
        policies.saturating_mul(2).min(SLOTS_MAX).next_power_of_two().max(SLOTS_MIN)
    }

    /// Where a former file stands.
    pub fn former_path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("ledger-{generation}"))
    }

    /// Deletes a former file of which everything was told. One that was set aside stays: it is for a person to look at.
    ///
    /// # Errors
    /// It is there and cannot be deleted.
    pub fn forget(&self, path: &Path) -> io::Result<()> {
        if generation_of(path).is_none() {
            return Ok(());
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes away a second name of the file that workers count in, which a replacement leaves that is cut off in between.
    pub fn tidy_up(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if generation_of(&path).is_some() && is_same(&self.present(), &path) {
                // Should it stay, it is never taken for a former one.
                drop(std::fs::remove_file(&path));
            }
        }
    }

    /// Files that could not be read and were set aside, until somebody has looked and deleted them.
    pub fn set_aside_before(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let is_aside = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ledger-set-aside-"))
        };
        let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_aside).collect();
        aside.sort();
        aside
    }

    /// The former files that are still there, oldest first.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn former(&self) -> io::Result<Vec<PathBuf>> {
        let mut former = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Another name for the one that workers count in is no former one: it must not be closed.
            if let Some(generation) = generation_of(&path).filter(|_| !is_same(&self.present(), &path)) {
                former.push((generation, path));
            }
        }
        former.sort();
        Ok(former.into_iter().map(|(_, path)| path).collect())
    }

    fn make(&self, generation: u64, slots: usize) -> Made {
        let slots = slots.next_power_of_two().clamp(SLOTS_MIN, SLOTS_MAX);
        let present = self.present();
        // Where a damaged one did not say which it was: never a number that a former one still has.
        let generation = generation.max(self.generation_of_the_last_former() + 1);
        let made = random::nonzero_u64().map_err(|error| error.to_string()).and_then(|id| {
            let id = LedgerId::from_u64(id).ok_or("the random number is 0")?;
            let created_at_ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
            let header = Header { id, generation, created_at_ms, slots, boot: self.boot };
            create(&present, &header).map_err(|error| {
                format!(
                    "{}: the usage ledger cannot be made ({} bytes): {error}",
                    present.display(),
                    header.file_len()
                )
            })?;
            LedgerReader::open(&present).map_err(|error| chain_of(&error))
        });
        match made {
            Ok(reader) => Made { reader: Some(reader), ..Made::default() },
            Err(problem) => Made { problem: Some(problem), ..Made::default() },
        }
    }

    fn generation_of_the_last_former(&self) -> u64 {
        let former = self.former().unwrap_or_default();
        former.last().and_then(|path| generation_of(path)).unwrap_or(0)
    }

    fn set_aside(&self, present: &Path, why: &str, slots: usize) -> Made {
        let moment = rfc3339_ms(self.clock.now_ms()).replace(':', "");
        let aside = self.folder.join(format!("ledger-set-aside-{moment}"));
        if let Err(error) = std::fs::rename(present, &aside) {
            return Made {
                problem: Some(format!("{why}; and it cannot be set aside: {error}")),
                ..Made::default()
            };
        }
        let made = self.make(1, slots);
        let alarm = format!(
            "{why}; it was set aside as {aside}: what it counted after it was collected last is in no bill. `suiftly usage dump --despite-damage {aside}` shows it",
            aside = aside.display()
        );
        Made { alarm: Some(alarm), aside: Some(aside), ..made }
    }
}

fn generation_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("ledger-")?.parse().ok()
}

fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    inode(one).is_some_and(|one| Some(one) == inode(other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::time::Duration;

    fn files(folder: &Path, clock: &Clock) -> LedgerFiles {
        LedgerFiles::new(folder.to_owned(), clock.clone(), None)
    }

    #[test]
    fn the_first_is_made_and_found_again() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::standing_at(1_000));
        let first = files(folder.path(), &clock).make_sure(100_000);
        let header = *first.reader.unwrap().header().unwrap();
        assert_eq!((header.generation, header.slots, header.created_at_ms), (1, 131_072, 1_000));
        let again = files(folder.path(), &clock).make_sure(5);
        assert_eq!(again.reader.unwrap().header(), Some(&header));
        assert!(first.problem.is_none() && first.alarm.is_none() && again.alarm.is_none());
    }

    #[test]
    fn one_that_fills_within_a_day_is_followed_by_a_larger_one() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::standing_at(1_000));
        let files = files(folder.path(), &clock);
        let first = files.make_sure(0).reader.unwrap();
        let header = *first.header().unwrap();
        assert_eq!(files.slots_after(&header, 0), SLOTS_MIN * GROWTH);
        let second = files.replace(&first, files.slots_after(&header, 0)).reader.unwrap();
        assert_eq!(
            second.header().map(|header| (header.generation, header.slots)),
            Some((2, SLOTS_MIN * GROWTH))
        );
        assert_eq!(files.former().unwrap(), [folder.path().join("ledger-1")]);
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(files.slots_after(&header, 0), SLOTS_MIN);
        assert_eq!(
            files.slots_after(&Header { slots: SLOTS_MAX, created_at_ms: u64::MAX, ..header }, 0),
            SLOTS_MAX
        );
    }

    #[test]
    fn one_that_cannot_be_read_is_kept_under_another_name_and_the_next_one_is_made() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::standing_at(1_000));
        std::fs::write(folder.path().join("ledger"), b"nonsense").unwrap();
        let made = files(folder.path(), &clock).make_sure(0);
        assert_eq!(
            files(folder.path(), &clock).set_aside_before(),
            made.aside.iter().cloned().collect::<Vec<_>>()
        );
        assert!(made.reader.is_some());
        assert!(made.alarm.unwrap().contains("ledger-set-aside-1970-01-01T000001.000Z"));
        let aside = folder.path().join("ledger-set-aside-1970-01-01T000001.000Z");
        assert_eq!(std::fs::read(aside).unwrap(), b"nonsense");
        assert_eq!(files(folder.path(), &clock).former().unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn after_another_boot_nobody_counts_on_in_the_old_file() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::standing_at(1_000));
        let before = LedgerFiles { boot: 1, ..files(folder.path(), &clock) };
        let first = before.make_sure(0).reader.unwrap();
        let after = LedgerFiles { boot: 2, ..files(folder.path(), &clock) };
        let second = after.make_sure(0);
        assert!(second.alarm.is_none());
        let header = *second.reader.unwrap().header().unwrap();
        assert_eq!((header.generation, header.slots), (2, SLOTS_MIN));
        assert_ne!(Some(header.id), first.header().map(|header| header.id));
        assert_eq!(after.former().unwrap(), [folder.path().join("ledger-1")]);
    }

    #[test]
    fn a_replacement_that_fails_leaves_one_file_with_one_name() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::standing_at(1_000));
        let files = files(folder.path(), &clock);
        let first = files.make_sure(0).reader.unwrap();
        // Where the draft of the next one would be written there is a folder: as if the disk were full.
        std::fs::create_dir(folder.path().join("ledger.new")).unwrap();
        let made = files.replace(&first, SLOTS_MIN);
        assert!(made.reader.is_none() && made.problem.is_some());
        assert_eq!(files.former().unwrap(), Vec::<PathBuf>::new());
        // Cut off in between by a kill: the second name goes, the file stays.
        std::fs::hard_link(files.present(), folder.path().join("ledger-1")).unwrap();
        files.tidy_up();
        assert_eq!(files.former().unwrap(), Vec::<PathBuf>::new());
        assert!(!folder.path().join("ledger-1").exists());
        assert_eq!(files.make_sure(0).reader.unwrap().header(), first.header());
    }

    #[test]
    fn the_boot_is_told_or_read_and_written_in_one_way() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::standing_at(1_000));
        let of = |boot_id| LedgerFiles::new(folder.path().to_owned(), clock.clone(), boot_id).boot;
        assert_eq!(of(Some("12ab-34cd")), of(Some("12ab34cd")));
        assert_ne!(of(Some("12ab34cd")), of(Some("12ab34ce")));
        assert!(of(None) != 0 && of(Some("-")) == 0);
    }
}
