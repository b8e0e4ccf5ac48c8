//! The request log on both databases: what an edge hands over, once; windows that become longer; what is forgotten.

#![allow(clippy::print_stdout, reason = "what was measured is printed")]

use crate::harness::{Backend, TestDatabase, on_both_databases};
use apikey::CustomerId;
use controlplane::db::request_sums::{self, Asked};
use controlplane::db::statistics::{Services, Whose};
use controlplane::db::time_pieces::{Piece, TimePieces};
use controlplane::db::{Database, DbError};
use controlplane::domain::requests::{
    Batch, Class, Counts, MinuteRow, Outcome, Owner, RequestLine, Sketch, Stored, Window, add_up, forget_old,
    forget_old_windows, newest, store,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

on_both_databases! {
    a_batch_that_comes_twice_is_taken_once,
    lines_come_back_as_they_were_newest_first,
    minutes_are_added_up_once_and_old_windows_are_forgotten,
    old_requests_are_forgotten_and_young_ones_are_not,
    a_transaction_of_adding_up_and_of_forgetting_is_short,
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

/// What a customer's windows of a length add up to.
fn sum_of(database: &mut Database, customer: u32, window: Window) -> Counts {
    let mut sum = Counts::default();
    let time = TimePieces {
        pieces: vec![match window {
            Window::Minute => Piece::Minutes(0..i64::MAX),
            Window::Hour | Window::Day => Piece::Sums(window.length_s(), 0..i64::MAX),
        }],
        bucket_s: window.length_s(),
    };
    let whose = Whose { customer: CustomerId::new(customer).unwrap(), service: None };
    let asked = Asked { whose, key: None };
    let (rows, times) = database
        .read(|tx| {
            Ok::<_, DbError>((
                request_sums::sums(tx, asked, &time, Services::Apart)?,
                request_sums::times(tx, asked, &time)?,
            ))
        })
        .unwrap();
    for row in rows {
        sum.burst += row.sums.burst;
        sum.server_errors += row.sums.logged.server_errors;
        sum.sent_bytes += row.sums.logged.sent_bytes;
    }
    times.iter().for_each(|row| sum.times.merge(&row.times));
    sum
}

fn sum(database: &mut Database, customer: u32) -> Counts {
    sum_of(database, customer, Window::Minute)
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

fn minutes_are_added_up_once_and_old_windows_are_forgotten(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let (mut number, mut exact) = (0, BTreeMap::<u32, (i64, Sketch)>::new());
    // Four hours of minutes that are 49 to 45 h old, of 3 customers.
    let begin_ms = Window::Hour.start_of((NOW_MS - 49 * 3_600_000) / 1_000) * 1_000;
    let mut add = |database: &mut Database, exact: &mut BTreeMap<u32, (i64, Sketch)>, line: RequestLine| {
        let (count, sketch) = exact.entry(line.customer.unwrap()).or_default();
        *count += 1;
        sketch.add(u64::try_from(line.response_ms).unwrap());
        number += 1;
        store(database, "local", &batch(number, vec![line])).unwrap();
    };
    for minute in 0..240 {
        for id in 1..=3 {
            add(&mut database, &mut exact, line(begin_ms + minute * 60_000, id, 200, minute * i64::from(id)));
        }
    }
    let check = |database: &mut Database, exact: &BTreeMap<u32, (i64, Sketch)>, windows: &[Window]| {
        for (customer, (count, sketch)) in exact {
            for window in windows {
                let counts = sum_of(database, *customer, *window);
                let found = (counts.burst, counts.sent_bytes, &counts.times);
                assert_eq!(found, (*count, count * 20, sketch), "{window:?}");
            }
        }
    };
    let all = [Window::Minute, Window::Hour, Window::Day];
    check(&mut database, &exact, &all[..1]);
    // The minute in which we are is not over.
    add(&mut database, &mut exact, line(NOW_MS, 1, 200, 7));
    assert_eq!(add_up(&mut database, NOW_MS).unwrap(), 3 * 240);
    assert_eq!(add_up(&mut database, NOW_MS).unwrap(), 0);
    assert_eq!(add_up(&mut database, NOW_MS + 91_000).unwrap(), 1);
    check(&mut database, &exact, &all);
    assert_eq!(sum_of(&mut database, 2, Window::Hour).times.quantiles([0.5]), Some([238]));
    // What comes late for a minute that is added up already is in all of them at once.
    add(&mut database, &mut exact, line(begin_ms, 1, 200, 0));
    add(&mut database, &mut exact, line(begin_ms + 60_000, 4, 200, 0));
    check(&mut database, &exact, &all);
    assert_eq!(add_up(&mut database, NOW_MS + 91_000).unwrap(), 0);
    // Minutes go after 48 hours, whole hours only, hours after 90 days.
    assert_eq!(forget_old_windows(&mut database, NOW_MS).unwrap(), 3 * 60 + 1);
    assert_eq!(forget_old_windows(&mut database, NOW_MS).unwrap(), 0);
    check(&mut database, &exact, &all[1..]);
    assert!(forget_old_windows(&mut database, NOW_MS + 180 * DAY_MS).unwrap() > 0);
    check(&mut database, &exact, &all[2..]);
    for window in [Window::Minute, Window::Hour] {
        assert_eq!(sum_of(&mut database, 1, window), Counts::default());
    }
    // What is not added up is not forgotten.
    add(&mut database, &mut exact, line(NOW_MS + 100 * DAY_MS, 1, 200, 9));
    assert_eq!(forget_old_windows(&mut database, NOW_MS + 180 * DAY_MS).unwrap(), 0);
    add_up(&mut database, NOW_MS + 180 * DAY_MS).unwrap();
    assert_eq!(forget_old_windows(&mut database, NOW_MS + 180 * DAY_MS).unwrap(), 1);
    check(&mut database, &exact, &all[2..]);
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
fn a_transaction_of_adding_up_and_of_forgetting_is_short(backend: Backend) {
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
            assert_eq!(add_up(&mut database, NOW_MS).unwrap(), 10_000);
            let added_up = begun.elapsed();
            assert_eq!(forget_old(&mut database, NOW_MS, Duration::ZERO).unwrap(), 10_000);
            println!(
                "{backend:?}: 10,000 rows added up in {added_up:?}, forgotten in {:?}",
                begun.elapsed() - added_up
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
