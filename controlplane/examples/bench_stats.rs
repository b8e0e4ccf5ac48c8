//! Measures `GET /api/v1/stats/usage` over 30 days, of one customer among 100,000, against `GET /api/v1/account` of the same server, in
//! alternating rounds, on the database that `DATABASE_URL` names, which should be empty: see `scripts/bench-stats`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints what it measures, and fails by panicking"
)]

use controlplane::access_tokens::AccessTokens;
use controlplane::clock::Clock;
use controlplane::config::{Config, DatabaseConfig, UsageConfig};
use controlplane::db::many_rows::Cell;
use controlplane::db::{Database, Pool, WriteTx, stats_marks, whole_tables};
use controlplane::domain::{customers, sessions};
use controlplane::edge::board::Board;
use controlplane::http::api::Api;
use controlplane::http::limits::Limits;
use controlplane::http::{Bound, State};
use controlplane::jobs;
use controlplane::secrets::Secrets;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use hdrhistogram::Histogram;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ACCOUNTS: u32 = 2_000;
const CUSTOMERS: i64 = 100_000;
const ROUNDS: usize = 9;
const REQUESTS: usize = 500;
const PORT: u16 = 18_098;
const DAY_S: i64 = 86_400;
const HOUR_S: i64 = 3_600;
/// What 100 answers of many speeds look like.
const SKETCH: &str = "1:10 2:30 3:20 5:15 8:10 13:6 21:4 55:2 144:1 400:1 900:1";

fn main() {
    let mut config = Config::from_variables(&std::env::vars().collect()).unwrap();
    config.accounts.requests_per_minute = 1_000_000;
    let clock = Clock::system();
    let mut database = Database::open(&config.database).unwrap();
    let begun = Instant::now();
    let now_s = clock.now_ms() / 1_000;
    let mut account = |number: u32| {
        customers::create(
            &mut database,
            &format!("0x{:064x}", ACCOUNTS - 1 - number).parse().unwrap(),
            clock.now_ms(),
        )
        .unwrap()
    };
    // Among others, as a service has them.
    for number in 1..ACCOUNTS {
        account(number);
    }
    let asked = account(0);
    let customer = asked.customer;
    // What an earlier run has filled is used again.
    if asked.created {
        fill(&mut database, i64::from(customer.get()), now_s);
        if let DatabaseConfig::Postgres(_) = config.database {
            // What autovacuum does within a minute.
            let mut connection = PgConnection::establish(&std::env::var("DATABASE_URL").unwrap()).unwrap();
            connection.batch_execute("VACUUM ANALYZE").unwrap();
        }
        println!("filled in {} s", begun.elapsed().as_secs());
    }
    let begin = |tx: &mut WriteTx<'_>| sessions::begin(tx, customer, "127.0.0.1", "bench", clock.now_ms());
    let session = database.write(begin).unwrap().session;
    let secrets = std::env::temp_dir().join(format!("suiftly-bench-{}.toml", std::process::id()));
    let access_tokens = AccessTokens::new(&Secrets::load_or_make(&secrets).unwrap());
    std::fs::remove_file(secrets).unwrap();
    let token = access_tokens.issue(session.customer, &session.session_id, clock.now_ms()).unwrap();
    let stop = serve(&config, access_tokens, &clock);

    println!("database: {}, {ROUNDS} rounds of {REQUESTS} requests, one after the other", config.database);
    let get = |path: &str| {
        format!("GET /api/v1/{path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {token}\r\n\r\n")
    };
    let account = get("account");
    for (name, path) in [
        ("usage, 30 days", "stats/usage?range=30d"),
        ("usage, 30 days by hour", "stats/usage?range=30d&bucket=hour"),
        ("usage, 24 h by minute", "stats/usage?bucket=minute"),
        ("latency, 30 days", "stats/latency?range=30d"),
        ("summary", "stats/summary"),
        ("billing/pending, kept", "billing/pending"),
    ] {
        compare(name, &account, &get(path));
    }
    stop.store(true, Ordering::SeqCst);
}

fn compare(name: &str, account: &str, stats: &str) {
    let requests = if name.contains("minute") { REQUESTS / 5 } else { REQUESTS };
    round(account, requests);
    round(stats, requests);
    let (mut of_account, mut of_stats, mut ratios, mut middles) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let (one, other) = (round(account, requests), round(stats, requests));
        let (one, p99) = (one.value_at_quantile(0.99), other.value_at_quantile(0.99));
        ratios.push(p99 as f64 / one as f64);
        of_account.push(one);
        of_stats.push(p99);
        middles.push(other.value_at_quantile(0.5));
    }
    for list in [&mut of_account, &mut of_stats, &mut middles] {
        list.sort_unstable();
    }
    ratios.sort_by(f64::total_cmp);
    let middle = ROUNDS / 2;
    println!(
        "{name:24} p50 {:6} µs, p99 {:6} µs; account p99 {:5} µs; ratio of p99: median {:.2}, {:.2} to {:.2}",
        middles[middle],
        of_stats[middle],
        of_account[middle],
        ratios[middle],
        ratios[0],
        ratios[ROUNDS - 1]
    );
}

/// 100,000 customers with a day's row for each of 30 days in every table, and the asked one with hours, minutes of two days, two
/// services and three keys of each.
fn fill(database: &mut Database, asked: i64, now_s: i64) {
    let int = Cell::Integer;
    let usage = |customer: i64, service: &str, start_s: i64, length_s: i64| {
        let mut row = vec![int(customer), Cell::Text(service.to_owned()), int(start_s), int(length_s)];
        row.extend([110, 20, 5, 3, 1, 0].map(int));
        row
    };
    let sums = |customer: i64, service: &str, start_s: i64, length_s: i64| {
        let mut row = vec![int(customer), int(length_s), int(start_s), Cell::Text(service.to_owned())];
        row.extend(
            [110, 20, 5, 3, 1, 0, 0, 5, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 12, 3, 120_000, 270_000].map(int),
        );
        row
    };
    let requests = |customer: i64, service: &str, key: i64, start_s: i64, length_s: i64| {
        let mut row =
            vec![int(customer), Cell::Text(service.to_owned()), int(key), int(start_s), int(length_s)];
        row.extend([85, 20, 5, 3, 1, 4, 1, 40_000, 90_000].map(int));
        row.push(Cell::Text(SKETCH.to_owned()));
        row
    };
    let today_s = now_s - now_s % DAY_S;
    for day in 0..30 {
        let start_s = today_s - day * DAY_S;
        // Spread over all ids, and beside the asked one.
        let others = || (1..=CUSTOMERS).map(|number| number * 42_000).filter(|id| *id != asked);
        put(database, "usage_records", others().map(|id| usage(id, "seal", start_s, DAY_S)));
        put(database, "usage_sums", others().map(|id| sums(id, "seal", start_s, DAY_S)));
        put(database, "request_stats", others().map(|id| requests(id, "seal", 7, start_s, DAY_S)));
    }
    let hour_s = now_s - now_s % HOUR_S;
    for service in ["seal", "grpc"] {
        // As the roll-up leaves them: hours that are older than 48, then minutes.
        let hours = (49..720).map(|hour| hour_s - hour * HOUR_S);
        let minutes_from = hour_s - 48 * HOUR_S;
        let minutes = (0..(now_s - minutes_from) / 60).map(|minute| minutes_from + minute * 60);
        put(database, "usage_records", hours.clone().map(|start_s| usage(asked, service, start_s, HOUR_S)));
        put(database, "usage_records", minutes.clone().map(|start_s| usage(asked, service, start_s, 60)));
        put(database, "usage_sums", hours.clone().map(|start_s| sums(asked, service, start_s, HOUR_S)));
        let days = (2..30).map(|day| today_s - day * DAY_S);
        put(database, "usage_sums", days.clone().map(|start_s| sums(asked, service, start_s, DAY_S)));
        for key in 1..=3 {
            let row = |start_s, length_s| requests(asked, service, key, start_s, length_s);
            put(database, "request_stats", hours.clone().map(|start_s| row(start_s, HOUR_S)));
            put(database, "request_stats", days.clone().map(|start_s| row(start_s, DAY_S)));
            put(database, "request_stats", minutes.clone().map(|start_s| row(start_s, 60)));
        }
    }
    // The job adds the minutes up, as it does in a service.
    for source in [stats_marks::Source::Usage, stats_marks::Source::Requests] {
        let mark = stats_marks::Mark { window_start_s: hour_s - 48 * HOUR_S, customer: 0 };
        database.write(|tx| stats_marks::set(tx, source, mark)).unwrap();
    }
    for mut job in jobs::all(&UsageConfig::default(), Duration::from_secs(604_800)) {
        if job.name.contains("added up") {
            while (job.run)(database, now_s * 1_000).unwrap().more {}
        }
    }
}

fn put(database: &mut Database, name: &str, rows: impl Iterator<Item = Vec<Cell>>) {
    let table = whole_tables::TABLES.iter().find(|table| table.name == name).unwrap();
    let rows: Vec<Vec<Cell>> = rows.collect();
    for rows in rows.chunks(20_000) {
        database.write(|tx| whole_tables::insert(tx, table, rows)).unwrap();
    }
}

fn serve(config: &Config, access_tokens: AccessTokens, clock: &Clock) -> Arc<AtomicBool> {
    let api = Api {
        pool: Pool::new(&config.database),
        access_tokens,
        limits: Limits::new(&config.accounts, clock),
        settings: config.accounts.clone(),
        keyring: config.keyring.clone(),
        clock: clock.clone(),
    };
    let board = Arc::new(Board::without_edge(clock.clone()));
    let state = State::new(board, clock.clone(), Some(config.database.clone())).with_api(api);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let serve = move || {
        let bound = Bound::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), state, None).unwrap();
        ready.send(()).unwrap();
        bound.run_until_stopped(move || stopped.load(Ordering::SeqCst)).unwrap();
    };
    std::thread::Builder::new().spawn(serve).unwrap();
    is_ready.recv().unwrap();
    stop
}

/// Sends one request again and again on one connection, each when the one before is answered. Answers the times in microseconds.
fn round(request: &str, requests: usize) -> Histogram<u64> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut times = Histogram::<u64>::new(3).unwrap();
    for _ in 0..requests {
        let begun = Instant::now();
        socket.write_all(request.as_bytes()).unwrap();
        read_answer(&mut socket);
        times.record(u64::try_from(begun.elapsed().as_micros()).unwrap()).unwrap();
    }
    times
}

/// Reads one answer of 200 with its body.
fn read_answer(socket: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 65_536];
    let mut wanted = None;
    while wanted.is_none_or(|wanted| bytes.len() < wanted) {
        let count = socket.read(&mut chunk).unwrap();
        assert_ne!(count, 0, "the server has closed");
        bytes.extend_from_slice(&chunk[..count]);
        if wanted.is_none()
            && let Some(place) = bytes.windows(4).position(|end| end == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&bytes[..place]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            wanted = Some(place + 4 + length.parse::<usize>().unwrap());
        }
    }
}
