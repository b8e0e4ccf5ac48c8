//! What became of a request that was let through, as `haproxy.cfg` tells it: `<txn.k> <what>`.
//!
//! Asked on the rare paths only (burst, refused after all, no answer); the usual request is counted when it is let through.
//!
//! | text after `txn.k` | outcome |
//! |---|---|
//! | `burst` | served above the guaranteed rate |
//! | `unserved guaranteed`, `unserved burst`, `unserved` | answered by HAProxy for want of a server's answer |
//! | `answered guaranteed`, `answered burst` | answered by a server; said only where counting is done at the answer |
//! | `rejected N` | refused after all: N is the reason's number, or 413 |

use crate::edge::Edge;
use crate::usage::Outcome;
use apikey::CustomerId;
use edgeformat::ledger::Counter;
use edgeformat::{Decision, PolicyKey, Reason};

/// Counts one outcome. `false`: the text could not be read, or the tables cannot be used.
pub fn count_outcome(edge: &Edge, text: &[u8]) -> bool {
    let Some((key, outcome)) = read(text) else { return false };
    let Some(tables) = edge.tables.read() else { return false };
    edge.counts.outcome(outcome);
    edge.usage.count_outcome(&tables.policies, key, outcome);
    true
}

fn read(text: &[u8]) -> Option<(PolicyKey, Outcome)> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let packed = words.next()?.parse().ok()?;
    let Decision::Admitted { fingerprint, service, .. } = Decision::from_packed(packed)? else { return None };
    let key = PolicyKey { customer: CustomerId::new(fingerprint.customer_bits())?, service };
    let outcome = match (words.next()?, words.next()) {
        ("burst", None) => Outcome::Burst,
        ("unserved", class) => Outcome::Unserved { is_burst: class == Some("burst") },
        ("answered", class) => Outcome::Answered { is_burst: class == Some("burst") },
        ("rejected", Some(number)) => rejected(number.parse().ok()?)?,
        _ => return None,
    };
    Some((key, outcome))
}

fn rejected(number: u16) -> Option<Outcome> {
    const CONTENT_TOO_LARGE: u16 = 413;
    if number == CONTENT_TOO_LARGE {
        return Some(Outcome::Rejected(Counter::ContentTooLarge));
    }
    match Reason::from_number(u8::try_from(number).ok()?)? {
        Reason::AddressNotAllowed => Some(Outcome::Rejected(Counter::AddressNotAllowed)),
        Reason::RateLimited => Some(Outcome::Rejected(Counter::RateLimited)),
        Reason::TooManyFailures => Some(Outcome::Rejected(Counter::TooManyFailures)),
        // Let through, and then no backend has it: nobody has served it.
        Reason::NoBackend => Some(Outcome::Unserved { is_burst: false }),
        _ => None,
    }
}
