//! One of HAProxy's own maps inside a worker, by its file.

use crate::edge::runtime_socket::{MasterSocket, SocketError, unusable};
use std::collections::BTreeMap;
use std::time::Instant;

/// Keys, and the values of each: `add map` can put a second one behind the first.
pub(in crate::edge) type Entries = BTreeMap<String, Vec<String>>;

/// A map in one worker.
pub(in crate::edge) struct NativeMap<'s> {
    socket: &'s MasterSocket,
    pid: u32,
    id: u32,
    deadline: Instant,
}

impl<'s> NativeMap<'s> {
    /// The map whose file ends like this; the folder before it is the operator's choice.
    pub(in crate::edge) fn find(
        socket: &'s MasterSocket,
        pid: u32,
        file_suffix: &str,
        deadline: Instant,
    ) -> Result<Self, SocketError> {
        let command = "show map";
        let reply = socket.ask_worker(pid, command, deadline)?;
        let id = parse_map_list(&reply, file_suffix).map_err(|reason| unusable(command, reason))?;
        Ok(Self { socket, pid, id, deadline })
    }

    /// What is in it.
    pub(in crate::edge) fn read(&self) -> Result<Entries, SocketError> {
        let command = format!("show map #{}", self.id);
        let reply = self.socket.ask_worker(self.pid, &command, self.deadline)?;
        parse_entries(&reply).map_err(|reason| unusable(&command, reason))
    }

    /// Gives every entry of a key this value, or adds one; `entries` is what [`Self::read`] has answered.
    pub(in crate::edge) fn put(&self, entries: &Entries, key: &str, value: &str) -> Result<(), SocketError> {
        let verb = if entries.contains_key(key) { "set" } else { "add" };
        self.silently(&format!("{verb} map #{} {key} {}", self.id, escaped(value)))
    }

    /// Takes every entry of a key out.
    pub(in crate::edge) fn remove(&self, key: &str) -> Result<(), SocketError> {
        self.silently(&format!("del map #{} {key}", self.id))
    }

    fn silently(&self, command: &str) -> Result<(), SocketError> {
        silent(command, &self.socket.ask_worker(self.pid, command, self.deadline)?)
    }
}

/// A space ends a word and a `;` a command, unless a backslash stands before it.
fn escaped(value: &str) -> String {
    value.replace(' ', "\\ ").replace(';', "\\;")
}

/// Finds a map in `# id (file) description` / `0 (/srv/maps/plans.map) pattern loaded from …`.
fn parse_map_list(reply: &str, file_suffix: &str) -> Result<u32, String> {
    if !reply.starts_with("# id (file)") || !reply.ends_with("\n\n") {
        return Err("it is no complete list of maps".to_owned());
    }
    let ids = reply.lines().filter_map(|line| {
        let (id, rest) = line.split_once(" (")?;
        let (file, _) = rest.split_once(") ")?;
        if file.ends_with(file_suffix) { id.parse().ok() } else { None }
    });
    match ids.collect::<Vec<u32>>().as_slice() {
        [id] => Ok(*id),
        [] => {
            Err(format!("this HAProxy uses no {file_suffix}; start it with the haproxy.cfg of this version"))
        }
        _ => Err(format!("this HAProxy uses more than one {file_suffix}; use one")),
    }
}

/// Reads `0x55c67cc836f0 1 12`: a reference, the key, the value, which may hold spaces. A complete reply ends with an empty line.
fn parse_entries(reply: &str) -> Result<Entries, String> {
    if reply != "\n" && !reply.ends_with("\n\n") {
        return Err("it breaks off".to_owned());
    }
    let mut entries = Entries::new();
    for line in reply.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(reference), Some(key), Some(value)) if reference.starts_with("0x") => {
                entries.entry(key.to_owned()).or_default().push(value.to_owned());
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
        assert_eq!(parse_map_list(reply, "maps/plans.map").unwrap(), 7);
        assert!(
            parse_map_list(&reply.replace("plans", "other"), "maps/plans.map")
                .unwrap_err()
                .contains("haproxy.cfg")
        );
        assert!(parse_map_list(reply.trim_end(), "maps/plans.map").is_err());
    }

    #[test]
    fn entries_are_read_and_a_cut_reply_is_none() {
        let entries = parse_entries("0x55c67cc836f0 1 12\n0x7fe164046380 3 55\n\n").unwrap();
        assert_eq!(entries.get("3").unwrap(), &["55"]);
        let entries = parse_entries("0x55c6 8 401|revoked|The key was revoked|16\n\n").unwrap();
        assert_eq!(entries.get("8").unwrap(), &["401|revoked|The key was revoked|16"]);
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
