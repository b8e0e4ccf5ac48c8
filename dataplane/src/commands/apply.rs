//! `suiftly apply …`: changes the tables ([`edgeformat::command`] has the words).

use crate::commands::to_json;
use crate::edge::Edge;
use crate::load::{self, Announced, Digests};
use crate::panic_guard::guarded;
use crate::tables::not_ready;
use edgeformat::command::Apply;
use edgeformat::status::{Applied, refused};

/// Runs the words after `suiftly apply`.
pub fn run<'a>(edge: &Edge, words: impl Iterator<Item = &'a str>) -> String {
    let answer = match Apply::parse(words) {
        Err(error) => {
            let sequence = edge.tables.read().map_or(0, |tables| tables.sequence);
            Applied::Refused { code: refused::MALFORMED.to_owned(), detail: error.to_string(), sequence }
        }
        Ok(apply) => guarded(edge, not_ready(), || {
            let answer = carry_out(edge, apply);
            edge.journal.look_again(edge);
            answer
        }),
    };
    to_json(&answer)
}

fn carry_out(edge: &Edge, apply: Apply) -> Applied {
    match apply {
        Apply::Delta { stream, from, to, changes } => edge.tables.apply_delta(stream, from, to, &changes),
        Apply::LocalBegin { load, revocations } => edge.local_revocations.begin(load, revocations),
        Apply::LocalPart { load, part, changes } => edge.local_revocations.part(load, part, &changes),
        Apply::LocalCommit { load, parts, revocations_digest } => {
            edge.local_revocations.commit(load, parts, revocations_digest)
        }
        Apply::Begin { load, stream, sequence, policies, revocations, allowlists } => {
            load::begin(edge, Announced { load, stream, sequence, policies, revocations, allowlists })
        }
        Apply::Part { load, part, changes } => load::part(edge, load, part, &changes),
        Apply::Commit { load, parts, policies_digest, revocations_digest, allowlists_digest } => {
            let expected = Digests {
                policies: policies_digest,
                revocations: revocations_digest,
                allowlists: allowlists_digest,
            };
            load::commit(edge, load, parts, expected)
        }
    }
}
