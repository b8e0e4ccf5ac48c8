//! The hot path: the value of the `Authorization` field → a decision.
//!
//! The order of the checks is fixed (DESIGN section 3), so that a caller always learns the first thing that is wrong,
//! and nobody learns anything about a customer before the tag has proved who asks. Nothing here allocates, opens or
//! waits for anything but the tables' read lock, which no writer holds longer than a few milliseconds.
//! What it costs is in `benches/REPORT.md`.

use crate::credentials::key_text;
use crate::edge::Edge;
use crate::policies::Policies;
use apikey::{CustomerId, VerifiedKey};
use edgeformat::ledger::Counter;
use edgeformat::{Decision, PolicyKey, Reason};

/// Judges one request by its credential and counts it.
pub fn authorize(edge: &Edge, field: &[u8]) -> Decision {
    let decision = match judge(edge, field) {
        Ok(admitted) => admitted,
        Err(Refusal { reason, customer }) => Decision::Refused { reason, customer },
    };
    if let Decision::Refused { reason, .. } = decision {
        edge.counts.refused(reason);
    }
    decision
}

struct Refusal {
    reason: Reason,
    /// Set once the tag has proved who it is.
    customer: Option<CustomerId>,
}

impl<R: Into<Reason>> From<R> for Refusal {
    fn from(reason: R) -> Self {
        Self { reason: reason.into(), customer: None }
    }
}

fn judge(edge: &Edge, field: &[u8]) -> Result<Decision, Refusal> {
    let text = key_text(field)?;
    let decoded = apikey::decode(text)?;
    let mac = edge.keyring.mac_of(decoded.version(), decoded.group())?;
    let key = decoded.authenticate(mac)?;
    admit(edge, &key).map_err(|reason| Refusal { reason, customer: Some(key.customer()) })
}

fn admit(edge: &Edge, key: &VerifiedKey) -> Result<Decision, Reason> {
    let tables = edge.current_tables().ok_or(Reason::NotReady)?;
    let (customer, service) = (key.customer(), key.service());
    let refusal = tables.revocations.refusal(key.fingerprint(), &edge.clock);
    if let Some(reason) = refusal.or_else(|| edge.local_revocations.refusal(key.fingerprint(), &edge.clock)) {
        return Err(refused(edge, &tables.policies, key, reason));
    }
    let Some(policy) = tables.policies.get(customer, service) else {
        return Err(refused(edge, &tables.policies, key, Reason::NoService));
    };
    if let Some(reason) = policy.state().refusal() {
        return Err(refused(edge, &tables.policies, key, reason));
    }
    edge.counts.admitted(customer);
    edge.usage.count_admitted(PolicyKey { customer, service }, policy.slot());
    Ok(Decision::Admitted {
        fingerprint: key.fingerprint(),
        service,
        plan: policy.plan(),
        allowlist: policy.allowlist(),
    })
}

/// Counts the refusal of a genuine key for its customer.
#[cold]
fn refused(edge: &Edge, policies: &Policies, key: &VerifiedKey, reason: Reason) -> Reason {
    let counter =
        Counter::REFUSED.into_iter().find(|counter| counter.number() == usize::from(reason.number()));
    if let Some(counter) = counter {
        edge.usage.count_refused(policies, key.customer(), key.service(), counter);
    }
    reason
}
