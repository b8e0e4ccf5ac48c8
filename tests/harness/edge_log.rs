//! HAProxy's log, by request.

use crate::Stack;
use crate::http::wait_for;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

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

/// The lines of all requests whose ids are given, once they are written.
pub fn lines_of<'a>(stack: &Stack, ids: impl Iterator<Item = &'a str>) -> HashMap<String, LogLine> {
    let mut wanted: HashSet<String> = ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
    let mut found = HashMap::with_capacity(wanted.len());
    let mut read_len = 0;
    wait_for("the requests' log lines", Duration::from_secs(20), || {
        let log = std::fs::read_to_string(stack.log_path("haproxy")).unwrap();
        // Not beyond the last whole line.
        let end = log.rfind('\n').map_or(0, |end| end + 1);
        for line in log[read_len..end].lines() {
            let Some(text) = line.find('{').map(|start| &line[start..]) else { continue };
            let Ok(fields) = serde_json::from_str::<Value>(text) else { continue };
            let Some(id) = fields["id"].as_str().filter(|id| wanted.remove(*id)) else { continue };
            found.insert(id.to_owned(), line_from(&fields));
        }
        read_len = end;
        wanted.is_empty().then_some(())
    });
    found
}

fn line_from(fields: &Value) -> LogLine {
    LogLine {
        class: fields["class"].as_str().unwrap_or("-").to_owned(),
        status: fields["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap(),
        queue_ms: fields["queue_ms"].as_u64(),
    }
}
