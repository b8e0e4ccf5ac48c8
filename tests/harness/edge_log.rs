//! HAProxy's log, by request.

use crate::Stack;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// What the log says of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// `guaranteed`, `burst`, or `-` of one that was in no class.
    pub class: String,
    /// The status that the caller got.
    pub status: u16,
    /// How long it waited for a connection to a server; none of one that never got there.
    pub queue_ms: Option<u64>,
}

/// How long nothing more has to come before those that are missing are given up.
const QUIET: Duration = Duration::from_secs(2);

/// The lines of the requests whose ids are given, once they are written.
///
/// Some may be missing: a thread of HAProxy's that meets another one at the log some hundred times in a row drops its line,
/// which happens where that one has lost its core to another process. `DroppedLogs` in `show info` counts them.
pub fn lines_of<'a>(stack: &Stack, ids: impl Iterator<Item = &'a str>) -> HashMap<String, LogLine> {
    let mut wanted: HashSet<String> = ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
    let mut found = HashMap::with_capacity(wanted.len());
    let (mut read_len, mut last_change) = (0, Instant::now());
    while !wanted.is_empty() && last_change.elapsed() < QUIET {
        let log = std::fs::read_to_string(stack.log_path("haproxy")).unwrap();
        // Not beyond the last whole line.
        let end = log.rfind('\n').map_or(0, |end| end + 1);
        for line in log[read_len..end].lines() {
            let Some(text) = line.find('{').map(|start| &line[start..]) else { continue };
            let Ok(fields) = serde_json::from_str::<Value>(text) else { continue };
            let Some(id) = fields["id"].as_str().filter(|id| wanted.remove(*id)) else { continue };
            found.insert(id.to_owned(), line_from(&fields));
        }
        if end > read_len {
            (read_len, last_change) = (end, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    found
}

fn line_from(fields: &Value) -> LogLine {
    LogLine {
        class: fields["class"].as_str().unwrap_or("-").to_owned(),
        status: fields["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap(),
        queue_ms: fields["queue_ms"].as_u64(),
    }
}
