//! The customers and services with the most requests, as a table.

use crate::clock::rfc3339_ms;
use crate::ledger_view::{Figure, Interval, clipped};
use edgeformat::PolicyKey;
use edgeformat::ledger::Counters;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;

/// One interval, in order.
#[derive(Debug)]
pub struct Top<'a> {
    interval: &'a Interval,
    sort: SortBy,
    ranked: Vec<(PolicyKey, Counters)>,
}

/// Who stands first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SortBy {
    /// Who has the most requests, refused ones included.
    #[default]
    Total,
    /// Who has the most of these.
    Figure(Figure),
}

impl SortBy {
    /// What a key on the keyboard asks for.
    pub fn from_key(key: u8) -> Option<Self> {
        let figure = match key {
            b't' => return Some(Self::Total),
            b'a' => Figure::Admitted,
            b'g' => Figure::Guaranteed,
            b'b' => Figure::Burst,
            b'r' => Figure::Rejected,
            b'f' => Figure::Refused,
            b'u' => Figure::Unserved,
            _ => return None,
        };
        Some(Self::Figure(figure))
    }

    /// Its name, as the argument has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Figure(figure) => figure.word(),
        }
    }

    /// The other way round of [`Self::word`].
    ///
    /// # Errors
    /// The words there are.
    pub fn from_word(word: &str) -> Result<Self, String> {
        let all = || std::iter::once(Self::Total).chain(Figure::ALL.map(Self::Figure));
        all().find(|sort| sort.word() == word).ok_or_else(|| {
            let words: Vec<&str> = all().map(Self::word).collect();
            format!("`{word}` is no order; there are {}", words.join(", "))
        })
    }

    fn of(self, counters: &Counters) -> i64 {
        match self {
            Self::Total => Figure::Admitted.of(counters).saturating_add(Figure::Refused.of(counters)),
            Self::Figure(figure) => figure.of(counters),
        }
    }
}

impl<'a> Top<'a> {
    /// Puts them in order; who has the same stands by customer and service, so that nobody jumps about.
    pub fn new(interval: &'a Interval, sort: SortBy) -> Self {
        let mut ranked: Vec<_> =
            interval.counted.by_key.iter().map(|(key, counters)| (*key, *counters)).collect();
        ranked.sort_by_key(|(key, counters)| {
            (Reverse(sort.of(counters)), Reverse(SortBy::Total.of(counters)), *key)
        });
        Self { interval, sort, ranked }
    }

    /// The table with at most so many customers, 79 columns wide as long as no rate has more than 9 digits.
    pub fn lines(&self, rows: usize) -> Vec<String> {
        let mut lines = vec![heading()];
        lines.extend(
            self.ranked
                .iter()
                .take(rows)
                .map(|(key, counters)| self.row(&key.customer.to_string(), key.service.name(), counters)),
        );
        lines.push(self.row("total", &self.ranked.len().to_string(), &self.interval.total()));
        lines
    }

    /// When, in which order, how long, which files.
    pub fn title(&self) -> String {
        let files = self.interval.counted.files;
        format!(
            "{}  by {}: requests per second over {:.1} s, {files} {}",
            second(self.interval.ended_at_ms),
            self.sort.word(),
            self.interval.took.as_secs_f64(),
            if files == 1 { "ledger" } else { "ledgers" },
        )
    }

    /// What is wrong, where something is: counted for nobody, files that cannot be read.
    pub fn alarms(&self) -> Vec<String> {
        let counted = &self.interval.counted;
        let unplaced = SortBy::Total.of(&counted.unplaced);
        let full = (unplaced > 0).then(|| {
            format!("COUNTED FOR NOBODY: {:.1}/s, the ledger is full", self.interval.per_s(unplaced))
        });
        full.into_iter().chain(counted.problems.iter().map(|problem| format!("PROBLEM: {problem}"))).collect()
    }

    /// A screen full: exactly as many lines as fit, none wider than the window, and which of them is the heading.
    pub fn screen(&self, columns: usize, window_rows: usize) -> (Vec<String>, usize) {
        const KEYS: &str = "[t]otal [a]dmitted [g]uaranteed [b]urst [r]ejected re[f]used [u]nserved [q]uit";
        const HEADING: usize = 1;
        /// Title, heading, total, keys.
        const OTHER_LINES: usize = 4;
        let alarms = self.alarms();
        let mut lines = vec![self.title()];
        lines.extend(self.lines(window_rows.saturating_sub(OTHER_LINES + alarms.len())));
        lines.extend(alarms);
        let blank = window_rows.saturating_sub(lines.len() + 1);
        lines.extend(std::iter::repeat_n(String::new(), blank));
        lines.push(KEYS.to_owned());
        lines.truncate(window_rows);
        (lines.iter().map(|line| clipped(line, columns)).collect(), HEADING)
    }

    /// For programs, with at most so many customers.
    pub fn json(&self, rows: usize) -> Value {
        let customers = self.ranked.iter().take(rows).map(|(key, counters)| {
            let mut one = Map::new();
            one.insert("customer_id".to_owned(), key.customer.get().into());
            one.insert("service".to_owned(), key.service.name().into());
            one.extend(self.rates(counters));
            Value::Object(one)
        });
        json!({
            "at": rfc3339_ms(self.interval.ended_at_ms),
            "interval_ms": u64::try_from(self.interval.took.as_millis()).unwrap_or(u64::MAX),
            "ledgers": self.interval.counted.files,
            "sorted_by": self.sort.word(),
            "active": self.ranked.len(),
            "customers": customers.collect::<Vec<Value>>(),
            "total": Value::Object(self.rates(&self.interval.total())),
            "unplaced_per_s": self.interval.per_s_rounded(SortBy::Total.of(&self.interval.counted.unplaced)),
            "problems": self.interval.counted.problems,
        })
    }

    fn rates(&self, counters: &Counters) -> Map<String, Value> {
        let rate = |figure: Figure| {
            (format!("{}_per_s", figure.word()), self.interval.per_s_rounded(figure.of(counters)).into())
        };
        Figure::ALL.map(rate).into_iter().collect()
    }

    fn row(&self, customer: &str, service: &str, counters: &Counters) -> String {
        let rates = Figure::ALL.map(|figure| format!("{:.1}", self.interval.per_s(figure.of(counters))));
        columns(customer, service, rates.each_ref().map(String::as_str))
    }
}

fn heading() -> String {
    columns("customer", "service", Figure::ALL.map(Figure::word))
}

fn columns(customer: &str, service: &str, [a, g, b, r, f, u]: [&str; 6]) -> String {
    format!("{customer:>10}  {service:7} {a:>9} {g:>10} {b:>9} {r:>9} {f:>9} {u:>8}")
}

/// `2026-11-21 09:05:00Z`.
fn second(unix_ms: i64) -> String {
    let text = rfc3339_ms(unix_ms).replace('T', " ");
    text.split_once('.').map_or_else(|| text.clone(), |(second, _)| format!("{second}Z"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use crate::clock::Clock;
    use crate::ledger_view::Counted;
    use apikey::{CustomerId, Service};
    use edgeformat::ledger::Counter;
    use std::time::Duration;

    fn interval(customers: &[(u32, &[(Counter, u64)])]) -> Interval {
        let mut counted = Counted { files: 1, ..Counted::default() };
        for (customer, counts) in customers {
            let key = PolicyKey { customer: CustomerId::new(*customer).unwrap(), service: Service::Seal };
            let mut counters = Counters::default();
            counts.iter().for_each(|(counter, count)| counters.0[counter.number()] = *count);
            counted.by_key.insert(key, counters);
        }
        let clock = Clock::standing_at(1_795_251_900_123);
        Interval { ended_at_ms: clock.now_ms(), took: Duration::from_secs(2), counted }
    }

    fn three() -> Interval {
        interval(&[
            (7, &[(Counter::Admitted, 20), (Counter::RateLimited, 15)]),
            (4_294_967_295, &[(Counter::Admitted, 400), (Counter::Burst, 100), (Counter::UnservedBurst, 3)]),
            (8, &[(Counter::Revoked, 90)]),
        ])
    }

    #[test]
    fn a_table_stands_as_it_is_written_here() {
        let interval = three();
        let top = Top::new(&interval, SortBy::Total);
        let expected = [
            "  customer  service  admitted guaranteed     burst  rejected   refused unserved",
            "4294967295  seal        200.0      150.0      48.5       0.0       0.0      1.5",
            "         8  seal          0.0        0.0       0.0       0.0      45.0      0.0",
            "         7  seal         10.0        2.5       0.0       7.5       0.0      0.0",
            "     total  3           210.0      152.5      48.5       7.5      45.0      1.5",
        ];
        assert_eq!(top.lines(20), expected);
        assert_eq!(top.lines(1), [expected[0], expected[1], expected[4]]);
        assert_eq!(top.title(), "2026-11-21 09:05:00Z  by total: requests per second over 2.0 s, 1 ledger");
        assert_eq!(top.alarms(), Vec::<String>::new());
        assert!(top.lines(20).iter().all(|line| line.len() == 79));
    }

    #[test]
    fn each_key_puts_its_figure_first() {
        let interval = three();
        for (key, word, first) in [
            (b't', "total", 4_294_967_295_u32),
            (b'a', "admitted", 4_294_967_295),
            (b'g', "guaranteed", 4_294_967_295),
            (b'b', "burst", 4_294_967_295),
            (b'r', "rejected", 7),
            (b'f', "refused", 8),
            (b'u', "unserved", 4_294_967_295),
        ] {
            let sort = SortBy::from_key(key).unwrap();
            assert_eq!(SortBy::from_word(word), Ok(sort));
            assert_eq!(Top::new(&interval, sort).ranked[0].0.customer.get(), first, "{word}");
        }
        assert_eq!(SortBy::from_key(b'x'), None);
        assert!(SortBy::from_word("x").unwrap_err().contains("total, admitted"));
    }

    #[test]
    fn a_screen_fills_the_window_and_never_more() {
        let mut interval = three();
        interval.counted.unplaced.0[0] = 4;
        interval.counted.problems.push(format!("/{}\u{1b}[2J: damaged", "x".repeat(300)));
        let top = Top::new(&interval, SortBy::Total);
        for columns in [1, 20, 79, 80, 200] {
            for rows in [1, 2, 5, 24] {
                let (lines, _) = top.screen(columns, rows);
                assert_eq!(lines.len(), rows);
                assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
                assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
            }
        }
        let (lines, heading) = top.screen(80, 24);
        assert!(lines[heading].contains("admitted") && lines[23].contains("[q]uit"));
        assert!(lines.contains(&"COUNTED FOR NOBODY: 2.0/s, the ledger is full".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("PROBLEM: /xxx")));
    }

    #[test]
    fn programs_get_rates_and_what_is_wrong() {
        let mut interval = three();
        interval.took = Duration::from_secs(3);
        interval.counted.problems.push("x: damaged".to_owned());
        let answer = Top::new(&interval, SortBy::Figure(Figure::Refused)).json(1);
        assert_eq!(answer["at"], "2026-11-21T09:05:00.123Z");
        assert_eq!(answer["customers"].as_array().unwrap().len(), 1);
        assert_eq!((&answer["customers"][0]["customer_id"], &answer["active"]), (&8.into(), &3.into()));
        assert_eq!(answer["customers"][0]["refused_per_s"], 30.0);
        assert_eq!(answer["total"]["admitted_per_s"], 140.0);
        assert_eq!(answer["total"]["rejected_per_s"], 5.0);
        assert_eq!((&answer["interval_ms"], &answer["sorted_by"]), (&3000.into(), &"refused".into()));
        assert_eq!(answer["problems"][0], "x: damaged");
    }
}
