//! The keyring as requests need it: one prepared MAC a group, found by index.

use apikey::{Group, MacKey, Version};
use edgeformat::status::KeyGroupCheck;
use edgeformat::{Keyring, Reason};

/// The prepared MACs of all groups. Built once at start; a changed keyring comes with a reload.
#[derive(Debug)]
pub struct PreparedKeyring {
    /// By group number, 0..=31.
    macs: [Option<MacKey>; 32],
    /// Bit g set: version 0 keys of group g are accepted.
    accept_v0: u32,
}

impl PreparedKeyring {
    /// Prepares every group of a keyring file.
    pub fn new(keyring: &Keyring) -> Self {
        let mut macs = [const { None }; 32];
        for (group, secret) in &keyring.groups {
            if let Some(place) = macs.get_mut(usize::from(group.get())) {
                *place = Some(MacKey::new(secret));
            }
        }
        let accept_v0 = keyring.accept_v0_groups.iter().fold(0, |bits, group| bits | 1 << group.get());
        Self { macs, accept_v0 }
    }

    /// The MAC that must have made a key of this version and group.
    ///
    /// # Errors
    /// [`Reason::UnsupportedVersion`] for version 0 outside the groups that accept it, before
    /// [`Reason::UnknownGroup`] for a group that is not in the keyring.
    pub fn mac_of(&self, version: Version, group: Group) -> Result<&MacKey, Reason> {
        if version == Version::V0 && self.accept_v0 >> group.get() & 1 == 0 {
            return Err(Reason::UnsupportedVersion);
        }
        self.macs.get(usize::from(group.get())).and_then(Option::as_ref).ok_or(Reason::UnknownGroup)
    }

    /// The groups that are there, in rising order.
    pub fn groups(&self) -> Vec<u8> {
        (0..32).filter(|group| self.macs.get(usize::from(*group)).is_some_and(Option::is_some)).collect()
    }

    /// The same with the check value of each secret, in rising order.
    pub fn checks(&self) -> Vec<KeyGroupCheck> {
        let check = |(group, mac): (u8, &Option<MacKey>)| {
            let check = mac.as_ref()?.check_value().to_string();
            Some(KeyGroupCheck { group, check })
        };
        (0..32).zip(&self.macs).filter_map(check).collect()
    }

    /// The groups whose version 0 keys are accepted, in rising order.
    pub fn accept_v0_groups(&self) -> Vec<u8> {
        (0..32).filter(|group| self.accept_v0 >> group & 1 == 1).collect()
    }
}
