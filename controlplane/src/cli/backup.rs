//! `suiftly backup` and `suiftly restore`.

use crate::app::chain_of;
use crate::backup::{self, BackupError, Written};
use crate::cli::reply::lines;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Database;
use clap::Args;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// After how many rows progress is shown on a terminal.
const PROGRESS_EVERY: u64 = 10_000;

/// Where the backup goes.
#[derive(Args, Debug)]
pub struct BackupArguments {
    /// The file, or - for stdout; the answer is then on stderr
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
}

/// What is restored.
#[derive(Args, Debug)]
pub struct RestoreArguments {
    /// A file that `suiftly backup` has made
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Throw away what the database holds
    #[arg(long)]
    replace: bool,
}

#[derive(Serialize)]
struct BackupAnswer<'a> {
    file: String,
    made_at: &'a str,
    schema: &'a str,
    stream: &'a str,
    sequence: u64,
    rows: u64,
    bytes: u64,
    sha256: &'a str,
}

/// Makes a backup.
///
/// # Errors
/// [`Failure`].
pub fn backup(arguments: &BackupArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = Database::open(&config.database)?;
    let mut progress = Progress::default();
    let mut show = |rows| progress.show(rows);
    if arguments.file == Path::new("-") {
        let stdout = std::io::stdout().lock();
        let written = backup::write_to(&mut database, stdout, Path::new("stdout"), clock, &mut show)?;
        return Ok(Reply::nothing().with_note(format!("{} rows, {} bytes", written.rows, written.bytes)));
    }
    let written = backup::write_file(&mut database, &arguments.file, arguments.force, clock, &mut show)?;
    let Written { header, rows, bytes, sha256 } = &written;
    let answer = BackupAnswer {
        file: arguments.file.display().to_string(),
        made_at: &header.made_at,
        schema: &header.schema,
        stream: &header.stream,
        sequence: header.sequence,
        rows: *rows,
        bytes: *bytes,
        sha256,
    };
    let text = lines(&[
        ("backup", format!("{} ({rows} rows, {bytes} bytes)", arguments.file.display())),
        ("of change", format!("{} of stream {}", header.sequence, header.stream)),
        ("keyring", format!("is NOT in it; keep a copy of {} apart", config.keyring.file.display())),
    ]);
    Reply::new(&answer, text)
}

#[derive(Serialize)]
struct RestoreAnswer {
    rows: u64,
    made_at: String,
    stream: String,
    sequence: u64,
    group: u8,
    check: String,
    groups_not_here: Vec<u8>,
}

/// Restores a backup.
///
/// # Errors
/// [`Failure`]; nothing was restored.
pub fn restore(arguments: &RestoreArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let checked = backup::check(&arguments.file)?;
    let mut progress = Progress::default();
    let done = backup::restore(config, &checked, arguments.replace, clock, &mut |rows| progress.show(rows))?;
    let group = done.group;
    let answer = RestoreAnswer {
        rows: done.rows,
        made_at: checked.header.made_at.clone(),
        stream: done.position.stream.to_string(),
        sequence: done.position.sequence,
        group: group.get(),
        check: done.check.to_string(),
        groups_not_here: done.groups_not_here.iter().map(|group| group.get()).collect(),
    };
    let text = lines(&[
        ("restored", format!("{} rows as of {}", done.rows, answer.made_at)),
        ("stream", format!("{}, a new one, at change {}", answer.stream, answer.sequence)),
        ("key group", format!("{group}, a new one (check value {})", answer.check)),
        ("next", "start `suiftly serve`; edges offer the revocations that the backup lacks".to_owned()),
        ("", "suiftly edge offered          which came back".to_owned()),
        ("", format!("suiftly keyring use-group {group}   no key is made before that")),
    ]);
    let reply = Reply::new(&answer, text)?;
    Ok(done.groups_not_here.iter().fold(reply, |reply, group| {
        let file = config.keyring.file.display();
        reply.with_note(format!(
            "warning: the keyring {file} lacks group {group}, or holds another secret under it: keys of this group are refused \
             until the right secret is there"
        ))
    }))
}

/// How far it is, for a person at a terminal.
#[derive(Default)]
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, rows: u64) {
        if rows.is_multiple_of(PROGRESS_EVERY) && std::io::stderr().is_terminal() {
            self.shown = true;
            // Progress is a courtesy; that it cannot be shown is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{rows} rows");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = writeln!(std::io::stderr());
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        use crate::edge::control_socket::ControlSocketError;
        let exit = match error {
            BackupError::Exists(_)
            | BackupError::Damaged { .. }
            | BackupError::OtherSchema { .. }
            | BackupError::HoldsCustomers(_)
            | BackupError::NoKeyring(_)
            | BackupError::Serve(ControlSocketError::InUse(_)) => Exit::Refused,
            BackupError::Domain(error) => return error.into(),
            BackupError::Io { .. } | BackupError::Serve(_) | BackupError::Keyring(_) | BackupError::Db(_) => {
                Exit::Other
            }
        };
        Self::new(exit, chain_of(&error))
    }
}
