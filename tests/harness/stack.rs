//! A whole stack: control plane, HAProxy with the module, upstream.

use crate::http::{Answer, Connection, Failure, wait_for};
use crate::ports::Port;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The root of the checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where everything that is built lies.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// The HAProxy under test: `SUIFTLY_TEST_HAPROXY`, else the system's.
pub fn haproxy_program() -> PathBuf {
    std::env::var_os("SUIFTLY_TEST_HAPROXY").map_or_else(|| PathBuf::from("haproxy"), PathBuf::from)
}

/// The binary that `scripts/test` has built.
pub fn suiftly_binary() -> PathBuf {
    let path = target().join("release/suiftly");
    assert!(path.exists(), "{} is missing: run scripts/test, which builds it first", path.display());
    path
}

/// A stack of its own for one test. Everything ends with it.
pub struct Stack {
    state: tempfile::TempDir,
    /// The edge's port.
    pub edge: Port,
    /// The control plane's port.
    pub api: Port,
    /// The port of HAProxy's statistics.
    pub stats: Port,
    /// The upstream's port.
    pub upstream: Port,
    settings: BTreeMap<String, String>,
    /// Another configuration than the repository's.
    config: Option<PathBuf>,
    /// What runs as `serve`: the control plane, or an agent alone.
    serve: Vec<String>,
    /// Mounted, and unmounted at the end.
    small_disk: Option<PathBuf>,
    children: BTreeMap<&'static str, Child>,
}

impl Stack {
    /// Starts everything and waits until the edge is in step.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further settings in the environment.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(settings);
        stack.start_child("upstream");
        stack.start_child("serve");
        // By its first answer the control plane has written keyring and maps.
        stack.wait_until_healthy();
        stack.start_child("haproxy");
        stack.wait_until_ready();
        stack
    }

    /// The same as [`Self::start`] with the map files on a small disk of their own; none where this process may not mount one.
    pub fn start_on_a_small_disk(mib: u32) -> Option<Self> {
        let mut stack = Self::prepare(&[]);
        let maps = stack.state().join("maps");
        std::fs::create_dir(&maps).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=750"), "tmpfs"]).arg(&maps);
        if !mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            eprintln!("NOT RUN: a full disk; this needs root, who may mount one");
            return None;
        }
        stack.small_disk = Some(maps);
        stack.start_child("upstream");
        stack.start_child("serve");
        stack.wait_until_healthy();
        stack.start_child("haproxy");
        stack.wait_until_ready();
        Some(stack)
    }

    /// Whether its map files are on a small disk.
    pub fn has_a_small_disk(&self) -> bool {
        self.small_disk.is_some()
    }

    /// State, ports and files, and nothing that runs; with the files that a first start of the control plane makes.
    pub fn prepared(settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(settings);
        stack.start_child("serve");
        stack.wait_until_healthy();
        stack.stop_child("serve");
        stack
    }

    /// A control plane without an edge: every edge is a stack of its own, from [`Self::edge_of`].
    pub fn control_plane(settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(settings);
        stack.serve.push("--without-edge".to_owned());
        stack.start_child("serve");
        stack.wait_until_healthy();
        stack
    }

    /// An edge on what could be another machine: its own state folder, ports, HAProxy and `suiftly agent`, and a copy of the
    /// control plane's keyring, as its operator brings it there.
    pub fn edge_of(control: &Self, name: &str) -> Self {
        Self::edge_with(control, name, &[])
    }

    /// The same with further settings in the environment.
    pub fn edge_with(control: &Self, name: &str, settings: &[(&str, &str)]) -> Self {
        Self::edge(control, control.api.number(), name, settings)
    }

    /// The same, where the control plane is reached through this port.
    pub fn edge_behind(control: &Self, port: u16, name: &str) -> Self {
        Self::edge(control, port, name, &[])
    }

    fn edge(control: &Self, port: u16, name: &str, settings: &[(&str, &str)]) -> Self {
        let mut stack = Self::prepare(settings);
        let token = control.json(&format!("admin edge add --name {name}"))["token"].clone();
        let token_file = stack.state().join("token");
        std::fs::write(&token_file, token.as_str().unwrap()).unwrap();
        std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Takes the mode with it.
        std::fs::copy(control.state().join("keyring.toml"), stack.state().join("keyring.toml")).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let token_file = token_file.display().to_string();
        stack.serve =
            ["agent", "--control-plane", &url, "--token-file", &token_file].map(str::to_owned).into();
        stack.start_child("upstream");
        stack.start_child("serve");
        // The last of the files that it makes.
        let last = stack.state().join("maps/local-revocations.map");
        wait_for("the first snapshot", Duration::from_secs(10), || last.exists().then_some(()));
        stack.start_child("haproxy");
        stack.wait_until_ready();
        stack
    }

    fn prepare(settings: &[(&str, &str)]) -> Self {
        // Short: a unix socket's path has at most 107 bytes.
        let state = tempfile::Builder::new().prefix("st").rand_bytes(5).tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let [edge, api, stats, upstream] = [(); 4].map(|()| Port::take());
        let (serve, children) = (vec!["serve".to_owned()], BTreeMap::new());
        let stack = Self {
            state,
            edge,
            api,
            stats,
            upstream,
            settings,
            config: None,
            serve,
            small_disk: None,
            children,
        };
        std::fs::create_dir_all(stack.state().join("modules")).unwrap();
        stack.put_modules("modules");
        stack
    }

    /// Puts the modules from this folder of `target/` into the state folder, by rename.
    pub fn put_modules(&self, folder: &str) {
        for name in ["libsuiftly-lua5.3.so", "libsuiftly-lua5.4.so"] {
            let (from, to) = (target().join(folder).join(name), self.state().join("modules").join(name));
            assert!(from.exists(), "{} is missing: run scripts/test, which builds it first", from.display());
            std::fs::copy(&from, to.with_extension("new")).unwrap();
            std::fs::rename(to.with_extension("new"), to).unwrap();
        }
    }

    /// From now on HAProxy is started with this configuration.
    pub fn use_config(&mut self, text: &str) {
        let path = self.state().join("haproxy.cfg");
        std::fs::write(&path, text).unwrap();
        self.config = Some(path);
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Starts `upstream`, `serve` or `haproxy`.
    pub fn start_child(&mut self, name: &'static str) {
        let mut command = match name {
            "haproxy" => self.haproxy(&["-W"]),
            "serve" => self.suiftly(&self.serve.iter().map(String::as_str).collect::<Vec<_>>()),
            "upstream" => self.suiftly(&["demo-upstream", "--port", &self.upstream.number().to_string()]),
            other => panic!("no child {other}"),
        };
        let log = std::fs::File::options().create(true).append(true).open(self.log_path(name)).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.children.insert(name, child.unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    /// Ends a child with SIGTERM and waits for it.
    pub fn stop_child(&mut self, name: &str) {
        if let Some(mut child) = self.children.remove(name) {
            signal(child.id(), "TERM");
            let deadline = Instant::now() + Duration::from_secs(6);
            while child.try_wait().unwrap().is_none() {
                if Instant::now() > deadline {
                    child.kill().unwrap();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Starts HAProxy as a supervisor does: again whenever it ends before it serves, e.g. since a map file is damaged.
    pub fn supervise_haproxy_until_it_serves(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(15);
        let port = self.edge.number();
        while Connection::open(port).and_then(|mut c| c.send("GET", "/_suiftly/health", &[], b"")).is_err() {
            assert!(Instant::now() < deadline, "HAProxy does not serve{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
            if self.children.get_mut("haproxy").is_none_or(|child| child.try_wait().unwrap().is_some()) {
                self.start_child("haproxy");
            }
        }
    }

    /// Kills a child with SIGKILL and waits for it.
    pub fn kill_child(&mut self, name: &str) {
        let mut child = self.children.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills HAProxy's current worker with SIGKILL; waits until the master, too, has ended.
    pub fn kill_worker(&mut self) {
        for pid in self.worker_pids() {
            signal(pid, "KILL");
        }
        let mut child = self.children.remove("haproxy").unwrap();
        child.wait().unwrap();
    }

    /// The current worker's pid, as the master lists it.
    pub fn worker_pids(&self) -> Vec<u32> {
        // While the master starts itself anew its socket refuses connections.
        wait_for("the master's list of workers", Duration::from_secs(5), || {
            self.try_worker_pids().ok().filter(|pids| !pids.is_empty())
        })
    }

    fn try_worker_pids(&self) -> std::io::Result<Vec<u32>> {
        let list = ask(&self.state().join("haproxy-master.sock"), "show proc")?;
        let current = list.split("# old workers").next().unwrap_or_default();
        let workers = current.lines().filter(|line| line.split_whitespace().nth(1) == Some("worker"));
        Ok(workers.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect())
    }

    /// Reloads HAProxy through the master socket and waits until the new worker has taken over.
    pub fn reload(&self) {
        let before = self.worker_pids();
        self.master("reload");
        wait_for("the reload", Duration::from_secs(10), || {
            // While the master starts itself anew its socket refuses connections.
            let now = self.try_worker_pids().unwrap_or_default();
            (!now.is_empty() && now != before).then_some(())
        });
    }

    /// HAProxy with our configuration and this stack's settings.
    pub fn haproxy(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(haproxy_program());
        command.args(arguments);
        if arguments.contains(&"-W") {
            command.arg("-p").arg(self.state().join("haproxy.pid"));
            command.arg("-S").arg(format!("{},mode,600", self.state().join("haproxy-master.sock").display()));
        }
        command
            .arg("-f")
            .arg(self.config.clone().unwrap_or_else(|| repository().join("haproxy/haproxy.cfg")));
        self.environment(&mut command);
        command
    }

    /// `haproxy -c`: whether the configuration is accepted, and everything that it printed.
    pub fn check_config(&self) -> (bool, String) {
        self.check_config_with(&[])
    }

    /// The same with these settings, which the control plane beside it does not have.
    pub fn check_config_with(&self, settings: &[(&str, &str)]) -> (bool, String) {
        let output = self.haproxy(&["-c"]).envs(settings.iter().copied()).output().unwrap();
        (output.status.success(), text_of(&output))
    }

    fn suiftly(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(suiftly_binary());
        command.args(arguments);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("SUIFTLY_") || name == "DATABASE_URL")
        {
            command.env_remove(name);
        }
        command
            .current_dir(self.state())
            .env("SUIFTLY_STATE", self.state())
            .env("SUIFTLY_HOME", repository());
        for (name, port) in [
            ("SUIFTLY_EDGE_PORT", &self.edge),
            ("SUIFTLY_API_PORT", &self.api),
            ("SUIFTLY_STATS_PORT", &self.stats),
            ("SUIFTLY_UPSTREAM_PORT", &self.upstream),
        ] {
            command.env(name, port.number().to_string());
        }
        command.envs(&self.settings);
    }

    /// A command of the binary, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.suiftly(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command of the binary and answers exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.suiftly(arguments).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// Runs `suiftly admin … --json`, which must succeed, and answers its JSON.
    pub fn admin(&self, arguments: &str) -> Value {
        self.json(&format!("admin {arguments}"))
    }

    /// Runs `suiftly … --json`, which must succeed, and answers its JSON.
    pub fn json(&self, arguments: &str) -> Value {
        let arguments: Vec<&str> = arguments.split(' ').chain(["--json"]).collect();
        let (code, stdout, stderr) = self.run(&arguments);
        assert_eq!(code, 0, "suiftly {arguments:?}: {stderr}{stdout}{}", self.logs());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// A new customer with this service in this tier; its id.
    pub fn customer(&self, wallet: u64, service: &str, tier: &str) -> u32 {
        let customer =
            self.admin(&format!("customer create --wallet 0x{wallet:064x}"))["customer_id"].as_u64().unwrap();
        self.admin(&format!("service enable --customer {customer} --service {service} --tier {tier}"));
        u32::try_from(customer).unwrap()
    }

    /// A new key: its text and its fingerprint.
    pub fn key(&self, customer: u32, service: &str) -> (String, String) {
        let key = self.admin(&format!("key create --customer {customer} --service {service}"));
        (key["api_key"].as_str().unwrap().to_owned(), key["fingerprint"].as_str().unwrap().to_owned())
    }

    /// The secret of group 1 of this stack's keyring, in hex.
    pub fn secret_hex(&self) -> String {
        let text = std::fs::read_to_string(self.state().join("keyring.toml")).unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("1 ")).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    }

    /// One request on a connection of its own.
    pub fn get(&self, lines: &[&str]) -> Answer {
        self.send("GET", "/", lines, b"")
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, target: &str, lines: &[&str], body: &[u8]) -> Answer {
        let mut connection = Connection::open(self.edge.number()).unwrap_or_else(|error| panic!("{error:?}"));
        connection
            .send(method, target, lines, body)
            .unwrap_or_else(|error| panic!("{error:?}{}", self.logs()))
    }

    /// One request with this key; its status.
    pub fn status_with(&self, key: &str) -> u16 {
        self.get(&[&format!("Authorization: Bearer {key}")]).status
    }

    /// A command on the runtime socket.
    pub fn runtime(&self, command: &str) -> String {
        let answer = ask(&self.state().join("haproxy.sock"), command);
        answer.unwrap_or_else(|error| panic!("{command}: {error}{}", self.logs()))
    }

    /// A command on the runtime socket that answers JSON.
    pub fn runtime_json(&self, command: &str) -> Value {
        let answer = self.runtime(command);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// A command on the master socket.
    pub fn master(&self, command: &str) -> String {
        let socket = self.state().join("haproxy-master.sock");
        // While the master starts itself anew its socket refuses connections.
        wait_for(command, Duration::from_secs(5), || ask(&socket, command).ok())
    }

    /// Where a child's output goes.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.state().join(format!("{name}.log"))
    }

    /// The end of each log, for the message of a failed test.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for name in ["serve", "haproxy", "upstream"] {
            let log = std::fs::read_to_string(self.log_path(name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&format!(
                "\n--- {name}.log\n{}",
                lines[lines.len().saturating_sub(15)..].join("\n")
            ));
        }
        text
    }

    /// Waits until the control plane answers.
    pub fn wait_until_healthy(&self) {
        self.wait_for_status(self.api.number(), "/healthz");
    }

    /// Waits until the edge serves and is in step with the control plane.
    pub fn wait_until_ready(&self) {
        // With TLS the edge has no page that this client could read; being in step says that its workers run.
        if !self.settings.contains_key("SUIFTLY_EDGE_CERT") {
            self.wait_for_status(self.edge.number(), "/_suiftly/health");
        }
        self.wait_for_status(self.api.number(), "/readyz");
    }

    fn wait_for_status(&self, port: u16, target: &str) {
        let start = Instant::now();
        loop {
            let answer = Connection::open(port).and_then(|mut c| c.send("GET", target, &[], b""));
            match answer {
                Ok(answer) if answer.status == 200 => return,
                other if start.elapsed() > Duration::from_secs(20) => {
                    panic!("{target}: {other:?}{}", self.logs())
                }
                Ok(_) | Err(Failure::Connect(_) | Failure::IdleClosed | Failure::Lost(_)) => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for name in ["haproxy", "serve", "upstream"] {
            self.stop_child(name);
        }
        if let Some(maps) = &self.small_disk {
            let _ = Command::new("umount").arg("-l").arg(maps).status();
        }
    }
}

fn ask(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    // The master socket answers and waits for more; it closes when it has seen our end.
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn signal(pid: u32, name: &str) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let signal = if name == "KILL" { rustix::process::Signal::KILL } else { rustix::process::Signal::TERM };
    // Already gone is fine.
    let _ = rustix::process::kill_process(pid, signal);
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
