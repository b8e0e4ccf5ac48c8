//! Only in builds with the feature `panic-trigger`, which tests make: proves what a panic does to a request.

/// Panics if the field is `Bearer panic`.
#[expect(clippy::panic, reason = "this is what it is for")]
pub(crate) fn panic_if_asked(field: &[u8]) {
    if field == b"Bearer panic" {
        panic!("asked for by a test");
    }
}
