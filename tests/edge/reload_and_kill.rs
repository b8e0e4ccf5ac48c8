//! HAProxy is reloaded and killed under load: nothing is wrongly admitted, and a reload loses nothing.

use harness::{Connection, Failure, Stack};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients that keep their connection, two requests each time.
const KEPT: u32 = 50;
const KEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients that open a connection each time: 200 a second together.
const OPENERS: u32 = 8;
const OPENER_PAUSE: Duration = Duration::from_millis(40);

/// What the load has seen.
#[derive(Default)]
struct Seen {
    kept: AtomicU64,
    new: AtomicU64,
    idle_closed: AtomicU64,
    failures: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

struct Load<'a> {
    port: u16,
    good: &'a str,
    revoked: &'a Mutex<Vec<String>>,
    done: &'a AtomicBool,
    seen: &'a Seen,
}

impl Load<'_> {
    /// Keep-alive: a good key and a revoked one in turn on one connection.
    fn keep_alive(&self) {
        let mut connection = None;
        while !self.done.load(Ordering::Relaxed) {
            let mut current = match connection.take() {
                Some(connection) => connection,
                None => match Connection::open(self.port) {
                    Ok(connection) => connection,
                    Err(failure) => {
                        self.fail("connect", &failure);
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                },
            };
            match self.judge(&mut current) {
                Ok(()) => {
                    self.seen.kept.fetch_add(1, Ordering::Relaxed);
                    connection = Some(current);
                }
                Err(Failure::IdleClosed) => {
                    self.seen.idle_closed.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) => self.fail("kept", &failure),
            }
            std::thread::sleep(KEPT_PAUSE);
        }
    }

    /// A new connection for each request.
    fn new_connections(&self) {
        let mut next = Instant::now();
        while !self.done.load(Ordering::Relaxed) {
            match Connection::open(self.port).and_then(|mut connection| self.judge(&mut connection)) {
                // Its second request may find the connection closed by a reload after the first.
                Ok(()) | Err(Failure::IdleClosed) => {
                    self.seen.new.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) => self.fail("new", &failure),
            }
            next += OPENER_PAUSE;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn judge(&self, connection: &mut Connection) -> Result<(), Failure> {
        let answer = connection.get(&[self.good])?;
        if answer.status != 200 {
            self.seen.wrong.lock().unwrap().push(format!("a good key got {answer:?}"));
        }
        // Taken before the request: what is revoked now must be refused from now on.
        let revoked = self.revoked.lock().unwrap().last().cloned();
        if let Some(revoked) = revoked {
            let answer = connection.get(&[&revoked])?;
            if answer.status != 401 && answer.status != 429 {
                self.seen.wrong.lock().unwrap().push(format!("a revoked key got {}", answer.status));
            }
        }
        Ok(())
    }

    fn fail(&self, what: &str, failure: &Failure) {
        self.seen.failures.lock().unwrap().push(format!("{what}: {failure:?}"));
    }
}

struct EndLoad<'a>(&'a AtomicBool);

impl Drop for EndLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn under_load(stack: &mut Stack, disturb: impl FnOnce(&mut Stack, &dyn Fn(&Stack))) -> Seen {
    let customer = stack.customer(1, "seal", "enterprise");
    let other = stack.customer(2, "seal", "enterprise");
    let good = format!("X-API-Key: {}", stack.key(customer, "seal").0);
    let (revoked, done, seen) = (Mutex::new(Vec::new()), AtomicBool::new(false), Seen::default());
    let port = stack.edge.number();
    let load = &Load { port, good: &good, revoked: &revoked, done: &done, seen: &seen };
    std::thread::scope(|scope| {
        for _ in 0..KEPT {
            scope.spawn(|| load.keep_alive());
        }
        for _ in 0..OPENERS {
            scope.spawn(|| load.new_connections());
        }
        let revoke_one = |stack: &Stack| {
            let count = revoked.lock().unwrap().len() as u32;
            let secret = stack.secret_hex();
            let key = harness::keys::mint_independently(&secret, 1, "seal", 900 - count, other, 1);
            stack.admin(&format!("key revoke --key {key}"));
            revoked.lock().unwrap().push(format!("X-API-Key: {key}"));
        };
        // Also when `disturb` panics the load must end, or the scope would wait for it for ever.
        let _end = EndLoad(&done);
        disturb(stack, &revoke_one);
    });
    println!(
        "kept-alive requests {}, new connections {}, idle closes {}, failures {}",
        seen.kept.load(Ordering::Relaxed),
        seen.new.load(Ordering::Relaxed),
        seen.idle_closed.load(Ordering::Relaxed),
        seen.failures.lock().unwrap().len()
    );
    seen
}

#[test]
fn twenty_reloads_under_load_lose_no_request_and_forget_no_revocation() {
    let mut stack = Stack::start();
    let began = Instant::now();
    let seen = under_load(&mut stack, |stack, revoke_one| {
        for _ in 0..20 {
            stack.reload();
            revoke_one(stack);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let (failures, wrong) = (seen.failures.into_inner().unwrap(), seen.wrong.into_inner().unwrap());
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(failures.is_empty(), "requests failed: {failures:?}{}", stack.logs());
    // A busy machine offers less; below half of it the test would show little.
    let a_second = seen.new.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    println!("new connections a second: {a_second:.0}");
    assert!(a_second > 100.0 && seen.kept.load(Ordering::Relaxed) > 2000);
}

#[test]
fn five_kills_under_load_admit_nothing_wrongly_and_forget_no_revocation() {
    let mut stack = Stack::start();
    let mut gaps = Vec::new();
    let seen = under_load(&mut stack, |stack, revoke_one| {
        for _ in 0..5 {
            revoke_one(stack);
            let killed = Instant::now();
            stack.kill_worker();
            stack.start_child("haproxy");
            harness::http::wait_for("an answer", Duration::from_secs(5), || {
                Connection::open(stack.edge.number()).ok()?.get(&[]).ok()
            });
            gaps.push(killed.elapsed());
            std::thread::sleep(Duration::from_millis(500));
            stack.wait_until_ready();
        }
    });
    println!("from the kill to the first answer: {gaps:?}");
    let wrong = seen.wrong.into_inner().unwrap();
    // Requests that the kill cut off fail; what is answered must be right. (A new worker's first check of its servers
    // takes no request away: servers count as up until a check has failed.)
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(gaps.iter().all(|gap| *gap < Duration::from_secs(1)), "{gaps:?}");
}
