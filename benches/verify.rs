//! What checking a key costs: the floor, the tag alone, and everything from header bytes to the integer for HAProxy.
//!
//! Times of different lines are taken minutes apart; where two are compared, `verify_ratio` does it in one breath.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up stops where it stands")]
#![allow(missing_docs, reason = "criterion's macros make the entry point")]

use benches::{Field, REVOKED, SECRET, edge, fields, mac, two_compressions};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use dataplane::authorize::authorize;
use dataplane::credentials::key_text;
use edgeformat::PolicyKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::hint::black_box;

fn tag(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    let block = [7; 64];
    group.bench_function("two_compressions", |b| b.iter(|| two_compressions(black_box(&block))));

    // With the key's state prepared once and cloned, as anybody would use the crate.
    let prepared = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
    group.bench_function("hmac_crate", |b| {
        b.iter(|| {
            let mut hmac = prepared.clone();
            hmac.update(black_box(b"S12345678"));
            hmac.finalize().into_bytes()
        });
    });

    let (mac, field) = (mac(), *fields().first().unwrap());
    let decoded = apikey::decode(key_text(&field).unwrap()).unwrap();
    group.bench_function("authenticate", |b| {
        b.iter(|| black_box(&decoded).authenticate(black_box(&mac)).is_ok())
    });
    group.finish();
}

fn whole(c: &mut Criterion) {
    let fields = fields();
    let one_key = fields.get(..1).unwrap();
    let mut group = c.benchmark_group("authorize");
    for revoked in REVOKED {
        let edge = edge(revoked);
        let mut bench = |name: &str, fields: &[Field]| {
            let mut rotating = fields.iter().cycle();
            group.bench_function(BenchmarkId::new(name, revoked), |b| {
                b.iter_batched(
                    || rotating.next().unwrap(),
                    |field| authorize(&edge, black_box(field)).packed(),
                    BatchSize::SmallInput,
                );
            });
        };
        bench("20000_keys_in_turn", &fields);
        bench("one_key", one_key);
    }
    group.finish();
}

fn parts(c: &mut Criterion) {
    let edge = edge(1_000_000);
    let field = *fields().first().unwrap();
    let text = key_text(&field).unwrap();
    let decoded = apikey::decode(text).unwrap();
    let key = decoded.authenticate(edge.keyring.mac_of(decoded.version(), decoded.group()).unwrap()).unwrap();
    let tables = edge.tables.read().unwrap();
    let slot = tables.policies.get(key.customer(), key.service()).unwrap().slot();
    let whose = PolicyKey { customer: key.customer(), service: key.service() };
    let decision = authorize(&edge, &field);

    let mut group = c.benchmark_group("parts_of_authorize_one_key");
    group.bench_function("credential", |b| b.iter(|| key_text(black_box(&field)).is_ok()));
    group.bench_function("decode", |b| b.iter(|| apikey::decode(black_box(text)).is_ok()));
    group.bench_function("keyring_and_mac", |b| {
        b.iter(|| {
            let decoded = black_box(&decoded);
            edge.keyring
                .mac_of(decoded.version(), decoded.group())
                .is_ok_and(|mac| decoded.authenticate(mac).is_ok())
        });
    });
    group.bench_function("read_lock", |b| b.iter(|| black_box(&edge).tables.read().is_some()));
    group.bench_function("filter_and_set", |b| {
        b.iter(|| tables.revocations.refusal(black_box(key.fingerprint()), &edge.clock));
    });
    group.bench_function("policy", |b| {
        b.iter(|| tables.policies.get(black_box(key.customer()), key.service()).is_some());
    });
    group
        .bench_function("count", |b| b.iter(|| edge.usage.count_admitted(black_box(whose), black_box(slot))));
    group.bench_function("pack", |b| b.iter(|| black_box(&decision).packed()));
    group.finish();
}

criterion_group!(benches, tag, whole, parts);
criterion_main!(benches);
