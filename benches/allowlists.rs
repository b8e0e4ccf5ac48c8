//! Whether an address may use a key: the second converter, asked only for customers who have a list, from the text that
//! HAProxy puts together to the answer.
//!
//! `first` is on the list and found at once, `elsewhere` is on no list and has every candidate looked at, `ipv6` the same
//! for IPv6. The list of one customer has 1, 20 (Pro) or 100 (Enterprise) entries of each family, beside those of
//! 1,000 other customers with as many.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up stops where it stands")]
#![allow(missing_docs, reason = "criterion's macros make the entry point")]

use apikey::{CustomerId, Service};
use benches::{edge, fields};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dataplane::allowed::is_allowed;
use dataplane::authorize::authorize;
use edgeformat::{AllowlistEntry, Change, Decision, PolicyKey, StreamId};
use std::hint::black_box;

const OTHERS: u32 = 1_000;

fn asked(c: &mut Criterion) {
    let mut group = c.benchmark_group("allowlists");
    let field = *fields().first().unwrap();
    for count in [1_u32, 20, 100] {
        let edge = edge(0);
        let Decision::Admitted { fingerprint, service, .. } = authorize(&edge, &field) else { return };
        let customer = CustomerId::new(fingerprint.customer_bits()).unwrap();
        let whose = |n: u32| match CustomerId::new(n) {
            Some(other) => PolicyKey { customer: other, service: Service::Seal },
            None => PolicyKey { customer, service },
        };
        // 0 is nobody: it stands for the customer who asks. All begin below the address that is on no list.
        for other in 0..=OTHERS {
            let key = whose(other);
            let changes =
                (0..count).flat_map(|n| [format!("10.{n}.7.0/24"), format!("2001:db8:{:x}::/48", n + 1)]);
            let changes: Vec<Change> = changes
                .map(|text| Change::SetAllowed(AllowlistEntry { key, prefix: text.parse().unwrap() }))
                .collect();
            let at = u64::from(other) + 1;
            edge.tables.apply_delta(StreamId::from_u64(1), at, at + 1, &changes);
        }
        let packed = authorize(&edge, &field).packed();
        let last = count - 1;
        for (name, address, expected) in [
            ("first", format!("10.{last}.7.9"), true),
            ("elsewhere", "203.0.113.7".to_owned(), false),
            ("ipv6", "2001:db9::1:2:3".to_owned(), false),
        ] {
            let question = format!("{address} {packed}");
            assert_eq!(is_allowed(&edge, question.as_bytes()), expected, "{question}");
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| is_allowed(black_box(&edge), black_box(question.as_bytes())));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, asked);
criterion_main!(benches);
