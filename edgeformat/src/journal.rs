//! What has changed since the tables' files were written: one line a batch, on disk before it is sent to anybody.
//!
//! ```text
//! # suiftly journal format=1 stream=9f3c00aa51e2d07b after=42
//! # from to checksum changes
//! 42 44 3973e022e93220f9 +r:4100000112345678:0:revoked,+p:305419896:seal:disabled:3:-
//! ```
//!
//! A line leads from one sequence to another and the next line begins where it ends, so a lost line is seen. The
//! checksum covers the stream and the rest of the line. A last line without its line feed is one that was being written
//! when the machine stopped; nobody was told of it, so it counts as not written. Anything else that is wrong is damage.

use crate::change::Change;
use crate::command::parts_of;
use crate::digest::{digest_of_bytes, parse_hex64};
use crate::field::{FieldError, Fields, shown};
use crate::map_file::MapFileError;
use crate::stream::StreamId;
use std::fmt::Write;

/// The name of the journal beside the tables' files.
pub const FILE: &str = "changes.journal";

/// The longest line, in bytes: what one command holds, and the words before it.
pub const LINE_LEN_MAX: usize = 16_384;

/// One line: the changes that lead from one sequence to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The sequence before.
    pub from: u64,
    /// The sequence afterwards.
    pub to: u64,
    /// The changes in order, one a sequence number.
    pub changes: Vec<Change>,
}

/// Reads a journal piece by piece, as it grows.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    header: Option<Header>,
    end: u64,
    lines: usize,
    offset: u64,
}

/// The first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The stream that all sequence numbers belong to.
    pub stream: StreamId,
    /// The sequence before the first line.
    pub after: u64,
}

impl Reader {
    /// The first line; none until it was read.
    pub const fn header(&self) -> Option<Header> {
        self.header
    }

    /// The sequence that the last line read leads to.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes of the journal were taken in: where to read on.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes in the bytes at [`Self::offset`], line by line, and calls `each` for every batch. What follows the last line
    /// feed is a line that is not whole yet; it is offered again, with what follows it.
    ///
    /// # Errors
    /// The first line that is damaged. The lines before it were taken in.
    pub fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Batch)) -> Result<(), MapFileError> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            let number = self.lines + 1;
            if let Some(batch) = self.line(whole).map_err(|reason| MapFileError { line: number, reason })? {
                self.end = batch.to;
                each(batch);
            }
            self.lines = number;
            self.offset += line.len() as u64;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Batch>, FieldError> {
        if line.len() > LINE_LEN_MAX {
            return Err(FieldError::new(format!("the line is longer than {LINE_LEN_MAX} bytes")));
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| FieldError::new("the line is not text: a write was torn, or the disk is damaged"))?;
        let Some(header) = self.header else {
            let header = read_header(line)?;
            (self.header, self.end) = (Some(header), header.after);
            return Ok(None);
        };
        // Only there: were a comment allowed anywhere, one damaged byte could hide the last line.
        if self.lines == 1 && line.starts_with('#') {
            return Ok(None);
        }
        let batch = read_batch(line, header.stream)?;
        if batch.from != self.end {
            return Err(FieldError::new(format!(
                "the line begins after {}, the one before it ends at {}: changes are missing",
                batch.from, self.end
            )));
        }
        Ok(Some(batch))
    }
}

/// The first lines of a journal.
pub fn write_header(stream: StreamId, after: u64) -> String {
    format!("# suiftly journal format=1 stream={stream} after={after}\n# from to checksum changes\n")
}

/// The lines for changes that follow sequence `from`, one sequence number each.
pub fn write_lines(stream: StreamId, mut from: u64, changes: impl IntoIterator<Item = Change>) -> String {
    let mut text = String::new();
    for part in parts_of(changes) {
        let to = from + part.len() as u64;
        let changes = part.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{from} {to} {:016x} {changes}", checksum(stream, from, to, &changes));
        from = to;
    }
    text
}

fn checksum(stream: StreamId, from: u64, to: u64, changes: &str) -> u64 {
    digest_of_bytes(format!("{stream} {from} {to} {changes}").as_bytes())
}

fn read_header(line: &str) -> Result<Header, FieldError> {
    let expected = "# suiftly journal format=1";
    let wrong = || FieldError::new(format!("the first line must be `{expected} stream=… after=…`"));
    let words: Vec<&str> = line.strip_prefix(expected).ok_or_else(wrong)?.split(' ').collect();
    let ["", stream, after] = words.as_slice() else { return Err(wrong()) };
    let stream = stream.strip_prefix("stream=").ok_or_else(wrong)?.parse()?;
    let after = after.strip_prefix("after=").ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    Ok(Header { stream, after })
}

fn read_batch(line: &str, stream: StreamId) -> Result<Batch, FieldError> {
    let mut words = Fields::new(line.split(' '));
    let (from, to): (u64, u64) = (words.number("from")?, words.number("to")?);
    let found = words.word("checksum")?;
    let text = words.word("changes")?;
    words.end()?;
    if parse_hex64(found) != Some(checksum(stream, from, to, text)) {
        return Err(FieldError::new(format!(
            "the line does not match its checksum `{}`; it was changed by hand or damaged",
            shown(found)
        )));
    }
    let changes = text.split(',').map(str::parse).collect::<Result<Vec<Change>, _>>()?;
    if to.checked_sub(from) != Some(changes.len() as u64) {
        return Err(FieldError::new(format!("{} changes do not lead from {from} to {to}", changes.len())));
    }
    Ok(Batch { from, to, changes })
}
