//! Filling thirty days with windows: hours up to two days ago, minutes since, as the jobs would leave them. All are taken as minutes,
//! an old hour's as its first: who seeds runs the jobs afterwards, which make hours and days of them.

use crate::db::request_stats::{self, StatsRow};
use crate::db::{Database, WriteTx, api_keys, request_logs, usage_records};
use crate::domain::DomainError;
use crate::domain::demo::accounts::{Source, UsedKey};
use crate::domain::demo::lines;
use crate::domain::demo::numbers::Numbers;
use crate::domain::demo::traffic::{DAY_S, HOUR_S, Traffic};
use crate::domain::demo::{Made, Progress};
use crate::domain::requests::{Owner, RequestLine, Window};
use edgeformat::PolicyKey;
use edgeformat::ledger::Counters;

const DAYS: i64 = 30;
/// How long both tables keep minutes.
const MINUTES_FOR_S: i64 = 48 * HOUR_S;
/// Of how long lines stand one by one.
const LINES_FOR_S: i64 = DAY_S;
/// How many windows one transaction writes: with all sources some ten milliseconds.
const WINDOWS_A_TRANSACTION: usize = 24;
/// In whose name lines are kept: no true edge's.
const EDGE: &str = "demo";

/// A window with all that is written of it.
struct Filled {
    start_s: i64,
    usage: Vec<(PolicyKey, Counters)>,
    statistics: Vec<StatsRow>,
    lines: Vec<RequestLine>,
}

/// Fills them.
pub(super) fn fill(
    database: &mut Database,
    sources: &[Source],
    numbers: &mut Numbers,
    now_ms: i64,
    made: &mut Made,
    progress: &mut Progress<'_>,
) -> Result<(), DomainError> {
    let now_s = now_ms / 1_000;
    let windows = windows(now_s);
    let total = windows.len() as u64;
    let mut done = 0;
    let mut seq = 1;
    for part in windows.chunks(WINDOWS_A_TRANSACTION) {
        progress("hours and minutes", done, total);
        let filled: Vec<Filled> = part
            .iter()
            .map(|(window, start_s)| fill_one(sources, *window, *start_s, now_s, numbers))
            .collect();
        seq = database.write(|tx| store(tx, &filled, seq))?;
        for window in &filled {
            let requests = window.usage.iter().map(|(_, counted)| counted.admitted() + counted.refused());
            made.requests += requests.sum::<u64>();
            made.lines += window.lines.len() as u64;
        }
        done += part.len() as u64;
    }
    progress("hours and minutes", total, total);
    note_last_use(database, sources, now_s)
}

/// The beginnings of all windows, unix seconds; the last is the last whole minute.
fn windows(now_s: i64) -> Vec<(Window, i64)> {
    let first_s = Window::Day.start_of(now_s - DAYS * DAY_S);
    // As jobs decide which hours are old.
    let minutes_from_s = Window::Hour.start_of(now_s - MINUTES_FOR_S);
    let hours = (0..).map(|n| first_s + n * HOUR_S).take_while(|start_s| *start_s < minutes_from_s);
    let minutes = (0..).map(|n| minutes_from_s + n * 60).take_while(|start_s| start_s + 60 <= now_s);
    hours
        .map(|start_s| (Window::Hour, start_s))
        .chain(minutes.map(|start_s| (Window::Minute, start_s)))
        .collect()
}

fn fill_one(sources: &[Source], window: Window, start_s: i64, now_s: i64, numbers: &mut Numbers) -> Filled {
    let mut filled = Filled { start_s, usage: Vec::new(), statistics: Vec::new(), lines: Vec::new() };
    let row = |service: &str, customer: u32, fingerprint, counts| {
        let owner = Owner { customer, service: service.to_owned(), fingerprint };
        StatsRow { window: Window::Minute, window_start_s: start_s, owner, counts }
    };
    for source in sources {
        let traffic = Traffic::of(source, start_s, window.length_s(), now_s, numbers);
        let counters = traffic.counters();
        if counters.is_zero() {
            continue;
        }
        filled.usage.push((source.key, counters));
        let customer = source.key.customer.get();
        let in_use = |key: &&UsedKey| (key.from_s..key.until_s).contains(&start_s);
        let mut keys: Vec<UsedKey> = source.keys.iter().filter(in_use).copied().collect();
        if keys.is_empty() {
            keys.extend(source.keys.first());
        }
        let by_key = traffic.by_key(&keys, window.length_s(), numbers);
        let fingerprint = by_key.first().map(|(fingerprint, _)| *fingerprint);
        for (fingerprint, counts) in by_key {
            filled.statistics.push(row(source.key.service.name(), customer, fingerprint, counts));
        }
        // Refused before the edge knew a service or said which key.
        filled.statistics.extend(traffic.refused_counts().map(|counts| row("", customer, 0, counts)));
        if window == Window::Minute && start_s >= now_s - LINES_FOR_S {
            filled.lines.extend(lines::some(source, &traffic, fingerprint, start_s, numbers));
        }
    }
    filled
}

/// Answers the number of the next line.
fn store(tx: &mut WriteTx<'_>, filled: &[Filled], first_seq: i64) -> Result<i64, DomainError> {
    let mut seq = first_seq;
    for window in filled.iter().filter(|window| !window.usage.is_empty()) {
        usage_records::add(tx, window.start_s, &window.usage)?;
        request_logs::insert(tx, EDGE, seq, &window.lines)?;
        seq += i64::try_from(window.lines.len()).unwrap_or(0);
    }
    let statistics: Vec<StatsRow> = filled.iter().flat_map(|window| window.statistics.clone()).collect();
    request_stats::add(tx, &statistics)?;
    Ok(seq)
}

/// Keys know when they were used last.
fn note_last_use(database: &mut Database, sources: &[Source], now_s: i64) -> Result<(), DomainError> {
    database.write(|tx| {
        for source in sources {
            for key in &source.keys {
                let last_s = key.until_s.min(source.until_s).min(now_s - 60);
                api_keys::note_used(tx, Window::Minute.start_of(last_s), &[key.fingerprint])?;
            }
        }
        Ok(())
    })
}
