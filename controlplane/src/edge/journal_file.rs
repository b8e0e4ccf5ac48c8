//! The journal on disk: appended to and flushed for every change, begun anew when it has become long.

use crate::edge::map_files::{Stamp, rename_into_place, write_draft};
use edgeformat::{Change, StreamId, journal};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The journal that this process writes.
#[derive(Debug)]
pub(in crate::edge) struct JournalFile {
    path: PathBuf,
    file: File,
    stream: StreamId,
    /// Where it ends, in bytes and as a sequence number.
    end: Place,
    /// Where it ended at the last mark, and at the one before.
    marks: [Place; 2],
    /// Whether the file ends with a piece of a line that could not be taken back.
    is_torn: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    sequence: u64,
}

impl JournalFile {
    /// A journal in place of the one that is there, beginning after a sequence.
    pub(in crate::edge) fn begin(path: &Path, stream: StreamId, after: u64) -> io::Result<(Self, Stamp)> {
        Self::begin_with(path, stream, after, &[], after)
    }

    fn begin_with(
        path: &Path,
        stream: StreamId,
        after: u64,
        lines: &[u8],
        to: u64,
    ) -> io::Result<(Self, Stamp)> {
        let header = journal::write_header(stream, after);
        let text = [header.as_bytes(), lines].concat();
        let draft = path.with_extension("journal.new");
        let stamp = write_draft(&draft, &text)?;
        // Opened before it has its name: what we append to is what we have written.
        let file = OpenOptions::new().read(true).append(true).open(&draft)?;
        rename_into_place(&draft, path)?;
        let start = Place { offset: header.len() as u64, sequence: after };
        let end = Place { offset: text.len() as u64, sequence: to };
        let new = Self { path: path.to_owned(), file, stream, end, marks: [start; 2], is_torn: false };
        Ok((new, stamp))
    }

    /// Adds the changes that follow the last one. After this they survive a crash and a power failure.
    ///
    /// # Errors
    /// The file could not be written, e.g. since the disk is full; it ends as before.
    pub(in crate::edge) fn append(&mut self, changes: &[Change]) -> io::Result<Stamp> {
        let text = journal::write_lines(self.stream, self.end.sequence, changes.iter().copied());
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let taken_back = self.file.set_len(self.end.offset).and_then(|()| self.file.sync_data());
            self.is_torn = taken_back.is_err();
            return Err(error);
        }
        self.end.offset += text.len() as u64;
        self.end.sequence += changes.len() as u64;
        let mut stamp = Stamp::of(&self.file.metadata()?);
        // What somebody else appended meanwhile is not ours: the stamp is that of the file as it should be.
        stamp.len = self.end.offset;
        Ok(stamp)
    }

    /// Whether more can be appended.
    pub(in crate::edge) const fn is_usable(&self) -> bool {
        !self.is_torn
    }

    /// How long it is, in bytes.
    pub(in crate::edge) const fn len(&self) -> u64 {
        self.end.offset
    }

    /// Notes where it ends now; called now and then, see [`Self::shorten`].
    pub(in crate::edge) const fn mark(&mut self) {
        self.marks = [self.marks[1], self.end];
    }

    /// Begins it anew with what came after the mark before the last one. An HAProxy that is loading has read the tables
    /// a moment ago; what it lacks came later than that.
    pub(in crate::edge) fn shorten(&mut self) -> io::Result<Stamp> {
        let [from, _] = self.marks;
        let mut lines = vec![0; usize::try_from(self.end.offset - from.offset).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut lines, from.offset)?;
        let (new, stamp) =
            Self::begin_with(&self.path, self.stream, from.sequence, &lines, self.end.sequence)?;
        *self = new;
        Ok(stamp)
    }
}
