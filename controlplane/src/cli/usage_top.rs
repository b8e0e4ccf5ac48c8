//! `suiftly usage top`.

use crate::cli::usage::{PaceArguments, for_each_interval, observer};
use crate::cli::{Exit, Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger_view::{Interval, Observer, Screen, SortBy, Top, Whose};
use clap::Args;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Ctrl-C and Ctrl-D, which are keys like others on a screen of ours, and q.
const KEYS_TO_LEAVE: [u8; 4] = [3, 4, b'q', b'Q'];
/// How many keys are read at once, and how many such readings may wait; more than anybody types in a moment.
const KEYS_MAX: usize = 64;

/// Who is shown, and how.
#[derive(Args, Debug)]
pub struct TopArguments {
    #[command(flatten)]
    pace: PaceArguments,
    /// Who stands first: total, admitted, guaranteed, burst, rejected, refused or unserved
    #[arg(long, value_name = "FIGURE", default_value = "total", value_parser = SortBy::from_word)]
    sort: SortBy,
    /// How many customers to list at most; on a terminal as many as fit
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
}

/// Shows until the count is reached, the reader goes away, or the person leaves.
///
/// # Errors
/// There is no ledger.
pub fn run(arguments: &TopArguments, json: bool, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let pace = &arguments.pace;
    let is_one_object = pace.is_one_object(json)?;
    let rows = usize::try_from(arguments.rows).unwrap_or(usize::MAX);
    let mut observer = observer(config, Whose::default(), clock)?;
    if is_one_object {
        std::thread::sleep(pace.interval);
        return Reply::new(&Top::new(&observer.next_interval(), arguments.sort).json(rows), "");
    }
    if !json && io::stdin().is_terminal() && io::stdout().is_terminal() {
        return full_screen(observer, arguments).map_err(|error| {
            Failure::new(Exit::Other, format!("the terminal cannot be used: {error}; `| cat` needs none"))
        });
    }
    for_each_interval(&mut observer, pace, clock, |interval| {
        let top = Top::new(interval, arguments.sort);
        if json { vec![top.json(rows).to_string()] } else { table(&top, rows) }
    })
}

/// With an empty line after it.
fn table(top: &Top<'_>, rows: usize) -> Vec<String> {
    let mut lines = vec![top.title()];
    lines.extend(top.lines(rows));
    lines.extend(top.alarms());
    lines.push(String::new());
    lines
}

fn full_screen(observer: Observer, arguments: &TopArguments) -> io::Result<Reply> {
    // One thread: ticks, keys and signals come one at a time, and what panics goes through the screen's end.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(view(observer, arguments))?;
    Ok(Reply::nothing())
}

async fn view(mut observer: Observer, arguments: &TopArguments) -> io::Result<()> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // Signals are heard before the terminal is changed, so that none ends the process in between.
    let mut signals = Signals::new()?;
    let screen = Screen::open(&input, &output)?;
    let mut keyboard = keys_of(input)?;
    let mut ticks = tokio::time::interval(arguments.pace.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once and shows the empty table.
    let mut left = arguments.pace.count.map(|count| count.saturating_add(1));
    let mut sort = arguments.sort;
    let mut shown: Option<Interval> = None;
    while left != Some(0) {
        tokio::select! {
            _ = ticks.tick() => {
                shown = Some(observer.next_interval());
                left = left.map(|left| left.saturating_sub(1));
            }
            keys = keyboard.recv() => match keys {
                Some(keys) if !keys.iter().any(|key| KEYS_TO_LEAVE.contains(key)) => {
                    sort = keys.into_iter().rev().find_map(SortBy::from_key).unwrap_or(sort);
                }
                // Somebody leaves, or the keyboard is gone.
                _ => return Ok(()),
            },
            _ = signals.resized.recv() => {}
            _ = signals.ended.recv() => return Ok(()),
            _ = signals.interrupted.recv() => return Ok(()),
            _ = signals.hung_up.recv() => return Ok(()),
        }
        if let Some(interval) = &shown {
            let (columns, rows) = screen.size();
            let (lines, heading) = Top::new(interval, sort).screen(columns, rows);
            screen.draw(&lines, heading)?;
        }
    }
    Ok(())
}

struct Signals {
    resized: Signal,
    ended: Signal,
    interrupted: Signal,
    hung_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            ended: signal(SignalKind::terminate())?,
            interrupted: signal(SignalKind::interrupt())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }
}

/// What is typed, until the keyboard is gone. The thread waits in its reading and ends with the process.
fn keys_of(mut keyboard: File) -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(KEYS_MAX);
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        let mut bytes = [0; KEYS_MAX];
        while let Ok(read) = keyboard.read(&mut bytes) {
            let keys: Vec<u8> = bytes.into_iter().take(read).collect();
            if keys.is_empty() || sender.blocking_send(keys).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}
