//! Measures the collection of usage on the database that `DATABASE_URL` names, which should be empty: see `scripts/bench-usage`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints what it measures, and fails by panicking"
)]

use controlplane::config::{Config, UsageConfig};
use controlplane::db::many_rows::Cell;
use controlplane::db::whole_tables::{self, TABLES};
use controlplane::db::{Database, DbError, usage_records};
use controlplane::domain::usage::take;
use controlplane::jobs;
use edgeformat::ledger::LedgerReading;
use std::ops::Range;
use std::time::{Duration, Instant};

const ACTIVE: i64 = 100_000;
const EXISTING: i64 = 1_000_000;
const DELIVERY: usize = 10_000;
const NOW_MS: i64 = 1_795_000_000_000;
const CYCLE_MS: i64 = 10_000;

fn main() {
    let config = Config::from_variables(&std::env::vars().collect()).unwrap();
    let mut database = Database::open(&config.database).unwrap();
    println!("database: {}", config.database);
    insert(&mut database, "plans", 1..2, |_| [integers(&[1, 1_000, 2_000, 2]), vec![Cell::Null]].concat());
    insert(&mut database, "customers", 1..ACTIVE + 1, |customer| {
        let wallet = Cell::Text(format!("0x{customer:064x}"));
        let active = Cell::Text("active".to_owned());
        [vec![Cell::Integer(customer), wallet, active], integers(&[0, 25_000, 1_000])].concat()
    });
    println!("\n{ACTIVE} active customers, deliveries of {DELIVERY}:");
    for round in 1..=8 {
        print_cycle(&mut database, round, ACTIVE);
    }
    println!("\n1,000 and 10,000 active ones, {ACTIVE} rows and cursors:");
    for (round, active) in [(9, 1_000), (10, 1_000), (11, 10_000), (12, 10_000)] {
        print_cycle(&mut database, round, active);
    }
    let seal = || Cell::Text("seal".to_owned());
    let minute_s = NOW_MS / 1_000 / 60 * 60 - 300_000;
    insert(&mut database, "usage_cursors", 0..EXISTING, |number| {
        let counters = Cell::Text("5,0,3".to_owned());
        vec![Cell::Integer(0xab), Cell::Integer(1_000_000 + number), seal(), counters, Cell::Integer(0)]
    });
    insert(&mut database, "usage_records", 0..EXISTING, |number| {
        let start_s = Cell::Integer(minute_s + number % 10 * 60);
        let customer = Cell::Integer(1 + number / 10);
        let counts = integers(&[5, 0, 0, 0, 3, 0]);
        [vec![customer, seal(), start_s, Cell::Integer(60)], counts].concat()
    });
    println!("\nthe same with {EXISTING} more of both:");
    for (round, active) in [(13, 1_000), (14, 1_000), (15, 10_000), (16, 10_000), (17, ACTIVE), (18, ACTIVE)]
    {
        print_cycle(&mut database, round, active);
    }
    print_roll_up(&mut database);
}

fn integers(numbers: &[i64]) -> Vec<Cell> {
    numbers.iter().map(|number| Cell::Integer(*number)).collect()
}

fn insert(database: &mut Database, table: &str, numbers: Range<i64>, row: impl Fn(i64) -> Vec<Cell>) {
    let table = TABLES.iter().find(|known| known.name == table).unwrap();
    let numbers: Vec<i64> = numbers.collect();
    for numbers in numbers.chunks(100_000) {
        let rows: Vec<Vec<Cell>> = numbers.iter().map(|number| row(*number)).collect();
        database.write(|tx| whole_tables::insert(tx, table, &rows)).unwrap();
    }
}

/// One cycle: every active customer's slot has grown, one in eight has been refused something, too.
fn print_cycle(database: &mut Database, round: i64, active: i64) {
    let now_ms = NOW_MS + round * CYCLE_MS;
    let counted = u64::try_from(round).unwrap() * 10;
    let slots: Vec<(u32, u8, Vec<u64>)> = (1..=u32::try_from(active).unwrap())
        .map(|customer| {
            let limited = if customer % 8 == 0 { counted / 10 } else { 0 };
            (customer, 1, vec![counted, counted / 2, 1, 0, 0, limited])
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    for slots in slots.chunks(DELIVERY) {
        let reading = LedgerReading {
            ledger: "00000000000000ab".to_owned(),
            generation: 1,
            created_at_ms: NOW_MS.cast_unsigned(),
            read_at_ms: now_ms,
            closed: false,
            slots: slots.to_vec(),
        };
        let begun = Instant::now();
        let taken = take(database, "bench", &reading, now_ms).unwrap();
        slowest = slowest.max(begun.elapsed());
        assert_eq!((taken.slots, taken.set_aside), (slots.len() as u64, 0));
    }
    let took = begun.elapsed();
    println!("  cycle {round:2}: {active:7} slots in {took:>12.3?}, slowest delivery {slowest:>12.3?}");
}

fn print_roll_up(database: &mut Database) {
    let keep = UsageConfig { minutes_keep_h: 48, hours_keep_d: 90, days_keep_d: 1_100 };
    let mut jobs = jobs::all(&keep, Duration::from_secs(604_800));
    let job = jobs.iter_mut().find(|job| job.name == "usage minutes to hours").unwrap();
    let (mut rows, mut parts, mut slowest) = (0, Vec::new(), Duration::ZERO);
    let begun = Instant::now();
    loop {
        let begun = Instant::now();
        let done = (job.run)(database, NOW_MS).unwrap();
        parts.push(begun.elapsed());
        slowest = slowest.max(begun.elapsed());
        rows += done.rows;
        if !done.more {
            break;
        }
    }
    let took = begun.elapsed();
    parts.sort();
    let median = parts[parts.len() / 2];
    println!(
        "\nroll-up: {rows} minutes in {took:.3?}, {} transactions, median {median:.3?}, slowest {slowest:.3?}",
        parts.len()
    );
    let asked = usage_records::Asked {
        customer: apikey::CustomerId::new(7).unwrap(),
        service: None,
        time_s: 0..i64::MAX,
    };
    let begun = Instant::now();
    let sums = database.read(|tx| usage_records::sums(tx, &asked)).map_err(|error: DbError| error).unwrap();
    println!("sums of a customer: {:.3?} ({} admitted)", begun.elapsed(), sums.admitted);
}
