//! Reading one field of a line or of a change.

use std::str::FromStr;

/// What is wrong with one entry, in words for the person who wrote it. Where it stands is added by the caller.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(String);

impl FieldError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The fields of one entry, taken one by one.
pub struct Fields<'a, I: Iterator<Item = &'a str>> {
    fields: I,
}

impl<'a, I: Iterator<Item = &'a str>> Fields<'a, I> {
    /// Fields from an iterator, e.g. `text.split(':')`.
    pub fn new(fields: I) -> Self {
        Self { fields }
    }

    /// The next field; `name` stands in the error when there is none.
    pub fn word(&mut self, name: &str) -> Result<&'a str, FieldError> {
        self.fields.next().ok_or_else(|| FieldError(format!("the field `{name}` is missing")))
    }

    /// The next field, where there is one.
    pub fn further(&mut self) -> Option<&'a str> {
        self.fields.next()
    }

    /// The next field as a decimal number without sign or leading zero, so that a number has one spelling.
    pub fn number<N: FromStr>(&mut self, name: &str) -> Result<N, FieldError> {
        let word = self.word(name)?;
        let canonical = word.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        match word.parse() {
            Ok(number) if canonical => Ok(number),
            _ => Err(FieldError(format!(
                "`{name}` must be a whole decimal number in its range, not `{}`",
                shown(word)
            ))),
        }
    }

    /// Ends the entry: a further field is an error.
    pub fn end(mut self) -> Result<(), FieldError> {
        match self.fields.next() {
            None => Ok(()),
            Some(extra) => Err(FieldError(format!("there is one field too many: `{}`", shown(extra)))),
        }
    }
}

/// At most 40 characters of what was found, safe to print on one line.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}
