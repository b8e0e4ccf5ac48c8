//! `suiftly edge …`: what each edge has, and whether it is what the database says.

use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply, edge_offered};
use crate::clock::Clock;
use crate::config::Config;
use crate::edge::report::{EdgeReport, MeteringReport, WorkerReport};
use crate::edge::runtime_socket::{MasterSocket, SocketError, unusable};
use crate::edge::workers::parse_show_proc;
use crate::edge::{LOCAL_EDGE, control_client};
use apikey::CustomerId;
use clap::{Args, Subcommand};
use edgeformat::status::{KeyGroupCheck, ShowCustomer};
use serde::Serialize;
use std::time::Duration;

/// How long all workers together may take to answer.
const SHOW_LIMIT: Duration = Duration::from_secs(5);

/// What can be asked of the edges.
#[derive(Subcommand, Debug)]
pub enum EdgeCommand {
    /// How each edge stands: sequence, lag, workers, tables, last error
    #[command(after_help = "Example:\n  suiftly edge status --json\n\n\
        Exit code 5 while an edge is not in step.")]
    Status,
    /// What an edge has otherwise than the database; it is put right within a second
    #[command(after_help = "Example:\n  suiftly edge diff\n\nExit code 5 where something differs.")]
    Diff,
    /// Revocations that edges gave back to a database that was restored from a backup
    #[command(after_help = "Example:\n  suiftly edge offered --json")]
    Offered(edge_offered::OfferedArguments),
    /// Write every map file and load every worker anew from the database
    #[command(after_help = "Example:\n  suiftly edge resync")]
    Resync(ResyncArguments),
    /// What every worker on this machine knows of a customer, and has counted
    #[command(after_help = "Example:\n  suiftly edge show 305419896")]
    Show {
        /// The customer's id
        #[arg(value_name = "N")]
        customer: CustomerId,
    },
}

/// How long to wait.
#[derive(Args, Clone, Debug)]
pub struct ResyncArguments {
    /// Which edge; all, if it is left out
    #[arg(long, value_name = "NAME")]
    edge: Option<String>,
    /// How long to wait for the edges, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    wait_limit: u64,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &EdgeCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        EdgeCommand::Status => status(config),
        EdgeCommand::Diff => diff(config),
        EdgeCommand::Offered(arguments) => edge_offered::run(arguments, config),
        EdgeCommand::Resync(arguments) => resync(config, arguments),
        EdgeCommand::Show { customer } => show(*customer, config, clock),
    }
}

fn reports(config: &Config) -> Result<Vec<EdgeReport>, Failure> {
    control_client::edges(&config.state.control_socket()).map_err(|why| Failure::new(Exit::Other, why))
}

#[derive(Serialize)]
struct Edges {
    edges: Vec<EdgeReport>,
}

fn status(config: &Config) -> Result<Reply, Failure> {
    let edges = reports(config)?;
    let text = edges.iter().map(edge_text).collect::<Vec<_>>().join("\n");
    let in_step = edges.iter().all(|edge| edge.in_step);
    let mut reply = Reply::new(&Edges { edges }, text)?;
    if !in_step {
        reply.exit = Exit::NotConfirmed;
    }
    Ok(reply)
}

fn edge_text(edge: &EdgeReport) -> String {
    let stands = if edge.in_step {
        "in step with the database".to_owned()
    } else {
        format!("NOT in step for {} s", edge.lag_seconds)
    };
    let mut text = lines(&[
        ("edge", edge.edge.clone()),
        ("stands", stands),
        ("change", format!("{} of {} (stream {})", edge.sequence, edge.database_sequence, edge.stream)),
        ("last error", edge.last_error.clone().unwrap_or_else(|| "none".to_owned())),
    ]);
    if edge.heard_seconds_ago > 0 {
        text.push_str(&lines(&[("heard", format!("{} s ago", edge.heard_seconds_ago))]));
    }
    for problem in &edge.map_problems {
        text.push_str(&format!("refused: {problem}\n"));
    }
    for problem in &edge.key_problems {
        text.push_str(&format!("keyring: {problem}\n"));
    }
    if let Some(metering) = &edge.metering {
        text.push_str(&metering_text(metering));
    }
    for worker in &edge.workers {
        text.push('\n');
        text.push_str(&worker_text(worker));
    }
    text
}

fn metering_text(metering: &MeteringReport) -> String {
    let MeteringReport { generation, slots, taken, lag_seconds, lost, problems } = metering;
    let mut text = lines(&[(
        "metering",
        format!("ledger {generation}, {taken} of {slots} slots, {lag_seconds} s behind"),
    )]);
    if *lost > 0 {
        text.push_str(&format!("metering: {lost} requests were let through that nobody is billed for\n"));
    }
    for problem in problems {
        text.push_str(&format!("metering: {problem}\n"));
    }
    text
}

fn worker_text(worker: &WorkerReport) -> String {
    let table = |table: &edgeformat::status::TableStatus| {
        format!("{} of {}, checksum {}", table.count, table.capacity, table.checksum)
    };
    let kind = if worker.old { "from before a reload" } else { "current" };
    let ready = if worker.ready { "judges requests" } else { "REFUSES every request" };
    lines(&[
        ("worker", format!("{}, {kind}, up {} s, {ready}", worker.pid, worker.uptime_seconds)),
        ("versions", format!("HAProxy {}, module {}", worker.haproxy, worker.module)),
        ("change", worker.sequence.to_string()),
        ("policies", table(&worker.policies)),
        ("revocations", table(&worker.revocations)),
        (
            "allowlists",
            worker.allowlists.as_ref().map_or_else(|| "not known to its module".to_owned(), table),
        ),
        ("key groups", key_groups(&worker.key_groups)),
        ("panics", worker.panics.to_string()),
    ])
}

/// `1 (check 3f0a91bc), 2 (check …)`.
fn key_groups(groups: &[KeyGroupCheck]) -> String {
    let one = |held: &KeyGroupCheck| format!("{} (check {})", held.group, held.check);
    groups.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
struct Differences {
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    edge: String,
    /// None where it is the edge as a whole.
    pid: Option<u32>,
    what: String,
}

fn diff(config: &Config) -> Result<Reply, Failure> {
    let expected = crate::edge::expected::read(config)?;
    let mut differences = Vec::new();
    let edges = reports(config)?;
    // Only this machine's files can be read here; the first edge is its own.
    let own = edges.first().map_or_else(|| LOCAL_EDGE.to_owned(), |edge| edge.edge.clone());
    let of_files = expected.differences_of_files(&config.state.maps());
    for what in of_files.unwrap_or_else(|error| vec![error]) {
        differences.push(Difference { edge: own.clone(), pid: None, what });
    }
    for edge in edges {
        if edge.stream != expected.stream {
            let what = format!("it follows stream {}, the database is {}", edge.stream, expected.stream);
            differences.push(Difference { edge: edge.edge.clone(), pid: None, what });
        }
        // What its workers said last may be old then.
        if !edge.in_step {
            let what = edge.last_error.clone().unwrap_or_else(|| "it was not looked at yet".to_owned());
            differences.push(Difference { edge: edge.edge.clone(), pid: None, what });
            continue;
        }
        for worker in &edge.workers {
            for what in expected.differences(worker) {
                differences.push(Difference { edge: edge.edge.clone(), pid: Some(worker.pid), what });
            }
        }
    }
    let text = if differences.is_empty() {
        format!("every worker has what the database says at change {}", expected.sequence)
    } else {
        let line = |difference: &Difference| {
            let pid = difference.pid.map_or_else(String::new, |pid| format!(", worker {pid}"));
            format!("{}{pid}: {}\n", difference.edge, difference.what)
        };
        differences.iter().map(line).collect()
    };
    let differs = !differences.is_empty();
    let mut reply = Reply::new(&Differences { differences }, text)?;
    if differs {
        reply.exit = Exit::NotConfirmed;
    }
    Ok(reply)
}

#[derive(Serialize)]
struct Resynced {
    applied: bool,
    edges: Vec<crate::edge::control_protocol::EdgeAnswer>,
}

fn resync(config: &Config, arguments: &ResyncArguments) -> Result<Reply, Failure> {
    let limit = Duration::from_secs(arguments.wait_limit);
    let edges = control_client::resync(&config.state.control_socket(), arguments.edge.as_deref(), limit)
        .map_err(|why| Failure::new(Exit::Other, why))?;
    let applied = edges.iter().all(|edge| edge.applied);
    let line = |edge: &crate::edge::control_protocol::EdgeAnswer| match &edge.detail {
        None => format!("{}: loaded anew, at change {}\n", edge.edge, edge.sequence),
        Some(detail) => format!("{}: NOT confirmed: {detail}\n", edge.edge),
    };
    let text: String = edges.iter().map(line).collect();
    let mut reply = Reply::new(&Resynced { applied, edges }, text)?;
    if !applied {
        reply.exit = Exit::NotConfirmed;
    }
    Ok(reply)
}

#[derive(Serialize)]
struct Shown {
    customer_id: u32,
    workers: Vec<ShownWorker>,
}

#[derive(Serialize)]
struct ShownWorker {
    pid: u32,
    #[serde(flatten)]
    shown: ShowCustomer,
}

fn show(customer: CustomerId, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let socket = MasterSocket::new(config.state.haproxy_master_socket(), clock.clone());
    let workers = ask_workers(&socket, customer, clock)
        .map_err(|error| Failure::new(Exit::Other, crate::app::chain_of(&error)))?;
    let mut text = String::new();
    for worker in &workers {
        text.push_str(&format!("worker {}\n", worker.pid));
        if worker.shown.services.is_empty() {
            text.push_str("  knows nothing of this customer\n");
        }
        for (service, shown) in &worker.shown.services {
            text.push_str(&format!(
                "  {service:8} {}, plan {}; admitted {}, burst {}, refused {}, rejected {}, unserved {}\n",
                shown.state,
                shown.plan,
                shown.admitted,
                shown.burst,
                shown.refused,
                shown.rejected,
                shown.unserved
            ));
            let asked = if shown.allowlist { "only from" } else { "from everywhere; list, not asked:" };
            if shown.allowlist || !shown.allowed.is_empty() {
                let list =
                    if shown.allowed.is_empty() { "nowhere".to_owned() } else { shown.allowed.join(", ") };
                text.push_str(&format!("           {asked} {list}\n"));
            }
        }
    }
    Reply::new(&Shown { customer_id: customer.get(), workers }, text)
}

fn ask_workers(
    socket: &MasterSocket,
    customer: CustomerId,
    clock: &Clock,
) -> Result<Vec<ShownWorker>, SocketError> {
    let deadline = clock.instant() + SHOW_LIMIT;
    let list = parse_show_proc(&socket.ask_master("show proc", deadline)?)
        .map_err(|reason| unusable("show proc", reason))?;
    let ask = |pid| {
        let command = format!("suiftly show {customer}");
        let reply = socket.ask_worker(pid, &command, deadline)?;
        let shown =
            serde_json::from_str(reply.trim()).map_err(|error| unusable(&command, error.to_string()))?;
        Ok(ShownWorker { pid, shown })
    };
    list.all().map(ask).collect()
}
