//! Judging a request allocates nothing, admitted or refused: it happens inside HAProxy, on every request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    unsafe_code,
    reason = "a global allocator can only be written with unsafe; this one counts and passes on"
)]

mod scene;

use apikey::{Service, Version};
use dataplane::allowed::is_allowed;
use edgeformat::Reason;
use scene::{GROUP, Key, NOW_S, SECRET, UNKNOWN_GROUP, change, edge, judge, key, refused, sealed};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    /// By thread, because the test runner's other threads allocate as they please. `const` and without a destructor,
    /// so that counting does not itself allocate.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`, by `alloc` above or by the default `realloc` that calls it.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const KEY: Key = key(Service::Seal, 5, 42);

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn admitting_a_request_allocates_nothing() {
    let edge = edge();
    let field = KEY.field();
    let ahead_of_its_time = format!("+r:{}:{}:expired", KEY.fingerprint(), NOW_S + 1);
    change(&edge, &["+p:42:seal:enabled:3:-", &ahead_of_its_time]);
    let count = allocations_of(|| assert!(judge(&edge, &field).packed() > 0));
    assert_eq!(count, 0);
}

#[test]
fn asking_for_an_address_allocates_nothing_allowed_or_not() {
    let edge = edge();
    let prefixes = (0..100_u32).map(|n| format!("+a:42:seal:10.{n}.0.0/16"));
    change(&edge, &prefixes.chain(["+p:42:seal:enabled:3:allowlist".to_owned()]).collect::<Vec<_>>());
    let packed = judge(&edge, &KEY.field()).packed();
    for (address, expected) in
        [("10.7.1.2", true), ("11.0.0.1", false), ("2001:db8::1", false), ("nonsense", false)]
    {
        let question = format!("{address} {packed}");
        let count = allocations_of(|| assert_eq!(is_allowed(&edge, question.as_bytes()), expected));
        assert_eq!(count, 0, "{address}");
    }
}

#[test]
fn refusing_a_request_allocates_nothing_whatever_the_reason_is() {
    let edge = edge();
    let revoked = key(Service::Seal, 6, 42);
    let revocation = format!("+r:{}:0:revoked", revoked.fingerprint());
    change(&edge, &["+p:42:seal:disabled:3:-", &revocation]);
    let nobody = u64::from(0x40 | GROUP) << 56 | 5 << 32;
    for (field, reason, customer) in [
        ("0".to_owned(), Reason::MissingKey, 0),
        ("Basic".to_owned(), Reason::Malformed, 0),
        (format!("Bearer {}", "A".repeat(8_000)), Reason::Malformed, 0),
        (KEY.field().replace("Bearer S", "Bearer X"), Reason::UnknownService, 0),
        (Key { version: Version::V0, ..KEY }.field(), Reason::UnsupportedVersion, 0),
        (Key { group: UNKNOWN_GROUP, ..KEY }.field(), Reason::UnknownGroup, 0),
        (sealed(&[7; 32], 'S', KEY.fingerprint().get()), Reason::BadMac, 0),
        (sealed(&SECRET, 'S', nobody), Reason::BadCustomer, 0),
        (revoked.field(), Reason::Revoked, 42),
        (key(Service::Grpc, 5, 42).field(), Reason::NoService, 42),
        (KEY.field(), Reason::Disabled, 42),
    ] {
        let count = allocations_of(|| assert_eq!(judge(&edge, &field), refused(reason, customer)));
        assert_eq!(count, 0, "{reason}");
    }
}
