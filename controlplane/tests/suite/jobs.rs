//! Jobs: of several `suiftly serve` on a database one runs them, and another one goes on when it ends or is killed.

use crate::harness::{Backend, PATIENCE, Stack, TestDatabase, on_both_databases};
use controlplane::clock::Clock;
use controlplane::db::leases;
use controlplane::jobs::{Done, Job, Running, start};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const NOW_MS: i64 = 1_795_000_000_000;

on_both_databases! {
    of_two_one_leads_and_the_other_takes_over_when_it_ends,
    a_lease_that_was_not_renewed_is_taken_over,
    a_job_that_has_more_goes_on_and_one_that_fails_is_tried_again,
    serve_gives_its_lease_back_at_the_end,
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Counts how often it has run: each second of the clock once.
fn counting(count: &Arc<AtomicU64>) -> Job {
    let count = Arc::clone(count);
    let run = move |_: &mut _, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Done::default())
    };
    Job { name: "count", every: Duration::from_secs(1), run: Box::new(run) }
}

struct Scene {
    place: TestDatabase,
    clock: Clock,
}

impl Scene {
    fn new(backend: Backend) -> Self {
        let place = TestDatabase::new(backend);
        drop(place.open());
        Self { place, clock: Clock::standing_at(NOW_MS) }
    }

    fn start(&self, jobs: Vec<Job>) -> Running {
        start(self.place.config.clone(), self.clock.clone(), jobs, Arc::default()).unwrap()
    }

    fn holder(&self) -> Option<String> {
        let lease = self.place.open().read(|tx| leases::find(tx, "jobs")).unwrap();
        lease.map(|lease| lease.holder)
    }
}

fn of_two_one_leads_and_the_other_takes_over_when_it_ends(backend: Backend) {
    let scene = Scene::new(backend);
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let ran = |place: usize| counts.get(place).unwrap().load(Ordering::SeqCst);
    // At once, so that both want it in the same moment.
    let barrier = Barrier::new(2);
    let mut running: Vec<Option<Running>> = std::thread::scope(|scope| {
        let begin = |count| {
            barrier.wait();
            Some(scene.start(vec![counting(count)]))
        };
        let threads: Vec<_> = counts.iter().map(|count| scope.spawn(move || begin(count))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    wait_until("one leads", || ran(0) + ran(1) > 0);
    let leader = usize::from(ran(0) == 0);
    let first = scene.holder();
    for round in 1..=40 {
        scene.clock.advance(Duration::from_secs(1));
        wait_until("the leader's job has run", || ran(leader) > round);
    }
    assert_eq!((ran(1 - leader), scene.holder()), (0, first.clone()), "one leads, beyond the lease's length");
    running.get_mut(leader).unwrap().take();
    assert_eq!(scene.holder(), None, "it gave the lease back");
    let ended = ran(leader);
    scene.clock.advance(Duration::from_secs(10));
    wait_until("the other one leads", || ran(1 - leader) > 0);
    assert_ne!(scene.holder(), first);
    assert_eq!(ran(leader), ended);
}

fn a_lease_that_was_not_renewed_is_taken_over(backend: Backend) {
    let scene = Scene::new(backend);
    // Who was killed gives nothing back.
    let lease = leases::LeaseRow { holder: "killed".to_owned(), until_ms: NOW_MS + 30_000 };
    scene.place.open().write(|tx| leases::store(tx, "jobs", &lease)).unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let _running = scene.start(vec![counting(&count)]);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(count.load(Ordering::SeqCst), 0);
        scene.clock.advance(Duration::from_millis(14_999));
    }
    scene.clock.advance(Duration::from_secs(10));
    wait_until("the other one leads", || count.load(Ordering::SeqCst) > 0);
    assert_ne!(scene.holder().as_deref(), Some("killed"));
}

fn a_job_that_has_more_goes_on_and_one_that_fails_is_tried_again(backend: Backend) {
    let scene = Scene::new(backend);
    let parts = Arc::new(AtomicU64::new(0));
    let done = Arc::clone(&parts);
    let more = move |_: &mut _, _| {
        let part = done.fetch_add(1, Ordering::SeqCst);
        Ok(Done { rows: 1, more: part < 4 })
    };
    let fails = Arc::new(AtomicU64::new(0));
    let failed = Arc::clone(&fails);
    let fail = move |_: &mut _, _| {
        failed.fetch_add(1, Ordering::SeqCst);
        let detail = "it is meant to fail".to_owned();
        Err(controlplane::db::DbError::Unexpected { table: "test", detail })
    };
    let every = Duration::from_secs(60);
    let _running = scene.start(vec![
        Job { name: "fail", every, run: Box::new(fail) },
        Job { name: "more", every, run: Box::new(more) },
    ]);
    wait_until("every part is done", || parts.load(Ordering::SeqCst) == 5);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((parts.load(Ordering::SeqCst), fails.load(Ordering::SeqCst)), (5, 1));
    scene.clock.advance(every);
    wait_until("both run again", || (parts.load(Ordering::SeqCst), fails.load(Ordering::SeqCst)) == (6, 2));
}

fn serve_gives_its_lease_back_at_the_end(backend: Backend) {
    let stack = Stack::on(backend);
    let holder = || {
        let lease = stack.open_database().read(|tx| leases::find(tx, "jobs")).unwrap();
        lease.map(|lease| lease.holder)
    };
    let serve = stack.start("serve --without-edge", &[]);
    stack.wait_until("it leads", || holder().is_some());
    assert_eq!(serve.terminate().0, Some(0));
    assert_eq!(holder(), None);
}
