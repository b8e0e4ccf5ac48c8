//! An installation for one test, with the owners and modes that the package makes.

use crate::unit::Unit;
use harness::http::{Connection, wait_for};
use harness::ports::Port;
use harness::repository;
use harness::stack::{haproxy_program, suiftly_binary, target};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The control plane's user here, who needs no name. The package makes one called `suiftly`.
const CONTROL_PLANE: u32 = 64_001;

/// A control plane and an edge, each as its own user.
pub(crate) struct Installation {
    folder: tempfile::TempDir,
    capabilities: Vec<String>,
    settings: BTreeMap<&'static str, String>,
    ports: [Port; 4],
    children: BTreeMap<&'static str, Child>,
}

impl Installation {
    /// The files; nothing runs. `settings` are further ones in the environment.
    pub(crate) fn new(settings: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("sh").rand_bytes(5).tempdir_in("/tmp").unwrap();
        make_folder(folder.path(), 0, 0, 0o755);
        let installation = Self {
            folder,
            capabilities: Unit::edge().capabilities(),
            settings: settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            ports: [(); 4].map(|()| Port::take()),
            children: BTreeMap::new(),
        };
        for file in ["haproxy/haproxy.cfg", "haproxy/hardened.cfg", "haproxy/errors/problem.json.lf"] {
            installation.copy(&repository().join(file), file);
        }
        installation.copy(&repository().join("lua/suiftly.lua"), "lua/suiftly.lua");
        installation.copy(&suiftly_binary(), "suiftly");
        for module in ["libsuiftly-lua5.3.so", "libsuiftly-lua5.4.so"] {
            installation.copy(&target().join("modules").join(module), &format!("modules/{module}"));
        }
        make_folder(&installation.path("empty"), 0, 0, 0o755);
        make_folder(&installation.state(), CONTROL_PLANE, CONTROL_PLANE, 0o1770);
        make_folder(&installation.state().join("maps"), CONTROL_PLANE, haproxy_group(), 0o2750);
        installation
    }

    /// The files, the control plane and an edge that serves, in clear since the client of these tests has no TLS.
    pub(crate) fn started() -> Self {
        let mut installation = Self::new(&[("SUIFTLY_ALLOW_CLEAR", "1")]);
        installation.start_control_plane();
        installation.start_edge();
        installation.wait_until_ready();
        installation
    }

    /// Without this capability from now on.
    pub(crate) fn without(&mut self, capability: &str) {
        self.capabilities.retain(|name| name != capability);
    }

    /// A path in the installation.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn copy(&self, from: &Path, name: &str) {
        let to = self.path(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }

    /// Starts the control plane, which makes keyring and maps, and a server behind the edge.
    pub(crate) fn start_control_plane(&mut self) {
        let mut upstream = self.suiftly(&["demo-upstream", "--port", &self.ports[3].number().to_string()]);
        self.spawn("upstream", &mut upstream);
        let mut serve = self.suiftly(&["serve"]);
        self.spawn("serve", &mut serve);
        let port = self.ports[1].number();
        wait_for("an answer of the control plane", Duration::from_secs(20), || answers(port, "/healthz"));
    }

    /// Starts HAProxy as the unit does.
    pub(crate) fn start_edge(&mut self) {
        let arguments = self.unit_arguments("ExecStart");
        let mut command = self.haproxy(&arguments);
        self.spawn("haproxy", &mut command);
    }

    /// Waits until the edge serves and is in step.
    pub(crate) fn wait_until_ready(&self) {
        for (port, target) in
            [(self.ports[0].number(), "/_suiftly/health"), (self.ports[1].number(), "/readyz")]
        {
            let start = std::time::Instant::now();
            while answers(port, target).is_none() {
                assert!(start.elapsed() < Duration::from_secs(20), "{target} was never 200{}", self.logs());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// `haproxy -c` as the unit's user: whether the files are accepted, and what was printed.
    pub(crate) fn check_edge(&self) -> (bool, String) {
        let check = ["-c", "-f", "haproxy/haproxy.cfg", "-f", "haproxy/hardened.cfg"];
        let check = check.map(|word| match word.strip_prefix("haproxy/") {
            Some(_) => self.path(word).to_str().unwrap().to_owned(),
            None => word.to_owned(),
        });
        let output = self.haproxy(&check).output().unwrap();
        (output.status.success(), text_of(&output))
    }

    /// The unit's command line with this installation's paths and numbers in place of the package's.
    fn unit_arguments(&self, option: &str) -> Vec<String> {
        let unit = Unit::edge();
        let line = unit.option(option);
        let line = line.strip_prefix("/usr/sbin/haproxy ").expect("the unit starts Debian's HAProxy");
        let line = line
            .replace("${SUIFTLY_STATE}", self.state().to_str().unwrap())
            .replace("group,suiftly", &format!("gid,{CONTROL_PLANE}"))
            .replace("/etc/suiftly/", &format!("{}/", self.path("haproxy").display()));
        line.split(' ').map(str::to_owned).collect()
    }

    fn haproxy(&self, arguments: &[String]) -> Command {
        let capabilities: String = self.capabilities.iter().map(|name| format!(",+{name}")).collect();
        let mut command = Command::new("setpriv");
        command
            .args(["--groups", &CONTROL_PLANE.to_string(), "--no-new-privs", "--inh-caps", "-all"])
            .args(["--bounding-set", &format!("-all{capabilities}")])
            .arg(haproxy_program())
            .args(arguments);
        self.environment(&mut command);
        command
    }

    fn suiftly(&self, arguments: &[&str]) -> Command {
        let user = CONTROL_PLANE.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
            .args(["--inh-caps", "-all", "--bounding-set", "-all"])
            .arg(self.path("suiftly"))
            .args(arguments);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(self.folder.path());
        command
            .env("SUIFTLY_STATE", self.state())
            .env("SUIFTLY_HOME", self.folder.path())
            .env("SUIFTLY_MODULES", self.path("modules"))
            .env("SUIFTLY_CHROOT", self.path("empty"));
        let names = ["SUIFTLY_EDGE_PORT", "SUIFTLY_API_PORT", "SUIFTLY_STATS_PORT", "SUIFTLY_UPSTREAM_PORT"];
        for (name, port) in names.iter().zip(&self.ports) {
            command.env(name, port.number().to_string());
        }
        command.envs(&self.settings);
    }

    fn spawn(&mut self, name: &'static str, command: &mut Command) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")))
            .unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.children.insert(name, child.unwrap());
    }

    /// Waits until HAProxy's master has ended by itself.
    pub(crate) fn wait_for_end_of_edge(&mut self) -> bool {
        let child = self.children.get_mut("haproxy").unwrap();
        let ended = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            child.try_wait().unwrap().is_some()
        });
        if ended {
            self.children.remove("haproxy");
        }
        ended
    }

    /// HAProxy's master.
    pub(crate) fn master_pid(&self) -> u32 {
        self.children["haproxy"].id()
    }

    /// The present worker, as the master lists it to the control plane's user.
    pub(crate) fn worker_pid(&self) -> Option<u32> {
        let list = self.master("show proc").ok()?;
        let current = list.split("# workers").nth(1)?.split("# old workers").next()?;
        current.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let pid = words.next()?.parse().ok()?;
            (words.next() == Some("worker")).then_some(pid)
        })
    }

    /// A command on the master socket.
    pub(crate) fn master(&self, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.state().join("haproxy-master.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// `suiftly admin … --json` as the control plane's user; must succeed.
    pub(crate) fn admin(&self, arguments: &str) -> serde_json::Value {
        let arguments: Vec<&str> =
            ["admin"].into_iter().chain(arguments.split(' ')).chain(["--json"]).collect();
        let output = self.suiftly(&arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", text_of(&output), self.logs());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A key for Seal of a new customer.
    pub(crate) fn key(&self, wallet: u32) -> String {
        let made = self.admin(&format!("customer create --wallet 0x{wallet:064x}"));
        let customer = &made["customer_id"];
        self.admin(&format!("service enable --customer {customer} --service seal --tier pro"));
        let key = self.admin(&format!("key create --customer {customer} --service seal"));
        key["api_key"].as_str().unwrap().to_owned()
    }

    /// One request with this key on a connection of its own; its status.
    pub(crate) fn status_with(&self, key: &str) -> u16 {
        let line = format!("Authorization: Bearer {key}");
        let answer =
            Connection::open(self.ports[0].number()).and_then(|mut connection| connection.get(&[&line]));
        answer.unwrap_or_else(|error| panic!("{error:?}{}", self.logs())).status
    }

    /// The end of each log.
    pub(crate) fn logs(&self) -> String {
        let log = |name| std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        format!("\n--- haproxy.log\n{}\n--- serve.log\n{}", log("haproxy"), log("serve"))
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        for name in ["haproxy", "serve", "upstream"] {
            if let Some(mut child) = self.children.remove(name) {
                // HAProxy's master takes its workers along, unless a test took the right to do so away.
                send_signal(child.id(), Signal::TERM);
                let ended = (0..300).any(|_| {
                    std::thread::sleep(Duration::from_millis(10));
                    child.try_wait().unwrap().is_some()
                });
                if !ended {
                    children_of(child.id()).into_iter().for_each(|pid| send_signal(pid, Signal::KILL));
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
        }
    }
}

/// Sends a signal; a process that is gone already is fine.
pub(crate) fn send_signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

fn children_of(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn answers(port: u16, target: &str) -> Option<()> {
    let answer = Connection::open(port).and_then(|mut connection| connection.send("GET", target, &[], b""));
    (answer.ok()?.status == 200).then_some(())
}

fn make_folder(path: &Path, user: u32, group: u32, mode: u32) {
    std::fs::create_dir_all(path).unwrap();
    chown(path, Some(user), Some(group)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The group that Debian's package makes.
pub(crate) fn haproxy_group() -> u32 {
    id_of_haproxy("-g")
}

/// The user that Debian's package makes.
pub(crate) fn haproxy_user() -> u32 {
    id_of_haproxy("-u")
}

fn id_of_haproxy(which: &str) -> u32 {
    let output = Command::new("id").args([which, "haproxy"]).output().unwrap();
    let text = text_of(&output);
    text.trim().parse().unwrap_or_else(|_| panic!("Debian's haproxy package makes the user haproxy: {text}"))
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
