//! One customer's requests by class and reason: a line for each service that had any.

use crate::clock::rfc3339_ms;
use crate::ledger_view::{Interval, clipped};
use apikey::{CustomerId, Service};
use edgeformat::ledger::{Counter, Counters};
use serde_json::{Map, Value, json};

/// What happened to a customer in one interval. Counts, not rates: who watches asks "did that request come through?".
#[derive(Debug)]
pub struct Watch<'a> {
    interval: &'a Interval,
    customer: CustomerId,
    services: Vec<(Service, Counters)>,
}

/// A word and its count; whether it is one that somebody waits for with concern.
type Part = (String, bool);

impl<'a> Watch<'a> {
    /// Of this customer; the interval may hold others.
    pub fn new(interval: &'a Interval, customer: CustomerId) -> Self {
        let of_customer = interval.counted.by_key.iter().filter(|(key, _)| key.customer == customer);
        let mut services: Vec<_> = of_customer.map(|(key, counters)| (key.service, *counters)).collect();
        services.sort_by_key(|(service, _)| service.number());
        Self { interval, customer, services }
    }

    /// For a pipe: one line a service however long it is, one with zeros while nothing happens.
    pub fn lines(&self) -> Vec<String> {
        self.rows().into_iter().map(|parts| joined(&parts, plain)).collect()
    }

    /// For a terminal: broken before `columns`, refusals in colour.
    pub fn coloured_lines(&self, columns: usize) -> Vec<String> {
        let broken = self.rows().into_iter().flat_map(|parts| broken(parts, columns));
        broken.map(|parts| joined(&parts, coloured)).collect()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let services = self.services.iter().map(|(service, counters)| {
            let reasons = reasons_of(counters).map(|(word, count)| (word.to_owned(), count.into()));
            json!({
                "service": service.name(),
                "guaranteed": counters.billed_guaranteed(),
                "burst": counters.billed_burst(),
                "unserved": counters.unserved(),
                "rejected": counters.rejected(),
                "refused": counters.refused(),
                "reasons": reasons.collect::<Map<String, Value>>(),
            })
        });
        json!({
            "at": rfc3339_ms(self.interval.ended_at_ms),
            "interval_ms": u64::try_from(self.interval.took.as_millis()).unwrap_or(u64::MAX),
            "customer_id": self.customer.get(),
            "services": services.collect::<Vec<_>>(),
            "problems": self.interval.counted.problems,
        })
    }

    fn rows(&self) -> Vec<Vec<Part>> {
        let mut rows: Vec<_> =
            self.services.iter().map(|(service, counters)| self.row(service.name(), counters)).collect();
        if rows.is_empty() {
            rows.push(self.row("-", &Counters::default()));
        }
        let problems = &self.interval.counted.problems;
        rows.extend(
            problems.iter().map(|problem| vec![(clipped(&format!("PROBLEM: {problem}"), usize::MAX), true)]),
        );
        rows
    }

    fn row(&self, service: &str, counters: &Counters) -> Vec<Part> {
        let unserved = counters.unserved();
        let fixed = [
            (format!("{} {service:7}", time_of_day(self.interval.ended_at_ms)), false),
            (format!("guaranteed {:<4}", counters.billed_guaranteed()), false),
            (format!("burst {:<4}", counters.billed_burst()), false),
            (format!("unserved {unserved:<3}"), unserved > 0),
        ];
        let reasons = reasons_of(counters).map(|(word, count)| (format!("{word} {count}"), true));
        fixed.into_iter().chain(reasons).collect()
    }
}

/// Those that occurred, rejected ones first.
fn reasons_of(counters: &Counters) -> impl Iterator<Item = (&'static str, u64)> {
    let all = Counter::REJECTED.into_iter().chain(Counter::REFUSED);
    all.map(|reason| (reason.word(), counters.get(reason))).filter(|(_, count)| *count > 0)
}

/// The parts in lines of at most so many columns; a part alone is cut.
fn broken(parts: Vec<Part>, columns: usize) -> Vec<Vec<Part>> {
    const INDENT: usize = 18;
    let mut lines: Vec<Vec<Part>> = Vec::new();
    let mut used = 0;
    for (text, is_alarm) in parts {
        let len = text.chars().count();
        if used == 0 || used + 1 + len > columns {
            // What does not stand first stands under the first figure.
            let indent = if lines.is_empty() || INDENT + len > columns { 0 } else { INDENT };
            used = indent + len;
            let blank = (indent > 0).then(|| (" ".repeat(indent - 1), false));
            lines.push(blank.into_iter().chain([(clipped(&text, columns), is_alarm)]).collect());
        } else if let Some(line) = lines.last_mut() {
            used += 1 + len;
            line.push((text, is_alarm));
        }
    }
    lines
}

fn joined(parts: &[Part], write: impl Fn(&Part) -> String) -> String {
    parts.iter().map(write).collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn plain((text, _): &Part) -> String {
    text.clone()
}

fn coloured((text, is_alarm): &Part) -> String {
    const YELLOW: &str = "\u{1b}[33m";
    const NORMAL: &str = "\u{1b}[0m";
    if *is_alarm { format!("{YELLOW}{text}{NORMAL}") } else { text.clone() }
}

/// `09:05:00Z`.
fn time_of_day(unix_ms: i64) -> String {
    const PLACE: std::ops::Range<usize> = 11..19;
    format!("{}Z", rfc3339_ms(unix_ms).get(PLACE).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use crate::clock::Clock;
    use crate::ledger_view::Counted;
    use edgeformat::PolicyKey;
    use std::time::Duration;

    fn interval(services: &[(Service, &[(Counter, u64)])]) -> Interval {
        let mut counted = Counted { files: 1, ..Counted::default() };
        for (customer, (service, counts)) in services.iter().flat_map(|entry| [(7, entry), (8, entry)]) {
            let key = PolicyKey { customer: CustomerId::new(customer).unwrap(), service: *service };
            let mut counters = Counters::default();
            counts.iter().for_each(|(counter, count)| counters.0[counter.number()] = *count);
            counted.by_key.insert(key, counters);
        }
        let clock = Clock::standing_at(1_795_251_900_123);
        Interval { ended_at_ms: clock.now_ms(), took: Duration::from_secs(1), counted }
    }

    fn busy() -> Interval {
        interval(&[
            (Service::Grpc, &[(Counter::Admitted, 3), (Counter::Burst, 2), (Counter::UnservedBurst, 1)]),
            (
                Service::Seal,
                &[
                    (Counter::Admitted, 48),
                    (Counter::RateLimited, 36),
                    (Counter::Expired, 2),
                    (Counter::Revoked, 1),
                ],
            ),
        ])
    }

    #[test]
    fn a_line_says_what_happened_and_which_reasons_occurred() {
        let customer = CustomerId::new(7).unwrap();
        let interval = busy();
        assert_eq!(
            Watch::new(&interval, customer).lines(),
            [
                "09:05:00Z seal    guaranteed 12   burst 0    unserved 0   rate_limited 36 revoked 1 expired 2",
                "09:05:00Z grpc    guaranteed 1    burst 1    unserved 1",
            ]
        );
        let quiet = Watch::new(&interval, CustomerId::new(9).unwrap()).lines();
        assert_eq!(quiet, ["09:05:00Z -       guaranteed 0    burst 0    unserved 0"]);
    }

    #[test]
    fn no_line_is_wider_than_the_window_and_nothing_is_lost() {
        let every_reason: Vec<_> = Counter::ALL.into_iter().map(|counter| (counter, 123_456)).collect();
        let interval = interval(&[(Service::Graphql, &every_reason)]);
        let watch = Watch::new(&interval, CustomerId::new(7).unwrap());
        let uncoloured = |line: &String| line.replace("\u{1b}[33m", "").replace("\u{1b}[0m", "");
        for columns in [40, 60, 80, 100] {
            let lines: Vec<String> = watch.coloured_lines(columns).iter().map(uncoloured).collect();
            assert!(lines.iter().all(|line| line.chars().count() <= columns), "{columns} {lines:#?}");
            let text = lines.join("\n");
            for reason in Counter::REJECTED.into_iter().chain(Counter::REFUSED) {
                assert!(text.contains(&format!("{} 123456", reason.word())), "{columns} {lines:#?}");
            }
        }
        assert!(watch.coloured_lines(5).iter().map(uncoloured).all(|line| line.chars().count() <= 5));
    }

    #[test]
    fn colours_are_for_what_was_not_served() {
        let interval = busy();
        let lines = Watch::new(&interval, CustomerId::new(7).unwrap()).coloured_lines(100);
        assert!(lines[0].contains("unserved 0   \u{1b}[33mrate_limited 36\u{1b}[0m"), "{lines:?}");
        assert!(lines[1].ends_with("\u{1b}[33munserved 1  \u{1b}[0m"), "{lines:?}");
    }

    #[test]
    fn programs_get_every_service_and_reason() {
        let interval = busy();
        let answer = Watch::new(&interval, CustomerId::new(7).unwrap()).json();
        assert_eq!((&answer["customer_id"], &answer["interval_ms"]), (&7.into(), &1000.into()));
        let seal = &answer["services"][0];
        assert_eq!(
            (&seal["guaranteed"], &seal["rejected"], &seal["refused"]),
            (&12.into(), &36.into(), &3.into())
        );
        assert_eq!(seal["reasons"], json!({"rate_limited": 36, "revoked": 1, "expired": 2}));
        assert_eq!(answer["services"][1]["unserved"], 1);
    }
}
