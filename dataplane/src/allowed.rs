//! Whether a request that was admitted comes from an address that its customer allows.
//!
//! Asked by `haproxy.cfg` only where the policy wants it, so that everybody else pays nothing for it.

use crate::edge::Edge;
use apikey::CustomerId;
use edgeformat::{Decision, PolicyKey, Reason};
use std::net::IpAddr;

/// Judges `<address> <txn.k>`, as HAProxy puts it together, and counts who is refused. Whatever cannot be read is not
/// allowed, nor is anybody while the tables cannot be used.
pub fn is_allowed(edge: &Edge, question: &[u8]) -> bool {
    let Some((key, address)) = read(question) else {
        edge.counts.refused(Reason::AddressNotAllowed);
        return false;
    };
    let tables = edge.current_tables();
    let allowed = match (&tables, address) {
        (Some(tables), Some(address)) => tables.allowlists.contains(key, address),
        _ => false,
    };
    // `haproxy.cfg` tells the ledger (`rejected 16`): also where this could not be asked.
    if !allowed {
        edge.counts.refused(Reason::AddressNotAllowed);
    }
    allowed
}

/// Whose list is asked, and for which address; none of the latter where the text is no address.
fn read(question: &[u8]) -> Option<(PolicyKey, Option<IpAddr>)> {
    let (address, packed) = std::str::from_utf8(question).ok()?.split_once(' ')?;
    match Decision::from_packed(packed.parse().ok()?)? {
        Decision::Admitted { fingerprint, service, .. } => {
            let customer = CustomerId::new(fingerprint.customer_bits())?;
            Some((PolicyKey { customer, service }, address.parse().ok()))
        }
        Decision::Refused { .. } => None,
    }
}
