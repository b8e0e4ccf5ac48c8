//! It serves, reloads, comes back after a kill and revokes with nothing but what the unit leaves it.

use crate::layout::{Installation, haproxy_group, haproxy_user, send_signal};
use harness::http::wait_for;
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// A line of `/proc/PID/status`, in single spaces.
fn status_line(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn reload(installation: &Installation) -> (u32, u32) {
    let before = installation.worker_pid().unwrap();
    installation.master("reload").unwrap();
    let after = wait_for("a new worker", LIMIT, || installation.worker_pid().filter(|pid| *pid != before));
    (before, after)
}

fn is_gone(pid: u32) -> Option<()> {
    (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
}

#[test]
fn it_serves_revokes_reloads_and_comes_back_after_a_kill() {
    if !crate::can_run() {
        return;
    }
    let mut installation = Installation::started();
    let (good, revoked) = (installation.key(1), installation.key(2));
    assert_eq!((installation.status_with(&good), installation.status_with(&revoked)), (200, 200));
    installation.admin(&format!("key revoke --key {revoked}"));
    assert_eq!(installation.status_with(&revoked), 401, "revoked through the master socket");

    let (old, _) = reload(&installation);
    assert_eq!((installation.status_with(&good), installation.status_with(&revoked)), (200, 401));
    wait_for("the end of the old worker", LIMIT, || is_gone(old));
    installation.wait_until_ready();

    send_signal(installation.worker_pid().unwrap(), Signal::KILL);
    assert!(installation.wait_for_end_of_edge(), "the master outlived its worker");
    installation.start_edge();
    installation.wait_until_ready();
    assert_eq!((installation.status_with(&good), installation.status_with(&revoked)), (200, 401));
    let third = installation.key(3);
    assert_eq!(installation.status_with(&third), 200, "the control plane reaches the new worker");

    // The first customer's three: three workers have counted them in one file, as nobody in an empty folder.
    let customer =
        installation.admin(&format!("customer create --wallet 0x{:064x}", 1))["customer_id"].clone();
    wait_for("what was used", LIMIT, || {
        let usage = installation.admin(&format!("usage --customer {customer}"));
        (usage["guaranteed"] == 3).then_some(())
    });
}

#[test]
fn the_worker_is_nobody_in_an_empty_folder_and_the_files_belong_to_whom_they_should() {
    if !crate::can_run() {
        return;
    }
    let installation = Installation::started();
    let worker = installation.worker_pid().unwrap();
    let user = haproxy_user().to_string();
    assert_eq!(status_line(worker, "Uid"), [user.as_str(); 4].join(" "));
    assert_eq!(status_line(worker, "Groups"), "");
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_line(worker, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_line(worker, "NoNewPrivs"), "1");
    assert_eq!(std::fs::read_link(format!("/proc/{worker}/root")).unwrap(), installation.path("empty"));
    assert_eq!(status_line(installation.master_pid(), "Uid"), "0 0 0 0");

    let of = |name: &str| {
        let metadata = std::fs::metadata(installation.state().join(name)).unwrap();
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    let owner = of("").1;
    assert_eq!(of("keyring.toml"), (0o600, owner, owner));
    assert_eq!(of("suiftly.db").0 & 0o077, 0);
    assert_eq!(of("ledger"), (0o660, owner, owner));
    assert_eq!(of("haproxy-master.sock"), (0o660, 0, owner));
    assert_eq!((of("haproxy.sock").0, of("haproxy.sock").1), (0o600, 0));
    for map in ["policies", "revocations", "plans", "services", "errors"] {
        assert_eq!(of(&format!("maps/{map}.map")), (0o640, owner, haproxy_group()), "{map}");
    }
    for file in ["keyring.toml", "suiftly.db", "ledger", "haproxy-master.sock", "maps/policies.map"] {
        let readable = Command::new("setpriv")
            .args(["--reuid", &user, "--regid", &haproxy_group().to_string(), "--clear-groups", "test", "-r"])
            .arg(installation.state().join(file))
            .status()
            .unwrap();
        // The state folder itself keeps the worker's user out, also from the maps: only a load as root reads them.
        assert!(!readable.success(), "the worker's user can read {file}");
    }
}

#[test]
fn it_does_not_start_without_any_one_of_the_rights_that_a_start_needs() {
    if !crate::can_run() {
        return;
    }
    for (capability, complaint) in [
        ("setuid", "Cannot set uid"),
        ("setgid", "Cannot set gid"),
        ("sys_chroot", "Cannot chroot"),
        ("dac_read_search", "keyring.toml: cannot be read: Permission denied"),
    ] {
        let mut installation = Installation::new(&[("SUIFTLY_ALLOW_CLEAR", "1")]);
        installation.start_control_plane();
        installation.without(capability);
        installation.start_edge();
        assert!(installation.wait_for_end_of_edge(), "it starts without {capability}: drop it from the unit");
        assert!(installation.logs().contains(complaint), "{capability}: {}", installation.logs());
    }
}

#[test]
fn without_the_right_to_signal_an_old_worker_would_stay_after_a_reload() {
    if !crate::can_run() {
        return;
    }
    let mut installation = Installation::new(&[("SUIFTLY_ALLOW_CLEAR", "1")]);
    installation.start_control_plane();
    installation.without("kill");
    installation.start_edge();
    installation.wait_until_ready();
    let (old, _) = reload(&installation);
    std::thread::sleep(Duration::from_secs(1));
    assert!(is_gone(old).is_none(), "the old worker ended without CAP_KILL: drop it from the unit");
}
