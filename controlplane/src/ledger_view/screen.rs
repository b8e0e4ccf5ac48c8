//! A terminal that is used whole, and given back as it was.
//!
//! Plain control sequences, which every terminal of the last thirty years knows, and the kernel's line settings: no crate
//! for terminals is worth its weight for one view.

use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The other page, without a cursor and without wrapping lines.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J";
/// The other way round; colours, too.
const LEAVE: &str = "\u{1b}[0m\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
/// Where a terminal does not say how large it is.
const SIZE_UNKNOWN: (usize, usize) = (80, 24);

/// The whole window of a terminal. It is given back when this is dropped and when anything panics, before the panic's text.
#[derive(Debug)]
pub struct Screen {
    output: File,
    way_back: Arc<WayBack>,
}

#[derive(Debug)]
struct WayBack {
    input: File,
    output: File,
    before: Termios,
    is_done: AtomicBool,
}

impl Screen {
    /// Takes over the terminal: keys come one by one and are not shown, Ctrl-C is a key (3) like others.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn open(input: &File, output: &File) -> io::Result<Self> {
        let before = tcgetattr(input)?;
        let mut raw = before.clone();
        raw.make_raw();
        // Reading waits for one key and no longer.
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let is_done = AtomicBool::new(false);
        let way_back =
            Arc::new(WayBack { input: input.try_clone()?, output: output.try_clone()?, before, is_done });
        let screen = Self { output: output.try_clone()?, way_back: Arc::clone(&way_back) };
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            way_back.go();
            hook(panic);
        }));
        tcsetattr(input, OptionalActions::Now, &raw)?;
        (&screen.output).write_all(ENTER.as_bytes())?;
        Ok(screen)
    }

    /// Columns and rows of the window now.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(&self.output) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => SIZE_UNKNOWN,
        }
    }

    /// Shows these lines from the top, in one write so that nothing flickers; line `heading` stands out.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&self, lines: &[String], heading: usize) -> io::Result<()> {
        let mut text = String::from("\u{1b}[H");
        for (number, line) in lines.iter().enumerate() {
            let end = if number + 1 == lines.len() { "" } else { "\r\n" };
            let (on, off) = if number == heading { ("\u{1b}[7m", "\u{1b}[0m") } else { ("", "") };
            text.push_str(&format!("{on}{line}{off}\u{1b}[K{end}"));
        }
        text.push_str("\u{1b}[J");
        (&self.output).write_all(text.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.way_back.go();
    }
}

impl WayBack {
    fn go(&self) {
        if !self.is_done.swap(true, Ordering::Relaxed) {
            // A terminal that is gone needs nothing back.
            let _ = (&self.output).write_all(LEAVE.as_bytes());
            let _ = tcsetattr(&self.input, OptionalActions::Now, &self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, Winsize, tcsetwinsize};
    use std::io::Read;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// The program's end and the keyboard's end.
    fn terminal() -> (File, File) {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let program = File::options().read(true).write(true).open(name).unwrap();
        (program, File::from(keyboard))
    }

    fn is_raw(terminal: &File) -> bool {
        !tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn shown(mut keyboard: &File) -> String {
        let mut bytes = vec![0; 10_000];
        let read = keyboard.read(&mut bytes).unwrap();
        String::from_utf8(bytes.into_iter().take(read).collect()).unwrap()
    }

    #[test]
    fn the_terminal_is_given_back_at_the_end() {
        let (program, keyboard) = terminal();
        tcsetwinsize(&keyboard, Winsize { ws_row: 3, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let screen = Screen::open(&program, &program).unwrap();
        assert!(is_raw(&program));
        assert_eq!(screen.size(), (40, 3));
        screen.draw(&["title".to_owned(), "heading".to_owned()], 1).unwrap();
        drop(screen);
        assert!(!is_raw(&program));
        let expected =
            format!("{ENTER}\u{1b}[Htitle\u{1b}[K\r\n\u{1b}[7mheading\u{1b}[0m\u{1b}[K\u{1b}[J{LEAVE}");
        assert_eq!(shown(&keyboard), expected);
    }

    #[test]
    fn the_terminal_is_given_back_before_a_panic_is_told() {
        let (program, keyboard) = terminal();
        let told = program.try_clone().unwrap();
        std::panic::set_hook(Box::new(move |_| (&told).write_all(b"the panic's text").unwrap()));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _screen = Screen::open(&program, &program).unwrap();
            panic!("on purpose");
        }));
        drop(std::panic::take_hook());
        assert!(panicked.is_err() && !is_raw(&program));
        assert_eq!(shown(&keyboard), format!("{ENTER}{LEAVE}the panic's text"));
    }
}
