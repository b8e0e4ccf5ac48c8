//! What several tests need: a state folder of one's own, the binary, a free port, HAProxy.

pub(crate) mod accounts;
pub(crate) mod databases;

pub(crate) use databases::{Backend, TestDatabase, on_both_databases};

use controlplane::config::DatabaseConfig;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A state folder of its own, and the commands on it.
pub(crate) struct Stack {
    folder: TempDir,
    /// None: the file in its folder that is used without a setting.
    database: Option<TestDatabase>,
    pub(crate) api_port: u16,
}

/// What a command answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The one JSON object on stdout.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "not one line: {:?} {:?}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The same, where the command must have ended with this code.
    pub(crate) fn json_with(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "stdout {:?} stderr {:?}", self.stdout, self.stderr);
        self.json()
    }

    /// Nothing on stdout but the one object that `--json` promises, this code, and these words on stderr.
    pub(crate) fn fails(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}", self.stderr);
        if !self.stdout.is_empty() {
            let answer = self.json();
            assert_eq!(answer["exit_code"], code, "{answer}");
            assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{answer}");
        }
        assert!(self.stderr.starts_with("suiftly: "), "{}", self.stderr);
        assert!(self.stderr.contains(words), "{:?} does not say {words:?}", self.stderr);
    }
}

impl Stack {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("suiftly-").tempdir().unwrap();
        Self { folder, database: None, api_port: free_port() }
    }

    pub(crate) fn on(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::new(),
            Backend::Postgres => Self { database: Some(TestDatabase::new(backend)), ..Self::new() },
        }
    }

    /// The database of a stack that is not on the file in its folder.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// A connection to its database, whichever it is.
    pub(crate) fn open_database(&self) -> controlplane::db::Database {
        let file = || DatabaseConfig::Sqlite(self.path("suiftly.db"));
        let config = self.database.as_ref().map_or_else(file, |database| database.config.clone());
        controlplane::db::Database::open(&config).unwrap()
    }

    pub(crate) fn state(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_suiftly"));
        command
            .args(line.split_ascii_whitespace())
            .env_clear()
            .env("SUIFTLY_STATE", self.state())
            .env("SUIFTLY_API_PORT", self.api_port.to_string());
        if let Some(database) = &self.database {
            command.env("DATABASE_URL", &database.url);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &str) -> Answer {
        answer_of(&self.command(line).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a command with something on its stdin.
    pub(crate) fn run_with_stdin(&self, line: &str, stdin: &str) -> Answer {
        let mut child = self
            .command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        answer_of(&child.wait_with_output().unwrap())
    }

    /// Makes a customer with a wallet that ends with `number`.
    pub(crate) fn customer(&self, number: u32) -> u64 {
        let answer = self.run(&format!("admin customer create --wallet 0x{number:064x} --json"));
        answer.json_with(0)["customer_id"].as_u64().unwrap()
    }

    /// Starts `suiftly serve` and waits until it answers.
    pub(crate) fn serve(&self) -> Running {
        self.start("serve", &[])
    }

    /// Starts `suiftly serve` or `suiftly agent` with these variables and waits until it answers.
    pub(crate) fn start(&self, line: &str, variables: &[(&str, &str)]) -> Running {
        let log = std::fs::File::create(self.path("serve.log")).unwrap();
        let mut command = self.command(line);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let running = Running(command.spawn().unwrap());
        // An answer says that signals are heard, too; with TLS that this client could not read it.
        let is_tls = variables.iter().any(|(name, _)| *name == "SUIFTLY_API_CERT");
        self.wait_until("it answers", || {
            UnixStream::connect(self.path("control.sock")).is_ok()
                && if is_tls {
                    TcpStream::connect(("127.0.0.1", self.api_port)).is_ok()
                } else {
                    self.get("/healthz").is_some_and(|(status, _)| status == 200)
                }
        });
        running
    }

    /// Starts HAProxy with the stand-in module and waits until its master answers.
    ///
    /// The stand-in computes SHA-256 in Lua. HAProxy 2.6.12 interrupts a Lua command after 10,000
    /// instructions, and one that is interrupted can crash the worker (a freed task runs); the real module is
    /// one native call and is never interrupted.
    pub(crate) fn haproxy(&self) -> Running {
        let config = format!(
            "global\n  tune.lua.forced-yield 2000000000\n  lua-load {lua}\n  stats socket {state}/haproxy.sock mode 600 level admin\n  hard-stop-after 10s\n\
             defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 1s\n\
             frontend f\n  bind {state}/edge.sock\n\
             \x20 http-request set-var(txn.p) int(1),map_int_int(\"${{SUIFTLY_STATE}}/maps/plans.map\",0)\n\
             \x20 http-request return status 200\n",
            lua = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/standin.lua"),
            state = self.state().display(),
        );
        std::fs::write(self.path("haproxy.cfg"), config).unwrap();
        let log = std::fs::File::create(self.path("haproxy.log")).unwrap();
        let child = Command::new("haproxy")
            .args(["-W", "-f"])
            .arg(self.path("haproxy.cfg"))
            .arg("-p")
            .arg(self.path("haproxy.pid"))
            .arg("-S")
            .arg(self.path("haproxy-master.sock"))
            .env("SUIFTLY_STATE", self.state())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let running = Running(child);
        self.wait_until("HAProxy has a worker", || {
            self.master("show proc").is_some_and(|text| text.contains("worker  "))
        });
        running
    }

    /// Asks HAProxy's master, or a worker through it.
    pub(crate) fn master(&self, command: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.path("haproxy-master.sock")).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).ok()?;
        socket.shutdown(std::net::Shutdown::Write).ok()?;
        let mut reply = String::new();
        socket.read_to_string(&mut reply).ok()?;
        Some(reply)
    }

    /// The workers that HAProxy lists. A master that reloads does not answer for a moment.
    pub(crate) fn workers(&self) -> controlplane::edge::workers::Workers {
        let ask = || controlplane::edge::workers::parse_show_proc(&self.master("show proc")?).ok();
        self.wait_until("the master answers", || ask().is_some());
        ask().unwrap_or_else(|| panic!("the master is gone\n{}", self.logs()))
    }

    /// `suiftly status` of one worker.
    pub(crate) fn status(&self, pid: u32) -> Value {
        let reply = self.master(&format!("@!{pid} suiftly status")).unwrap_or_default();
        serde_json::from_str(&reply).unwrap_or_else(|_| panic!("no status: {reply:?}\n{}", self.logs()))
    }

    /// `GET` on the API: status and body.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        request(self.api_port, &format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"))
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let (_, text) = self.get("/metrics").unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{text}"));
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// What `serve` and HAProxy have logged, for the message of a failure.
    pub(crate) fn logs(&self) -> String {
        let log = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("serve:\n{}\nhaproxy:\n{}", log("serve.log"), log("haproxy.log"))
    }

    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            if start.elapsed() > PATIENCE {
                panic!("waited in vain until {what}\n{}", self.logs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn answer_of(output: &Output) -> Answer {
    Answer {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

/// A process that does not outlive its test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it with SIGTERM and answers its exit code and how long it took.
    pub(crate) fn terminate(mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        self.signal(rustix::process::Signal::TERM);
        let status = self.0.wait().unwrap();
        (status.code(), start.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // HAProxy's master takes its workers with it on SIGTERM, and on SIGKILL they end by themselves.
            self.signal(rustix::process::Signal::TERM);
            std::thread::sleep(Duration::from_millis(300));
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Sends an HTTP/1.1 request and reads until the peer closes.
pub(crate) fn request(port: u16, text: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    // Longer than any answer waits for an edge.
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(text.as_bytes()).ok()?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether HAProxy is installed; a test that needs it says loudly that it did not run.
pub(crate) fn haproxy_is_there() -> bool {
    let there = Command::new("haproxy").arg("-v").output().is_ok();
    if !there {
        eprintln!(
            "NOT RUN: this test needs `haproxy`, which is not installed here (apt-get install haproxy)"
        );
    }
    there
}
