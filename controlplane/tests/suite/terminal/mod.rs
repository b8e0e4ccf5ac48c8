//! A terminal of a test's own, and what a program does to it.

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The keyboard's and the window's end of it.
pub(crate) struct Terminal {
    keyboard: File,
    /// The program's end: stays open here, so that the terminal outlives the program.
    program: File,
    columns: usize,
    shown: Arc<Mutex<Vec<u8>>>,
    child: Option<Child>,
    before: Termios,
}

impl Terminal {
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let program = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&program, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();
        let (keyboard, shown) = (File::from(keyboard), Arc::new(Mutex::new(Vec::new())));
        let (mut window, sink) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 4_096];
                while let Ok(read @ 1..) = window.read(&mut bytes) {
                    sink.lock().unwrap().extend_from_slice(&bytes[..read]);
                }
            })
            .unwrap();
        let before = tcgetattr(&program).unwrap();
        Self { keyboard, program, columns: columns.into(), shown, child: None, before }
    }

    pub(crate) fn start(&mut self, mut command: Command) {
        let end = || self.program.try_clone().unwrap();
        self.child = Some(command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap());
    }

    pub(crate) fn type_keys(&self, keys: &[u8]) {
        (&self.keyboard).write_all(keys).unwrap();
    }

    pub(crate) fn kill(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
    }

    /// What was shown till now is of another program.
    pub(crate) fn forget(&self) {
        self.shown.lock().unwrap().clear();
    }

    pub(crate) fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} was not shown: {}", self.shown());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn wait_for_end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                // What it has written last may still be on its way to the window.
                std::thread::sleep(LOOK_EVERY * 10);
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.shown());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn is_raw(&self) -> bool {
        !tcgetattr(&self.program).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// All that was switched on is off again, in the window and in the kernel, and no line was too wide.
    pub(crate) fn assert_clean(&self) {
        let shown = self.shown();
        let (_, whole) = shown.split_once("\u{1b}[?1049h").unwrap();
        let (inside, after) = whole.split_once("\u{1b}[0m\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l").unwrap();
        assert_eq!(after, "");
        let mut plain = String::new();
        for part in inside.replace("\u{1b}[H", "\r\n").split('\u{1b}') {
            // A control sequence ends with its letter.
            let end = part.find(|character: char| character.is_ascii_alphabetic());
            plain.push_str(if part.starts_with('[') { &part[end.unwrap() + 1..] } else { part });
        }
        let widest = plain.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= self.columns, "{widest} columns of {}: {plain}", self.columns);
        let now = tcgetattr(&self.program).unwrap();
        assert_eq!(now.local_modes, self.before.local_modes);
        assert_eq!((now.input_modes, now.output_modes), (self.before.input_modes, self.before.output_modes));
    }
}
