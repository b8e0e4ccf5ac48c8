//! What a command answers: once for programs, once for people.

use crate::cli::{Exit, Failure};
use serde::Serialize;

/// The answer of a command that did what it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// One JSON object.
    pub json: String,
    /// The same for people, at most 100 columns wide.
    pub text: String,
    /// Remarks for stderr.
    pub notes: Vec<String>,
    /// [`Exit::Done`] mostly; where the answer is that something is not as it should be, what says so.
    pub exit: Exit,
}

impl Reply {
    /// An answer.
    ///
    /// # Errors
    /// The value cannot be written as JSON, which no value of ours can be.
    pub fn new(json: &impl Serialize, text: impl Into<String>) -> Result<Self, Failure> {
        let json = serde_json::to_string(json).map_err(|error| {
            Failure::new(Exit::Other, format!("the answer cannot be written as JSON: {error}"))
        })?;
        Ok(Self { json, text: text.into(), notes: Vec::new(), exit: Exit::Done })
    }

    /// The answer of a command that has nothing to say.
    pub const fn nothing() -> Self {
        Self { json: String::new(), text: String::new(), notes: Vec::new(), exit: Exit::Done }
    }

    /// The same with a remark.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Names and values, one a line, aligned.
pub fn lines(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
