//! A folder with a keyring and the tables' files, as `suiftly serve` makes it.

use super::{Key, NOW_S, SECRET, STREAM, key};
use apikey::Service;
use dataplane::clock::Clock;
use dataplane::edge::Edge;
use dataplane::settings::Settings;
use dataplane::start::start;
use dataplane::usage::CountAt;
use edgeformat::map_file::{default_errors, default_services, write_plans, write_table};
use edgeformat::{AllowlistEntry, Policy, Revocation, StreamId};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

/// Enabled in the files.
pub(crate) const KEY: Key = key(Service::Seal, 1, 7);
/// Revoked in the files.
pub(crate) const REVOKED_KEY: Key = key(Service::Seal, 2, 7);

/// A folder as `suiftly serve` makes it.
pub(crate) struct State {
    folder: tempfile::TempDir,
}

pub(crate) fn policies(stream: StreamId, sequence: u64) -> String {
    policy_table(stream, sequence, &["7 seal enabled 3 -", "8 grpc disabled 3 allowlist"])
}

pub(crate) fn policy_table(stream: StreamId, sequence: u64, lines: &[&str]) -> String {
    let policies = lines.iter().map(|line| Policy::from_fields(line.split(' ')).unwrap());
    write_table(stream, sequence, policies)
}

pub(crate) fn allowlists(stream: StreamId, sequence: u64) -> String {
    let lines = ["8 grpc 203.0.113.0/24", "8 grpc 2001:db8::/32"];
    write_table(stream, sequence, lines.map(|line| AllowlistEntry::from_fields(line.split(' ')).unwrap()))
}

pub(crate) fn revocations(stream: StreamId, sequence: u64) -> String {
    let line = format!("{} 0 revoked", REVOKED_KEY.fingerprint());
    write_table(stream, sequence, [Revocation::from_fields(line.split(' ')).unwrap()])
}

impl State {
    pub(crate) fn good() -> Self {
        let state = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(state.path("maps")).unwrap();
        state.write(
            "maps/plans.map",
            &write_plans(["3 12".split(' ')].map(|line| edgeformat::Plan::from_fields(line).unwrap())),
        );
        state.write("maps/services.map", &default_services());
        state.write("maps/errors.map", &default_errors());
        state.write("maps/policies.map", &policies(STREAM, 42));
        state.write("maps/revocations.map", &revocations(STREAM, 42));
        state.write("maps/allowlists.map", &allowlists(STREAM, 42));
        let secret = SECRET.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        state.write("keyring.toml", &format!("default_group = 1\n[groups]\n1 = \"{secret}\"\n"));
        state.chmod("keyring.toml", 0o600);
        state
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn start(&self) -> Result<Edge, String> {
        let settings = Settings {
            maps: self.path("maps"),
            keyring: self.path("keyring.toml"),
            ledger: self.path("ledger"),
            count_at: CountAt::Admission,
        };
        start(&settings, Clock::Manual(AtomicU64::new(NOW_S))).map_err(|error| error.to_string())
    }

    /// The start must fail, and say all of `expected` about this file.
    pub(crate) fn is_refused(&self, name: &str, expected: &[&str]) {
        let Err(error) = self.start() else { panic!("started with a bad {name}, expected {expected:?}") };
        let path = self.path(name).display().to_string();
        assert!(error.starts_with(&format!("{path}: ")), "{error:?} does not begin with {path:?}");
        for words in expected {
            assert!(error.contains(words), "{error:?} does not say {words:?}");
        }
    }
}
