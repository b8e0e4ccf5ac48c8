//! Judging a key allocates nothing, good or bad: it happens on every request, inside somebody else's process.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may stop where it stands"
)]
#![allow(
    unsafe_code,
    reason = "a global allocator can only be written with unsafe; this one counts and passes on"
)]

mod by_hand;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use apikey::KeyError;
use by_hand::{SECRET, head, mac_key, sealed, some_numbers, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    /// By thread, because the test runner's other threads allocate as they please. `const` and without a
    /// destructor, so that counting does not itself allocate.
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

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn judging_a_good_key_allocates_nothing() {
    let mac = mac_key();
    for numbers in some_numbers() {
        let text = numbers.issue(&mac);
        let count = allocations_of(|| assert!(verdict(text.as_str(), &mac).is_ok()));
        assert_eq!(count, 0);
    }
}

#[test]
fn judging_a_bad_key_allocates_nothing_whatever_is_wrong_with_it() {
    let mac = mac_key();
    for (text, error) in [
        (String::from("short"), KeyError::Malformed),
        (sealed(&SECRET, b'S', head(1, false, 1, 0, 42)), KeyError::Malformed),
        (sealed(&SECRET, b'X', head(1, false, 1, 5, 42)), KeyError::UnknownService),
        (sealed(&SECRET, b'S', head(2, false, 1, 5, 42)), KeyError::UnsupportedVersion),
        (sealed(&[0; 32], b'S', head(1, false, 1, 5, 42)), KeyError::BadMac),
        (sealed(&SECRET, b'S', head(1, false, 1, 5, 0)), KeyError::BadCustomer),
    ] {
        let count = allocations_of(|| assert_eq!(verdict(&text, &mac), Err(error)));
        assert_eq!(count, 0, "{error:?}");
    }
}

#[test]
fn making_a_key_allocates_nothing() {
    let mac = mac_key();
    for numbers in some_numbers() {
        assert_eq!(allocations_of(|| drop(numbers.issue(&mac))), 0);
    }
}
