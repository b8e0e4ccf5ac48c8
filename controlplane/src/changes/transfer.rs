//! The stream as it travels to an agent on another machine: lines of text, with a checksum at the end.
//!
//! ```text
//! {"format":1,"edge":"fra1","stream":"9f3c00aa51e2d07b","after":11,"sequence":13,"count":2,"resyncs":0,"check":null}
//! +p:305419896:seal:enabled:3:-
//! +r:4100000112345678:0:revoked
//! {"sha256":"…"}
//! ```
//!
//! `after` is none in a snapshot, whose lines set everything that there is. The checksum covers every byte before its own
//! line. What breaks off or has been altered on the way is taken by nobody.

use crate::changes::feed::{Feed, Snapshot};
use crate::db::stream::Position;
use crate::edge::board::TableCheck;
use apikey::{CheckValue, Group};
use data_encoding::HEXLOWER;
use edgeformat::change::CHANGE_LEN_MAX;
use edgeformat::{Change, StreamId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

/// The version of this format.
const FORMAT: u32 = 1;
/// The longest first or last line, in bytes.
const HEADER_LEN_MAX: u64 = 4_096;
/// The most changes in one transfer: more than an edge could hold.
const COUNT_MAX: u64 = 50_000_000;

/// Beyond any history: a thousand changes a second for a hundred million years.
const SEQUENCE_MAX: u64 = 1 << 62;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    format: u32,
    /// Whose token it was.
    pub edge: String,
    stream: String,
    after: Option<u64>,
    sequence: u64,
    count: u64,
    /// How many times the edge was asked to load everything anew.
    pub resyncs: u64,
    check: Option<Check>,
    /// The master key groups that the edge must hold, each as the change that sets it.
    #[serde(default)]
    key_groups: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Check {
    stream: String,
    sequence: u64,
    policies: String,
    revocations: String,
    allowlists: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    sha256: String,
}

/// Why a transfer is not used.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It could not be read, or broke off.
    #[error("the control plane's answer broke off")]
    Io(#[from] io::Error),
    /// It is not what this version understands.
    #[error("the control plane's answer is not understood: {0}")]
    Malformed(String),
    /// It was altered on the way.
    #[error("the control plane's answer does not have the checksum that it says")]
    Checksum,
}

/// What an edge is told beside the changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Its name.
    pub edge: String,
    /// How many times it was asked to load everything anew.
    pub resyncs: u64,
    /// The checksums that the whole database had when it was last looked at.
    pub check: Option<TableCheck>,
    /// The master key groups that it must hold, with the check value of each secret.
    pub key_groups: BTreeMap<Group, CheckValue>,
}

/// Writes what comes after `known` in the form above.
///
/// # Errors
/// The writer's.
pub fn write(to: impl Write, about: &About, known: Position, feed: Feed) -> io::Result<()> {
    match feed {
        Feed::Changes(changes) => {
            let sequence = changes.last().map_or(known.sequence, |(sequence, _)| *sequence);
            let to_there = Position { stream: known.stream, sequence };
            let count = changes.len() as u64;
            let changes = changes.into_iter().map(|(_, change)| change);
            write_lines(to, about, Some(known.sequence), to_there, count, changes)
        }
        Feed::Snapshot(snapshot) => {
            let (position, count) = (snapshot.position, snapshot.len());
            write_lines(to, about, None, position, count, snapshot.into_changes())
        }
    }
}

fn write_lines(
    to: impl Write,
    about: &About,
    after: Option<u64>,
    position: Position,
    count: u64,
    changes: impl Iterator<Item = Change>,
) -> io::Result<()> {
    let check = about.check.as_ref().map(|check| Check {
        stream: check.position.stream.to_string(),
        sequence: check.position.sequence,
        policies: check.policies.clone(),
        revocations: check.revocations.clone(),
        allowlists: check.allowlists.clone(),
    });
    let header = Header {
        format: FORMAT,
        edge: about.edge.clone(),
        stream: position.stream.to_string(),
        after,
        sequence: position.sequence,
        count,
        resyncs: about.resyncs,
        check,
        key_groups: about
            .key_groups
            .iter()
            .map(|(group, check)| Change::SetKeyGroup(*group, *check).to_string())
            .collect(),
    };
    let mut to = Summing { to, sum: Sha256::new() };
    serde_json::to_writer(&mut to, &header)?;
    to.write_all(b"\n")?;
    for change in changes {
        writeln!(to, "{change}")?;
    }
    let end = End { sha256: HEXLOWER.encode(&to.sum.finalize_reset()) };
    serde_json::to_writer(&mut to, &end)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// Reads a transfer whole: a snapshot, or the changes after what was asked.
///
/// # Errors
/// [`TransferError`]; nothing of it may be used then.
pub fn read(from: impl BufRead, asked: Option<Position>) -> Result<(About, Feed), TransferError> {
    let mut lines = Lines { from, sum: Sha256::new(), line: String::new() };
    let header: Header = parse_json(lines.next(HEADER_LEN_MAX)?)?;
    let malformed = |what: String| TransferError::Malformed(what);
    if header.format != FORMAT {
        return Err(malformed(format!("it has format {}, this version knows {FORMAT}", header.format)));
    }
    if header.count > COUNT_MAX {
        return Err(malformed(format!("it has {} changes", header.count)));
    }
    let stream: StreamId = header.stream.parse().map_err(|error| malformed(format!("`stream`: {error}")))?;
    let position = Position { stream, sequence: header.sequence };
    if header.sequence > SEQUENCE_MAX {
        return Err(malformed(format!("no history is at change {}", header.sequence)));
    }
    let answered = header.after.map(|sequence| Position { stream, sequence });
    if answered.is_some() && answered != asked {
        return Err(malformed("it answers another question than was asked".to_owned()));
    }
    let mut read_change = |number: u64| -> Result<Change, TransferError> {
        let line = lines.next(CHANGE_LEN_MAX as u64 + 1)?;
        line.parse().map_err(|error| malformed(format!("change {number}: {error}")))
    };
    let feed = match header.after {
        Some(after) => {
            if after.checked_add(header.count) != Some(header.sequence) {
                return Err(malformed("its changes do not lead to its sequence".to_owned()));
            }
            let numbers = after + 1..=header.sequence;
            let changes = numbers.map(|number| read_change(number).map(|change| (number, change)));
            Feed::Changes(changes.collect::<Result<_, _>>()?)
        }
        None => {
            let mut snapshot = Snapshot::empty(position);
            for number in 1..=header.count {
                let change = read_change(number)?;
                if !snapshot.take(change) {
                    return Err(malformed(format!("line {number} of a snapshot takes something away")));
                }
            }
            Feed::Snapshot(snapshot)
        }
    };
    let sum = HEXLOWER.encode(&lines.sum.finalize_reset());
    let end: End = parse_json(lines.next(HEADER_LEN_MAX)?)?;
    if end.sha256 != sum {
        return Err(TransferError::Checksum);
    }
    let check = header.check.map(|check| {
        let stream = check.stream.parse().map_err(|error| malformed(format!("`check`: {error}")))?;
        let position = Position { stream, sequence: check.sequence };
        Ok::<_, TransferError>(TableCheck {
            position,
            policies: check.policies,
            revocations: check.revocations,
            allowlists: check.allowlists,
        })
    });
    let mut key_groups = BTreeMap::new();
    for text in &header.key_groups {
        match text.parse() {
            Ok(Change::SetKeyGroup(group, check)) => key_groups.insert(group, check),
            _ => return Err(malformed("`key_groups` has something else".to_owned())),
        };
    }
    let about = About { edge: header.edge, resyncs: header.resyncs, check: check.transpose()?, key_groups };
    Ok((about, feed))
}

/// Where a transfer with these changes stands at its end.
pub fn end_of(known: Position, feed: &Feed) -> Position {
    match feed {
        Feed::Snapshot(snapshot) => snapshot.position,
        Feed::Changes(changes) => {
            let sequence = changes.last().map_or(known.sequence, |(sequence, _)| *sequence);
            Position { stream: known.stream, sequence }
        }
    }
}

fn parse_json<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, TransferError> {
    serde_json::from_str(line).map_err(|error| TransferError::Malformed(error.to_string()))
}

struct Summing<W> {
    to: W,
    sum: Sha256,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

struct Lines<R> {
    from: R,
    sum: Sha256,
    line: String,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; one that breaks off or is too long is none.
    fn next(&mut self, len_max: u64) -> Result<&str, TransferError> {
        self.line.clear();
        (&mut self.from).take(len_max).read_line(&mut self.line)?;
        self.sum.update(self.line.as_bytes());
        match self.line.strip_suffix('\n') {
            Some(line) => Ok(line),
            None if self.line.len() as u64 == len_max => {
                Err(TransferError::Malformed("a line is too long".to_owned()))
            }
            None => Err(TransferError::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    const STREAM: StreamId = StreamId::from_u64(0x9f3c_00aa_51e2_d07b);

    fn about() -> About {
        let position = Position { stream: STREAM, sequence: 13 };
        let check = TableCheck {
            position,
            policies: "p".to_owned(),
            revocations: "r".to_owned(),
            allowlists: "a".to_owned(),
        };
        About {
            edge: "fra1".to_owned(),
            resyncs: 2,
            check: Some(check),
            key_groups: [(Group::new(3).unwrap(), "0a1b2c3d".parse().unwrap())].into(),
        }
    }

    fn changes() -> Feed {
        let change = |text: &str| text.parse().unwrap();
        Feed::Changes(vec![
            (12, change("+p:305419896:seal:enabled:3:-")),
            (13, change("-r:4100000112345678")),
        ])
    }

    fn asked() -> Option<Position> {
        Some(Position { stream: STREAM, sequence: 11 })
    }

    fn written(feed: Feed) -> Vec<u8> {
        let mut text = Vec::new();
        write(&mut text, &about(), asked().unwrap(), feed).unwrap();
        text
    }

    #[test]
    fn changes_arrive_as_they_were_sent() {
        let text = written(changes());
        let (read_about, feed) = read(text.as_slice(), asked()).unwrap();
        assert_eq!(read_about, about());
        let (Feed::Changes(sent), Feed::Changes(got)) = (changes(), feed) else { panic!("a snapshot") };
        assert_eq!(got, sent);
    }

    #[test]
    fn a_snapshot_arrives_as_it_was_sent() {
        let position = Position { stream: STREAM, sequence: 700 };
        let build = || {
            let mut snapshot = Snapshot::empty(position);
            for text in ["+l:3:524300", "+p:305419896:seal:enabled:3:-", "+r:4100000112345678:9:expired"] {
                assert!(snapshot.take(text.parse().unwrap()));
            }
            assert!(!snapshot.take("-l:3".parse().unwrap()));
            snapshot
        };
        let (_, feed) = read(written(Feed::Snapshot(build())).as_slice(), asked()).unwrap();
        let Feed::Snapshot(got) = feed else { panic!("changes") };
        assert_eq!(got.position, position);
        let changes: Vec<Change> = got.into_changes().collect();
        assert_eq!(changes, build().into_changes().collect::<Vec<_>>());
    }

    #[test]
    fn what_breaks_off_or_was_altered_is_not_used() {
        let text = written(changes());
        for end in 0..text.len() {
            assert!(read(text.get(..end).unwrap(), asked()).is_err(), "cut at {end}");
        }
        for at in 0..text.len() - 1 {
            let mut altered = text.clone();
            // A digit becomes another digit, a letter another letter.
            *altered.get_mut(at).unwrap() ^= 1;
            assert!(read(altered.as_slice(), asked()).is_err(), "altered at {at}");
        }
        let other = Some(Position { stream: STREAM, sequence: 10 });
        assert!(read(text.as_slice(), other).is_err(), "an answer to another question");
        let endless = vec![b'x'; 100_000];
        assert!(matches!(read(endless.as_slice(), asked()), Err(TransferError::Malformed(_))));
    }
}
