//! What taking a key's text apart costs, and what a text costs that is none. No MAC here: see `verify`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up stops where it stands")]
#![allow(missing_docs, reason = "criterion's macros make the entry point")]

use benches::fields;
use criterion::{Criterion, criterion_group, criterion_main};
use data_encoding::BASE32_NOPAD;
use std::hint::black_box;

fn decode(c: &mut Criterion) {
    let field = *fields().first().unwrap();
    let good = field.split_at(7).1;
    // A key that stands on a sign too many is refused by its length, one with a wrong last character after all work.
    let too_long = [good, b"A"].concat();
    let mut bad_end = good.to_vec();
    *bad_end.last_mut().unwrap() = b'!';

    let mut group = c.benchmark_group("decode");
    group.bench_function("accepted", |b| b.iter(|| apikey::decode(black_box(good)).is_ok()));
    group.bench_function("refused_early", |b| b.iter(|| apikey::decode(black_box(&too_long)).is_ok()));
    group.bench_function("refused_late", |b| b.iter(|| apikey::decode(black_box(&bad_end)).is_ok()));
    // The crate that the tests take as the reference, for the base32 alone.
    group.bench_function("reference_data_encoding", |b| {
        b.iter(|| {
            let (payload, tag) = black_box(good).split_at(1).1.split_at(20);
            let (mut bytes, mut tag_bytes) = ([0; 12], [0; 2]);
            let payload_len = BASE32_NOPAD.decode_mut(payload, &mut bytes);
            let tag_len = BASE32_NOPAD.decode_mut(tag, &mut tag_bytes);
            (payload_len.is_ok(), tag_len.is_ok(), bytes, tag_bytes)
        });
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
