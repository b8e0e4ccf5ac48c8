//! What runs: the control plane, HAProxy, and whether its workers are in step.

use super::{Finding, Patient};
use crate::edge::control_client;
use crate::edge::runtime_socket::MasterSocket;
use crate::edge::workers::parse_show_proc;
use edgeformat::status::Status;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn control_plane(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "control plane";
    let socket = patient.config.state.control_socket();
    vec![if control_client::answers(&socket, PATIENCE) {
        Finding::ok(CHECK, format!("it answers on {}", socket.display()))
    } else {
        let todo =
            "start `suiftly serve`; until then the edge serves with what it has and learns nothing new";
        Finding::problem(CHECK, format!("nobody answers on {}", socket.display()), todo)
    }]
}

pub(super) fn edge(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "edge";
    let path = patient.config.state.haproxy_master_socket();
    let socket = MasterSocket::new(path.clone(), patient.clock.clone());
    let deadline = patient.clock.instant() + PATIENCE;
    let workers = socket.ask_master("show proc", deadline).map_err(|error| crate::app::chain_of(&error));
    let workers = match workers.and_then(|reply| parse_show_proc(&reply)) {
        Ok(workers) => workers,
        Err(error) => {
            let todo = "start HAProxy with -W and -S on this path, as scripts/run and the units do";
            return std::iter::once(Finding::problem(CHECK, error, todo))
                .chain(port_of_another(patient))
                .collect();
        }
    };
    let mut findings = Vec::new();
    if workers.current.is_empty() {
        findings.push(Finding::problem(
            CHECK,
            "HAProxy has no running worker",
            "see its log, and the configuration above",
        ));
    }
    for pid in workers.all() {
        let status: Result<Status, String> = socket
            .ask_worker(pid, "suiftly status", deadline)
            .map_err(|error| crate::app::chain_of(&error))
            .and_then(|reply| serde_json::from_str(reply.trim()).map_err(|error| error.to_string()));
        findings.push(match status {
            Err(error) => Finding::problem(CHECK, format!("worker {pid}: {error}"), "reload HAProxy"),
            Ok(status) => worker(pid, &status),
        });
    }
    findings
}

fn worker(pid: u32, status: &Status) -> Finding {
    const CHECK: &str = "edge";
    let seen = format!(
        "worker {pid}: module {}, {}, sequence {}, {} policies, {} revocations, {} allowlist entries",
        status.version,
        status.lua,
        status.sequence,
        status.policies.count,
        status.revocations.count,
        status.allowlists.as_ref().map_or(0, |table| table.count)
    );
    if !status.ready {
        return Finding::problem(
            CHECK,
            format!("{seen}, not ready"),
            "a command panicked in it: reload HAProxy, and report it",
        );
    }
    if let Some(problem) = status.ledger.as_ref().and_then(|ledger| ledger.problem.as_ref()) {
        let seen = format!("{seen}; it counts in its memory only: {problem}");
        return Finding::problem(
            CHECK,
            seen,
            "see the usage ledger above; the agent reloads HAProxy when it is whole",
        );
    }
    if status.panics > 0 {
        let seen = format!("{seen}, {} panics", status.panics);
        return Finding::warning(
            CHECK,
            seen,
            "each refused a request; their text is in HAProxy's output: please report it",
        );
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        let todo = format!("this program is {}: reload HAProxy after an upgrade", env!("CARGO_PKG_VERSION"));
        return Finding::warning(CHECK, seen, todo);
    }
    Finding::ok(CHECK, seen)
}

/// HAProxy of this state is down, and something else has its port.
fn port_of_another(patient: &Patient<'_>) -> Option<Finding> {
    let port = patient.config.edge.port;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    let seen = format!("something else listens on port {port}");
    Some(Finding::problem(
        "ports",
        seen,
        format!("end it (ss -ltnp 'sport = :{port}'), or choose another SUIFTLY_EDGE_PORT"),
    ))
}
