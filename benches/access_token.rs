//! What it costs to check an access token, which every call of the customers' API begins with. The bar: 50 µs.

use apikey::CustomerId;
use controlplane::access_tokens::AccessTokens;
use controlplane::secrets::Secrets;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const NOW_MS: i64 = 1_795_251_900_123;

fn access_token(criterion: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("suiftly-bench-{}.toml", std::process::id()));
    let secrets = Secrets::load_or_make(&folder);
    let removed = std::fs::remove_file(&folder);
    let (Ok(secrets), Ok(()), Some(customer)) = (secrets, removed, CustomerId::new(u32::MAX)) else { return };
    let tokens = AccessTokens::new(&secrets);
    let Ok(text) = tokens.issue(customer, &"ab".repeat(16), NOW_MS) else { return };
    assert!(tokens.check(&text, NOW_MS).is_ok());
    criterion.bench_function("check an access token", |bencher| {
        bencher.iter(|| tokens.check(black_box(&text), NOW_MS));
    });
    let (forged, _) = text.split_at(text.len() - 1);
    let forged = format!("{forged}{}", if text.ends_with('A') { 'B' } else { 'A' });
    criterion.bench_function("refuse a forged access token", |bencher| {
        bencher.iter(|| tokens.check(black_box(&forged), NOW_MS));
    });
    criterion.bench_function("issue an access token", |bencher| {
        bencher.iter(|| tokens.issue(customer, black_box("abababababababababababababababab"), NOW_MS));
    });
}

criterion_group!(benches, access_token);
criterion_main!(benches);
