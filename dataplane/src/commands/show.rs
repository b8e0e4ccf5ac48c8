//! `suiftly show <customer>`: what this process knows of a customer, and what it has counted.

use crate::commands::to_json;
use crate::edge::Edge;
use crate::tables::Tables;
use apikey::{CustomerId, Service};
use edgeformat::ledger::Counter;
use edgeformat::status::{ShowCustomer, ShowService};
use edgeformat::{PolicyKey, Reason};

/// Runs the words after `suiftly show`.
pub fn run<'a>(edge: &Edge, mut words: impl Iterator<Item = &'a str>) -> String {
    let customer = words.next().and_then(|word| word.parse::<u32>().ok()).and_then(CustomerId::new);
    match (customer, words.find(|word| !word.is_empty()), edge.tables.read()) {
        (None, _, _) | (_, Some(_), _) => error("usage: suiftly show <customer id, 1 to 4294967295>"),
        (_, _, None) => error("a command panicked earlier; reload HAProxy"),
        (Some(customer), None, Some(tables)) => to_json(&show(edge, &tables, customer)),
    }
}

fn show(edge: &Edge, tables: &Tables, customer: CustomerId) -> ShowCustomer {
    let of_service = |service: Service| {
        let key = PolicyKey { customer, service };
        let policy = tables.policies.get(customer, service);
        let counters = edge.usage.counters(key);
        if policy.is_none() && counters.is_none() {
            return None;
        }
        let counters = counters.unwrap_or_default();
        let shown = ShowService {
            state: policy.map_or(Reason::NoService.code(), |policy| policy.state().word()).to_owned(),
            plan: policy.map_or(0, |policy| policy.plan().get()),
            allowlist: policy.is_some_and(|policy| policy.allowlist()),
            allowed: tables.allowlists.list(key).map(|prefix| prefix.to_string()).collect(),
            admitted: counters.admitted(),
            refused: counters.refused(),
            rejected: counters.rejected(),
            burst: counters.get(Counter::Burst),
            unserved: counters.unserved(),
        };
        Some((service.name().to_owned(), shown))
    };
    ShowCustomer {
        customer: customer.get(),
        services: Service::ALL.into_iter().filter_map(of_service).collect(),
    }
}

fn error(text: &str) -> String {
    to_json(&std::collections::BTreeMap::from([("error", text)]))
}
