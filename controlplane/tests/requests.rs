//! The request log on both databases: what an edge hands over, once; windows that become longer; what is forgotten.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

mod harness;

use apikey::{CustomerId, Service};
use controlplane::db::Database;
use controlplane::domain::requests::{
    Batch, Class, Counts, MinuteRow, Outcome, Owner, RequestLine, Sketch, StatisticsQuery, Stored, Window,
    forget_old, newest, roll_up, statistics, store,
};
use harness::{Backend, TestDatabase, on_both_databases};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

on_both_databases! {
    a_batch_that_comes_twice_is_taken_once,
    lines_come_back_as_they_were_newest_first,
    windows_become_longer_and_nothing_is_lost_or_counted_twice,
    old_requests_are_forgotten_and_young_ones_are_not,
    a_transaction_of_roll_up_and_of_forgetting_is_short,
}

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 1_795_251_900_000;

fn line(time_ms: i64, customer: u32, status: i64, response_ms: i64) -> RequestLine {
    RequestLine {
        time_ms,
        request_id: "1795251900-12-3456".to_owned(),
        client: "2001:db8::1".parse().unwrap(),
        customer: Some(customer),
        service: Some("seal".to_owned()),
        fingerprint: Some(0x4100_0001_0000_0000 | u64::from(customer)),
        class: Some(Class::Burst),
        reason: None,
        status,
        received_bytes: 10,
        sent_bytes: 20,
        queue_ms: 0,
        connect_ms: -1,
        response_ms,
        total_ms: 9,
        server: "seal1".to_owned(),
        ending: "----".to_owned(),
    }
}

fn minute(line: &RequestLine) -> MinuteRow {
    let mut counts = Counts::default();
    counts.add(Outcome::of(line).unwrap(), line);
    MinuteRow {
        window_start_s: Window::Minute.start_of(line.time_ms / 1_000),
        owner: Owner::of(line).unwrap(),
        counts,
    }
}

fn batch(number: i64, lines: Vec<RequestLine>) -> Batch {
    let statistics = lines.iter().map(minute).collect();
    Batch { instance: "0123456789abcdef".to_owned(), number, lines, statistics }
}

fn all_of(customer: u32, window: Window) -> StatisticsQuery {
    StatisticsQuery {
        customer: CustomerId::new(customer).unwrap(),
        service: None,
        fingerprint: None,
        since_s: 0,
        until_s: i64::MAX,
        window,
    }
}

fn sum(database: &mut Database, customer: u32) -> Counts {
    let points = statistics(database, &all_of(customer, Window::Minute)).unwrap();
    points.iter().fold(Counts::default(), |mut sum, point| {
        sum.merge(&point.counts);
        sum
    })
}

fn a_batch_that_comes_twice_is_taken_once(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let customer = CustomerId::new(7).unwrap();
    let first = batch(1, vec![line(NOW_MS, 7, 200, 5), line(NOW_MS, 7, 500, 6)]);
    assert!(first.is_plausible(NOW_MS));
    assert_eq!(store(&mut database, "fra1", &first).unwrap(), Stored::New);
    assert_eq!(store(&mut database, "fra1", &first).unwrap(), Stored::Repeated);
    // Another edge's, and another process's, are others.
    assert_eq!(store(&mut database, "fra2", &first).unwrap(), Stored::New);
    let restarted = Batch { instance: "fedcba9876543210".to_owned(), ..first.clone() };
    assert_eq!(store(&mut database, "fra1", &restarted).unwrap(), Stored::New);
    assert_eq!(newest(&mut database, customer, 0, 100).unwrap().len(), 6);
    let counts = sum(&mut database, 7);
    assert_eq!((counts.burst, counts.server_errors, counts.times.count()), (6, 3, 6));
}

fn lines_come_back_as_they_were_newest_first(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let bare = RequestLine {
        service: None,
        fingerprint: None,
        class: None,
        reason: Some("revoked".to_owned()),
        ..line(NOW_MS + 1, 7, 401, -1)
    };
    let nobody = RequestLine { customer: None, ..bare.clone() };
    let lines = vec![line(NOW_MS, 7, 200, 5), bare.clone(), nobody, line(NOW_MS + 2, 8, 200, 5)];
    let batch = Batch { statistics: Vec::new(), ..batch(1, vec![]) };
    store(&mut database, "local", &Batch { lines: lines.clone(), ..batch }).unwrap();
    let customer = CustomerId::new(7).unwrap();
    assert_eq!(newest(&mut database, customer, 0, 9).unwrap(), [bare.clone(), lines[0].clone()]);
    assert_eq!(newest(&mut database, customer, 0, 1).unwrap(), std::slice::from_ref(&bare));
    assert_eq!(newest(&mut database, customer, NOW_MS + 1, 9).unwrap(), [bare]);
}

fn windows_become_longer_and_nothing_is_lost_or_counted_twice(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let (mut number, mut exact) = (0, BTreeMap::<u32, (i64, Sketch)>::new());
    // Four hours of minutes that are 49 to 45 h old, of 3 customers.
    let begin_ms = Window::Hour.start_of((NOW_MS - 49 * 3_600_000) / 1_000) * 1_000;
    for minute in 0..240 {
        let lines: Vec<RequestLine> =
            (1..=3).map(|id| line(begin_ms + minute * 60_000, id, 200, minute * i64::from(id))).collect();
        for line in &lines {
            let (count, sketch) = exact.entry(line.customer.unwrap()).or_default();
            *count += 1;
            sketch.add(u64::try_from(line.response_ms).unwrap());
        }
        number += 1;
        store(&mut database, "local", &batch(number, lines)).unwrap();
    }
    let check = |database: &mut Database| {
        for (customer, (count, sketch)) in &exact {
            let counts = sum(database, *customer);
            assert_eq!((counts.burst, counts.sent_bytes, &counts.times), (*count, count * 20, sketch));
        }
    };
    check(&mut database);
    assert_eq!(roll_up(&mut database, NOW_MS).unwrap(), 3 * 60, "only whole hours");
    assert_eq!(roll_up(&mut database, NOW_MS).unwrap(), 0);
    check(&mut database);
    let points = statistics(&mut database, &all_of(2, Window::Minute)).unwrap();
    assert_eq!((points.len(), points[0].window, points[1].window), (181, Window::Hour, Window::Minute));
    assert_eq!(points[0].percentiles_ms, Some([58, 112, 118]), "0, 2, … 118 ms");
    assert_eq!(statistics(&mut database, &all_of(2, Window::Hour)).unwrap().len(), 4);
    // What comes late for an hour that is rolled up already is added to it.
    store(&mut database, "local", &batch(number + 1, vec![line(begin_ms, 1, 200, 0)])).unwrap();
    exact_add(&mut exact, 1);
    assert_eq!(roll_up(&mut database, NOW_MS).unwrap(), 1);
    let check = |database: &mut Database| {
        for (customer, (count, _)) in &exact {
            assert_eq!(sum(database, *customer).burst, *count);
        }
    };
    check(&mut database);
    // Half a year later everything is in days.
    roll_up(&mut database, NOW_MS + 180 * DAY_MS).unwrap();
    check(&mut database);
    let points = statistics(&mut database, &all_of(2, Window::Minute)).unwrap();
    assert!(points.len() <= 2 && points.iter().all(|point| point.window == Window::Day), "{points:?}");
    let other = StatisticsQuery { service: Some(Service::Grpc), ..all_of(2, Window::Day) };
    assert_eq!(statistics(&mut database, &other).unwrap(), []);
    let other = StatisticsQuery { fingerprint: Some(1), ..all_of(2, Window::Day) };
    assert_eq!(statistics(&mut database, &other).unwrap(), []);
}

fn exact_add(exact: &mut BTreeMap<u32, (i64, Sketch)>, customer: u32) {
    exact.entry(customer).or_default().0 += 1;
}

fn old_requests_are_forgotten_and_young_ones_are_not(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let ages = [8 * DAY_MS, 7 * DAY_MS + 1, 7 * DAY_MS, 7 * DAY_MS - 1, 0];
    let lines = ages.iter().map(|age| line(NOW_MS - age, 7, 200, 5)).collect();
    store(&mut database, "local", &batch(1, lines)).unwrap();
    assert_eq!(forget_old(&mut database, NOW_MS, Duration::from_secs(7 * 86_400)).unwrap(), 2);
    assert_eq!(newest(&mut database, CustomerId::new(7).unwrap(), 0, 9).unwrap().len(), 3);
    assert_eq!(sum(&mut database, 7).burst, 5, "statistics are kept");
}

/// Nobody else writes meanwhile. The limit is for a busy machine: alone they take a tenth of it.
fn a_transaction_of_roll_up_and_of_forgetting_is_short(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let old_ms = NOW_MS - 30 * DAY_MS;
    for number in 1..=20 {
        let lines =
            (0..500_u32).map(|id| line(old_ms + number * 60_000, id + 1, 200, i64::from(id))).collect();
        store(&mut database, "local", &batch(number, lines)).unwrap();
    }
    let mut other = Database::open_again(&place.config).unwrap();
    let longest_wait = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let begun = Instant::now();
            assert_eq!(roll_up(&mut database, NOW_MS).unwrap(), 10_000);
            let rolled_up = begun.elapsed();
            assert_eq!(forget_old(&mut database, NOW_MS, Duration::ZERO).unwrap(), 10_000);
            println!(
                "{backend:?}: 10,000 rows rolled up in {rolled_up:?}, forgotten in {:?}",
                begun.elapsed() - rolled_up
            );
        });
        let mut longest = Duration::ZERO;
        while !work.is_finished() {
            let begun = Instant::now();
            other.write(|_| Ok::<_, controlplane::db::DbError>(())).unwrap();
            longest = longest.max(begun.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        longest
    });
    println!("{backend:?}: another writer waited at most {longest_wait:?}");
    assert!(longest_wait < Duration::from_secs(3), "{longest_wait:?}");
}
