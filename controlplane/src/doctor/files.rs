//! Keyring, state folder, sockets and map files: there, readable by whom they should be, and whole.

use super::{Finding, Patient};
use crate::edge::files_back;
use edgeformat::map_file;
use edgeformat::{AllowlistEntry, Policy, Revocation};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

pub(super) fn keyring(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "keyring";
    let file = &patient.config.keyring.file;
    vec![match crate::keyring::load(file) {
        Ok(keyring) => {
            let groups: Vec<String> =
                keyring.groups.iter().map(|(group, _)| group.get().to_string()).collect();
            let seen = format!(
                "{}: groups {}, new keys in {}",
                file.display(),
                groups.join(", "),
                keyring.default_group.get()
            );
            if keyring.accept_v0_groups.is_empty() {
                Finding::ok(CHECK, seen)
            } else {
                let todo = "version 0 keys have a 16-bit tag: take the groups out of accept_v0_groups when their keys are replaced";
                Finding::warning(CHECK, format!("{seen}; version 0 keys are accepted"), todo)
            }
        }
        Err(error) => {
            let todo = "see what was seen; never make a new keyring where keys exist, they all would fail";
            Finding::problem(CHECK, crate::app::chain_of(&error), todo)
        }
    }]
}

pub(super) fn secrets(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "secrets";
    let file = &patient.config.accounts.secrets_file;
    vec![match crate::secrets::Secrets::load(file) {
        Ok(secrets) => {
            let names: Vec<&str> = secrets.all().map(|(name, _)| name).collect();
            let (current, _) = secrets.current();
            let seen = format!("{}: keys {}, signs with {current}", file.display(), names.join(", "));
            Finding::ok(CHECK, seen)
        }
        Err(error) => {
            let todo = "see what was seen; `suiftly serve` makes the file at its first start, and a new one ends no session: people refresh";
            Finding::problem(CHECK, crate::app::chain_of(&error), todo)
        }
    }]
}

pub(super) fn state(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "state folder";
    let folder = &patient.config.state.folder;
    let metadata = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) => {
            let todo = "`suiftly serve` makes it at its first start; is SUIFTLY_STATE the one that it has?";
            return vec![Finding::problem(CHECK, format!("{}: {error}", folder.display()), todo)];
        }
    };
    let mut findings = vec![match metadata.mode() & 0o007 {
        0 => Finding::ok(CHECK, format!("{}, mode {:04o}", folder.display(), metadata.mode() & 0o7777)),
        _ => Finding::problem(
            CHECK,
            format!(
                "{} is open to everybody on this machine (mode {:04o})",
                folder.display(),
                metadata.mode() & 0o7777
            ),
            format!("chmod o= {}", folder.display()),
        ),
    }];
    for name in ["haproxy.sock", "haproxy-master.sock", "control.sock"] {
        findings.extend(socket(&folder.join(name)));
    }
    findings
}

/// Whoever may open HAProxy's sockets decides who is admitted: nobody but owner and group may.
fn socket(path: &Path) -> Option<Finding> {
    const CHECK: &str = "sockets";
    let metadata = std::fs::metadata(path).ok().filter(|metadata| metadata.file_type().is_socket())?;
    let mode = metadata.mode() & 0o777;
    Some(if mode & 0o007 == 0 {
        Finding::ok(CHECK, format!("{}, mode {mode:04o}", path.display()))
    } else {
        let seen = format!("{} is open to everybody on this machine (mode {mode:04o})", path.display());
        Finding::problem(CHECK, seen, format!("chmod o= {}, and look who has changed it", path.display()))
    })
}

pub(super) fn maps(patient: &Patient<'_>) -> Vec<Finding> {
    let folder = patient.config.state.maps();
    let none = |_| Ok(());
    let mut findings = vec![
        map(&folder.join("policies.map"), |text| {
            map_file::read_table::<Policy>(text, |_| Ok(()))
                .map(|header| format!("{} policies", header.count))
        }),
        map(&folder.join("revocations.map"), |text| {
            map_file::read_table::<Revocation>(text, none)
                .map(|header| format!("{} revocations", header.count))
        }),
        map(&folder.join("allowlists.map"), |text| {
            map_file::read_table::<AllowlistEntry>(text, |_| Ok(()))
                .map(|header| format!("{} allowlist entries", header.count))
        }),
        map(&folder.join("plans.map"), |text| {
            map_file::read_plans(text).map(|plans| format!("{} plans", plans.len()))
        }),
        map(&folder.join("services.map"), |text| {
            map_file::read_services(text).map(|services| format!("{} services", services.len()))
        }),
        map(&folder.join("errors.map"), |text| {
            map_file::read_errors(text).map(|()| "every reason".to_owned())
        }),
    ];
    findings.push(journal(&folder));
    findings
}

/// Tables and journal together, as a starting HAProxy puts them together.
fn journal(folder: &Path) -> Finding {
    const CHECK: &str = "journal";
    match files_back::read(folder) {
        Ok(Some(tables)) => {
            let at = tables.position();
            Finding::ok(
                CHECK,
                format!("tables and journal lead to change {} of stream {}", at.sequence, at.stream),
            )
        }
        Ok(None) => Finding::problem(
            CHECK,
            "a table or the journal is missing",
            "`suiftly serve` or `suiftly agent` writes them",
        ),
        Err(error) => Finding::problem(
            CHECK,
            error.to_string(),
            "start `suiftly serve` or `suiftly agent`, which write all of them anew; HAProxy does not start with them",
        ),
    }
}

fn map<E: std::fmt::Display>(path: &Path, read: impl FnOnce(&str) -> Result<String, E>) -> Finding {
    const CHECK: &str = "maps";
    let shown = path.display();
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.mode() & 0o777,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::problem(CHECK, format!("{shown} is missing"), "`suiftly serve` writes it");
        }
        Err(error) => {
            return Finding::problem(
                CHECK,
                format!("{shown}: {error}"),
                "look as the user of the control plane",
            );
        }
    };
    if mode & 0o022 != 0 {
        let seen = format!("{shown} may be written by others (mode {mode:04o})");
        return Finding::problem(CHECK, seen, format!("chmod 640 {shown}"));
    }
    match std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| read(&text).map_err(|e| e.to_string()))
    {
        Ok(seen) => Finding::ok(CHECK, format!("{shown}: {seen}")),
        Err(error) => Finding::problem(
            CHECK,
            format!("{shown}: {error}"),
            "services.map and errors.map are yours to correct; any other: remove it, and `suiftly serve` writes it again",
        ),
    }
}
