//! Memory as 64-bit words that several processes use at once.
//!
//! The only unsafe code of the workspace: there is no safe way to share memory with another process. A mapped file must not
//! become shorter while it is mapped (touching what is gone is SIGBUS), so ledger files are made whole, are never written in
//! any other way, and are replaced by rename only.
#![allow(unsafe_code, reason = "a mapping is a pointer; each use says why it is sound")]

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

// The words are little-endian by their layout, and the counting processes add to them as they are.
#[cfg(target_endian = "big")]
compile_error!("the usage ledger is made for little-endian machines");

/// A mapping; unmapped when it is dropped.
#[derive(Debug)]
pub(crate) struct Words {
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory belongs to this value alone until it is dropped, and is reached only as atomic words.
unsafe impl Send for Words {}
// SAFETY: as above; atomic words may be shared.
unsafe impl Sync for Words {}

impl Words {
    /// The whole words of a file, shared with every process that maps it. To write to what was mapped for reading ends the
    /// process; only [`crate::LedgerReader`] asks for that, and it has nothing that writes.
    pub(crate) fn of_file(file: &File, len_bytes: u64, writable: bool) -> io::Result<Self> {
        let len_bytes = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address that the kernel chooses replaces nothing.
        let start = unsafe { mmap(std::ptr::null_mut(), len_bytes, protection, MapFlags::SHARED, file, 0) }?;
        Self::new(start.cast(), len_bytes)
    }

    /// Words of this process alone, all 0; memory is used as they are touched.
    pub(crate) fn in_memory(len_bytes: u64) -> io::Result<Self> {
        let len_bytes = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above.
        let start =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len_bytes, protection, MapFlags::PRIVATE) }?;
        Self::new(start.cast(), len_bytes)
    }

    fn new(start: *mut AtomicU64, len_bytes: usize) -> io::Result<Self> {
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len: len_bytes / size_of::<AtomicU64>() })
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has at least this many words, begins at a page (so they are aligned), lives until `drop`, and
        // every other process uses it by atomic instructions of the same size.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: our own mapping; nothing borrowed from it can outlive this value.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len * size_of::<AtomicU64>()) };
        debug_assert!(unmapped.is_ok(), "our own mapping can be given back");
    }
}
