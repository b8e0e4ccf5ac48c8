//! A server behind the edge that does as its path says and counts, by customer, what it has answered.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ports::Port;

/// The server. It ends with the process.
pub struct CountingUpstream {
    port: Port,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answered: Mutex<BTreeMap<u32, u64>>,
    seen: Mutex<BTreeMap<u32, u64>>,
    is_away: AtomicBool,
}

impl CountingUpstream {
    /// Starts it.
    pub fn start() -> Self {
        let (port, shared) = (Port::take(), Arc::new(Shared::default()));
        let (number, accepting) = (port.number(), Arc::clone(&shared));
        std::thread::Builder::new().spawn(move || accept(number, &accepting)).unwrap();
        Self { port, shared }
    }

    /// Where it listens, as `SUIFTLY_UPSTREAM` has it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// How many requests of each customer it has answered to the last byte, whatever the status.
    pub fn answered(&self) -> BTreeMap<u32, u64> {
        self.shared.answered.lock().unwrap().clone()
    }

    /// How many requests of each customer have arrived.
    pub fn seen(&self) -> BTreeMap<u32, u64> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Refuses new connections, or takes them again. Those that are open stay.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Ordering::SeqCst);
        // Whoever waits in `accept` looks again.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number())));
    }
}

fn accept(port: u16, shared: &Arc<Shared>) {
    loop {
        while shared.is_away.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        while !shared.is_away.load(Ordering::SeqCst) {
            let Ok((stream, _)) = listener.accept() else { continue };
            let shared = Arc::clone(shared);
            std::thread::Builder::new().spawn(move || drop(serve(&stream, &shared))).unwrap();
        }
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    loop {
        let Some((path, customer)) = read_head(&mut lines)? else { return Ok(()) };
        if let Some(customer) = customer {
            *shared.seen.lock().unwrap().entry(customer).or_default() += 1;
        }
        let status = match path.strip_prefix("/status/") {
            Some(status) => status,
            None if path.starts_with("/close") => return Ok(()),
            None if path.starts_with("/garbage") => {
                (&*stream).write_all(b"this is no HTTP\r\n\r\n")?;
                return Ok(());
            }
            None if path.starts_with("/slow") => {
                std::thread::sleep(Duration::from_secs(3));
                "200"
            }
            None => "200",
        };
        let mut stream = stream;
        stream
            .write_all(format!("HTTP/1.1 {status} As asked\r\nContent-Length: 3\r\n\r\nok\n").as_bytes())?;
        if let Some(customer) = customer {
            *shared.answered.lock().unwrap().entry(customer).or_default() += 1;
        }
    }
}

/// The path and whose request it is; none at the end of the connection.
fn read_head(lines: &mut impl BufRead) -> std::io::Result<Option<(String, Option<u32>)>> {
    let (mut path, mut customer, mut line) = (None, None, String::new());
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        match (&path, text) {
            (None, _) => path = text.split(' ').nth(1).map(str::to_owned),
            (Some(_), "") => return Ok(path.map(|path| (path, customer))),
            (Some(_), field) => {
                let value =
                    field.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("x-suiftly-customer"));
                customer = value.and_then(|(_, value)| value.trim().parse().ok()).or(customer);
            }
        }
    }
}
