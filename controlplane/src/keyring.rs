//! The keyring file on this machine: read, or made at the first start. Its form is [`edgeformat::Keyring`]'s.
//!
//! An existing file is changed by `suiftly keyring` only ([`edit`]), a line at a time: whoever overwrites it makes every
//! key that was ever issued worthless.

pub mod edit;

use crate::config::KeyringConfig;
use crate::private_file::{self, PrivateFileError};
use crate::random::{self, NoRandom};
use apikey::{Group, GroupSecret, MacKey, Version};
use edgeformat::Keyring;
use edgeformat::keyring::{KEYRING_LEN_MAX, KeyringError};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why there is no keyring. No text of it shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFileError {
    /// There is no such file.
    #[error("there is no keyring {}; `suiftly serve` makes one at its first start, or name another with SUIFTLY_KEYRING", .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("the keyring {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// Others on this machine may read the file.
    #[error("the keyring {} has mode {mode:04o}, so others may read its secrets; run `chmod 600 {}`", .file.display(), .file.display())]
    Mode {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is far larger than any keyring.
    #[error("the keyring {} is larger than {KEYRING_LEN_MAX} bytes; that is no keyring", .0.display())]
    TooLong(PathBuf),
    /// The text is no keyring.
    #[error("the keyring {} cannot be used; correct it", .0.display())]
    Content(PathBuf, #[source] KeyringError),
    /// The file cannot be made.
    #[error("the keyring {} cannot be made", .0.display())]
    Make(PathBuf, #[source] PrivateFileError),
    /// The file is written in a way that the program does not change.
    #[error("the keyring {} is not changed by the program, since {reason}; do it by hand: {by_hand}", .file.display())]
    ByHand {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
        /// What to do.
        by_hand: String,
    },
    /// The changed file cannot be put in the place of the old one, which stays.
    #[error("the keyring {} cannot be replaced; it is as it was", .0.display())]
    Replace(PathBuf, #[source] std::io::Error),
    /// There is no randomness for a secret.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// The group that a new keyring has.
const FIRST_GROUP: u8 = 1;

/// Reads the keyring.
///
/// # Errors
/// See [`KeyringFileError`]; a file that others may read is refused.
pub fn load(path: &Path) -> Result<Keyring, KeyringFileError> {
    let text = read_text(&open(path)?, path)?;
    Keyring::parse(&text).map_err(|error| KeyringFileError::Content(path.to_owned(), error))
}

fn open(path: &Path) -> Result<File, KeyringFileError> {
    File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => KeyringFileError::Missing(path.to_owned()),
        _ => KeyringFileError::Read(path.to_owned(), error),
    })
}

fn read_text(file: &File, path: &Path) -> Result<Zeroizing<String>, KeyringFileError> {
    let read = |error| KeyringFileError::Read(path.to_owned(), error);
    // Asked of the open file, so that it is the file that is then read.
    let mode = file.metadata().map_err(read)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyringFileError::Mode { file: path.to_owned(), mode });
    }
    // All of its room at once: a text that grows leaves copies of secrets behind.
    let room = usize::try_from(KEYRING_LEN_MAX).unwrap_or(0) + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(KEYRING_LEN_MAX + 1).read_to_string(&mut text).map_err(read)?;
    if text.len() as u64 > KEYRING_LEN_MAX {
        return Err(KeyringFileError::TooLong(path.to_owned()));
    }
    Ok(text)
}

/// Reads the keyring, and makes it first where there is none.
///
/// # Errors
/// See [`KeyringFileError`].
pub fn load_or_make(config: &KeyringConfig) -> Result<Keyring, KeyringFileError> {
    match load(&config.file) {
        Err(KeyringFileError::Missing(_)) => {
            make(config)?;
            load(&config.file)
        }
        other => other,
    }
}

/// The MAC key of a group, if the keyring has it.
pub fn mac_of(keyring: &Keyring, group: Group) -> Option<MacKey> {
    keyring
        .groups
        .iter()
        .find(|(known, _)| *known == group)
        .map(|(_, secret): &(Group, GroupSecret)| MacKey::new(secret))
}

/// Whether keys of this version may exist in this group.
pub fn accepts(keyring: &Keyring, version: Version, group: Group) -> bool {
    match version {
        Version::V0 => keyring.accept_v0_groups.contains(&group),
        Version::V1 => true,
    }
}

fn make(config: &KeyringConfig) -> Result<(), KeyringFileError> {
    let path = &config.file;
    let secret = Zeroizing::new(random::bytes_32()?);
    let made = private_file::make_once(path, &text_of(&secret, config.accept_v0));
    made.map_err(|error| KeyringFileError::Make(path.clone(), error))
}

fn text_of(secret: &[u8; 32], accept_v0: bool) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(512));
    let accept_v0_groups = if accept_v0 { FIRST_GROUP.to_string() } else { String::new() };
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "# The secrets of the master key groups. Whoever has them can make keys for every customer: mode 0600, no copies.\n\
         default_group = {FIRST_GROUP}\naccept_v0_groups = [{accept_v0_groups}]\n\n[groups]\n{FIRST_GROUP} = \""
    );
    for byte in secret {
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("\"\n");
    text
}
