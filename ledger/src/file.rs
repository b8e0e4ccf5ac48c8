//! The file itself, made whole.

use edgeformat::ledger::Header;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Owner and group count and read: HAProxy starts as another user than the agent, in the agent's group.
const MODE: u32 = 0o660;
/// How much is written at once where a file system cannot reserve.
const ZEROS_LEN: usize = 1 << 20;

/// Makes a new, empty ledger at `path`, in one moment: first its whole room is taken on the disk under another name, so
/// that counting never meets a full disk, then it takes the place of what stood at `path`.
///
/// # Errors
/// The disk is full, or the folder cannot be written; then nothing has changed at `path`.
pub fn create(path: &Path, header: &Header) -> io::Result<()> {
    let draft = path.with_extension("new");
    let made = write_draft(&draft, header).and_then(|()| std::fs::rename(&draft, path));
    if made.is_err() {
        // What is left of it would only take room. It may not be there at all.
        drop(std::fs::remove_file(&draft));
    }
    made?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn write_draft(draft: &Path, header: &Header) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(draft)?;
    // The mode above is cut by the umask.
    file.set_permissions(Permissions::from_mode(MODE))?;
    match fallocate(&file, FallocateFlags::empty(), 0, header.file_len()) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(&file, header.file_len())?,
        Err(error) => return Err(error.into()),
    }
    file.write_all_at(&header.bytes(), 0)?;
    file.sync_all()
}

fn write_zeros(mut file: &File, len: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_LEN];
    let mut left = len;
    while left > 0 {
        let some = usize::try_from(left).map_or(ZEROS_LEN, |left| left.min(ZEROS_LEN));
        file.write_all(zeros.get(..some).unwrap_or_default())?;
        left -= some as u64;
    }
    Ok(())
}
