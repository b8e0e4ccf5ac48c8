//! What a systemd unit of ours says, so that the tests follow it.

use harness::repository;
use std::path::PathBuf;

/// A unit in `haproxy/systemd/`.
pub(crate) struct Unit(String);

impl Unit {
    /// The edge's.
    pub(crate) fn edge() -> Self {
        Self(std::fs::read_to_string(Self::path("suiftly-edge")).unwrap())
    }

    /// Where the unit of this name stands.
    pub(crate) fn path(name: &str) -> PathBuf {
        repository().join("haproxy/systemd").join(format!("{name}.service"))
    }

    /// The value of an option that stands there once.
    pub(crate) fn option(&self, name: &str) -> &str {
        let mut values = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = values.next().unwrap_or_else(|| panic!("the unit has no {name}"));
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    /// The capabilities that the processes of the unit may have, as `setpriv` names them.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let names = self.option("CapabilityBoundingSet").split(' ');
        names.map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
    }
}
