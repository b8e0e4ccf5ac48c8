//! Every answered request is billed once, whatever happens meanwhile.
//!
//! An edge with its agent, a control plane on what could be another machine, and a server that counts what it answers, by
//! customer. While clients ask, HAProxy is reloaded and its worker killed, agent and control plane are killed, the database
//! is locked by somebody else, and the server fails. In the end the usage of each customer is what the server has answered
//! to it, plus only requests that a kill has cut off after they were let through: never less.
//!
//! `SUIFTLY_TEST_SEED` repeats a run; `SUIFTLY_TEST_FULL=1` is the whole size.

use harness::http::wait_for;
use harness::keys::Random;
use harness::upstream::CountingUpstream;
use harness::{Connection, Failure, Stack};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 16;

struct Size {
    requests: u64,
    customers: u64,
    reloads: usize,
    /// Of the worker, the agent and the control plane, each.
    kills: usize,
    database_away: Duration,
}

const WHOLE: Size = Size {
    requests: 1_000_000,
    customers: 1_000,
    reloads: 20,
    kills: 10,
    database_away: Duration::from_secs(30),
};
/// One fiftieth.
const SMALL: Size =
    Size { requests: 20_000, customers: 40, reloads: 2, kills: 1, database_away: Duration::from_secs(3) };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Accident {
    Reload,
    KillWorker,
    KillAgent,
    KillControlPlane,
    DatabaseAway,
    ServerAway,
}

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    sent: AtomicU64,
    /// By customer: written, and no whole answer came.
    lost: Mutex<BTreeMap<u32, u64>>,
    statuses: Mutex<BTreeMap<u16, u64>>,
}

#[test]
fn every_answered_request_is_billed_once_whatever_is_killed_meanwhile() {
    let size = if crate::is_full() { WHOLE } else { SMALL };
    let seed = std::env::var("SUIFTLY_TEST_SEED")
        .map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("SUIFTLY_TEST_SEED={seed}");
    let upstream = Arc::new(CountingUpstream::start());
    let mut control = Stack::control_plane(&[]);
    let mut edge = Stack::edge_with(&control, "fra1", &[("SUIFTLY_UPSTREAM", &upstream.address())]);
    let keys = Arc::new(customers(&control, size.customers));
    wait_for("all customers at the edge", Duration::from_secs(60), || {
        (control.run(&["edge", "diff", "--json"]).0 == 0).then_some(())
    });

    let (seen, done) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let port = edge.edge.number();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (keys, seen, done) = (Arc::clone(&keys), Arc::clone(&seen), Arc::clone(&done));
            let random = Random(seed ^ (number + 1).wrapping_mul(0x9e37_79b9));
            std::thread::Builder::new().spawn(move || ask(port, &keys, random, &seen, &done)).unwrap()
        })
        .collect();
    let cut_off = disturb(&size, Random(seed), &mut control, &mut edge, &upstream, &seen);
    let limit = Instant::now() + Duration::from_secs(3_000);
    while seen.sent.load(Ordering::Relaxed) < size.requests {
        assert!(Instant::now() < limit, "the load takes too long{}", edge.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    done.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    println!(
        "{} requests, {cut_off} accidents; statuses {:?}",
        seen.sent.load(Ordering::Relaxed),
        seen.statuses.lock().unwrap()
    );

    let (answered, lost) = (upstream.answered(), seen.lost.lock().unwrap().clone());
    let wrong = wait_for_equal(&control, &keys, &answered, &lost);
    let billed_more: u64 = wrong.extra.values().sum();
    println!(
        "{} answered; billed beyond it: {billed_more} requests of {} customers, each cut off by a kill ({} were cut off in all)",
        answered.values().sum::<u64>(),
        wrong.extra.len(),
        lost.values().sum::<u64>()
    );
    assert!(
        wrong.other.is_empty(),
        "SUIFTLY_TEST_SEED={seed} repeats it: {:?}{}{}",
        wrong.other,
        control.logs(),
        edge.logs()
    );
}

/// Customers of three tiers, each with a key: id and key.
fn customers(control: &Stack, count: u64) -> Vec<(u32, String)> {
    let create = |number: u64| {
        let tier = ["pro", "enterprise", "starter"][(number % 3) as usize];
        let wallet = format!("0x{number:064x}");
        let id =
            control.admin(&format!("customer create --wallet {wallet}"))["customer_id"].as_u64().unwrap();
        control.json(&format!("admin service enable --customer {id} --service seal --tier {tier} --no-wait"));
        let id = u32::try_from(id).unwrap();
        (id, control.key(id, "seal").0)
    };
    (1..=count).map(create).collect()
}

/// One client: a kept connection, a random customer each time.
fn ask(port: u16, keys: &[(u32, String)], mut random: Random, seen: &Seen, done: &AtomicBool) {
    let mut kept: Option<Connection> = None;
    while !done.load(Ordering::Relaxed) {
        let (customer, key) = &keys[(random.next_u64() % keys.len() as u64) as usize];
        let path = match random.next_u64() % 200 {
            0 => "/garbage",
            1 => "/status/503",
            2 => "/status/404",
            _ => "/",
        };
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(port),
        };
        let asked = connection.and_then(|mut connection| {
            let answer = connection.send("GET", path, &[&format!("X-API-Key: {key}")], b"");
            answer.map(|answer| (connection, answer.status))
        });
        match asked {
            Ok((connection, status)) => {
                seen.sent.fetch_add(1, Ordering::Relaxed);
                *seen.statuses.lock().unwrap().entry(status).or_default() += 1;
                // After an answer of HAProxy's own it closes; it is asked on a new connection then.
                kept = Some(connection);
            }
            Err(Failure::Lost(_)) => {
                seen.sent.fetch_add(1, Ordering::Relaxed);
                *seen.lost.lock().unwrap().entry(*customer).or_default() += 1;
            }
            Err(Failure::IdleClosed) => {}
            Err(Failure::Connect(_)) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Has the accidents happen, spread over the load; answers how many there were.
fn disturb(
    size: &Size,
    mut random: Random,
    control: &mut Stack,
    edge: &mut Stack,
    upstream: &CountingUpstream,
    seen: &Seen,
) -> usize {
    let mut accidents = vec![Accident::DatabaseAway, Accident::ServerAway];
    accidents.extend(std::iter::repeat_n(Accident::Reload, size.reloads));
    for kill in [Accident::KillWorker, Accident::KillAgent, Accident::KillControlPlane] {
        accidents.extend(std::iter::repeat_n(kill, size.kills));
    }
    for last in (1..accidents.len()).rev() {
        accidents.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    let count = accidents.len();
    for (number, accident) in accidents.into_iter().enumerate() {
        let due = size.requests * (number as u64 + 1) / (count as u64 + 1);
        while seen.sent.load(Ordering::Relaxed) < due {
            std::thread::sleep(Duration::from_millis(10));
        }
        match accident {
            Accident::Reload => edge.reload(),
            Accident::KillWorker => {
                edge.kill_worker();
                edge.start_child("haproxy");
                edge.supervise_haproxy_until_it_serves();
            }
            Accident::KillAgent => {
                edge.kill_child("serve");
                edge.start_child("serve");
            }
            Accident::KillControlPlane => {
                control.kill_child("serve");
                control.start_child("serve");
                control.wait_until_healthy();
            }
            Accident::DatabaseAway => {
                let mut locked = lock_database(control);
                std::thread::sleep(size.database_away);
                locked.kill().unwrap();
                locked.wait().unwrap();
            }
            Accident::ServerAway => {
                upstream.set_away(true);
                std::thread::sleep(Duration::from_secs(3));
                upstream.set_away(false);
            }
        }
    }
    count
}

/// Another process writes and does not end its transaction.
fn lock_database(control: &Stack) -> Child {
    let program = "import sqlite3, sys, time\n\
        db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
        db.execute('BEGIN IMMEDIATE')\nprint('locked', flush=True)\ntime.sleep(600)\n";
    let mut python = Command::new("python3");
    python.args(["-c", program]).arg(control.state().join("suiftly.db")).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    assert_eq!(line, "locked\n");
    std::io::stdout().flush().unwrap();
    child
}

#[derive(Default)]
struct Differences {
    /// By customer: billed beyond what was answered, and no more than was cut off.
    extra: BTreeMap<u32, u64>,
    /// Everything else: billed less, or more than can have been cut off.
    other: BTreeMap<u32, String>,
}

/// What is billed reaches its end within a while after the last request; then it must be right.
fn wait_for_equal(
    control: &Stack,
    keys: &[(u32, String)],
    answered: &BTreeMap<u32, u64>,
    lost: &BTreeMap<u32, u64>,
) -> Differences {
    let of = |counts: &BTreeMap<u32, u64>, customer: &u32| counts.get(customer).copied().unwrap_or(0);
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let mut differences = Differences::default();
        for (customer, _) in keys {
            let usage = control.admin(&format!("usage --customer {customer}"));
            let billed = usage["guaranteed"].as_u64().unwrap() + usage["burst"].as_u64().unwrap();
            let (answered, lost) = (of(answered, customer), of(lost, customer));
            match billed.checked_sub(answered) {
                Some(0) => {}
                Some(extra) if extra <= lost => {
                    differences.extra.insert(*customer, extra);
                }
                _ => {
                    let text = format!("billed {billed}, answered {answered}, cut off {lost}: {usage}");
                    differences.other.insert(*customer, text);
                }
            }
        }
        if differences.other.is_empty() || Instant::now() > limit {
            return differences;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}
