//! Ports that no other test uses.

use std::fs::File;
use std::net::TcpListener;

/// A port that is ours until this is dropped: a lock file keeps other tests off, a bind that it is free now.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// A free port below the range from which the system gives ports to clients.
    pub fn take() -> Self {
        let folder = std::env::temp_dir().join("suiftly-test-ports");
        std::fs::create_dir_all(&folder).unwrap();
        let start = 10_000 + (std::process::id() % 2_000) as u16 * 10;
        for number in (start..32_000).chain(10_000..start) {
            let lock = File::create(folder.join(number.to_string())).unwrap();
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between 10000 and 32000");
    }

    /// Its number.
    pub const fn number(&self) -> u16 {
        self.number
    }
}
