//! A connection between two machines that can be cut: what was under way hangs, and nothing new gets through.
#![allow(clippy::disallowed_methods, reason = "a test's process, which may have threads")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A port that leads to another one while the wire is whole.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Wire {
    /// A wire to a port of this machine.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        // Lives as long as the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let is_cut = Arc::clone(&is_cut);
                std::thread::spawn(move || carry(connection, target, &is_cut));
            }
        });
        Self { port, cut }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing gets through, and nobody is told.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Whole again; what hung is closed.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn carry(here: TcpStream, target: u16, is_cut: &Arc<AtomicBool>) {
    wait_while_cut(is_cut);
    let Ok(there) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let (from, to) = (here.try_clone().unwrap(), there.try_clone().unwrap());
    let cut = Arc::clone(is_cut);
    let up = std::thread::spawn(move || copy(from, to, &cut));
    copy(there, here, is_cut);
    let _ = up.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    from.set_read_timeout(Some(LOOK_EVERY)).unwrap();
    let mut buffer = [0; 16_384];
    loop {
        if is_cut.load(Ordering::SeqCst) {
            wait_while_cut(is_cut);
            break;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) if to.write_all(&buffer[..len]).is_ok() => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn wait_while_cut(is_cut: &AtomicBool) {
    while is_cut.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK_EVERY);
    }
}
