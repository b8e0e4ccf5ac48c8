//! The words behind `suiftly apply` on HAProxy's runtime socket.
//!
//! ```text
//! suiftly apply delta  <stream> <from> <to> <checksum> <change>,<change>,…
//! suiftly apply begin  <load> <stream> <sequence> <policies> <revocations> [<allowlists>]
//! suiftly apply part   <load> <part> <checksum> <change>,<change>,…
//! suiftly apply commit <load> <parts> <policies-checksum> <revocations-checksum> [<allowlists-checksum>]
//! suiftly apply local-begin  <load> <revocations>
//! suiftly apply local-part   <load> <part> <checksum> <change>,<change>,…
//! suiftly apply local-commit <load> <parts> <revocations-checksum>
//! ```
//!
//! A delta takes an edge from sequence `from` to `to`; one that it has already changes nothing. A load replaces the
//! tables whole: begin, parts 1.., commit; nothing is visible before the commit. `checksum` is the digest of the last
//! word. The three `local-` commands do the same with the operator's own revocations, which have no sequence. `-` stands for no changes.
//! What is said of allowlists is left out where there are none, so that modules and agents from before them are understood. HAProxy splits a command at spaces into at most 64 words and drops what exceeds
//! its buffer of 16 kB, so all changes are one word, and one command stays below [`COMMAND_LEN_MAX`].
//! The caller checks the counts in the answer.

use crate::change::Change;
use crate::digest::{digest_of_bytes, parse_hex64};
use crate::field::{FieldError, Fields, shown};
use crate::stream::StreamId;

/// The longest command, in bytes. HAProxy's default buffer is 16,384, of which it reserves 1,024 for rewrites.
pub const COMMAND_LEN_MAX: usize = 15_000;

/// The longest list of changes in one command, in bytes: what is left of [`COMMAND_LEN_MAX`] beside the other words
/// and the master socket's `@!<pid>` in front.
pub const CHANGES_LEN_MAX: usize = COMMAND_LEN_MAX - 200;

/// One parsed `suiftly apply` command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Apply {
    /// From one sequence to another.
    Delta {
        /// The stream that both sequences belong to.
        stream: StreamId,
        /// What the edge must have.
        from: u64,
        /// What it has afterwards.
        to: u64,
        /// The changes in order.
        changes: Vec<Change>,
    },
    /// Starts a load that replaces all tables.
    Begin {
        /// A number that names this load; parts of another one are refused.
        load: u64,
        /// The stream of the new tables.
        stream: StreamId,
        /// The sequence of the new tables.
        sequence: u64,
        /// How many policies will come.
        policies: u32,
        /// How many revocations will come.
        revocations: u32,
        /// How many entries of allowlists will come.
        allowlists: u32,
    },
    /// Starts a load that replaces the operator's own revocations.
    LocalBegin {
        /// A number that names this load.
        load: u64,
        /// How many revocations will come.
        revocations: u32,
    },
    /// A part of such a load.
    LocalPart {
        /// Which load.
        load: u64,
        /// 1, 2, 3, …
        part: u32,
        /// Only `+r`.
        changes: Vec<Change>,
    },
    /// Ends such a load.
    LocalCommit {
        /// Which load.
        load: u64,
        /// How many parts were sent.
        parts: u32,
        /// The checksum that the new set must have.
        revocations_digest: u64,
    },
    /// A part of a load.
    Part {
        /// Which load.
        load: u64,
        /// 1, 2, 3, …
        part: u32,
        /// Only `+p`, `+r` and `+a`.
        changes: Vec<Change>,
    },
    /// Ends a load: if everything has come, the new tables are in force.
    Commit {
        /// Which load.
        load: u64,
        /// How many parts were sent.
        parts: u32,
        /// The checksum that the new policies must have.
        policies_digest: u64,
        /// The checksum that the new revocations must have.
        revocations_digest: u64,
        /// The checksum that the new allowlists must have.
        allowlists_digest: u64,
    },
}

impl Apply {
    /// Reads the words after `suiftly apply`.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut words = Fields::new(words.filter(|word| !word.is_empty()));
        let apply = match words.word("command")? {
            "delta" => {
                let stream = words.word("stream")?.parse()?;
                let (from, to) = (words.number("from")?, words.number("to")?);
                if from >= to {
                    return Err(FieldError::new("`to` must be larger than `from`"));
                }
                Self::Delta { stream, from, to, changes: checked_changes(&mut words)? }
            }
            "begin" => Self::Begin {
                load: words.number("load")?,
                stream: words.word("stream")?.parse()?,
                sequence: words.number("sequence")?,
                policies: words.number("policies")?,
                revocations: words.number("revocations")?,
                allowlists: match words.further() {
                    None => 0,
                    Some(word) => only_number(word, "allowlists")?,
                },
            },
            "local-begin" => {
                Self::LocalBegin { load: words.number("load")?, revocations: words.number("revocations")? }
            }
            "local-part" => Self::LocalPart {
                load: words.number("load")?,
                part: words.number("part")?,
                changes: checked_changes(&mut words)?,
            },
            "local-commit" => Self::LocalCommit {
                load: words.number("load")?,
                parts: words.number("parts")?,
                revocations_digest: hex64(words.word("revocations checksum")?)?,
            },
            "part" => Self::Part {
                load: words.number("load")?,
                part: words.number("part")?,
                changes: checked_changes(&mut words)?,
            },
            "commit" => Self::Commit {
                load: words.number("load")?,
                parts: words.number("parts")?,
                policies_digest: hex64(words.word("policies checksum")?)?,
                revocations_digest: hex64(words.word("revocations checksum")?)?,
                allowlists_digest: words.further().map_or(Ok(0), hex64)?,
            },
            other => {
                let other = shown(other);
                return Err(FieldError::new(format!("`{other}` is none of delta, begin, part and commit")));
            }
        };
        words.end()?;
        Ok(apply)
    }

    /// The words after `suiftly apply`, for [`Self::parse`].
    pub fn text(&self) -> String {
        match self {
            Self::Delta { stream, from, to, changes } => {
                let (checksum, changes) = joined(changes);
                format!("delta {stream} {from} {to} {checksum:016x} {changes}")
            }
            Self::Begin { load, stream, sequence, policies, revocations, allowlists } => {
                let text = format!("begin {load} {stream} {sequence} {policies} {revocations}");
                if *allowlists == 0 { text } else { format!("{text} {allowlists}") }
            }
            Self::LocalBegin { load, revocations } => format!("local-begin {load} {revocations}"),
            Self::LocalPart { load, part, changes } => {
                let (checksum, changes) = joined(changes);
                format!("local-part {load} {part} {checksum:016x} {changes}")
            }
            Self::LocalCommit { load, parts, revocations_digest } => {
                format!("local-commit {load} {parts} {revocations_digest:016x}")
            }
            Self::Part { load, part, changes } => {
                let (checksum, changes) = joined(changes);
                format!("part {load} {part} {checksum:016x} {changes}")
            }
            Self::Commit { load, parts, policies_digest, revocations_digest, allowlists_digest } => {
                let text = format!("commit {load} {parts} {policies_digest:016x} {revocations_digest:016x}");
                if *allowlists_digest == 0 { text } else { format!("{text} {allowlists_digest:016x}") }
            }
        }
    }
}

/// Splits changes into lists whose text fits one command, keeping their order.
pub fn parts_of(changes: impl IntoIterator<Item = Change>) -> Vec<Vec<Change>> {
    let mut parts = Vec::new();
    let (mut part, mut part_len) = (Vec::new(), 0);
    for change in changes {
        let len = change.to_string().len() + 1;
        if part_len + len > CHANGES_LEN_MAX {
            parts.push(std::mem::take(&mut part));
            part_len = 0;
        }
        part.push(change);
        part_len += len;
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

fn joined(changes: &[Change]) -> (u64, String) {
    let mut text = String::new();
    for change in changes {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&change.to_string());
    }
    if text.is_empty() {
        text.push('-');
    }
    (digest_of_bytes(text.as_bytes()), text)
}

fn checked_changes<'a>(
    words: &mut Fields<'a, impl Iterator<Item = &'a str>>,
) -> Result<Vec<Change>, FieldError> {
    let checksum = hex64(words.word("checksum")?)?;
    let text = words.word("changes")?;
    if digest_of_bytes(text.as_bytes()) != checksum {
        return Err(FieldError::new("the changes do not match their checksum; nothing was applied"));
    }
    if text == "-" { Ok(Vec::new()) } else { text.split(',').map(str::parse).collect() }
}

fn only_number(word: &str, name: &str) -> Result<u32, FieldError> {
    Fields::new(std::iter::once(word)).number(name)
}

fn hex64(word: &str) -> Result<u64, FieldError> {
    parse_hex64(word).ok_or_else(|| FieldError::new("a checksum is 16 lower-case hex digits"))
}
