//! Files that only we may read: made whole or not at all, and refused when others can read them.

use crate::random::{self, NoRandom};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Why a private file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// The operating system does not give or take it.
    #[error("it cannot be read or written")]
    Io(#[from] std::io::Error),
    /// Others on this machine may read it.
    #[error("it has mode {0:04o}, so others may read its secrets; run `chmod 600` on it")]
    Mode(u32),
    /// It is far larger than what it should hold.
    #[error("it is larger than {0} bytes")]
    TooLong(u64),
    /// There is no randomness for its name.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// The text of a file of at most `len_max` bytes that nobody else may read.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read(path: &Path, len_max: u64) -> Result<Zeroizing<String>, PrivateFileError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => PrivateFileError::Missing,
        _ => PrivateFileError::Io(error),
    })?;
    // Asked of the open file, so that it is the file that is then read.
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Mode(mode));
    }
    // All of its room at once: a text that grows leaves copies of secrets behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(len_max).unwrap_or(0) + 1));
    file.take(len_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > len_max { Err(PrivateFileError::TooLong(len_max)) } else { Ok(text) }
}

/// Makes a file with mode 0600 where there is none. Written whole under a name of its own and then linked, which fails if there
/// is one already: two first starts at once agree on one file, and nobody ever reads half of one.
///
/// # Errors
/// [`PrivateFileError`].
pub fn make_once(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let draft = path.with_extension(format!("new-{:016x}", random::nonzero_u64()?));
    let made = write_new(&draft, text).and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&draft);
    made.and(removed).and(sync_folder_of(path))?;
    Ok(())
}

/// Makes sure that a file's name is on the disk.
///
/// # Errors
/// The operating system's.
pub fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// A new file with mode 0600, with this text, on the disk.
///
/// # Errors
/// The operating system's; also where there is one already.
pub fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A new, empty file with mode 0600.
///
/// # Errors
/// The operating system's; also where there is one already.
pub fn create_new(path: &Path) -> std::io::Result<File> {
    // `create_new` is O_EXCL: never through somebody's link, never over somebody's file.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
