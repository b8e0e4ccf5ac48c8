//! Which worker processes HAProxy has, by `show proc` on the master socket.

use std::collections::BTreeMap;

/// Every worker that still serves connections.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Workers {
    /// What HAProxy says of each of them.
    pub processes: BTreeMap<u32, Process>,
    /// Those of the present configuration.
    pub current: Vec<u32>,
    /// Those from before a reload that still have connections.
    pub old: Vec<u32>,
}

/// What HAProxy says of a process.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Process {
    /// HAProxy's version.
    pub version: String,
    /// How long it has been running, in seconds.
    pub uptime_s: u64,
}

impl Workers {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = u32> {
        self.current.iter().chain(&self.old).copied()
    }
}

/// Reads the reply to `show proc`.
///
/// ```text
/// #<PID>          <type>          <reloads>       <uptime>        <version>
/// 11550           master          1 [failed: 0]   0d00h00m03s     2.6.12-1+deb12u4
/// # workers
/// 11648           worker          0               0d00h00m01s     2.6.12-1+deb12u4
/// # old workers
/// 11553           worker          1               0d00h00m03s     2.6.12-1+deb12u4
/// # programs
///
/// ```
///
/// `# programs` is there up to 3.0; an empty line ends the reply of every version.
///
/// # Errors
/// What is wrong with it. A reply without its section or its end was cut off: to miss a worker would be to forget a
/// revocation.
pub fn parse_show_proc(reply: &str) -> Result<Workers, String> {
    enum Section {
        Head,
        Current,
        Old,
        Programs,
    }
    let mut section = Section::Head;
    let mut workers = Workers::default();
    for line in reply.lines() {
        match line.trim_end() {
            "# workers" => section = Section::Current,
            "# old workers" => section = Section::Old,
            "# programs" => section = Section::Programs,
            "" => {}
            comment if comment.starts_with('#') => {}
            row => match section {
                Section::Head | Section::Programs => {}
                Section::Current | Section::Old => {
                    let (pid, process) = worker(row)?;
                    let list =
                        if matches!(section, Section::Old) { &mut workers.old } else { &mut workers.current };
                    list.push(pid);
                    workers.processes.insert(pid, process);
                }
            },
        }
    }
    match section {
        Section::Head => Err("the list of processes has no section `# workers`".to_owned()),
        _ if !reply.ends_with("\n\n") => {
            Err("the list of processes breaks off before its empty last line".to_owned())
        }
        _ => Ok(workers),
    }
}

fn worker(row: &str) -> Result<(u32, Process), String> {
    let mut words = row.split_ascii_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok()).filter(|pid| *pid > 1);
    match (pid, words.next()) {
        (Some(pid), Some("worker")) => {
            // Reloads, uptime, version. These are for people to read: where they cannot be read nothing depends on it.
            let uptime_s = words.nth(1).and_then(seconds_of).unwrap_or(0);
            Ok((pid, Process { version: words.next().unwrap_or_default().to_owned(), uptime_s }))
        }
        _ => Err(format!("`{}` is no line about a worker", row.chars().take(60).collect::<String>())),
    }
}

/// `0d01h00m03s` in seconds.
fn seconds_of(uptime: &str) -> Option<u64> {
    let (days, rest) = uptime.split_once('d')?;
    let (hours, rest) = rest.split_once('h')?;
    let (minutes, rest) = rest.split_once('m')?;
    let seconds = rest.strip_suffix('s')?;
    let number = |word: &str| word.parse::<u64>().ok();
    Some(((number(days)? * 24 + number(hours)?) * 60 + number(minutes)?) * 60 + number(seconds)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    const HEAD: &str = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
        11550           master          1 [failed: 0]   0d00h00m03s     2.6.12-1+deb12u4\n";

    #[test]
    fn current_and_old_workers_are_told_apart_and_programs_are_neither() {
        let reply = format!(
            "{HEAD}# workers\n11648           worker          0               0d00h00m01s     2.6.12-1+deb12u4\n\
             # old workers\n11553           worker          1               0d00h00m03s     2.6.12-1+deb12u4\n\
             11540           worker          2               0d00h01m03s     2.6.12-1+deb12u4\n\
             # programs\n11700           prog            0               0d00h00m03s     -\n\n"
        );
        let workers = parse_show_proc(&reply).unwrap();
        assert_eq!((&workers.current, &workers.old), (&vec![11648], &vec![11553, 11540]));
        let process = |uptime_s| Process { version: "2.6.12-1+deb12u4".to_owned(), uptime_s };
        assert_eq!((&workers.processes[&11648], &workers.processes[&11540]), (&process(1), &process(63)));
    }

    #[test]
    fn a_master_without_workers_is_a_list_without_workers() {
        let workers = parse_show_proc(&format!("{HEAD}# workers\n# programs\n\n")).unwrap();
        assert_eq!(workers.all().count(), 0);
    }

    #[test]
    fn the_list_of_3_2_has_no_programs() {
        let reply = format!(
            "{HEAD}# workers\n6500            worker          0               0d00h00m02s     3.2.26-1\n\n"
        );
        let workers = parse_show_proc(&reply).unwrap();
        assert_eq!((workers.current, workers.old), (vec![6500], vec![]));
        assert_eq!(seconds_of("1d02h03m04s"), Some(93_784));
    }

    #[test]
    fn a_reply_that_breaks_off_is_no_list() {
        let whole = format!(
            "{HEAD}# workers\n11648           worker          0  0d00h00m01s  2.6.12\n# programs\n\n"
        );
        for len in 0..whole.len() {
            assert!(parse_show_proc(&whole[..len]).is_err(), "{:?}", &whole[..len]);
        }
    }

    #[test]
    fn a_line_that_is_no_worker_is_named() {
        let error = parse_show_proc(&format!("{HEAD}# workers\nhello\n# programs\n")).unwrap_err();
        assert!(error.contains("hello"));
    }
}
