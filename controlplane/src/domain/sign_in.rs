//! Sign-in: a wallet signs a text that was made for it, once.
//!
//! Everybody knows every wallet's address, so nothing that only names an address may hurt its owner: only who holds the nonce
//! of an open challenge can use it up or count as having failed, and a challenge that is too many takes the place of one that
//! the same source, or the busiest one, has asked for.

pub mod message;
pub mod signature;

use crate::db::sessions as table;
use crate::db::sign_in_challenges::{self, ChallengeRow, Outcome};
use crate::db::{Database, DbError, ReadTx, WriteTx, customers};
use crate::domain::activity::{Action, Actor, ActorKind, note};
use crate::domain::customers::create_in;
use crate::domain::sessions::{self, Granted};
use crate::domain::{CustomerStatus, DomainError, WalletAddress};
use message::{Challenge, domain_in, nonce_in, sha256_hex, wallet_in};
use serde_json::json;
use signature::SignatureFault;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// How many challenges of a wallet are open at once.
pub const OPEN_MAX: usize = 10;
/// How many sources that have signed in are remembered.
const KNOWN_MAX: i64 = 100;
/// Over which time failures are counted.
const FAILURES_WINDOW_MS: i64 = 60_000;

/// Gives out a challenge, and answers its text and when it expires.
///
/// # Errors
/// [`DomainError`].
pub fn challenge(
    database: &mut Database,
    domain: &str,
    wallet: &WalletAddress,
    source: &str,
    now_ms: i64,
) -> Result<(String, i64), DomainError> {
    let challenge = Challenge::random(domain, wallet, now_ms)?;
    let text = challenge.text();
    let row = ChallengeRow {
        nonce_sha256: sha256_hex(&challenge.nonce),
        message_sha256: sha256_hex(&text),
        wallet_address: wallet.as_str().to_owned(),
        source: source.to_owned(),
        created_at_ms: now_ms,
        expires_at_ms: challenge.expires_at_ms(),
        ended_at_ms: None,
    };
    database.write(|tx| {
        let open = sign_in_challenges::open_of(tx, wallet, now_ms)?;
        if open.len() >= OPEN_MAX {
            let known = sources_that_signed_in(tx, wallet)?;
            if let Some(nonce_sha256) = to_displace(&open, source, &known) {
                sign_in_challenges::end(tx, nonce_sha256, Outcome::Displaced, None, now_ms)?;
            }
        }
        sign_in_challenges::insert(tx, &row)
    })?;
    Ok((text, row.expires_at_ms))
}

/// From where this wallet has signed in lately, as limits see it.
fn sources_that_signed_in(tx: &mut ReadTx<'_>, wallet: &WalletAddress) -> Result<BTreeSet<String>, DbError> {
    let Some(customer) = customers::find_by_wallet(tx, wallet)? else { return Ok(BTreeSet::new()) };
    let addresses = table::addresses_of(tx, customer.customer, KNOWN_MAX)?;
    Ok(addresses.iter().filter_map(|address| address.parse().ok()).map(source_of).collect())
}

/// What limits count by: an IPv4 address, or the /64 of an IPv6 address.
pub fn source_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << (128 - V6_NETWORK_LEN));
            format!("{}/{V6_NETWORK_LEN}", Ipv6Addr::from_bits(network))
        }
    }
}

/// The bits of an IPv6 address that name a customer of a network; the rest each chooses itself.
const V6_NETWORK_LEN: u32 = 64;

/// Which of the open challenges (digest and source, oldest first) gives way to another one of `source`: the oldest of the
/// neighbourhood that has most of them, counting the new one. So one that asks again and again displaces only its own. Those of
/// sources that have signed in to this wallet lately give way last.
fn to_displace<'a>(open: &'a [(String, String)], source: &str, known: &BTreeSet<String>) -> Option<&'a str> {
    if open.len() < OPEN_MAX {
        return None;
    }
    let strangers: Vec<&(String, String)> =
        open.iter().filter(|(_, source)| !known.contains(source)).collect();
    let candidates = if strangers.is_empty() { open.iter().collect() } else { strangers };
    let mut counts: BTreeMap<String, usize> = BTreeMap::from([(neighbourhood(source), 1)]);
    for (_, source) in &candidates {
        *counts.entry(neighbourhood(source)).or_default() += 1;
    }
    let count = |source: &str| counts.get(&neighbourhood(source)).copied().unwrap_or(0);
    let most = candidates.iter().map(|(_, source)| count(source)).max().unwrap_or(0);
    let oldest = candidates.into_iter().find(|(_, source)| count(source) == most);
    oldest.map(|(nonce_sha256, _)| nonce_sha256.as_str())
}

/// What one person easily has many addresses of: an IPv4 /24, an IPv6 /48.
fn neighbourhood(source: &str) -> String {
    let parts =
        if source.contains(':') { source.splitn(4, ':').take(3) } else { source.splitn(4, '.').take(3) };
    parts.collect::<Vec<_>>().join(".")
}

/// What comes back from a wallet, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Host and port of this API.
    pub domain: &'a str,
    /// Whose wallet it is said to be.
    pub wallet: &'a WalletAddress,
    /// The text that is said to be signed.
    pub message: &'a str,
    /// The signature: base64.
    pub signature: &'a str,
    /// Where it comes from, as the limits see it.
    pub source: &'a str,
    /// The address that it comes from.
    pub address: &'a str,
    /// The request.
    pub request_id: &'a str,
    /// What the browser or program calls itself.
    pub user_agent: &'a str,
    /// How many signatures may fail in a minute.
    pub failures_per_minute: u32,
}

/// Why an attempt did not sign in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignInRefusal {
    /// The text is not one that we gave out.
    NotOurMessage,
    /// The text names another domain.
    OtherDomain,
    /// The text names another address than the one that is claimed.
    OtherAddress,
    /// There is no challenge with this nonce.
    UnknownChallenge,
    /// The challenge was used already, or displaced by newer ones.
    UsedChallenge,
    /// The challenge's five minutes are over.
    ExpiredChallenge,
    /// The text is not what was given out, though its nonce is.
    ChangedMessage,
    /// The signature does not prove it.
    Signature(SignatureFault),
    /// Too many failed; one may try again after so many milliseconds.
    TooManyFailures(i64),
    /// The account is closed.
    Closed,
}

/// Who signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// The session, with its refresh token.
    pub granted: Granted,
    /// Whether this made the customer.
    pub created: bool,
}

/// Judges an attempt, and begins a session where it is good. The challenge is used up in the same transaction, whether it is
/// good or not.
///
/// # Errors
/// [`DomainError`]; then nothing has happened. A refusal is no error, since it uses the challenge up.
pub fn verify(
    database: &mut Database,
    attempt: &Attempt<'_>,
    now_ms: i64,
) -> Result<Result<SignedIn, SignInRefusal>, DomainError> {
    let Some(nonce) = nonce_in(attempt.message) else { return Ok(Err(SignInRefusal::NotOurMessage)) };
    let nonce_sha256 = sha256_hex(nonce);
    // Looked at without the writers' lock first, and before the signature is: who guesses costs as little as can be.
    if let Err(refusal) = database.read(|tx| open_challenge(tx, attempt, &nonce_sha256, now_ms))? {
        return Ok(Err(refusal));
    }
    let proof = signature::check(attempt.wallet, attempt.message, attempt.signature);
    database.write(|tx| {
        let row = match open_challenge(tx, attempt, &nonce_sha256, now_ms)? {
            Ok(row) => row,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let fault = fault_of_message(attempt, &row).or(proof.err().map(SignInRefusal::Signature));
        if let Some(refusal) = fault {
            let failed_source = Some(attempt.source);
            sign_in_challenges::end(tx, &nonce_sha256, Outcome::Failed, failed_source, now_ms)?;
            return Ok(Err(refusal));
        }
        sign_in_challenges::end(tx, &nonce_sha256, Outcome::SignedIn, None, now_ms)?;
        sign_in(tx, attempt, now_ms)
    })
}

/// The open challenge with this nonce, if it is this wallet's and not too many have failed.
fn open_challenge(
    tx: &mut ReadTx<'_>,
    attempt: &Attempt<'_>,
    nonce_sha256: &str,
    now_ms: i64,
) -> Result<Result<ChallengeRow, SignInRefusal>, DomainError> {
    let Some(row) = sign_in_challenges::find(tx, nonce_sha256)? else {
        let is_ours = domain_in(attempt.message) == Some(attempt.domain);
        let refusal = if is_ours { SignInRefusal::UnknownChallenge } else { SignInRefusal::OtherDomain };
        return Ok(Err(refusal));
    };
    if row.wallet_address != attempt.wallet.as_str() {
        return Ok(Err(SignInRefusal::OtherAddress));
    }
    if row.ended_at_ms.is_some() {
        return Ok(Err(SignInRefusal::UsedChallenge));
    }
    if now_ms >= row.expires_at_ms {
        return Ok(Err(SignInRefusal::ExpiredChallenge));
    }
    let since_ms = now_ms.saturating_sub(FAILURES_WINDOW_MS);
    let failures = sign_in_challenges::failures_since(tx, attempt.wallet, attempt.source, since_ms)?;
    let allowed = usize::try_from(attempt.failures_per_minute).unwrap_or(usize::MAX);
    if let Some(excess) = failures.len().checked_sub(allowed) {
        // Free again when only `allowed - 1` lie within the window.
        let frees_ms = failures.get(excess).copied().unwrap_or(now_ms);
        let wait_ms = frees_ms.saturating_add(FAILURES_WINDOW_MS).saturating_sub(now_ms);
        return Ok(Err(SignInRefusal::TooManyFailures(wait_ms)));
    }
    Ok(Ok(row))
}

/// What is wrong with the text itself; the nonce is right.
fn fault_of_message(attempt: &Attempt<'_>, row: &ChallengeRow) -> Option<SignInRefusal> {
    if sha256_hex(attempt.message) == row.message_sha256 {
        return None;
    }
    Some(if domain_in(attempt.message).is_some_and(|domain| domain != attempt.domain) {
        SignInRefusal::OtherDomain
    } else if wallet_in(attempt.message).is_some_and(|wallet| wallet != attempt.wallet.as_str()) {
        SignInRefusal::OtherAddress
    } else {
        SignInRefusal::ChangedMessage
    })
}

fn sign_in(
    tx: &mut WriteTx<'_>,
    attempt: &Attempt<'_>,
    now_ms: i64,
) -> Result<Result<SignedIn, SignInRefusal>, DomainError> {
    let known = customers::find_by_wallet(tx, attempt.wallet)?;
    if known.as_ref().is_some_and(|customer| customer.status == CustomerStatus::Closed) {
        return Ok(Err(SignInRefusal::Closed));
    }
    // In the wallet's own name from here on: it has proved who it is.
    let actor = |name: &str| Actor {
        kind: ActorKind::Wallet,
        name: name.to_owned(),
        source: Some(attempt.address.to_owned()),
        request_id: Some(attempt.request_id.to_owned()),
    };
    tx.act_as(actor(""));
    let made = create_in(tx, attempt.wallet, now_ms)?;
    let granted = sessions::begin(tx, made.customer, attempt.address, attempt.user_agent, now_ms)?;
    tx.act_as(actor(&granted.session.session_id));
    let detail = json!({ "session_id": granted.session.session_id });
    note(tx, made.customer, Action::SignedIn, &detail, now_ms)?;
    Ok(Ok(SignedIn { granted, created: made.created }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sources: &[&str]) -> Vec<(String, String)> {
        sources.iter().enumerate().map(|(place, source)| (place.to_string(), (*source).to_owned())).collect()
    }

    #[test]
    fn who_asks_most_displaces_its_own_oldest_and_nobody_elses() {
        let nobody = BTreeSet::new();
        assert_eq!(to_displace(&open(&["192.0.2.1"; 9]), "192.0.2.1", &nobody), None);
        let mut sources = vec!["192.0.2.1"];
        sources.extend(["198.51.100.7"; 9]);
        assert_eq!(to_displace(&open(&sources), "198.51.100.7", &nobody), Some("1"));
        assert_eq!(to_displace(&open(&sources), "192.0.2.1", &nobody), Some("1"));
    }

    #[test]
    fn many_addresses_of_one_network_are_one_neighbour() {
        let nobody = BTreeSet::new();
        let networks: Vec<String> = (0..9).map(|number| format!("2001:db8:7:{number:x}::/64")).collect();
        let mut sources = vec!["203.0.113.5"];
        sources.extend(networks.iter().map(String::as_str));
        assert_eq!(to_displace(&open(&sources), "2001:db8:7:ff::/64", &nobody), Some("1"));
        let hosts: Vec<String> = (0..9).map(|number| format!("198.51.100.{number}")).collect();
        let mut sources = vec!["203.0.113.5"];
        sources.extend(hosts.iter().map(String::as_str));
        assert_eq!(to_displace(&open(&sources), "198.51.100.77", &nobody), Some("1"));
    }

    #[test]
    fn who_has_signed_in_before_gives_way_last() {
        let far: Vec<String> = (1..10).map(|number| format!("{number}.0.0.1")).collect();
        let mut sources = vec!["203.0.113.5"];
        sources.extend(far.iter().map(String::as_str));
        let known = BTreeSet::from(["203.0.113.5".to_owned()]);
        assert_eq!(to_displace(&open(&sources), "10.0.0.1", &BTreeSet::new()), Some("0"));
        assert_eq!(to_displace(&open(&sources), "10.0.0.1", &known), Some("1"));
        assert_eq!(to_displace(&open(&["203.0.113.5"; 10]), "10.0.0.1", &known), Some("0"));
    }
}
