//! An edge table as a file.
//!
//! ```text
//! # suiftly policies format=1 stream=9f3c00aa51e2d07b sequence=42 count=1 checksum=6b1f…
//! # customer service state plan allowlist
//! 305419896 seal enabled 3 -
//! ```
//!
//! The first line may end with ` journal=changes.journal` ([`crate::journal`]). It says what the rest must be; a file that does not match it is refused, and so is one that breaks off
//! (every line ends with a line feed). Blank lines and lines that begin with `#` may stand anywhere after the first.

use crate::allowlist::AllowlistEntry;
use crate::digest::TableDigest;
use crate::field::{FieldError, shown};
use crate::journal;
use crate::plan::Plan;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::revocation::Revocation;
use crate::stream::StreamId;
use std::fmt::{Display, Write};

/// The longest line, in bytes.
pub const LINE_LEN_MAX: usize = 256;

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct MapFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub reason: FieldError,
}

/// The first line of a table's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The stream that the table was made from.
    pub stream: StreamId,
    /// The last change that is in it.
    pub sequence: u64,
    /// How many entries follow.
    pub count: usize,
    /// The checksum of the entries.
    pub digest: TableDigest,
    /// Whether changes that came later stand in [`crate::journal`]: then the table is not whole without it.
    pub has_journal: bool,
}

/// An entry that can stand on a line of a table's file.
pub trait Entry: Display + Sized {
    /// The word for the table in the header.
    const TABLE: &'static str;
    /// The names of the fields, for the comment under the header.
    const COLUMNS: &'static str;
    /// Reads the fields of a line.
    fn from_line(line: &str) -> Result<Self, FieldError>;
    /// The digest of this entry.
    fn digest(&self) -> u64;
}

impl Entry for Policy {
    const TABLE: &'static str = "policies";
    const COLUMNS: &'static str = "customer service state plan allowlist";
    fn from_line(line: &str) -> Result<Self, FieldError> {
        Self::from_fields(line.split_ascii_whitespace())
    }
    fn digest(&self) -> u64 {
        self.digest()
    }
}

impl Entry for Revocation {
    const TABLE: &'static str = "revocations";
    const COLUMNS: &'static str = "fingerprint in-force-from-unix-seconds(0=at-once) kind";
    fn from_line(line: &str) -> Result<Self, FieldError> {
        Self::from_fields(line.split_ascii_whitespace())
    }
    fn digest(&self) -> u64 {
        self.digest()
    }
}

impl Entry for AllowlistEntry {
    const TABLE: &'static str = "allowlists";
    const COLUMNS: &'static str = "customer service prefix";
    fn from_line(line: &str) -> Result<Self, FieldError> {
        Self::from_fields(line.split_ascii_whitespace())
    }
    fn digest(&self) -> u64 {
        self.digest()
    }
}

/// The text of a table's file that stands alone.
pub fn write_table<E: Entry>(
    stream: StreamId,
    sequence: u64,
    entries: impl IntoIterator<Item = E>,
) -> String {
    write(stream, sequence, entries, "")
}

/// The text of a table's file beside which a journal has what came later; its first line ends with ` journal=` and the
/// journal's name, so that a reader who does not find the journal knows that changes are missing.
pub fn write_snapshot<E: Entry>(
    stream: StreamId,
    sequence: u64,
    entries: impl IntoIterator<Item = E>,
) -> String {
    write(stream, sequence, entries, &format!(" journal={}", journal::FILE))
}

fn write<E: Entry>(
    stream: StreamId,
    sequence: u64,
    entries: impl IntoIterator<Item = E>,
    journal: &str,
) -> String {
    let (mut lines, mut digest, mut count) = (String::new(), TableDigest::default(), 0_usize);
    for entry in entries {
        // Writing into a String cannot fail.
        let _ = writeln!(lines, "{entry}");
        digest.add(entry.digest());
        count += 1;
    }
    format!(
        "# suiftly {} format=1 stream={stream} sequence={sequence} count={count} checksum={digest}{journal}\n# {}\n{lines}",
        E::TABLE,
        E::COLUMNS
    )
}

/// Reads a table's file: calls `each` for every entry in order. What `each` was given before an error must be thrown
/// away.
pub fn read_table<E: Entry>(
    text: &str,
    mut each: impl FnMut(E) -> Result<(), FieldError>,
) -> Result<Header, MapFileError> {
    read_digested_table(text, |entry, _| each(entry))
}

/// The same, and `each` is given the entry's digest, too: for a million entries making them is the longest part.
pub fn read_digested_table<E: Entry>(
    text: &str,
    mut each: impl FnMut(E, u64) -> Result<(), FieldError>,
) -> Result<Header, MapFileError> {
    let first = text.lines().next().unwrap_or_default();
    let header = read_header::<E>(first).map_err(|reason| MapFileError { line: 1, reason })?;
    let (mut digest, mut count) = (TableDigest::default(), 0_usize);
    let last = for_each_line(text, 2, |line| {
        let entry = E::from_line(line)?;
        let entry_digest = entry.digest();
        digest.add(entry_digest);
        count += 1;
        each(entry, entry_digest)
    })?;
    let wrong = |reason: String| MapFileError { line: last, reason: FieldError::new(reason) };
    if count != header.count {
        return Err(wrong(format!(
            "the file ends after {count} entries, its first line says {}",
            header.count
        )));
    }
    if digest != header.digest {
        return Err(wrong(format!(
            "the entries have the checksum {digest}, the first line says {}; a line was changed by hand or damaged",
            header.digest
        )));
    }
    Ok(header)
}

/// Reads only the header.
pub fn read_header<E: Entry>(first_line: &str) -> Result<Header, FieldError> {
    let mut words = first_line.split(' ');
    let expected = format!("# suiftly {} format=1", E::TABLE);
    let start: Vec<&str> = words.by_ref().take(4).collect();
    if start.join(" ") != expected {
        return Err(FieldError::new(format!("the first line must begin with `{expected} stream=…`")));
    }
    let mut value = |name: &str| {
        let word =
            words.next().and_then(|word| word.strip_prefix(name)).and_then(|rest| rest.strip_prefix('='));
        word.ok_or_else(|| FieldError::new(format!("`{name}=…` is missing in the first line")))
    };
    let stream = value("stream")?.parse()?;
    let sequence = header_number(value("sequence")?, "sequence")?;
    let count = header_number(value("count")?, "count")?;
    let digest = TableDigest::from_hex(value("checksum")?)
        .ok_or_else(|| FieldError::new("`checksum` must be 16 lower-case hex digits"))?;
    let mut rest = words.peekable();
    let has_journal = rest.next_if(|word| word.strip_prefix("journal=") == Some(journal::FILE)).is_some();
    match rest.next() {
        None => Ok(Header { stream, sequence, count, digest, has_journal }),
        Some(extra) => Err(FieldError::new(format!("`{}` is too much in the first line", shown(extra)))),
    }
}

fn header_number<N: std::str::FromStr>(word: &str, name: &str) -> Result<N, FieldError> {
    word.parse().map_err(|_| FieldError::new(format!("`{name}` must be a whole number")))
}

/// Reads `plans.map`: `number packed-rates`, numbers once each.
pub fn read_plans(text: &str) -> Result<Vec<Plan>, MapFileError> {
    let mut plans: Vec<Plan> = Vec::new();
    for_each_line(text, 1, |line| {
        let plan = Plan::from_fields(line.split_ascii_whitespace())?;
        if plans.iter().any(|known| known.number == plan.number) {
            return Err(FieldError::new(format!("plan {} stands here twice", plan.number)));
        }
        plans.push(plan);
        Ok(())
    })?;
    Ok(plans)
}

/// Reads `services.map`: `service-number backend`, each number at most once.
pub fn read_services(text: &str) -> Result<Vec<(apikey::Service, String)>, MapFileError> {
    let mut services: Vec<(apikey::Service, String)> = Vec::new();
    for_each_line(text, 1, |line| {
        let (number, backend) = two_words(line, "a line is a service number and a backend's name")?;
        let service = number.parse().ok().and_then(apikey::Service::from_number);
        let service = service.ok_or_else(|| {
            FieldError::new(format!(
                "`{}` is no service number; known are 1 seal, 2 grpc, 3 graphql",
                shown(number)
            ))
        })?;
        if services.iter().any(|(known, _)| *known == service) {
            return Err(FieldError::new(format!("service {number} stands here twice")));
        }
        let name_chars = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        if backend.is_empty() || backend.contains(' ') || !backend.bytes().all(name_chars) {
            return Err(FieldError::new(format!("`{}` is no name of a backend", shown(backend))));
        }
        services.push((service, backend.to_owned()));
        Ok(())
    })?;
    Ok(services)
}

/// Reads `errors.map`: `reason status|code|title|grpc-status`. Every reason must be there; only titles may differ
/// from the table in [`crate::reason`].
pub fn read_errors(text: &str) -> Result<(), MapFileError> {
    let mut seen = [false; 256];
    let last = for_each_line(text, 1, |line| {
        let (number, value) =
            two_words(line, "a line is a reason's number and `status|code|title|grpc-status`")?;
        let reason = number.parse().ok().and_then(Reason::from_number);
        let reason =
            reason.ok_or_else(|| FieldError::new(format!("`{}` is no reason's number", shown(number))))?;
        let parts: Vec<&str> = value.split('|').collect();
        let [status, code, title, grpc_status] = parts.as_slice() else {
            return Err(FieldError::new("the value must have four parts: status|code|title|grpc-status"));
        };
        let fixed = [reason.status().to_string(), reason.code().to_owned(), reason.grpc_status().to_string()];
        if [*status, *code, *grpc_status] != fixed {
            let [status, code, grpc_status] = fixed;
            return Err(FieldError::new(format!(
                "reason {number} is `{status}|{code}|…|{grpc_status}`; only the title may be reworded"
            )));
        }
        if title.is_empty() || title.chars().any(|c| c.is_control() || "\"\\".contains(c)) {
            return Err(FieldError::new(
                "a title is not empty and has no quote, backslash or control character",
            ));
        }
        match seen.get_mut(usize::from(reason.number())) {
            Some(seen) if *seen => Err(FieldError::new(format!("reason {number} stands here twice"))),
            Some(seen) => {
                *seen = true;
                Ok(())
            }
            None => Ok(()),
        }
    })?;
    match Reason::all().find(|reason| seen.get(usize::from(reason.number())) != Some(&true)) {
        None => Ok(()),
        Some(missing) => Err(MapFileError {
            line: last,
            reason: FieldError::new(format!("reason {} ({missing}) is missing", missing.number())),
        }),
    }
}

/// The text of `errors.map` as it is made for a new edge.
pub fn default_errors() -> String {
    let mut text = String::from(
        "# What a caller is told: reason's number, then status|code|title|grpc-status.\n\
         # Titles may be reworded; the rest is fixed and checked at start.\n",
    );
    for reason in Reason::all() {
        let _ = writeln!(text, "{} {}", reason.number(), reason.map_value());
    }
    text
}

/// The most lines of `local-revocations.map`: for emergencies at one edge, not for what belongs into the database.
pub const LOCAL_REVOCATIONS_MAX: u32 = 100_000;

/// Reads `local-revocations.map`: a fingerprint a line, each once; or a whole line as in `revocations.map`.
pub fn read_local_revocations(text: &str) -> Result<Vec<Revocation>, MapFileError> {
    let (mut revocations, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for_each_line(text, 1, |line| {
        let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.len() == 1 {
            words.extend(["0", "revoked"]);
        }
        let revocation = Revocation::from_fields(words.into_iter())?;
        if !seen.insert(revocation.fingerprint) {
            return Err(FieldError::new("this fingerprint stands here twice"));
        }
        if revocations.len() >= LOCAL_REVOCATIONS_MAX as usize {
            return Err(FieldError::new(format!(
                "at most {LOCAL_REVOCATIONS_MAX} keys can be refused here; use `suiftly admin key revoke --file`"
            )));
        }
        revocations.push(revocation);
        Ok(())
    })?;
    Ok(revocations)
}

/// The text of `local-revocations.map` as it is made for a new edge.
pub fn default_local_revocations() -> String {
    "# Keys that this edge refuses beside those of the database: a fingerprint (16 hex digits) a line.\n\
     # For an emergency at one edge; everywhere and for ever is `suiftly admin key revoke`.\n"
        .to_owned()
}

/// The text of `services.map` as it is made for a new edge.
pub fn default_services() -> String {
    let mut text = String::from(
        "# Which backend serves a service: service number, then a backend of haproxy.cfg.\n\
         # Moved at run time with `set map`; a name that does not exist is answered 503 no_backend.\n",
    );
    for service in apikey::Service::ALL {
        let _ = writeln!(text, "{} {}", service.number(), service.name());
    }
    text
}

/// The text of `plans.map`.
pub fn write_plans(plans: impl IntoIterator<Item = Plan>) -> String {
    let mut text = String::from(
        "# What a plan allows: number, then guaranteed/s + burst/s * 2^20 + burst's priority class * 2^40.\n\
         # Owned by the database; written by `suiftly serve`.\n",
    );
    for plan in plans {
        let _ = writeln!(text, "{plan}");
    }
    text
}

fn two_words<'a>(line: &'a str, expected: &str) -> Result<(&'a str, &'a str), FieldError> {
    let split = line.split_once(|c: char| c.is_ascii_whitespace());
    split.map(|(key, value)| (key, value.trim())).ok_or_else(|| FieldError::new(expected))
}

/// Calls `each` for every line from `first` on that is no comment and not blank; answers the number of the last line.
fn for_each_line(
    text: &str,
    first: usize,
    mut each: impl FnMut(&str) -> Result<(), FieldError>,
) -> Result<usize, MapFileError> {
    let mut last = first;
    for (index, line) in text.lines().enumerate().skip(first - 1) {
        last = index + 1;
        let at = |reason| MapFileError { line: last, reason };
        if line.len() > LINE_LEN_MAX {
            return Err(at(FieldError::new(format!("the line is longer than {LINE_LEN_MAX} bytes"))));
        }
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            each(trimmed).map_err(at)?;
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        let reason = FieldError::new("the last line has no end: the file was cut off");
        return Err(MapFileError { line: last, reason });
    }
    Ok(last)
}
