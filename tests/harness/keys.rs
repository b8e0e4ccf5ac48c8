//! Keys made by the independent implementation, and things that look like keys.

use crate::stack::repository;
use std::process::Command;

/// The text of a key as `apikey/tests/independent_key.py` mints it (Python's standard library, written from the
/// description of the format only).
pub fn mint_independently(
    secret_hex: &str,
    group: u8,
    service: &str,
    derivation: u32,
    customer: u32,
    version: u8,
) -> String {
    let output = Command::new("python3")
        .arg(repository().join("apikey/tests/independent_key.py"))
        .args(["mint", "--secret-hex", secret_hex, "--group", &group.to_string(), "--service", service])
        .args(["--derivation", &derivation.to_string(), "--customer", &customer.to_string()])
        .args(["--key-version", &version.to_string()])
        .output()
        .expect("python3 runs; scripts/test installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// SplitMix64 (Steele, Lea, Flood 2014): numbers for tests from a seed that a failure prints.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}
