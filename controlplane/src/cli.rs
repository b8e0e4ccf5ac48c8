//! The command line: arguments → one call, output, exit code.
//!
//! Every command answers a [`Reply`] or a [`Failure`]; only this file prints (and [`usage`], whose output may have no end).
//! With `--json` stdout is exactly one JSON object; of a command that has failed, `{"error": …, "exit_code": …}`.

pub mod admin_activity;
pub mod admin_allowlist;
pub mod admin_catalogue;
pub mod admin_credit;
pub mod admin_customer;
pub mod admin_customer_find;
pub mod admin_customer_status;
pub mod admin_demo;
pub mod admin_edge;
pub mod admin_key;
pub mod admin_key_life;
pub mod admin_requests;
pub mod admin_service;
pub mod admin_session;
pub mod admin_token;
pub mod admin_usage;
pub mod admin_usage_set_aside;
pub mod agent;
pub mod as_user;
pub mod backup;
pub mod config;
pub mod confirm;
pub mod demo_upstream;
pub mod doctor;
pub mod edge;
pub mod edge_offered;
pub mod failure;
pub mod fitting;
pub mod key;
pub mod key_text;
pub mod keyring;
pub mod log;
pub mod moment;
pub mod reply;
pub mod revocation_list;
pub mod serve;
pub mod usage;
pub mod usage_dump;
pub mod usage_top;
pub mod usage_watch;

pub use failure::{Exit, Failure};
pub use reply::Reply;

use crate::clock::Clock;
use crate::config::{Config, Layers, Variables};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Sells and guards access to services behind HAProxy.
#[derive(Parser, Debug)]
#[command(name = "suiftly", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Example:\n  suiftly admin customer create --wallet 0x<64 hex digits>")]
struct Arguments {
    /// Print exactly one JSON object on stdout
    #[arg(long, global = true)]
    json: bool,
    // `every_setting` reads it.
    /// Set a setting, such as api_port=8181; stronger than the environment, which is stronger than the settings file
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    setting: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the API and the agent that keeps the edge up to date, until SIGINT or SIGTERM
    #[command(after_help = "Example:\n  SUIFTLY_STATE=/var/lib/suiftly suiftly serve")]
    Serve(serve::ServeArguments),
    /// Run only the agent of an edge whose control plane is on another machine, until SIGINT or SIGTERM
    #[command(
        after_help = "Example:\n  SUIFTLY_STATE=/var/lib/suiftly suiftly agent --control-plane https://control.example.com:8081 \\\n    --token-file /etc/suiftly/edge-token --ca-file /etc/suiftly/control-plane.pem"
    )]
    Agent(agent::AgentArguments),
    /// Change what customers have, on the database
    #[command(
        subcommand,
        after_help = "Example:\n  suiftly admin service enable --customer 305419896 --service seal --tier pro"
    )]
    Admin(Admin),
    /// What each edge has, and whether it is what the database says
    #[command(subcommand, after_help = "Example:\n  suiftly edge status")]
    Edge(edge::EdgeCommand),
    /// What the edge on this machine counts: who calls, how much, with what outcome
    #[command(subcommand, after_help = "Example:\n  suiftly usage top")]
    Usage(usage::UsageCommand),
    /// Make and examine keys with a keyring file, without a database
    #[command(subcommand, after_help = "Example:\n  suiftly key inspect --key -  < file-with-the-key")]
    Key(key::KeyCommand),
    /// The secrets of the master key groups: add one, have keys made in it, retire one
    #[command(subcommand, after_help = "Example:\n  suiftly keyring add-group")]
    Keyring(keyring::KeyringCommand),
    /// Write everything that the database holds into one file, while everything runs
    #[command(after_help = "Example:\n  suiftly backup suiftly-2026-11-21.backup\n\n\
        The keyring's secrets are not in it: keep a copy of the keyring file apart.")]
    Backup(backup::BackupArguments),
    /// Put a backup in the place of what the database holds; `suiftly serve` must not run
    #[command(after_help = "Example:\n  suiftly restore suiftly-2026-11-21.backup --replace\n\n\
        From SQLite to PostgreSQL and back, too: DATABASE_URL says where to. Edges give back the revocations that the backup\n\
        lacks (`suiftly edge offered`), and no key is made before `suiftly keyring use-group`.")]
    Restore(backup::RestoreArguments),
    /// Look at everything that the edge on this machine stands on, and say what to do
    #[command(after_help = "Example:\n  SUIFTLY_STATE=/var/lib/suiftly suiftly doctor\n\n\
        Exit code 0 without a problem, else 1.")]
    Doctor(doctor::DoctorArguments),
    /// The settings: what is in force, where it comes from, what is wrong
    #[command(subcommand, after_help = "Example:\n  suiftly config check")]
    Config(config::ConfigCommand),
    /// Answer any HTTP/1.1 or HTTP/2 request in clear with a description of it, for trying things
    #[command(after_help = "Example:\n  suiftly demo-upstream --port 9000")]
    DemoUpstream(demo_upstream::DemoUpstreamArguments),
}

#[derive(Subcommand, Debug)]
enum Admin {
    /// Customers
    #[command(
        subcommand,
        after_help = "Example:\n  suiftly admin customer create --wallet 0x<64 hex digits>"
    )]
    Customer(admin_customer::CustomerCommand),
    /// Services of a customer
    #[command(
        subcommand,
        after_help = "Example:\n  suiftly admin service suspend --customer 305419896 --service grpc"
    )]
    Service(admin_service::ServiceCommand),
    /// Give customers credit to spend
    #[command(
        subcommand,
        after_help = "Example:\n  suiftly admin credit grant --customer 305419896 --cents 5000"
    )]
    Credit(admin_credit::CreditCommand),
    /// Where a customer is signed in
    #[command(subcommand, after_help = "Example:\n  suiftly admin session list --customer 305419896")]
    Session(admin_session::SessionCommand),
    /// Keys of a customer
    #[command(
        subcommand,
        after_help = "Example:\n  suiftly admin key create --customer 305419896 --service seal"
    )]
    Key(admin_key::AdminKeyCommand),
    /// Tokens for the operators' paths of the API
    #[command(subcommand, after_help = "Example:\n  suiftly admin token create --name on-call")]
    Token(admin_token::TokenCommand),
    /// What is sold: tiers, prices and service types, from when on
    #[command(subcommand, after_help = "Example:\n  suiftly admin catalogue show")]
    Catalogue(admin_catalogue::CatalogueCommand),
    /// Made-up customers and traffic in an empty database, so that there is something to see
    #[command(subcommand, after_help = "Example:\n  SUIFTLY_STATE=var-demo suiftly admin demo seed")]
    Demo(admin_demo::DemoCommand),
    /// Edges on other machines, and their tokens
    #[command(subcommand, after_help = "Example:\n  suiftly admin edge add --name fra1")]
    Edge(admin_edge::EdgeCommand),
    /// What a customer has used
    #[command(
        after_help = "Examples:\n  suiftly admin usage --customer 305419896 --service seal --since 24h\n  \
            suiftly admin usage --customer 305419896 --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z\n\n\
            Usage is kept by the minute for two days, by the hour for 90, then by the day: a minute, hour or day counts whole if \
            any of it lies in the time that was asked for."
    )]
    Usage(admin_usage::UsageArguments),
    /// Usage that edges have reported and that is not plausible: list it, accept it, discard it
    #[command(subcommand, after_help = "Example:\n  suiftly admin usage-set-aside list")]
    UsageSetAside(admin_usage_set_aside::SetAsideCommand),
    /// The newest requests of a customer, from the request log
    #[command(after_help = "Example:\n  suiftly admin requests --customer 305419896 --since 1h --limit 50")]
    Requests(admin_requests::RequestsArguments),
}

/// Runs the command that the arguments name, prints what it answers, and says with what the process should
/// end.
pub fn run(arguments: impl IntoIterator<Item = OsString>, variables: &Variables, clock: Clock) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Asked before the arguments are understood: who cannot spell the rest may still read only JSON.
    let json_asked = arguments.iter().any(|argument| argument == "--json");
    let set = every_setting(&arguments);
    let parsed = Arguments::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error, json_asked).into(),
    };
    let json = arguments.json;
    let layers = Layers::read(&set, variables);
    match dispatch(arguments.command, json, &layers, variables, clock) {
        Ok(reply) => print_reply(&reply, json).into(),
        Err(failure) => {
            print_error(&failure.text);
            if json {
                print_stdout(&failure.json());
            }
            failure.exit.into()
        }
    }
}

/// What stands behind each `--setting`, wherever. Of a global option on both sides of a command clap keeps one side only.
fn every_setting(arguments: &[OsString]) -> Vec<String> {
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    let mut every = Vec::new();
    while let Some(argument) = arguments.next().filter(|argument| argument != "--") {
        if argument == "--setting" {
            every.extend(arguments.next().map(String::from));
        } else if let Some(value) = argument.strip_prefix("--setting=") {
            every.push(value.to_owned());
        }
    }
    every
}

fn dispatch(
    command: Command,
    json: bool,
    layers: &Layers,
    variables: &Variables,
    clock: Clock,
) -> Result<Reply, Failure> {
    let config = &match &command {
        // Explains the layers, also such as cannot be used.
        Command::Config(_) => Config::from_variables(&Variables::new())?,
        _ => layers.config()?,
    };
    match command {
        Command::Config(command) => config::run(command, layers, variables),
        Command::Serve(arguments) => serve::run(arguments, config, clock),
        Command::Agent(arguments) => agent::run(&arguments, config, clock),
        Command::Doctor(arguments) => doctor::run(arguments, config, &clock),
        Command::DemoUpstream(arguments) => demo_upstream::run(&arguments, config),
        Command::Admin(Admin::Customer(command)) => admin_customer::run(&command, config, &clock),
        Command::Admin(Admin::Service(command)) => admin_service::run(&command, config, &clock),
        Command::Admin(Admin::Credit(command)) => admin_credit::run(&command, config, &clock),
        Command::Admin(Admin::Session(command)) => admin_session::run(&command, config, &clock),
        Command::Admin(Admin::Key(command)) => admin_key::run(&command, config, &clock),
        Command::Admin(Admin::Token(command)) => admin_token::run(&command, config, &clock),
        Command::Admin(Admin::Catalogue(command)) => admin_catalogue::run(&command, config, &clock),
        Command::Admin(Admin::Demo(command)) => admin_demo::run(&command, config, &clock),
        Command::Admin(Admin::Edge(command)) => admin_edge::run(&command, config, &clock),
        Command::Admin(Admin::Usage(arguments)) => admin_usage::run(&arguments, config, &clock),
        Command::Admin(Admin::UsageSetAside(command)) => admin_usage_set_aside::run(&command, config, &clock),
        Command::Admin(Admin::Requests(arguments)) => admin_requests::run(&arguments, config, &clock),
        Command::Edge(command) => edge::run(&command, config, &clock),
        Command::Usage(command) => usage::run(&command, json, config, &clock),
        Command::Key(command) => key::run(&command, config),
        Command::Backup(arguments) => backup::backup(&arguments, config, &clock),
        Command::Restore(arguments) => backup::restore(&arguments, config, &clock),
        Command::Keyring(command) => keyring::run(&command, config, &clock),
    }
}

fn not_understood(error: &clap::Error, json: bool) -> Exit {
    let text = key_text::without_keys(&error.render().to_string());
    let usage = |text: &str| {
        print_error(text);
        if json {
            print_stdout(&Failure::new(Exit::Usage, text.trim_end()).json());
        }
        Exit::Usage
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print_stdout(&text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            usage(&format!("a command is missing here\n\n{text}"))
        }
        _ => usage(text.strip_prefix("error: ").unwrap_or(&text)),
    }
}

fn print_reply(reply: &Reply, json: bool) -> Exit {
    let printed = print_stdout(if json { &reply.json } else { &reply.text });
    for note in &reply.notes {
        print_error(note);
    }
    if printed == Exit::Done { reply.exit } else { printed }
}

fn print_stdout(text: &str) -> Exit {
    let mut stdout = std::io::stdout().lock();
    let text = text.trim_end_matches('\n');
    let printed = if text.is_empty() { Ok(()) } else { writeln!(stdout, "{text}") };
    match printed.and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            print_error(&format!("the answer could not be printed: {error}"));
            Exit::Other
        }
    }
}

fn print_error(text: &str) {
    // Where stderr is gone there is nowhere left to say so.
    let _ = writeln!(std::io::stderr().lock(), "suiftly: {}", text.trim_end());
}
