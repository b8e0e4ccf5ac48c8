//! A plain HTTP/1.1 client on one connection, which says exactly how a request failed.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long any single read or write may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Field names in lower case, in the order in which they came.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field; panics when it stands there more than once, which no field that we ask for may.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice in {self:?}");
        value
    }

    /// The content as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The `code` of a problem+json answer.
    pub fn code(&self) -> String {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().expect("a problem has a code").to_owned()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// No connection could be made.
    Connect(std::io::Error),
    /// The server had closed the connection, or said that it would, before the request was written: nothing was lost.
    IdleClosed,
    /// The request was written and no whole answer came.
    Lost(std::io::Error),
}

/// One client connection, kept alive.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// The server has said `Connection: close` with its last answer.
    announced_close: bool,
}

impl Connection {
    /// Connects to a port on this machine.
    pub fn open(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(Failure::Connect)?;
        Self::over(stream)
    }

    /// Connects from another address of this machine, e.g. 127.0.0.2: another source for HAProxy.
    pub fn open_from(source: Ipv4Addr, port: u16) -> Result<Self, Failure> {
        let connect = || -> std::io::Result<TcpStream> {
            use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            bind(&socket, &SocketAddr::from((source, 0)))?;
            connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            Ok(TcpStream::from(socket))
        };
        Self::over(connect().map_err(Failure::Connect)?)
    }

    fn over(stream: TcpStream) -> Result<Self, Failure> {
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(Failure::Connect)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(Failure::Connect)?;
        Ok(Self { stream, received: Vec::new(), announced_close: false })
    }

    /// Sends `GET /` with these header lines and reads the answer.
    pub fn get(&mut self, lines: &[&str]) -> Result<Answer, Failure> {
        self.send("GET", "/", lines, b"")
    }

    /// Sends a request and reads the answer. `lines` are whole header lines without their end.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        lines: &[&str],
        body: &[u8],
    ) -> Result<Answer, Failure> {
        if self.announced_close || self.closed_while_idle() {
            return Err(Failure::IdleClosed);
        }
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: edge.example.com\r\n");
        for line in lines {
            request.push_str(line);
            request.push_str("\r\n");
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        // A server may answer and close before it has read all of a large body, so an error here is not the last word.
        let written = self.stream.write_all(&bytes);
        match self.read_answer(method) {
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::Lost(written.err().unwrap_or(error))),
        }
    }

    /// Sends bytes as they are and reads an answer.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<Answer, Failure> {
        let written = self.stream.write_all(bytes);
        self.read_answer("GET").map_err(|error| Failure::Lost(written.err().unwrap_or(error)))
    }

    fn closed_while_idle(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn read_answer(&mut self, method: &str) -> std::io::Result<Answer> {
        let (head_len, mut answer) = loop {
            if let Some(parsed) = parse_head(&self.received)? {
                break parsed;
            }
            self.receive()?;
        };
        self.received.drain(..head_len);
        self.announced_close = answer.field("connection") == Some("close");
        let bodiless = method == "HEAD" || answer.status == 204 || answer.status == 304;
        if bodiless {
            return Ok(answer);
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.body = self.read_chunked()?;
        } else {
            let len = answer.field("content-length").map_or(0, |len| len.parse().unwrap());
            answer.body = self.take(len)?;
        }
        Ok(answer)
    }

    fn read_chunked(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_len = loop {
                match self.received.windows(2).position(|pair| pair == b"\r\n") {
                    Some(position) => break position,
                    None => self.receive()?,
                }
            };
            let line = String::from_utf8(self.take(line_len + 2)?).unwrap();
            let len = usize::from_str_radix(line.trim(), 16).unwrap();
            let chunk = self.take(len + 2)?;
            if len == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..len]);
        }
    }

    fn take(&mut self, len: usize) -> std::io::Result<Vec<u8>> {
        while self.received.len() < len {
            self.receive()?;
        }
        Ok(self.received.drain(..len).collect())
    }

    fn receive(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            len => {
                self.received.extend_from_slice(&buffer[..len]);
                Ok(())
            }
        }
    }
}

fn parse_head(bytes: &[u8]) -> std::io::Result<Option<(usize, Answer)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(len)) => {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let fields =
                response.headers.iter().map(|field| (field.name.to_ascii_lowercase(), text(field.value)));
            let answer =
                Answer { status: response.code.unwrap_or(0), fields: fields.collect(), body: Vec::new() };
            Ok(Some((len, answer)))
        }
        Err(error) => Err(std::io::Error::new(ErrorKind::InvalidData, error)),
    }
}

/// Repeats `probe` until it answers `Some` or the limit is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what} did not happen within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
