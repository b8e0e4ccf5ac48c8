//! Measures `GET /api/v1/account` at a constant rate against a null handler of the same server, in alternating rounds, on the
//! database that `DATABASE_URL` names: see `scripts/bench-api`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints what it measures, and fails by panicking"
)]

use controlplane::access_tokens::AccessTokens;
use controlplane::clock::Clock;
use controlplane::config::Config;
use controlplane::db::{Database, Pool};
use controlplane::domain::{customers, sessions};
use controlplane::edge::board::Board;
use controlplane::http::api::Api;
use controlplane::http::limits::Limits;
use controlplane::http::{Bound, State};
use controlplane::secrets::Secrets;
use hdrhistogram::Histogram;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Requests a second, over all connections.
const RATE: u32 = 500;
const CONNECTIONS: u32 = 8;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(4);
const PORT: u16 = 18_099;

fn main() {
    let mut config = Config::from_variables(&std::env::vars().collect()).unwrap();
    config.accounts.requests_per_minute = 1_000_000;
    let clock = Clock::system();
    let mut database = Database::open(&config.database).unwrap();
    // Sessions among many, as a service has them.
    let mut session = None;
    for number in 0..2_000 {
        let wallet = format!("0x{number:064x}").parse().unwrap();
        let made = customers::create(&mut database, &wallet, clock.now_ms()).unwrap();
        let begun =
            database.write(|tx| sessions::begin(tx, made.customer, "127.0.0.1", "bench", clock.now_ms()));
        session = Some(begun.unwrap().session);
    }
    let session = session.unwrap();
    let secrets = std::env::temp_dir().join(format!("suiftly-bench-{}.toml", std::process::id()));
    let access_tokens = AccessTokens::new(&Secrets::load_or_make(&secrets).unwrap());
    std::fs::remove_file(secrets).unwrap();
    let token = access_tokens.issue(session.customer, &session.session_id, clock.now_ms()).unwrap();
    let stop = serve(&config, access_tokens, &clock);

    println!(
        "database: {}, {RATE} requests/s over {CONNECTIONS} connections, {ROUNDS} rounds of {} s",
        config.database,
        ROUND.as_secs()
    );
    let null = "GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n".to_owned();
    let account = format!("GET /api/v1/account HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {token}\r\n\r\n");
    round(&null);
    round(&account);
    let (mut of_null, mut of_account, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=ROUNDS {
        let (one, other) = (round(&null), round(&account));
        let p99 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99);
        println!(
            "round {number}: null p50 {} µs, p99 {} µs; account p50 {} µs, p99 {} µs",
            one.value_at_quantile(0.5),
            p99(&one),
            other.value_at_quantile(0.5),
            p99(&other)
        );
        ratios.push(p99(&other) as f64 / p99(&one) as f64);
        of_null.push(p99(&one));
        of_account.push(p99(&other));
    }
    for list in [&mut of_null, &mut of_account] {
        list.sort_unstable();
    }
    ratios.sort_by(f64::total_cmp);
    let middle = ROUNDS / 2;
    println!(
        "median of p99: null {} µs, account {} µs; ratio: median {:.2}, {:.2} to {:.2}",
        of_null[middle],
        of_account[middle],
        ratios[middle],
        ratios[0],
        ratios[ROUNDS - 1]
    );
    stop.store(true, Ordering::SeqCst);
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

/// Sends one request again and again, at fixed moments: an answer that comes late does not put off the next question, and what it
/// waits counts. Answers the times in microseconds.
fn round(request: &str) -> Histogram<u64> {
    let mut all = Histogram::<u64>::new(3).unwrap();
    let gap = Duration::from_secs(1) * CONNECTIONS / RATE;
    std::thread::scope(|scope| {
        let one = |place: u32| {
            let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
            socket.set_nodelay(true).unwrap();
            let mut times = Histogram::<u64>::new(3).unwrap();
            let began = Instant::now() + gap * place / CONNECTIONS;
            let mut wanted = began;
            while wanted < began + ROUND {
                std::thread::sleep(wanted.saturating_duration_since(Instant::now()));
                socket.write_all(request.as_bytes()).unwrap();
                read_answer(&mut socket);
                times.record(u64::try_from(wanted.elapsed().as_micros()).unwrap()).unwrap();
                wanted += gap;
            }
            times
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|place| scope.spawn(move || one(place))).collect();
        for thread in threads {
            all.add(thread.join().unwrap()).unwrap();
        }
    });
    all
}

/// Reads one answer of 200 with its body.
fn read_answer(socket: &mut TcpStream) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let count = socket.read(&mut chunk).unwrap();
        assert_ne!(count, 0, "the server has closed");
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            return;
        }
    }
}
