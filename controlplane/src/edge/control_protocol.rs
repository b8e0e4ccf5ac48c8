//! What `suiftly admin` and `suiftly serve` say to each other on `control.sock`: one JSON object a line, one
//! question, one answer.
//!
//! ```text
//! {"wait_for_sequence":12,"limit_ms":10000,"stream":"9f3c00aa51e2d07b"}
//! {"applied":true,"sequence":12,"edges":[{"edge":"local","applied":true,"sequence":12,"detail":null}]}
//! {"edges":true}
//! {"edges":[{"edge":"local","in_step":true,…}]}
//! {"resync":true,"limit_ms":60000,"edge":"fra1"}
//! {"applied":true,"sequence":12,"edges":[…]}
//! {"ping":true}
//! {"pong":true}
//! ```

use crate::edge::report::EdgeReport;
use serde::{Deserialize, Serialize};

/// The longest question, in bytes.
pub const LINE_LEN_MAX: u64 = 64 * 1024;
/// The longest answer, in bytes: some thousand edges.
pub const ANSWER_LEN_MAX: u64 = 8 * 1024 * 1024;
/// The longest wait that can be asked for, in milliseconds.
pub const WAIT_LIMIT_MAX_MS: u64 = 600_000;

/// A question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Question {
    /// Wake the agent and answer when every edge has confirmed, or the limit has passed.
    Wait {
        /// What must be confirmed.
        wait_for_sequence: u64,
        /// How long to wait, in milliseconds.
        limit_ms: u64,
        /// The history that the sequence belongs to; left out, it is not compared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
    },
    /// How does each edge stand?
    Edges {
        /// Anything.
        edges: bool,
    },
    /// Write and load everything anew, and answer as [`Self::Wait`].
    Resync {
        /// Anything.
        resync: bool,
        /// How long to wait, in milliseconds.
        limit_ms: u64,
        /// Which edge; left out, all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edge: Option<String>,
    },
    /// Is anybody there?
    Ping {
        /// Anything.
        ping: bool,
    },
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Question::Wait`].
    Waited {
        /// Whether every edge has confirmed.
        applied: bool,
        /// The lowest sequence that an edge has confirmed.
        sequence: u64,
        /// Each edge.
        edges: Vec<EdgeAnswer>,
    },
    /// To [`Question::Edges`].
    Edges {
        /// Each edge.
        edges: Vec<EdgeReport>,
    },
    /// To [`Question::Ping`].
    Pong {
        /// True.
        pong: bool,
    },
    /// The question could not be read.
    Error {
        /// Why not.
        error: String,
    },
}

/// One edge in an [`Answer::Waited`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EdgeAnswer {
    /// Its name.
    pub edge: String,
    /// Whether it has confirmed.
    pub applied: bool,
    /// The last sequence that it has confirmed.
    pub sequence: u64,
    /// Why it has not.
    pub detail: Option<String>,
}
