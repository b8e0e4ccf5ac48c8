//! Random operations and accidents, one after the other and at once. At no time is a key admitted whose revocation was
//! confirmed; and when it has settled, database, files and every worker have the same.
//!
//! `SUIFTLY_TEST_SEED` repeats a failure; `SUIFTLY_TEST_OPERATIONS` is how many there are.

use edgeformat::journal::Reader;
use edgeformat::{Policy, Revocation, map_file};
use harness::keys::{Random, mint_independently};
use harness::wire::Wire;
use harness::{Connection, Stack};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One fiftieth of what `scripts/test --full` runs.
const OPERATIONS: u64 = 200;
const OPERATIONS_FULL: u64 = 10_000;
/// On an edge apart each takes three times as long: it is waited for until the control plane knows.
const OPERATIONS_APART_FULL: u64 = 2_500;
const CUSTOMERS: u64 = 4;
const RESTORES_MAX: u32 = 25;
/// Room for all tables twice and a long journal.
const SMALL_DISK_MIB: u32 = 8;

struct Key {
    text: String,
    fingerprint: String,
    customer: usize,
    revoked: bool,
}

struct World<'a> {
    /// The edge, with its agent as `serve`.
    stack: Stack,
    /// The control plane, where the edge is on another machine, and the wire between both.
    apart: Option<(Stack, Wire)>,
    random: Random,
    secret_hex: String,
    customers: Vec<(u32, bool)>,
    /// Customers, by index, whose allowlist is checked and lacks this machine.
    is_closed: BTreeMap<usize, bool>,
    keys: Vec<Key>,
    /// Keys whose revocation was confirmed: what the observer asks with.
    confirmed: &'a Mutex<Vec<String>>,
    /// How many backups were restored: each takes a master key group, and there are 32.
    restored: u32,
    history: Vec<String>,
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn operations(is_apart: bool) -> u64 {
    let is_full = std::env::var("SUIFTLY_TEST_FULL").is_ok_and(|full| full == "1");
    let default = match (is_full, is_apart) {
        (true, false) => OPERATIONS_FULL,
        (true, true) => OPERATIONS_APART_FULL,
        (false, false) => OPERATIONS,
        (false, true) => OPERATIONS / 2,
    };
    number_from("SUIFTLY_TEST_OPERATIONS").unwrap_or(default)
}

#[test]
fn random_operations_and_accidents_never_bring_a_revoked_key_back_and_leave_everything_equal() {
    random_operations(false);
}

#[test]
fn random_operations_and_accidents_on_an_edge_apart_from_its_control_plane() {
    random_operations(true);
}

fn random_operations(is_apart: bool) {
    let seed = number_from("SUIFTLY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SUIFTLY_TEST_SEED={seed}");
    let (confirmed, done, asked) = (Mutex::new(Vec::new()), AtomicBool::new(false), AtomicU64::new(0));
    let admitted = Mutex::new(Vec::new());
    let mut world = World::new(seed, is_apart, &confirmed);
    let port = world.stack.edge.number();
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (confirmed, done, asked, admitted) = (&confirmed, &done, &asked, &admitted);
            scope.spawn(move || observe(port, Random(seed ^ number), confirmed, done, asked, admitted));
        }
        let _end = EndObservers(&done);
        for number in 0..operations(is_apart) {
            world.step(number);
            let wrong = admitted.lock().unwrap().clone();
            assert!(wrong.is_empty(), "revoked and admitted: {wrong:?}; {}", world.tale(seed));
        }
        world.settle(seed);
    });
    let (asked, wrong) = (asked.load(Ordering::Relaxed), admitted.into_inner().unwrap());
    println!("{} keys revoked, asked with {asked} times", confirmed.lock().unwrap().len());
    assert!(wrong.is_empty() && asked > 1000, "{asked} {wrong:?}");
}

struct EndObservers<'a>(&'a AtomicBool);

impl Drop for EndObservers<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks with keys whose revocation was confirmed before the request was sent.
fn observe(
    port: u16,
    mut random: Random,
    confirmed: &Mutex<Vec<String>>,
    done: &AtomicBool,
    asked: &AtomicU64,
    admitted: &Mutex<Vec<String>>,
) {
    let mut connection = None;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(2));
        let key = {
            let keys = confirmed.lock().unwrap();
            // The newest more often than the others.
            let span =
                if random.next_u64().is_multiple_of(2) { keys.len().min(3) } else { keys.len() } as u64;
            if span == 0 {
                continue;
            }
            keys[keys.len() - 1 - (random.next_u64() % span) as usize].clone()
        };
        // A kept connection may lead to an old worker, a new one to a worker that has just started.
        let kept = connection.take().filter(|_| !random.next_u64().is_multiple_of(3));
        let Some(mut current) = kept.or_else(|| Connection::open(port).ok()) else { continue };
        if let Ok(answer) = current.get(&[&format!("X-API-Key: {key}")]) {
            asked.fetch_add(1, Ordering::Relaxed);
            // One that was re-enabled meanwhile is not meant.
            if answer.status == 200 && confirmed.lock().unwrap().contains(&key) {
                admitted.lock().unwrap().push(key);
            }
            connection = Some(current);
        }
    }
}

impl<'a> World<'a> {
    fn new(seed: u64, is_apart: bool, confirmed: &'a Mutex<Vec<String>>) -> Self {
        let (stack, apart) = if is_apart {
            let control = Stack::control_plane(&[]);
            let wire = Wire::to(control.api.number());
            (Stack::edge_behind(&control, wire.port(), "fra1"), Some((control, wire)))
        } else {
            (Stack::start_on_a_small_disk(SMALL_DISK_MIB).unwrap_or_else(Stack::start), None)
        };
        let control = apart.as_ref().map_or(&stack, |(control, _)| control);
        let customers =
            (1..=CUSTOMERS).map(|wallet| (control.customer(wallet, "seal", "enterprise"), false)).collect();
        let secret_hex = stack.secret_hex();
        let (random, keys, history, is_closed) = (Random(seed), Vec::new(), Vec::new(), BTreeMap::new());
        Self { stack, apart, random, secret_hex, customers, is_closed, keys, confirmed, restored: 0, history }
    }

    /// Where commands are given.
    fn control(&self) -> &Stack {
        self.apart.as_ref().map_or(&self.stack, |(control, _)| control)
    }

    fn control_mut(&mut self) -> &mut Stack {
        self.apart.as_mut().map_or(&mut self.stack, |(control, _)| control)
    }

    /// Every edge has everything, and the control plane knows it.
    fn wait_until_ready(&self) {
        self.stack.wait_until_ready();
        let Some((control, _)) = &self.apart else { return };
        control.wait_until_healthy();
        harness::http::wait_for("the edge in step", Duration::from_secs(20), || {
            let (code, ..) = control.run(&["edge", "diff", "--json"]);
            (code == 0).then_some(())
        });
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    fn tale(&self, seed: u64) -> String {
        let last = &self.history[self.history.len().saturating_sub(30)..];
        format!(
            "SUIFTLY_TEST_SEED={seed} repeats it. The last operations:\n{}{}",
            last.join("\n"),
            self.stack.logs()
        )
    }

    fn note(&mut self, number: u64, what: &str) {
        self.history.push(format!("{number}: {what}"));
    }

    fn step(&mut self, number: u64) {
        match self.below(112) {
            0..25 => self.mint(number),
            25..50 => self.revoke(number, "revoke", |_| ()),
            50..57 => self.suspend_or_resume(number),
            57..62 => self.change_tier(number),
            62..68 => self.change_allowlist(number),
            68..74 => {
                // A hand edit that was not put back yet refuses the new worker, and the old one goes on.
                self.note(number, "reload");
                self.stack.master("reload");
                self.wait_until_ready();
            }
            74..80 => self.revoke(number, "revoke during a reload", |stack| {
                stack.master("reload");
            }),
            80..83 => self.kill_worker(number),
            83..87 => self.kill_serve(number),
            87..91 => self.hand_edit(number),
            91..94 => {
                self.note(number, "resync");
                self.control().run(&["edge", "resync", "--wait-limit", "5"]);
            }
            94..97 => self.revoke_and_kill_serve(number),
            97..100 => self.stop_everything_with_a_torn_journal(number),
            100..104 => self.lose_the_disk_or_the_wire(number),
            104..106 => self.kill_the_control_plane(number),
            106..108 => self.restore_a_backup(number),
            _ => self.re_enable(number),
        }
    }

    fn mint(&mut self, number: u64) {
        let customer = self.below(self.customers.len());
        // From the end: the control plane allocates from 1.
        let derivation = 1000 - u32::try_from(self.keys.len() / self.customers.len()).unwrap();
        let id = self.customers[customer].0;
        if self.keys.iter().filter(|key| key.customer == customer).count() > 900 {
            return;
        }
        let derivation = derivation.max(1);
        let text = mint_independently(&self.secret_hex, 1, "seal", derivation, id, 1);
        if self.keys.iter().any(|key| key.text == text) {
            return;
        }
        self.note(number, &format!("mint {derivation} for customer {customer}"));
        // Version 1, group 1.
        let fingerprint = format!("{:016X}", 0x41_u64 << 56 | u64::from(derivation) << 32 | u64::from(id));
        self.keys.push(Key { text, fingerprint, customer, revoked: false });
    }

    /// Answers whether it was confirmed; what was not is in force when it has settled.
    fn saved(&self, arguments: &str) -> bool {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let (code, _, stderr) = self.control().run(&arguments);
        assert!(code == 0 || code == 5, "{arguments:?}: {code} {stderr}{}", self.stack.logs());
        code == 0
    }

    fn good_key(&mut self) -> Option<usize> {
        let good: Vec<usize> = (0..self.keys.len()).filter(|index| !self.keys[*index].revoked).collect();
        if good.is_empty() { None } else { Some(good[self.below(good.len())]) }
    }

    fn revoke(&mut self, number: u64, what: &str, meanwhile: impl FnOnce(&Stack) + Send) {
        let Some(index) = self.good_key() else { return };
        self.note(number, &format!("{what}: key {index}"));
        self.keys[index].revoked = true;
        let text = self.keys[index].text.clone();
        let command = format!("admin key revoke --key {text} --wait-limit 5");
        let stack = &self.stack;
        let confirmed = std::thread::scope(|scope| {
            scope.spawn(|| meanwhile(stack));
            self.saved(&command)
        });
        if confirmed {
            self.confirmed.lock().unwrap().push(text);
        }
        // A reload that was asked for has not ended by then.
        self.wait_until_ready();
    }

    fn re_enable(&mut self, number: u64) {
        let revoked: Vec<usize> = (0..self.keys.len()).filter(|index| self.keys[*index].revoked).collect();
        if revoked.is_empty() {
            return;
        }
        let index = revoked[self.below(revoked.len())];
        self.note(number, &format!("re-enable key {index}"));
        let key = &self.keys[index];
        // From here on it may be admitted.
        self.confirmed.lock().unwrap().retain(|text| *text != key.text);
        self.saved(&format!("admin key re-enable --fingerprint {} --wait-limit 5", key.fingerprint));
        self.keys[index].revoked = false;
    }

    fn suspend_or_resume(&mut self, number: u64) {
        let index = self.below(self.customers.len());
        let (customer, suspended) = self.customers[index];
        let verb = if suspended { "resume" } else { "suspend" };
        self.note(number, &format!("{verb} customer {index}"));
        self.saved(&format!("admin service {verb} --customer {customer} --service seal"));
        self.customers[index].1 = !suspended;
    }

    fn change_tier(&mut self, number: u64) {
        let index = self.below(self.customers.len());
        let (customer, suspended) = self.customers[index];
        if suspended {
            return;
        }
        // Plans come with the first service that names them, and leave with the last.
        let what = match self.below(5) {
            0 => "enable --tier pro",
            1 => "enable --tier enterprise",
            2 => "rates --guaranteed 300",
            3 => "rates --guaranteed 301 --burst 7 --priority 4",
            _ => "rates --clear",
        };
        self.note(number, &format!("customer {index}: {what}"));
        let (verb, rest) = what.split_once(' ').unwrap();
        self.saved(&format!("admin service {verb} --customer {customer} --service seal {rest}"));
    }

    /// A list with this machine, or with others only; checked, or not.
    fn change_allowlist(&mut self, number: u64) {
        let index = self.below(self.customers.len());
        let customer = self.customers[index].0;
        let list = ["127.0.0.0/8", "203.0.113.0/24,2001:db8::/32"][self.below(2)];
        let checked = ["--on", "--off"][self.below(2)];
        self.note(number, &format!("customer {index} allows {list} {checked}"));
        let command = format!("admin service allowlist --customer {customer} --service seal");
        self.saved(&format!("{command} --set {list} {checked}"));
        self.is_closed.insert(index, checked == "--on" && list != "127.0.0.0/8");
    }

    fn kill_worker(&mut self, number: u64) {
        self.note(number, "kill the worker");
        self.stack.kill_worker();
        self.stack.supervise_haproxy_until_it_serves();
        self.wait_until_ready();
    }

    fn kill_serve(&mut self, number: u64) {
        self.note(number, "kill serve");
        self.stack.kill_child("serve");
        self.stack.start_child("serve");
        self.wait_until_ready();
    }

    fn hand_edit(&mut self, number: u64) {
        let names = ["policies.map", "revocations.map", "allowlists.map", "plans.map", "changes.journal"];
        let name = names[self.below(5)];
        let path = self.stack.state().join("maps").join(name);
        // Not there: an earlier edit was not put back yet.
        let Ok(text) = std::fs::read_to_string(&path) else { return };
        match self.below(3) {
            0 => {
                self.note(number, &format!("{name}: a line more"));
                OpenOptions::new().append(true).open(&path).unwrap().write_all(b"by hand\n").unwrap();
            }
            1 => {
                self.note(number, &format!("{name}: cut in half"));
                std::fs::write(&path, &text.as_bytes()[..text.len() / 2]).unwrap();
                if name == "changes.journal" {
                    // A journal that was cut looks like one whose last line was being written (docs/SECURITY.md): were
                    // everything killed before it is put back, an HAProxy alone could not know.
                    self.wait_for_whole_journal();
                }
            }
            _ => {
                self.note(number, &format!("{name}: removed"));
                std::fs::remove_file(&path).unwrap();
            }
        }
    }

    fn wait_for_whole_journal(&self) {
        let journal = self.stack.state().join("maps/changes.journal");
        let at = self.stack.json("edge status")["edges"][0]["sequence"].as_u64().unwrap();
        harness::http::wait_for("the journal is put back", Duration::from_secs(5), || {
            let mut reader = Reader::default();
            reader.read(&std::fs::read(&journal).ok()?, drop).ok()?;
            (reader.end() >= at).then_some(())
        });
    }

    /// A hand edit a moment ago is put back within 5 s, and nobody puts it back while `serve` is stopped.
    fn wait_for_whole_files(&self) {
        let maps = self.stack.state().join("maps");
        let text = |name: &str| std::fs::read_to_string(maps.join(name)).ok();
        harness::http::wait_for("the tables are put back", Duration::from_secs(5), || {
            map_file::read_plans(&text("plans.map")?).ok()?;
            map_file::read_table::<Policy>(&text("policies.map")?, |_| Ok(())).ok()?;
            map_file::read_table::<Revocation>(&text("revocations.map")?, |_| Ok(())).ok()
        });
        self.wait_for_whole_journal();
    }

    /// The command may be confirmed, or be told that `serve` is gone; both are in force at the end.
    fn revoke_and_kill_serve(&mut self, number: u64) {
        let Some(index) = self.good_key() else { return };
        let pause = Duration::from_millis(self.random.next_u64() % 40);
        self.note(number, &format!("revoke key {index} and kill serve after {pause:?}"));
        self.keys[index].revoked = true;
        let text = self.keys[index].text.clone();
        let command = format!("admin key revoke --key {text} --wait-limit 5");
        let arguments: Vec<&str> = command.split(' ').collect();
        let mut child = self.control().command(&arguments).spawn().unwrap();
        std::thread::sleep(pause);
        self.stack.kill_child("serve");
        let code = child.wait().unwrap().code().unwrap();
        assert!(code == 0 || code == 5, "{code}");
        if code == 0 {
            self.confirmed.lock().unwrap().push(text);
        }
        self.stack.start_child("serve");
        self.wait_until_ready();
    }

    /// What the files cannot take, or the agent cannot hear, is not confirmed; and it is in force afterwards.
    fn lose_the_disk_or_the_wire(&mut self, number: u64) {
        let Some(index) = self.good_key() else { return };
        let text = self.keys[index].text.clone();
        let command = format!("admin key revoke --key {text} --wait-limit 1");
        let filler = self.stack.state().join("maps/filler");
        if let Some((_, wire)) = &self.apart {
            wire.cut();
        } else if self.stack.has_a_small_disk() {
            let mut file = std::fs::File::create(&filler).unwrap();
            while file.write_all(&[0; 4_096]).is_ok() {}
        } else {
            return;
        }
        self.note(number, &format!("revoke key {index} with a full disk or a cut wire"));
        self.keys[index].revoked = true;
        if self.saved(&command) {
            // The rest of a page of the journal may have been enough for its line.
            assert!(self.apart.is_none(), "confirmed through a cut wire");
            self.confirmed.lock().unwrap().push(text);
        }
        match &self.apart {
            Some((_, wire)) => wire.mend(),
            None => std::fs::remove_file(&filler).unwrap(),
        }
        self.wait_until_ready();
    }

    fn kill_the_control_plane(&mut self, number: u64) {
        self.note(number, "kill the control plane");
        self.control_mut().kill_child("serve");
        let pause = Duration::from_millis(self.random.next_u64() % 300);
        std::thread::sleep(pause);
        self.control_mut().start_child("serve");
        self.wait_until_ready();
    }

    /// What the edge refuses stays refused; what else was changed since the backup is as it was then.
    fn restore_a_backup(&mut self, number: u64) {
        if self.restored == RESTORES_MAX {
            return;
        }
        self.restored += 1;
        self.note(number, "backup, revoke, suspend, restore");
        let file = self.control().state().join("suiftly.backup");
        let file = file.to_str().unwrap().to_owned();
        self.control().json(&format!("backup {file} --force"));
        let (customers, is_closed) = (self.customers.clone(), self.is_closed.clone());
        for _ in 0..3 {
            self.revoke(number, "revoke after the backup", |_| ());
            self.suspend_or_resume(number);
        }
        // What no edge has heard of yet would be lost with the database.
        self.wait_until_ready();
        self.control_mut().stop_child("serve");
        self.control().json(&format!("restore {file} --replace"));
        (self.customers, self.is_closed) = (customers, is_closed);
        self.control_mut().start_child("serve");
        self.wait_until_ready();
    }

    fn stop_everything_with_a_torn_journal(&mut self, number: u64) {
        self.note(number, "kill everything, a torn line at the journal's end, HAProxy first");
        self.stack.kill_child("serve");
        self.stack.kill_worker();
        let journal = self.stack.state().join("maps/changes.journal");
        let torn = std::fs::read(&journal).map(|text| text.ends_with(b"\n")).unwrap_or(false);
        if torn {
            let text = b"18446744073709551614 1844674407370955161";
            OpenOptions::new().append(true).open(&journal).unwrap().write_all(text).unwrap();
        }
        // A hand edit that was not put back yet keeps HAProxy from starting, which is right; serve puts it back.
        self.stack.start_child("haproxy");
        std::thread::sleep(Duration::from_millis(300));
        self.stack.start_child("serve");
        self.stack.supervise_haproxy_until_it_serves();
        self.wait_until_ready();
    }

    /// Database, files and workers are equal, and every key is judged as it should be.
    fn settle(&mut self, seed: u64) {
        self.wait_until_ready();
        self.wait_for_whole_files();
        let differences = self.control().json("edge diff");
        assert_eq!(differences, serde_json::json!({"differences": []}), "{}", self.tale(seed));
        let worker = self.stack.runtime_json("suiftly status");
        self.every_key_is_judged_right(seed);
        // What a new HAProxy reads from the files alone.
        self.stack.stop_child("serve");
        self.stack.stop_child("haproxy");
        self.stack.start_child("haproxy");
        harness::http::wait_for("an answer", Duration::from_secs(10), || {
            Connection::open(self.stack.edge.number()).ok()?.get(&[]).ok()
        });
        let from_files = self.stack.runtime_json("suiftly status");
        for name in ["stream", "sequence", "ready"] {
            assert_eq!(from_files[name], worker[name], "{name}; {}", self.tale(seed));
        }
        for name in ["policies", "revocations", "allowlists"] {
            for part in ["count", "checksum"] {
                assert_eq!(from_files[name][part], worker[name][part], "{name}; {}", self.tale(seed));
            }
        }
        self.every_key_is_judged_right(seed);
    }

    fn every_key_is_judged_right(&self, seed: u64) {
        // A server that was just started may still be unknown to HAProxy's checks.
        for (index, key) in self.keys.iter().enumerate() {
            // Refused with 403: suspended, or from here not allowed.
            let is_closed = self.is_closed.get(&key.customer) == Some(&true);
            let suspended = self.customers[key.customer].1 || is_closed;
            let status = self.stack.status_with(&key.text);
            let right = match (key.revoked, suspended) {
                (true, _) => status == 401 || status == 429,
                (false, true) => status == 403,
                (false, false) => status == 200 || status == 429,
            };
            assert!(
                right,
                "key {index} (revoked {}, suspended {suspended}): {status}; {}",
                key.revoked,
                self.tale(seed)
            );
        }
    }
}
