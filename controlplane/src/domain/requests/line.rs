//! One request as the edge logged it, with every field inside its bounds.

use apikey::{CustomerId, Service};
use edgeformat::Reason;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The longest time that a field may hold, in milliseconds: a day.
pub const TIME_MS_MAX: i64 = 86_400_000;
/// Reasons that only HAProxy's configuration names.
const OF_HAPROXY: [&str; 3] = ["content_too_large", "bad_gateway", "gateway_timeout"];
const REQUEST_ID_LEN_MAX: usize = 64;
const SERVER_LEN_MAX: usize = 64;
const ENDING_LEN_MAX: usize = 8;

/// A request. What HAProxy did not know is `None`; a time that it did not come to is −1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestLine {
    /// When it began, unix milliseconds.
    pub time_ms: i64,
    /// The id that its answer carried.
    pub request_id: String,
    /// Who called.
    pub client: IpAddr,
    /// Whose key it was, where the key was right; never 0.
    pub customer: Option<u32>,
    /// The word of the service, where it was routed to one.
    pub service: Option<String>,
    /// The key's fingerprint, where the edge admitted it.
    pub fingerprint: Option<u64>,
    /// In which class it was served.
    pub class: Option<Class>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The status that was answered; −1 where none was.
    pub status: i64,
    /// Bytes from the caller.
    pub received_bytes: i64,
    /// Bytes to the caller.
    pub sent_bytes: i64,
    /// Milliseconds that it waited for a free connection.
    pub queue_ms: i64,
    /// Milliseconds until the server was connected.
    pub connect_ms: i64,
    /// Milliseconds until the server began to answer.
    pub response_ms: i64,
    /// Milliseconds from its first byte to its end.
    pub total_ms: i64,
    /// The server's name in the configuration.
    pub server: String,
    /// HAProxy's letters for how it ended.
    pub ending: String,
}

/// As what a request was served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Within the guaranteed rate.
    Guaranteed,
    /// Beyond it, within the burst.
    Burst,
}

impl Class {
    /// The word in log and database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guaranteed => "guaranteed",
            Self::Burst => "burst",
        }
    }

    /// The class with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Guaranteed, Self::Burst].into_iter().find(|class| class.word() == word)
    }
}

impl RequestLine {
    /// Whether every field is one that HAProxy could have written. A text that is too long, or has letters that none of ours
    /// has, is no such field: whatever stands in it, it is not kept.
    pub fn is_plausible(&self) -> bool {
        let is_time = |ms: i64| (-1..=TIME_MS_MAX).contains(&ms);
        self.time_ms >= 0
            && is_text(&self.request_id, REQUEST_ID_LEN_MAX, |byte| byte.is_ascii_digit() || byte == b'-')
            && self.customer.is_none_or(|id| CustomerId::new(id).is_some())
            && self.service.as_deref().is_none_or(|word| word.parse::<Service>().is_ok())
            && self.reason.as_deref().is_none_or(is_reason)
            && (-1..=999).contains(&self.status)
            && self.received_bytes >= 0
            && self.sent_bytes >= 0
            && [self.queue_ms, self.connect_ms, self.response_ms, self.total_ms].into_iter().all(is_time)
            && is_text(&self.server, SERVER_LEN_MAX, |byte| {
                byte.is_ascii_alphanumeric() || b"<>_.:-".contains(&byte)
            })
            && is_text(&self.ending, ENDING_LEN_MAX, |byte| byte.is_ascii_alphabetic() || byte == b'-')
    }

    /// Whether the module admitted it, whatever HAProxy did then: so many lines should the usage ledger have counted.
    pub const fn was_admitted(&self) -> bool {
        self.fingerprint.is_some()
    }
}

/// Whether a word is a reason of ours. Known words only: a server's own gRPC message stands in the same place.
pub(crate) fn is_reason(word: &str) -> bool {
    Reason::from_code(word).is_some() || OF_HAPROXY.contains(&word)
}

fn is_text(text: &str, len_max: usize, is_ours: impl Fn(u8) -> bool) -> bool {
    text.len() <= len_max && text.bytes().all(is_ours)
}
