//! One change of what the edge knows, as text: how it stands in the change log and travels to the module.
//!
//! A change carries the whole new state of its entry, never a difference, so that applying it twice changes nothing.
//!
//! ```text
//! +p:305419896:seal:enabled:3:-            policy of a customer and service
//! -p:305419896:seal                        … is gone
//! +r:0100000112345678:0:revoked            revocation of a fingerprint, in force from second 0 (at once)
//! -r:0100000112345678                      … is gone
//! +a:305419896:seal:2001:db8::/32          a block of addresses is on the allowlist of a customer and service
//! -a:305419896:seal:2001:db8::/32          … is gone; the prefix is the rest of the text, since IPv6 has colons
//! +l:3:524300                              plan 3 with its packed rates (for HAProxy's own `plans.map`)
//! -l:3                                     … is gone
//! +g:2:1a2b3c4d                            every edge must hold master key group 2, with this check value
//! -g:2                                     … no edge may hold it any more
//! ```

use crate::allowlist::AllowlistEntry;
use crate::field::{FieldError, Fields, shown};
use crate::plan::{Plan, PlanNumber};
use crate::policy::{Policy, PolicyKey};
use crate::revocation::{Revocation, fingerprint_from_field};
use apikey::{CheckValue, Fingerprint, Group};
use std::{fmt, str::FromStr};

/// The longest text of a change, in bytes. A command holds many of them, and the change log bounds its column by it.
pub const CHANGE_LEN_MAX: usize = 80;

/// One change of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// The policy of a customer and service is now this.
    SetPolicy(Policy),
    /// The customer no longer has the service.
    RemovePolicy(PolicyKey),
    /// The key is refused from a second on.
    SetRevocation(Revocation),
    /// The key is no longer refused.
    RemoveRevocation(Fingerprint),
    /// A customer's keys of a service may be used from these addresses.
    SetAllowed(AllowlistEntry),
    /// No longer from these; it changes nothing where they were not on the list.
    RemoveAllowed(AllowlistEntry),
    /// A plan number has this meaning.
    SetPlan(Plan),
    /// No policy names this plan any more.
    RemovePlan(PlanNumber),
    /// Every edge must hold this master key group, with the secret that has this check value. The secret itself never
    /// travels: the keyring file has it.
    SetKeyGroup(Group, CheckValue),
    /// No edge should hold this group any more.
    RemoveKeyGroup(Group),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetPolicy(policy) => write!(f, "+p:{}", policy.text(':')),
            Self::RemovePolicy(key) => write!(f, "-p:{}:{}", key.customer, key.service),
            Self::SetRevocation(revocation) => write!(f, "+r:{}", revocation.text(':')),
            Self::RemoveRevocation(fingerprint) => write!(f, "-r:{fingerprint}"),
            Self::SetAllowed(entry) => write!(f, "+a:{}", entry.text(':')),
            Self::RemoveAllowed(entry) => write!(f, "-a:{}", entry.text(':')),
            Self::SetPlan(plan) => write!(f, "+l:{}:{}", plan.number, plan.packed()),
            Self::RemovePlan(number) => write!(f, "-l:{number}"),
            Self::SetKeyGroup(group, check) => write!(f, "+g:{group}:{check}"),
            Self::RemoveKeyGroup(group) => write!(f, "-g:{group}"),
        }
    }
}

impl FromStr for Change {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        if text.len() > CHANGE_LEN_MAX {
            return Err(FieldError::new(format!("a change is at most {CHANGE_LEN_MAX} bytes long")));
        }
        let (kind, fields) = text.split_once(':').ok_or_else(|| {
            FieldError::new(format!(
                "`{}` is no change; one looks like `+r:<fingerprint>:0:revoked`",
                shown(text)
            ))
        })?;
        let words = fields.split(':');
        match kind {
            "+p" => Policy::from_fields(words).map(Self::SetPolicy),
            "-p" => PolicyKey::from_fields(words).map(Self::RemovePolicy),
            "+r" => Revocation::from_fields(words).map(Self::SetRevocation),
            "-r" => only(words, |fields| fingerprint_from_field(fields.word("fingerprint")?))
                .map(Self::RemoveRevocation),
            "+a" => AllowlistEntry::from_fields(fields.splitn(3, ':')).map(Self::SetAllowed),
            "-a" => AllowlistEntry::from_fields(fields.splitn(3, ':')).map(Self::RemoveAllowed),
            "+l" => Plan::from_fields(words).map(Self::SetPlan),
            "-l" => only(words, plan_number).map(Self::RemovePlan),
            "+g" => only(words, |fields| Ok(Self::SetKeyGroup(group(fields)?, check_value(fields)?))),
            "-g" => only(words, group).map(Self::RemoveKeyGroup),
            other => Err(FieldError::new(format!("`{}` is no kind of change", shown(other)))),
        }
    }
}

fn plan_number<'a>(fields: &mut Fields<'a, impl Iterator<Item = &'a str>>) -> Result<PlanNumber, FieldError> {
    PlanNumber::new(fields.number("plan")?).ok_or_else(|| FieldError::new("a plan number is 1..=1023"))
}

fn group<'a>(fields: &mut Fields<'a, impl Iterator<Item = &'a str>>) -> Result<Group, FieldError> {
    Group::new(fields.number("group")?).ok_or_else(|| FieldError::new("a master key group is 0..=31"))
}

fn check_value<'a>(fields: &mut Fields<'a, impl Iterator<Item = &'a str>>) -> Result<CheckValue, FieldError> {
    fields.word("check value")?.parse().map_err(|error| FieldError::new(format!("`check value`: {error}")))
}

fn only<'a, I: Iterator<Item = &'a str>, T>(
    words: I,
    read: impl FnOnce(&mut Fields<'a, I>) -> Result<T, FieldError>,
) -> Result<T, FieldError> {
    let mut fields = Fields::new(words);
    let value = read(&mut fields)?;
    fields.end()?;
    Ok(value)
}
