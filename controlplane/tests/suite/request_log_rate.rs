//! How many lines a second the request log takes, and what happens above that: the real collector with a real socket and a
//! real database. Run by hand, alone on the machine: `scripts/bench-requests`.

#![allow(clippy::print_stdout, reason = "what was measured is printed")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

use crate::harness::{Backend, TestDatabase, on_both_databases};
use controlplane::clock::Clock;
use controlplane::config::{Config, Variables};
use controlplane::edge::requests::{self, RequestCounts, Why};
use rustix::time::{ClockId, clock_gettime};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

on_both_databases! {
    lines_a_second,
}

const SECONDS: u32 = 10;
/// Each of so many customers has one key.
const CUSTOMERS: u32 = 1_000;

fn seconds_of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What HAProxy writes for a served request.
fn line(number: u32, time_ms: i64) -> String {
    let customer = number % CUSTOMERS + 1;
    format!(
        "{{\"id\":\"{}-{number}-242696378\",\"time\":\"{}.{:03}\",\"client\":\"192.0.2.1\",\"customer\":\"{customer}\",\
         \"service\":\"seal\",\"key\":\"41000001{customer:08X}\",\"class\":\"guaranteed\",\"reason\":\"-\",\"status\":200,\
         \"received_bytes\":152,\"sent_bytes\":1049,\"queue_ms\":0,\"connect_ms\":0,\"response_ms\":{},\"total_ms\":8,\
         \"server\":\"seal1\",\"end\":\"----\"}}\n",
        time_ms / 1_000,
        time_ms / 1_000,
        time_ms % 1_000,
        number % 500
    )
}

/// Sends at an even rate; answers how long the longest send took and how much processor time sending cost.
fn send(port: u16, per_s: u32, clock: &Clock) -> (Duration, f64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 0..per_s * SECONDS {
        let due = Duration::from_secs_f64(f64::from(number) / f64::from(per_s));
        if let Some(early) =
            due.checked_sub(begun.elapsed()).filter(|early| *early > Duration::from_millis(1))
        {
            std::thread::sleep(early);
        }
        let text = line(number, clock.now_ms());
        let sending = Instant::now();
        socket.send(text.as_bytes()).unwrap();
        longest = longest.max(sending.elapsed());
    }
    (longest, seconds_of(ClockId::ThreadCPUTime))
}

fn one(backend: Backend, per_s: u32) {
    let place = TestDatabase::new(backend);
    drop(place.open());
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let variables = Variables::from([
        ("SUIFTLY_REQUEST_LOG".to_owned(), format!("127.0.0.1:{port}")),
        ("SUIFTLY_REQUEST_LOG_PER_S".to_owned(), "1000000".to_owned()),
    ]);
    let config = Config::from_variables(&variables).unwrap().request_log;
    let (counts, stopping, clock) =
        (Arc::new(RequestCounts::default()), Arc::new(AtomicBool::new(false)), Clock::system());
    let sink = requests::into_database(place.config.clone(), "local".to_owned());
    let cpu_before = seconds_of(ClockId::ProcessCPUTime);
    requests::start(&config, clock.clone(), Arc::clone(&counts), Arc::clone(&stopping), sink).unwrap();
    let begun = Instant::now();
    let (longest_send, sending_cpu) =
        std::thread::scope(|scope| scope.spawn(|| send(port, per_s, &clock)).join().unwrap());
    let sent = u64::from(per_s * SECONDS);
    let dropped = || Why::ALL.into_iter().map(|why| counts.dropped(why)).sum::<u64>();
    let deadline = Instant::now() + Duration::from_secs(15);
    while counts.stored() + dropped() < sent && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = seconds_of(ClockId::ProcessCPUTime) - cpu_before - sending_cpu;
    stopping.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(900));
    let by: Vec<String> = Why::ALL
        .into_iter()
        .filter(|why| counts.dropped(*why) > 0)
        .map(|why| format!("{} {}", why.word(), counts.dropped(why)))
        .collect();
    println!(
        "{backend:?}: offered {per_s}/s for {SECONDS} s: stored {} of {sent} ({:.0}/s) in {took:.1} s, dropped: {}; processor \
         {cpu:.2} s ({:.1} µs a line that came in), longest send {longest_send:?}",
        counts.stored(),
        counts.stored() as f64 / took,
        if by.is_empty() { "none".to_owned() } else { by.join(", ") },
        cpu * 1e6 / counts.lines() as f64,
    );
    assert_eq!(counts.stored() + dropped(), sent, "a line is neither stored nor counted");
    if per_s <= 10_000 {
        assert_eq!(counts.stored(), sent, "the bar: 10,000 a second");
        assert!(cpu < took, "the bar: on one core");
    }
}

fn lines_a_second(backend: Backend) {
    if std::env::var_os("SUIFTLY_BENCH_REQUESTS").is_none() {
        println!("NOT RUN: a measurement; scripts/bench-requests runs it");
        return;
    }
    for per_s in [10_000, 20_000, 50_000, 150_000] {
        one(backend, per_s);
    }
}
