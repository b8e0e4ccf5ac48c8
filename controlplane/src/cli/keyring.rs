//! `suiftly keyring …`: master key groups, from the file of this machine to every edge.

use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_ms};
use crate::config::Config;
use crate::db::stream::Position;
use crate::db::{Database, key_groups as table};
use crate::domain::{DomainError, KeyGroupState, key_groups};
use crate::edge::key_confirmation::{Expected, Unconfirmed, wait_until};
use crate::keyring::{self, edit::Editing};
use apikey::{CheckValue, Group};
use clap::{Args, Subcommand};
use edgeformat::Keyring;
use serde::Serialize;
use std::time::Duration;

/// What can be done with master key groups.
#[derive(Subcommand, Debug)]
pub enum KeyringCommand {
    /// Add a group with a new secret, wait until every edge holds it, then have new keys made in it
    #[command(after_help = "Example:\n  suiftly keyring add-group\n\n\
        On machines with an edge of their own, copy the keyring file there while this waits. Exit code 5 where an edge has\n\
        not confirmed in time: new keys are made in the old group until `suiftly keyring use-group N`.")]
    AddGroup(AddArguments),
    /// Wait until every edge holds a group of the keyring, then have new keys made in it
    #[command(after_help = "Example:\n  suiftly keyring use-group 2")]
    UseGroup {
        /// The group's number
        #[arg(value_name = "N", value_parser = group)]
        group: Group,
        /// How long to wait
        #[command(flatten)]
        wait: KeyringWait,
    },
    /// Have no key made in a group any more; with --remove its keys are refused
    #[command(
        after_help = "Example:\n  suiftly keyring retire-group 1\n  suiftly keyring retire-group 1 --remove"
    )]
    RetireGroup(RetireArguments),
    /// The groups with their check values, never their secrets
    #[command(after_help = "Example:\n  suiftly keyring list --json")]
    List,
}

/// Which group is added.
#[derive(Args, Debug)]
pub struct AddArguments {
    /// Its number, 0 to 31; without it the lowest from 1 on that was never used
    #[arg(long, value_name = "N", value_parser = group)]
    group: Option<Group>,
    /// Leave the default group as it is
    #[arg(long)]
    keep_default: bool,
    #[command(flatten)]
    wait: KeyringWait,
}

/// Which group is retired.
#[derive(Args, Debug)]
pub struct RetireArguments {
    /// The group's number
    #[arg(value_name = "N", value_parser = group)]
    group: Group,
    /// Take it out of the keyring: every key of it is refused from then on
    #[arg(long)]
    remove: bool,
    /// Remove it although it has keys that are not revoked
    #[arg(long, requires = "remove")]
    force: bool,
    #[command(flatten)]
    wait: KeyringWait,
}

/// How long to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct KeyringWait {
    /// How long to wait for the edges, in seconds; workers from before the reload end within $SUIFTLY_HARD_STOP_S
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=600))]
    wait_limit: u64,
}

fn group(text: &str) -> Result<Group, String> {
    let number: Option<u8> = text.parse().ok();
    number.and_then(Group::new).ok_or_else(|| "a master key group is a number from 0 to 31".to_owned())
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &KeyringCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        KeyringCommand::AddGroup(arguments) => add(arguments, config, clock),
        KeyringCommand::UseGroup { group, wait } => use_group(*group, *wait, config, clock),
        KeyringCommand::RetireGroup(arguments) => retire(arguments, config, clock),
        KeyringCommand::List => list(config),
    }
}

/// The answer of `add-group` and `use-group`.
#[derive(Serialize)]
struct InUse {
    group: u8,
    check: String,
    default_group: u8,
    sequence: u64,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

fn add(arguments: &AddArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    // Locked until the new file is there, so that two who add at once take two numbers.
    let editing = Editing::begin(&config.keyring.file)?;
    let group = database.write(|tx| {
        key_groups::adopt_first(tx, editing.keyring(), clock.now_ms())?;
        key_groups::free_group(tx, editing.keyring(), arguments.group)
    })?;
    // The file first: what edges are asked for can then be had.
    let check = editing.add_group(group)?;
    let position = key_groups::want(&mut database, group, check, clock.now_ms())?;
    let asked = Asked { group, check, position };
    take_into_use(&mut database, asked, !arguments.keep_default, arguments.wait, config, clock)
}

fn use_group(group: Group, wait: KeyringWait, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let keyring = keyring::load(&config.keyring.file)?;
    let check = keyring.check_of(group).ok_or_else(|| not_in_keyring(group, config))?;
    let mut database = open_as_user(config)?;
    database.write(|tx| key_groups::adopt_first(tx, &keyring, clock.now_ms()))?;
    let position = key_groups::want(&mut database, group, check, clock.now_ms())?;
    take_into_use(&mut database, Asked { group, check, position }, true, wait, config, clock)
}

fn not_in_keyring(group: Group, config: &Config) -> Failure {
    let file = config.keyring.file.display();
    let text = format!("the keyring {file} has no group {group}; `suiftly keyring add-group` adds one");
    Failure::new(Exit::NotFound, text)
}

/// A group that the edges were asked to hold.
#[derive(Clone, Copy)]
struct Asked {
    group: Group,
    check: CheckValue,
    position: Position,
}

/// Waits for every edge and only then lets keys be made in the group.
fn take_into_use(
    database: &mut Database,
    asked: Asked,
    make_default: bool,
    wait: KeyringWait,
    config: &Config,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let Asked { group, check, position } = asked;
    let limit = Duration::from_secs(wait.wait_limit);
    let socket = config.state.control_socket();
    let unconfirmed = wait_until(&socket, Expected::Held(group, check), position, limit, clock);
    if unconfirmed.is_empty() {
        key_groups::confirm(database, group, check, clock.now_ms())?;
        if make_default {
            Editing::begin(&config.keyring.file)?.set_default(group)?;
        }
    }
    let default_group = keyring::load(&config.keyring.file)?.default_group;
    let made_in = format!("new keys are made in group {default_group}");
    let text = if unconfirmed.is_empty() {
        format!("every edge holds it; {made_in}")
    } else {
        format!("NOT yet confirmed by every edge; {made_in}")
    };
    let (waiting_for, detail) = named(&unconfirmed);
    let answer = InUse {
        group: group.get(),
        check: check.to_string(),
        default_group: default_group.get(),
        sequence: position.sequence,
        applied: unconfirmed.is_empty(),
        waiting_for,
        detail: detail.clone(),
    };
    let rows = [("group", group.to_string()), ("check value", check.to_string()), ("", text)];
    let reply = Reply::new(&answer, lines(&rows))?;
    Ok(conclude(reply, detail, &format!("`suiftly keyring use-group {group}` waits again")))
}

fn named(unconfirmed: &[Unconfirmed]) -> (Option<Vec<String>>, Option<String>) {
    if unconfirmed.is_empty() {
        return (None, None);
    }
    let details: Vec<String> =
        unconfirmed.iter().map(|late| format!("{}: {}", late.edge, late.detail)).collect();
    (Some(unconfirmed.iter().map(|late| late.edge.clone()).collect()), Some(details.join("; ")))
}

fn conclude(mut reply: Reply, detail: Option<String>, next: &str) -> Reply {
    let Some(detail) = detail else { return reply };
    reply.exit = Exit::NotConfirmed;
    reply.with_note(format!("not yet confirmed: {detail}; {next}"))
}

#[derive(Serialize)]
struct RetiredAnswer {
    group: u8,
    state: &'static str,
    live_keys: u64,
    sequence: u64,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

fn retire(arguments: &RetireArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let group = arguments.group;
    let mut database = open_as_user(config)?;
    let editing = Editing::begin(&config.keyring.file)?;
    let now_ms = clock.now_ms();
    let (done, unconfirmed) = if arguments.remove {
        let done = key_groups::remove(&mut database, editing.keyring(), group, arguments.force, now_ms)?;
        // Also where a command before this one was ended between the two.
        if editing.keyring().check_of(group).is_some() {
            editing.remove_group(group)?;
        } else {
            drop(editing);
        }
        let limit = Duration::from_secs(arguments.wait.wait_limit);
        let socket = config.state.control_socket();
        (done, wait_until(&socket, Expected::Gone(group), done.position, limit, clock))
    } else {
        // No edge has anything to change.
        (key_groups::retire(&mut database, editing.keyring(), group, now_ms)?, Vec::new())
    };
    let (waiting_for, detail) = named(&unconfirmed);
    let answer = RetiredAnswer {
        group: group.get(),
        state: done.row.state.word(),
        live_keys: done.live_keys,
        sequence: done.position.sequence,
        applied: unconfirmed.is_empty(),
        waiting_for,
        detail: detail.clone(),
    };
    let fate = match (done.row.state, unconfirmed.is_empty()) {
        (KeyGroupState::Removed, true) => "refused by every edge",
        (KeyGroupState::Removed, false) => "refused once every edge has read its keyring",
        _ => "still good",
    };
    let rows = [
        ("group", group.to_string()),
        ("state", format!("{}: no key is made in it any more", done.row.state)),
        ("keys", format!("{} not revoked, {fate}", done.live_keys)),
    ];
    let reply = Reply::new(&answer, lines(&rows))?;
    Ok(conclude(reply, detail, "its keys may still be admitted there; give the command again to wait again"))
}

#[derive(Serialize)]
struct Listed {
    default_group: u8,
    items: Vec<ListedGroup>,
    /// There are never more than 32.
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ListedGroup {
    group: u8,
    /// Of the secret in the keyring of this machine; none where it has no such group.
    check: Option<String>,
    /// Of the secret that the edges should have; none where they were not asked for it.
    wanted_check: Option<String>,
    state: Option<&'static str>,
    default: bool,
    accepts_version_0: bool,
    live_keys: u64,
    added_at: Option<String>,
    confirmed_at: Option<String>,
    retired_at: Option<String>,
    removed_at: Option<String>,
}

fn list(config: &Config) -> Result<Reply, Failure> {
    let keyring = keyring::load(&config.keyring.file)?;
    let mut database = open_as_user(config)?;
    let items: Vec<ListedGroup> = database.read(|tx| {
        let rows = table::all(tx)?;
        let known = |group: Group| rows.iter().find(|row| row.group == group).copied();
        let all = (0..32).filter_map(Group::new);
        let listed = all.filter(|group| known(*group).is_some() || keyring.check_of(*group).is_some());
        listed
            .map(|group| Ok(listed_group(group, &keyring, known(group), table::live_keys(tx, group)?)))
            .collect::<Result<_, DomainError>>()
    })?;
    let mut text = format!("{:>5}  {:8}  {:8}  {:>9}  {}\n", "GROUP", "CHECK", "STATE", "LIVE KEYS", "");
    for item in &items {
        let check = item.check.as_deref().unwrap_or("-");
        let state = item.state.unwrap_or("-");
        text.push_str(&format!(
            "{:>5}  {check:8}  {state:8}  {:>9}  {}\n",
            item.group,
            item.live_keys,
            remarks(item)
        ));
    }
    Reply::new(&Listed { default_group: keyring.default_group.get(), items, next_cursor: None }, text)
}

fn listed_group(
    group: Group,
    keyring: &Keyring,
    row: Option<table::KeyGroupRow>,
    live_keys: u64,
) -> ListedGroup {
    ListedGroup {
        group: group.get(),
        check: keyring.check_of(group).map(|check| check.to_string()),
        wanted_check: row.map(|row| row.check.to_string()),
        state: row.map(|row| row.state.word()),
        default: keyring.default_group == group,
        accepts_version_0: keyring.accept_v0_groups.contains(&group),
        live_keys,
        added_at: row.map(|row| rfc3339_ms(row.added_at_ms)),
        confirmed_at: row.and_then(|row| row.confirmed_at_ms).map(rfc3339_ms),
        retired_at: row.and_then(|row| row.retired_at_ms).map(rfc3339_ms),
        removed_at: row.and_then(|row| row.removed_at_ms).map(rfc3339_ms),
    }
}

fn remarks(item: &ListedGroup) -> String {
    let is_wanted = item.state == Some(KeyGroupState::Wanted.word());
    let is_gone = item.state == Some(KeyGroupState::Removed.word());
    let differs = item.check.is_some() && item.wanted_check.is_some() && item.check != item.wanted_check;
    [
        (item.default, "default: new keys are made in it"),
        (item.accepts_version_0, "accepts version 0"),
        (is_wanted && item.confirmed_at.is_none(), "not confirmed by every edge"),
        (item.state.is_none(), "the edges were not asked for it"),
        (item.check.is_none() && !is_gone, "NOT in the keyring of this machine"),
        (item.check.is_some() && is_gone, "STILL in the keyring of this machine"),
        (differs, "ANOTHER SECRET here than the edges should have"),
    ]
    .into_iter()
    .filter_map(|(is_so, remark)| is_so.then_some(remark))
    .collect::<Vec<_>>()
    .join("; ")
}
