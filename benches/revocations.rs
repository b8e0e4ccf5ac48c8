//! Whether a key is revoked: the filter with the set behind it, as the edge has them, against a set alone.
//!
//! `absent` is what nearly every request asks, `present` a revoked key. Keys rotate, so the caches see what a busy edge
//! shows them.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up stops where it stands")]
#![allow(missing_docs, reason = "criterion's macros make the entry point")]

use apikey::Fingerprint;
use benches::{KEYS, REVOKED, good_fingerprints, revocations, revoked_fingerprints};
use bloomfilter::Bloom;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use dataplane::clock::Clock;
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::AtomicU64;

fn look_ups(c: &mut Criterion) {
    let good = good_fingerprints();
    for count in REVOKED {
        let revoked = revoked_fingerprints(count);
        // Spread over the whole table; with nothing revoked there is no such look-up.
        let present: Vec<_> = revoked.iter().copied().step_by((count / KEYS).max(1)).collect();
        let table = revocations(&revoked);
        let clock = Clock::Manual(AtomicU64::new(1));

        let room = (count + count / 2).max(1);
        let mut filter = Bloom::<u64>::new_for_fp_rate_with_seed(room, 0.001, &[7; 32]).unwrap();
        let mut set: HashMap<u64, u64, FxBuildHasher> =
            HashMap::with_capacity_and_hasher(room, FxBuildHasher);
        let mut sorted: Vec<u64> = Vec::with_capacity(count);
        for fingerprint in &revoked {
            filter.set(&fingerprint.get());
            set.insert(fingerprint.get(), 0);
            sorted.push(fingerprint.get());
        }

        bench(c, count, "filter_and_set", &good, &present, |key| table.refusal(key, &clock).is_some());
        bench(c, count, "filter_alone", &good, &present, |key| filter.check(&key.get()));
        bench(c, count, "set_alone_rustc_hash", &good, &present, |key| set.contains_key(&key.get()));
        bench(c, count, "set_alone_sorted", &good, &present, |key| sorted.binary_search(&key.get()).is_ok());
    }
}

fn bench(
    c: &mut Criterion,
    count: usize,
    name: &str,
    good: &[Fingerprint],
    present: &[Fingerprint],
    look_up: impl Fn(Fingerprint) -> bool,
) {
    let mut group = c.benchmark_group("revocations");
    for (which, keys) in [("absent", good), ("present", present)] {
        let mut rotating = keys.iter().copied().cycle();
        if keys.is_empty() {
            continue;
        }
        group.bench_function(BenchmarkId::new(format!("{name}_{which}"), count), |b| {
            b.iter_batched(|| rotating.next().unwrap(), |key| look_up(black_box(key)), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, look_ups);
criterion_main!(benches);
