//! Usage: taken once however it is told, believed only as far as it is plausible, and moved into longer windows without a loss.

use crate::harness::{Backend, TestDatabase, on_both_databases};
use apikey::{CustomerId, Service};
use controlplane::config::UsageConfig;
use controlplane::db::Database;
use controlplane::db::usage_records::Asked;
use controlplane::db::usage_set_aside::Decision;
use controlplane::domain::services::{Move, make_move};
use controlplane::domain::usage::figures::{self, Figures};
use controlplane::domain::usage::{Taken, UsageError, set_aside, take};
use controlplane::domain::{Tier, customers};
use controlplane::jobs;
use edgeformat::PolicyKey;
use edgeformat::ledger::{COUNTERS, Counter, Counters, LedgerReading, SlotReading};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

const NOW_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;

on_both_databases! {
    whatever_way_a_history_is_delivered_each_request_counts_once,
    a_ledger_belongs_to_the_edge_that_reported_it_first,
    a_closed_ledger_counts_no_more_and_its_cursors_go,
    what_is_not_plausible_is_set_aside_once_and_a_person_decides,
    growing_old_never_changes_a_sum,
    figures_are_told_by_time,
    many_slots_and_none_are_taken,
}

struct Fixture {
    _place: TestDatabase,
    database: Database,
    customers: Vec<CustomerId>,
}

impl Fixture {
    /// Customers with the largest plan of the catalogue, 3,000 requests a second.
    fn new(backend: Backend, count: u32) -> Self {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        let customers: Vec<CustomerId> = (1..=count)
            .map(|number| {
                let wallet = format!("0x{number:064x}").parse().unwrap();
                customers::create(&mut database, &wallet, NOW_MS).unwrap().customer
            })
            .collect();
        let key = PolicyKey { customer: customers[0], service: Service::Seal };
        make_move(&mut database, key, Move::Enable(Some(Tier::Enterprise)), NOW_MS).unwrap();
        Self { _place: place, database, customers }
    }

    fn take(&mut self, edge: &str, reading: &LedgerReading, now_ms: i64) -> Result<Taken, UsageError> {
        take(&mut self.database, edge, reading, now_ms)
    }

    fn figures(&mut self, customer: CustomerId) -> (Figures, BTreeMap<String, u64>) {
        figures::of_customer(&mut self.database, &asked(customer, 0..i64::MAX)).unwrap()
    }

    /// Runs every part of every job.
    fn run_jobs(&mut self, now_ms: i64) -> u64 {
        let keep = UsageConfig { minutes_keep_h: 2, hours_keep_d: 3, days_keep_d: 1_100 };
        let mut rows = 0;
        for mut job in jobs::all(&keep, Duration::from_secs(604_800)) {
            loop {
                let done = (job.run)(&mut self.database, now_ms).unwrap();
                rows += done.rows;
                if !done.more {
                    break;
                }
            }
        }
        rows
    }
}

const fn asked(customer: CustomerId, time_s: Range<i64>) -> Asked {
    Asked { customer, service: None, time_s }
}

fn reading(ledger: u64, read_at_ms: i64, slots: &[(CustomerId, Counters)]) -> LedgerReading {
    let wire = |(customer, counters): &(CustomerId, Counters)| {
        let key = PolicyKey { customer: *customer, service: Service::Seal };
        SlotReading { key, counters: *counters }.to_wire()
    };
    LedgerReading {
        ledger: format!("{ledger:016x}"),
        generation: 1,
        created_at_ms: NOW_MS.cast_unsigned(),
        read_at_ms,
        closed: false,
        slots: slots.iter().map(wire).collect(),
    }
}

fn counters(counts: &[(Counter, u64)]) -> Counters {
    let mut counters = Counters::default();
    counts.iter().for_each(|(counter, count)| counters.0[counter.number()] = *count);
    counters
}

fn admitted(count: u64) -> Counters {
    counters(&[(Counter::Admitted, count)])
}

/// What a customer should have used by these counters.
fn expected(counters: &Counters) -> Figures {
    Figures {
        guaranteed: counters.billed_guaranteed(),
        burst: counters.billed_burst(),
        rejected: (counters.rejected() + counters.refused()).cast_signed(),
        unserved: counters.unserved().cast_signed(),
    }
}

/// Numbers that a seed gives again.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("SUIFTLY_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| controlplane::random::nonzero_u64().unwrap());
        eprintln!("SUIFTLY_TEST_SEED={seed} gives this run again");
        Self(seed)
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap()
    }

    /// A slot that has grown: some admitted, and of these and besides some with every outcome.
    fn grown(&mut self, before: &Counters) -> Counters {
        let mut counters = *before;
        for place in 0..COUNTERS {
            let more = if place == 0 { 40 + self.below(200) } else { self.below(4) * self.below(2) };
            counters.0[place] += more;
        }
        counters
    }
}

fn whatever_way_a_history_is_delivered_each_request_counts_once(backend: Backend) {
    const LEDGERS: usize = 3;
    let (mut random, mut fixture) = (Random::new(), Fixture::new(backend, 5));
    let customers = fixture.customers.clone();
    let mut counted = vec![[Counters::default(); 5]; LEDGERS];
    let mut readings = Vec::new();
    for round in 0..40 {
        let ledger = random.place(LEDGERS);
        for _ in 0..3 {
            let customer = random.place(5);
            counted[ledger][customer] = random.grown(&counted[ledger][customer]);
        }
        // Only some of the slots: an edge tells those that have changed, in parts.
        let slots: Vec<(CustomerId, Counters)> = (0..5)
            .filter(|_| random.below(3) > 0)
            .map(|customer| (customers[customer], counted[ledger][customer]))
            .collect();
        readings.push((ledger, reading(ledger as u64 + 1, NOW_MS + round * 20_000, &slots)));
    }
    let last = NOW_MS + 40 * 20_000;
    for (ledger, slots) in counted.iter().enumerate() {
        let slots: Vec<(CustomerId, Counters)> = customers.iter().copied().zip(*slots).collect();
        readings.push((ledger, reading(ledger as u64 + 1, last, &slots)));
    }
    // Each at least once and in any order, some again and again.
    let mut deliveries: Vec<usize> = (0..readings.len()).collect();
    deliveries.extend((0..60).map(|_| random.place(readings.len())));
    for place in (1..deliveries.len()).rev() {
        deliveries.swap(place, random.place(place + 1));
    }
    for (step, place) in deliveries.into_iter().enumerate() {
        let (ledger, reading) = &readings[place];
        let now_ms = last + step as i64 * 500;
        let taken = fixture.take(&format!("edge{ledger}"), reading, now_ms).unwrap();
        assert_eq!(taken.set_aside, 0);
        if random.below(10) == 0 {
            fixture.run_jobs(now_ms + DAY_MS);
        }
        assert_eq!(fixture.take(&format!("edge{ledger}"), reading, now_ms).unwrap(), Taken::default());
    }
    for (place, customer) in customers.iter().enumerate() {
        let all = counted.iter().fold(Counters::default(), |sum, ledger| sum.plus(&ledger[place]));
        let (figures, reasons) = fixture.figures(*customer);
        assert_eq!(figures, expected(&all));
        let of_reason = |counter: &Counter| (counter.word().to_owned(), all.get(*counter));
        let counted: BTreeMap<String, u64> = Counter::REJECTED
            .iter()
            .chain(&Counter::REFUSED)
            .map(of_reason)
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(reasons, counted);
    }
}

fn a_ledger_belongs_to_the_edge_that_reported_it_first(backend: Backend) {
    let mut fixture = Fixture::new(backend, 1);
    let customer = fixture.customers[0];
    fixture.take("fra1", &reading(1, NOW_MS, &[]), NOW_MS).unwrap();
    let stolen = reading(1, NOW_MS, &[(customer, admitted(5))]);
    let refused = fixture.take("nyc1", &stolen, NOW_MS);
    assert!(
        matches!(refused, Err(UsageError::OtherEdge { ref owner, .. }) if owner == "fra1"),
        "{refused:?}"
    );
    assert_eq!(fixture.figures(customer).0, Figures::default());
    assert_eq!(fixture.take("fra1", &stolen, NOW_MS).unwrap().slots, 1);
    assert_eq!(fixture.figures(customer).0.guaranteed, 5);
    for ledger in ["", "0000000000000000", "xyz", "00000000000000AB"] {
        let malformed = LedgerReading { ledger: ledger.to_owned(), ..stolen.clone() };
        assert!(
            matches!(fixture.take("fra1", &malformed, NOW_MS), Err(UsageError::Malformed(_))),
            "{ledger}"
        );
    }
}

fn a_closed_ledger_counts_no_more_and_its_cursors_go(backend: Backend) {
    let mut fixture = Fixture::new(backend, 2);
    let (one, two) = (fixture.customers[0], fixture.customers[1]);
    fixture.take("fra1", &reading(1, NOW_MS, &[(one, admitted(3)), (two, admitted(4))]), NOW_MS).unwrap();
    let mut last = reading(1, NOW_MS, &[(one, admitted(5))]);
    last.closed = true;
    assert_eq!(fixture.take("fra1", &last, NOW_MS).unwrap().slots, 1);
    assert_eq!(fixture.run_jobs(NOW_MS), 2, "both cursors");
    assert_eq!(fixture.run_jobs(NOW_MS), 0);
    for late in [last, reading(1, NOW_MS, &[(one, admitted(50)), (two, admitted(4))])] {
        assert_eq!(fixture.take("fra1", &late, NOW_MS).unwrap(), Taken::default());
    }
    assert!(matches!(
        fixture.take("nyc1", &reading(1, NOW_MS, &[]), NOW_MS),
        Err(UsageError::OtherEdge { .. })
    ));
    assert_eq!((fixture.figures(one).0.guaranteed, fixture.figures(two).0.guaranteed), (5, 4));
    // The next file of the same edge begins at 0.
    fixture.take("fra1", &reading(2, NOW_MS, &[(one, admitted(7))]), NOW_MS).unwrap();
    assert_eq!(fixture.figures(one).0.guaranteed, 12);
}

fn what_is_not_plausible_is_set_aside_once_and_a_person_decides(backend: Backend) {
    let mut fixture = Fixture::new(backend, 2);
    let (one, two) = (fixture.customers[0], fixture.customers[1]);
    let nobody = CustomerId::new(if one.get() == 7 || two.get() == 7 { 8 } else { 7 }).unwrap();
    fixture.take("fra1", &reading(1, NOW_MS, &[(one, admitted(1)), (two, admitted(1))]), NOW_MS).unwrap();
    let later_ms = NOW_MS + 10_000;
    // The request before has taken a millisecond of the grace.
    let most = 2 * 3_000 * (10 + 60) - 6;
    let slots = [(one, admitted(1 + most)), (two, admitted(2 + most)), (nobody, admitted(9))];
    let taken = fixture.take("fra1", &reading(1, later_ms, &slots), later_ms).unwrap();
    assert_eq!(taken, Taken { slots: 1, set_aside: 2 });
    assert_eq!(fixture.take("fra1", &reading(1, later_ms, &slots), later_ms).unwrap(), Taken::default());
    assert_eq!(fixture.figures(one).0.guaranteed, 1 + most.cast_signed());
    assert_eq!(fixture.figures(two).0.guaranteed, 1);
    // What comes after it counts as always.
    let more = [(two, admitted(5 + most))];
    fixture.take("fra1", &reading(1, later_ms, &more), later_ms + 1_000).unwrap();
    assert_eq!(fixture.figures(two).0.guaranteed, 4);

    let (rows, total) = set_aside::list(&mut fixture.database).unwrap();
    let whys: Vec<&str> = rows.iter().map(|row| row.why.as_str()).collect();
    assert_eq!((whys.as_slice(), total), (["too_much", "unknown_customer"].as_slice(), 2));
    let mut decide = |id, decision| set_aside::decide(&mut fixture.database, id, decision, later_ms);
    for _ in 0..2 {
        decide(rows[0].id, Decision::Accepted).unwrap().unwrap();
    }
    assert!(decide(rows[0].id, Decision::Discarded).is_err());
    assert!(decide(rows[1].id, Decision::Accepted).is_err(), "there is nobody whose it is");
    decide(rows[1].id, Decision::Discarded).unwrap().unwrap();
    assert!(decide(99, Decision::Accepted).unwrap().is_none());
    assert_eq!(fixture.figures(two).0.guaranteed, 5 + most.cast_signed());
    assert_eq!(set_aside::list(&mut fixture.database).unwrap().1, 0);
    // A number that nobody counts to can only be thrown away, and does not keep the slot from counting elsewhere.
    let absurd = fixture.take("fra1", &reading(1, later_ms, &[(one, admitted(u64::MAX))]), later_ms).unwrap();
    assert_eq!(absurd.set_aside, 1);
    let (rows, _) = set_aside::list(&mut fixture.database).unwrap();
    assert!(set_aside::decide(&mut fixture.database, rows[0].id, Decision::Accepted, later_ms).is_err());
    fixture.take("fra1", &reading(2, later_ms, &[(one, admitted(1))]), later_ms).unwrap();
    assert_eq!(fixture.figures(one).0.guaranteed, 2 + most.cast_signed());
}

fn growing_old_never_changes_a_sum(backend: Backend) {
    let (mut random, mut fixture) = (Random::new(), Fixture::new(backend, 3));
    let customers = fixture.customers.clone();
    let mut counted = [Counters::default(); 3];
    let mut now_ms = NOW_MS;
    for step in 0..60 {
        now_ms += random.below(7 * 3_600_000).cast_signed();
        let place = random.place(3);
        counted[place] = random.grown(&counted[place]);
        // Some of it comes late, days after it was read.
        let late_ms = if random.below(3) == 0 { random.below(6 * DAY_MS as u64).cast_signed() } else { 0 };
        let told = reading(1, now_ms - late_ms, &[(customers[place], counted[place])]);
        assert_eq!(fixture.take("fra1", &told, now_ms).unwrap().slots, 1);
        if random.below(2) == 0 {
            fixture.run_jobs(now_ms);
            assert_eq!(fixture.run_jobs(now_ms), 0, "twice is once");
        }
        let (figures, reasons) = fixture.figures(customers[place]);
        assert_eq!(figures, expected(&counted[place]), "step {step}");
        assert_eq!(reasons.values().sum::<u64>().cast_signed(), figures.rejected, "step {step}");
    }
    let far_ms = now_ms + 4 * DAY_MS;
    fixture.run_jobs(far_ms);
    for (customer, counted) in customers.iter().zip(&counted) {
        let days = figures::by_time(&mut fixture.database, &asked(*customer, 0..i64::MAX), 60).unwrap();
        assert!(days.keys().all(|start_s| start_s % 86_400 == 0), "{days:?}");
        assert_eq!(fixture.figures(*customer).0, expected(counted));
    }
    // In the end it is forgotten.
    fixture.run_jobs(far_ms + 1_200 * DAY_MS);
    assert_eq!(fixture.figures(customers[0]), (Figures::default(), BTreeMap::new()));
}

fn figures_are_told_by_time(backend: Backend) {
    let mut fixture = Fixture::new(backend, 1);
    let customer = fixture.customers[0];
    let minute_s = NOW_MS / 60_000 * 60;
    for minute in 0..6 {
        let counted = counters(&[(Counter::Admitted, (minute + 1) * 10), (Counter::RateLimited, minute + 1)]);
        let read_at_ms = (minute_s + minute.cast_signed() * 60) * 1_000;
        fixture
            .take("fra1", &reading(1, read_at_ms, &[(customer, counted)]), read_at_ms.max(NOW_MS))
            .unwrap();
    }
    let mut guaranteed = |from: i64, until: i64| {
        let asked = asked(customer, minute_s + from..minute_s + until);
        figures::of_customer(&mut fixture.database, &asked).unwrap().0.guaranteed
    };
    assert_eq!(guaranteed(0, 360), 54);
    assert_eq!(guaranteed(60, 180), 18);
    assert_eq!(guaranteed(59, 181), 36, "a minute counts whole");
    assert_eq!(guaranteed(-1_000, 0), 0);
    let of_all = asked(customer, 0..i64::MAX);
    let minutes = figures::by_time(&mut fixture.database, &of_all, 60).unwrap();
    assert_eq!(minutes.len(), 6);
    assert!(minutes.values().all(|figures| (figures.guaranteed, figures.rejected) == (9, 1)), "{minutes:?}");
    let days = figures::by_time(&mut fixture.database, &of_all, 86_400).unwrap();
    assert_eq!(days.values().map(|figures| figures.guaranteed).sum::<i64>(), 54);
    let other = Asked { service: Some(Service::Grpc), ..of_all };
    assert_eq!(figures::of_customer(&mut fixture.database, &other).unwrap().0, Figures::default());
}

fn many_slots_and_none_are_taken(backend: Backend) {
    let mut fixture = Fixture::new(backend, 1);
    let customer = fixture.customers[0];
    assert_eq!(fixture.take("fra1", &reading(1, NOW_MS, &[]), NOW_MS).unwrap(), Taken::default());
    // More than one transaction; nobody else exists.
    let mut slots = vec![(customer, admitted(1))];
    let ids = (1..).filter_map(CustomerId::new).filter(|id| *id != customer);
    slots.extend(ids.take(5_999).map(|id| (id, admitted(2))));
    let taken = fixture.take("fra1", &reading(1, NOW_MS, &slots), NOW_MS).unwrap();
    assert_eq!(taken, Taken { slots: 1, set_aside: 5_999 });
    assert_eq!(fixture.take("fra1", &reading(1, NOW_MS, &slots), NOW_MS).unwrap(), Taken::default());
    let too_many = vec![(customer, admitted(9)); 20_001];
    assert!(matches!(fixture.take("fra1", &reading(1, NOW_MS, &too_many), NOW_MS), Err(UsageError::TooMany)));
}
