//! Changing the keyring file: one line at a time, so that the operator's comments and order stay. What was changed is
//! read back and compared with what was meant before it replaces the file; where a file is written in another way (one
//! inline table, an array over several lines) the operator is told what to do instead. That is why no crate that keeps
//! TOML's form is needed.

use crate::keyring::{KeyringFileError, open, read_text};
use crate::private_file::{create_new, sync_folder_of};
use crate::random;
use apikey::{CheckValue, Group};
use edgeformat::Keyring;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How often another program may replace the file while we wait for its lock.
const LOCK_TRIES_MAX: u32 = 100;

/// The keyring file while this process alone changes it.
pub struct Editing {
    path: PathBuf,
    /// Locked for as long as it is open.
    file: File,
    text: Zeroizing<String>,
    keyring: Keyring,
}

/// What a keyring says, without its secrets.
#[derive(Clone, PartialEq, Eq)]
struct Facts {
    default_group: Group,
    accept_v0_groups: Vec<Group>,
    checks: Vec<(Group, CheckValue)>,
}

impl Facts {
    fn of(keyring: &Keyring) -> Self {
        Self {
            default_group: keyring.default_group,
            accept_v0_groups: keyring.accept_v0_groups.clone(),
            checks: keyring.checks(),
        }
    }
}

impl Editing {
    /// Waits until nobody else changes the file, and reads it.
    ///
    /// # Errors
    /// [`KeyringFileError`], as for [`crate::keyring::load`].
    pub fn begin(path: &Path) -> Result<Self, KeyringFileError> {
        // A link stays a link: the file that it leads to is replaced.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |error: std::io::Error| KeyringFileError::Read(path.clone(), error);
        for _ in 0..LOCK_TRIES_MAX {
            let file = open(&path)?;
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
                .map_err(|error| failed(error.into()))?;
            // Who held the lock before has put another file in its place.
            let (locked, now) = (file.metadata().map_err(failed)?, std::fs::metadata(&path).map_err(failed)?);
            if (locked.dev(), locked.ino()) == (now.dev(), now.ino()) {
                let text = read_text(&file, &path)?;
                let keyring =
                    Keyring::parse(&text).map_err(|error| KeyringFileError::Content(path.clone(), error))?;
                return Ok(Self { path, file, text, keyring });
            }
        }
        Err(failed(std::io::Error::other("it is replaced all the time")))
    }

    /// What it says now.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Adds a group with a new random secret, and answers its check value.
    ///
    /// # Errors
    /// [`KeyringFileError`]; the file is as it was.
    pub fn add_group(mut self, group: Group) -> Result<CheckValue, KeyringFileError> {
        let mut line = Zeroizing::new(String::with_capacity(128));
        // Writing into a String cannot fail.
        let _ = write!(line, "{group} = \"");
        for byte in Zeroizing::new(random::bytes_32()?).iter() {
            let _ = write!(line, "{byte:02x}");
        }
        line.push_str("\"\n");
        let new = Zeroizing::new(with_group_line(&self.text, &line).unwrap_or_default());
        let by_hand = format!("add the line `{group} = \"…\"` with 64 hex digits under [groups]");
        let mut expected = Facts::of(&self.keyring);
        let added = Keyring::parse(&new).ok().and_then(|keyring| keyring.check_of(group));
        expected.checks.extend(added.map(|check| (group, check)));
        expected.checks.sort_unstable_by_key(|(group, _)| group.get());
        self.replace(new, &expected, &by_hand)?;
        // `replace` has found it there.
        self.keyring.check_of(group).ok_or_else(|| self.by_hand("it could not be read back", &by_hand))
    }

    /// Names the group in which new keys are made.
    ///
    /// # Errors
    /// [`KeyringFileError`]; the file is as it was.
    pub fn set_default(mut self, group: Group) -> Result<(), KeyringFileError> {
        let expected = Facts { default_group: group, ..Facts::of(&self.keyring) };
        if expected.default_group == self.keyring.default_group {
            return Ok(());
        }
        let new = Zeroizing::new(with_default(&self.text, group));
        self.replace(new, &expected, &format!("write `default_group = {group}` in its first lines"))
    }

    /// Takes a group out, also from those whose version 0 keys are accepted. Its secret is gone with it.
    ///
    /// # Errors
    /// [`KeyringFileError`]; the file is as it was.
    pub fn remove_group(mut self, group: Group) -> Result<(), KeyringFileError> {
        let mut expected = Facts::of(&self.keyring);
        expected.checks.retain(|(known, _)| *known != group);
        expected.accept_v0_groups.retain(|known| *known != group);
        let new = Zeroizing::new(without_group(&self.text, group, &expected.accept_v0_groups));
        self.replace(new, &expected, &format!("take the line of group {group} out"))
    }

    fn by_hand(&self, reason: &str, by_hand: &str) -> KeyringFileError {
        KeyringFileError::ByHand {
            file: self.path.clone(),
            reason: reason.to_owned(),
            by_hand: by_hand.to_owned(),
        }
    }

    /// Puts a new text in the place of the old one, if it says what was meant and nothing else.
    fn replace(
        &mut self,
        text: Zeroizing<String>,
        expected: &Facts,
        by_hand: &str,
    ) -> Result<(), KeyringFileError> {
        let form = "it is written in another form than one line a group";
        let keyring = Keyring::parse(&text).map_err(|_| self.by_hand(form, by_hand))?;
        if Facts::of(&keyring) != *expected {
            return Err(self.by_hand(form, by_hand));
        }
        let failed = |error| KeyringFileError::Replace(self.path.clone(), error);
        let draft = self.path.with_extension(format!("new-{:016x}", random::nonzero_u64()?));
        if let Err(error) = self.write_and_rename(&draft, &text) {
            // It may not be there; what matters is that it does not stay.
            let _ = std::fs::remove_file(&draft);
            return Err(failed(error));
        }
        sync_folder_of(&self.path).map_err(failed)?;
        (self.text, self.keyring) = (text, keyring);
        Ok(())
    }

    fn write_and_rename(&self, draft: &Path, text: &str) -> std::io::Result<()> {
        let before = self.file.metadata()?;
        let mut file = create_new(draft)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            // Root changes the file of the service's user.
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(draft, &self.path)
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Groups,
    Other,
}

/// Every line with its line feed, and the part that it stands in; a part's own heading belongs to it.
fn lines_of(text: &str) -> impl Iterator<Item = (Part, &str)> {
    let mut part = Part::Head;
    text.split_inclusive('\n').map(move |line| {
        if let Some(heading) = line.trim_start().strip_prefix('[') {
            let name = heading.split(']').next().unwrap_or_default().trim();
            part = if name == "groups" { Part::Groups } else { Part::Other };
        }
        (part, line)
    })
}

/// What stands before the `=` of a line, without quotes.
fn name_of(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    if name.starts_with('#') { None } else { Some(name.trim_matches('"')) }
}

/// The text with a further line after the last group; none where there is no heading of groups.
fn with_group_line(text: &str, new: &str) -> Option<String> {
    let is_place = |(part, line): (Part, &str)| {
        part == Part::Groups && (line.trim_start().starts_with('[') || name_of(line).is_some())
    };
    let place = lines_of(text).collect::<Vec<_>>().into_iter().rposition(is_place)?;
    let mut changed = String::with_capacity(text.len() + new.len() + 1);
    for (number, (_, line)) in lines_of(text).enumerate() {
        changed.push_str(line);
        if number == place {
            if !line.ends_with('\n') {
                changed.push('\n');
            }
            changed.push_str(new);
        }
    }
    Some(changed)
}

fn with_default(text: &str, group: Group) -> String {
    let mut changed = String::with_capacity(text.len() + 8);
    for (part, line) in lines_of(text) {
        match line.split_once('=') {
            Some((before, after)) if part == Part::Head && name_of(line) == Some("default_group") => {
                let rest = after.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
                let _ = write!(changed, "{before}= {group}{rest}");
            }
            _ => changed.push_str(line),
        }
    }
    changed
}

fn without_group(text: &str, group: Group, accept_v0_groups: &[Group]) -> String {
    let number = group.to_string();
    let mut changed = String::with_capacity(text.len());
    for (part, line) in lines_of(text) {
        match (part, name_of(line)) {
            (Part::Groups, Some(name)) if name == number => {}
            (Part::Head, Some("accept_v0_groups")) => {
                let rest = line.split_once(']').map_or("\n", |(_, rest)| rest);
                let list: Vec<String> = accept_v0_groups.iter().map(ToString::to_string).collect();
                let _ = write!(changed, "accept_v0_groups = [{}]{rest}", list.join(", "));
            }
            _ => changed.push_str(line),
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn keyring(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring.toml");
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        (folder, path)
    }

    fn group(number: u8) -> Group {
        Group::new(number).unwrap()
    }

    #[test]
    fn a_group_comes_and_goes_and_everything_else_stays_as_it_was_written() {
        let text = format!(
            "# ours\n  default_group=1   # the first\naccept_v0_groups = [ 1,3 ] # old ones\n\n[groups] # secrets\n\
             # made by hand\n\"1\" = \"{SECRET}\"\n 3 = \"{SECRET}\"  # to go\n\n# the end"
        );
        let (folder, path) = keyring(&text);
        let check = Editing::begin(&path).unwrap().add_group(group(7)).unwrap();
        let added = std::fs::read_to_string(&path).unwrap();
        let line = added.lines().find(|line| line.starts_with("7 = ")).unwrap();
        assert_eq!(added.replace(&format!("{line}\n"), ""), text);
        assert!(added.contains(&format!("# to go\n{line}\n\n# the end")), "after the last group");
        assert_eq!(crate::keyring::load(&path).unwrap().check_of(group(7)), Some(check));

        Editing::begin(&path).unwrap().set_default(group(7)).unwrap();
        let text = added.replace("default_group=1 ", "default_group= 7 ");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

        Editing::begin(&path).unwrap().remove_group(group(3)).unwrap();
        let removed = std::fs::read_to_string(&path).unwrap();
        let expected = text
            .replace(&format!(" 3 = \"{SECRET}\"  # to go\n"), "")
            .replace("accept_v0_groups = [ 1,3 ] # old", "accept_v0_groups = [1] # old");
        assert_eq!(removed, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
    }

    #[test]
    fn a_form_that_lines_cannot_change_is_left_alone_and_the_error_shows_no_secret() {
        for text in [
            format!("default_group = 1\ngroups = {{ 1 = \"{SECRET}\", 2 = \"{SECRET}\" }}\n"),
            format!("default_group = 1\ngroups.1 = \"{SECRET}\"\ngroups.2 = \"{SECRET}\"\n"),
            format!(
                "default_group = 1\naccept_v0_groups = [\n2\n]\n[groups]\n1 = \"{SECRET}\"\n2 = \"{SECRET}\"\n"
            ),
        ] {
            let (_folder, path) = keyring(&text);
            let failed = match text.contains("[groups]") {
                true => Editing::begin(&path).unwrap().remove_group(group(2)),
                false => Editing::begin(&path).unwrap().add_group(group(3)).map(drop),
            };
            let error = failed.unwrap_err().to_string();
            assert!(error.contains("by hand") && !error.contains(SECRET.get(..8).unwrap()), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn two_who_add_at_once_both_add() {
        let (_folder, path) = keyring(&format!("default_group = 1\n[groups]\n1 = \"{SECRET}\"\n"));
        std::thread::scope(|scope| {
            for number in 2..12 {
                let path = &path;
                scope.spawn(move || Editing::begin(path).unwrap().add_group(group(number)).unwrap());
            }
        });
        assert_eq!(crate::keyring::load(&path).unwrap().groups.len(), 11);
    }
}
