//! `plans.map` inside a worker: HAProxy's own map of rates.
//!
//! A plan is put there before a policy names it ([`put_plans`], before the tables are pushed) and taken out
//! after the last one has left ([`take_surplus_out`], afterwards).

use crate::edge::runtime_socket::{MasterSocket, SocketError, unusable};
use edgeformat::{Plan, PlanNumber};
use std::collections::BTreeMap;
use std::time::Instant;

/// How the map's file ends in HAProxy's list; the folder before it is the operator's choice.
const FILE_SUFFIX: &str = "maps/plans.map";

type Entries = BTreeMap<String, Vec<String>>;

/// Puts every plan into the map. Answers whether anything had to be changed.
///
/// # Errors
/// [`SocketError`], also where the map is not as it should be afterwards.
pub fn put_plans(
    socket: &MasterSocket,
    pid: u32,
    plans: &BTreeMap<PlanNumber, Plan>,
    deadline: Instant,
) -> Result<bool, SocketError> {
    let id = find_map(socket, pid, deadline)?;
    let entries = read_map(socket, pid, id, deadline)?;
    let missing: Vec<&Plan> = plans.values().filter(|plan| !holds(&entries, plan)).collect();
    for plan in &missing {
        // `set map` changes every entry of the key; `add map` would put a second one behind the first.
        let verb = if entries.contains_key(&plan.number.to_string()) { "set" } else { "add" };
        let command = format!("{verb} map #{id} {} {}", plan.number, plan.packed());
        silent(&command, &socket.ask_worker(pid, &command, deadline)?)?;
    }
    if missing.is_empty() {
        return Ok(false);
    }
    let entries = read_map(socket, pid, id, deadline)?;
    match plans.values().find(|plan| !holds(&entries, plan)) {
        None => Ok(true),
        Some(plan) => Err(unusable(
            "show map",
            format!("plan {} is not in the worker's map after it was put there", plan.number),
        )),
    }
}

/// Takes out what is no plan. Answers whether anything had to be changed.
///
/// # Errors
/// [`SocketError`].
pub fn take_surplus_out(
    socket: &MasterSocket,
    pid: u32,
    plans: &BTreeMap<PlanNumber, Plan>,
    deadline: Instant,
) -> Result<bool, SocketError> {
    let id = find_map(socket, pid, deadline)?;
    let entries = read_map(socket, pid, id, deadline)?;
    let is_plan = |key: &str| plans.keys().any(|number| number.to_string() == key);
    let surplus: Vec<&String> = entries.keys().filter(|key| !is_plan(key)).collect();
    for key in &surplus {
        if !key.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(unusable("show map", "plans.map has a key that is no number; reload HAProxy"));
        }
        let command = format!("del map #{id} {key}");
        silent(&command, &socket.ask_worker(pid, &command, deadline)?)?;
    }
    Ok(!surplus.is_empty())
}

fn holds(entries: &Entries, plan: &Plan) -> bool {
    let packed = plan.packed().to_string();
    entries
        .get(&plan.number.to_string())
        .is_some_and(|values| !values.is_empty() && values.iter().all(|value| *value == packed))
}

fn find_map(socket: &MasterSocket, pid: u32, deadline: Instant) -> Result<u32, SocketError> {
    let command = "show map";
    let reply = socket.ask_worker(pid, command, deadline)?;
    parse_map_list(&reply).map_err(|reason| unusable(command, reason))
}

fn read_map(socket: &MasterSocket, pid: u32, id: u32, deadline: Instant) -> Result<Entries, SocketError> {
    let command = format!("show map #{id}");
    let reply = socket.ask_worker(pid, &command, deadline)?;
    parse_entries(&reply).map_err(|reason| unusable(&command, reason))
}

/// Finds `plans.map` in `# id (file) description` / `0 (/srv/maps/plans.map) pattern loaded from …`.
fn parse_map_list(reply: &str) -> Result<u32, String> {
    if !reply.starts_with("# id (file)") || !reply.ends_with("\n\n") {
        return Err("it is no complete list of maps".to_owned());
    }
    let ids = reply.lines().filter_map(|line| {
        let (id, rest) = line.split_once(" (")?;
        let (file, _) = rest.split_once(") ")?;
        if file.ends_with(FILE_SUFFIX) { id.parse().ok() } else { None }
    });
    match ids.collect::<Vec<u32>>().as_slice() {
        [id] => Ok(*id),
        [] => {
            Err(format!("this HAProxy uses no {FILE_SUFFIX}; start it with the haproxy.cfg of this version"))
        }
        _ => Err(format!("this HAProxy uses more than one {FILE_SUFFIX}; use one")),
    }
}

/// Reads `0x55c67cc836f0 1 12`: a reference, the key, the value. A complete reply ends with an empty line.
fn parse_entries(reply: &str) -> Result<Entries, String> {
    if reply != "\n" && !reply.ends_with("\n\n") {
        return Err("it breaks off".to_owned());
    }
    let mut entries = Entries::new();
    for line in reply.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [reference, key, value] if reference.starts_with("0x") => {
                entries.entry((*key).to_owned()).or_default().push((*value).to_owned());
            }
            _ => return Err("it holds a line that is no entry of a map".to_owned()),
        }
    }
    Ok(entries)
}

/// HAProxy says nothing where a map command has worked.
fn silent(command: &str, reply: &str) -> Result<(), SocketError> {
    match reply.trim() {
        "" if reply.ends_with('\n') => Ok(()),
        "" => Err(unusable(command, "it is empty, so the worker may not have got the command")),
        text => {
            Err(unusable(command, text.chars().take(100).filter(|c| !c.is_control()).collect::<String>()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_map_is_found_by_the_end_of_its_path() {
        let reply = "# id (file) description\n\
            0 (/s/maps/services.map) pattern loaded from file '/s/maps/services.map' used by map at file 'h.cfg' line 13. curr_ver=0 next_ver=0 entry_cnt=1\n\
            7 (/s/maps/plans.map) pattern loaded from file '/s/maps/plans.map' used by map at file 'h.cfg' line 14. curr_ver=0 next_ver=0 entry_cnt=1\n\n";
        assert_eq!(parse_map_list(reply).unwrap(), 7);
        assert!(parse_map_list(&reply.replace("plans", "other")).unwrap_err().contains("haproxy.cfg"));
        assert!(parse_map_list(reply.trim_end()).is_err());
    }

    #[test]
    fn entries_are_read_and_a_cut_reply_is_none() {
        let entries = parse_entries("0x55c67cc836f0 1 12\n0x7fe164046380 3 55\n\n").unwrap();
        assert_eq!(entries.get("3").unwrap(), &["55"]);
        assert!(parse_entries("\n").unwrap().is_empty());
        assert!(parse_entries("0x55c67cc836f0 1 12\n").is_err());
        assert!(parse_entries("").is_err());
    }

    #[test]
    fn any_word_in_answer_to_a_map_command_is_an_error() {
        assert!(silent("add map #0 1 2", "\n").is_ok());
        assert!(silent("del map #0 9", "Key not found.\n\n").is_err());
        assert!(silent("add map #0 1 2", "").is_err());
    }
}
