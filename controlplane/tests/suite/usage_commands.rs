//! `suiftly usage …` on ledger files without any HAProxy: dump, and the live views in a pipe and on a terminal.

use crate::harness::Stack;
use crate::terminal::Terminal;
use apikey::{CustomerId, Service};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counter, Header, LedgerId, SLOTS_MIN};
use ledger::Ledger;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CREATED_AT_MS: u64 = 1_795_251_900_123;

fn make(stack: &Stack, slots: usize) -> Ledger {
    let header = Header {
        id: LedgerId::from_u64(0xabc).unwrap(),
        generation: 3,
        created_at_ms: CREATED_AT_MS,
        slots,
        boot: 5,
    };
    ledger::create(&stack.path("ledger"), &header).unwrap();
    Ledger::open(&stack.path("ledger")).unwrap()
}

fn count(ledger: &Ledger, customer: u32, service: Service, counts: &[(Counter, u64)]) {
    let key = PolicyKey { customer: CustomerId::new(customer).unwrap(), service };
    let slot = ledger.slot_for(key).unwrap();
    for (counter, times) in counts {
        (0..*times).for_each(|_| ledger.add(slot, *counter));
    }
}

/// Customer 7: 12 guaranteed, 3 burst, 1 unserved, 4 over the limit; 2 with a revoked key.
fn count_some(ledger: &Ledger) {
    let counts = [
        (Counter::Admitted, 20),
        (Counter::Burst, 4),
        (Counter::UnservedBurst, 1),
        (Counter::RateLimited, 4),
        (Counter::Revoked, 2),
    ];
    count(ledger, 7, Service::Seal, &counts);
    count(ledger, 8, Service::Grpc, &[(Counter::Admitted, 5)]);
}

/// Counts for as long as the work lasts, however it ends.
fn while_counting<T>(ledger: &Ledger, work: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                count_some(ledger);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let _over = Over(&is_over);
        work()
    })
}

#[test]
fn a_dump_has_everything_once() {
    let stack = Stack::new();
    let ledger = make(&stack, SLOTS_MIN);
    count_some(&ledger);
    ledger.add_unplaced(Counter::RateLimited);
    let file = stack.path("ledger").display().to_string();
    let dump = stack.run(&format!("usage dump {file} --json")).json_with(0);
    assert_eq!((&dump["ledger"], &dump["generation"]), (&json!("0000000000000abc"), &json!(3)));
    assert_eq!((&dump["created_at"], &dump["damage"]), (&json!("2026-11-21T09:05:00.123Z"), &Value::Null));
    assert_eq!((&dump["slots_total"], &dump["slots_taken"]), (&json!(SLOTS_MIN), &json!(2)));
    assert_eq!((&dump["unplaced"]["rate_limited"], &dump["unplaced"]["admitted"]), (&json!(1), &json!(0)));
    let slots = dump["slots"].as_array().unwrap();
    let seven = slots.iter().find(|slot| slot["customer_id"] == 7).unwrap();
    let figures = ["guaranteed", "burst", "rejected", "refused", "unserved"].map(|name| seven[name].clone());
    assert_eq!(figures, [12, 3, 4, 2, 1].map(Value::from));
    assert_eq!(seven["counters"].as_object().unwrap().len(), 16);
    assert_eq!((&seven["counters"]["admitted"], &seven["counters"]["revoked"]), (&json!(20), &json!(2)));
    assert_eq!((&dump["sum"]["counters"]["admitted"], slots.len()), (&json!(25), 2));

    let only = |filter: &str| stack.run(&format!("usage dump {file} --json {filter}")).json_with(0);
    assert_eq!(only("--customer 8")["sum"]["guaranteed"], 5);
    assert_eq!(only("--service seal")["slots"].as_array().unwrap().len(), 1);
    assert_eq!(only("--customer 8 --service seal")["slots"], json!([]));

    let text = stack.run(&format!("usage dump {file}"));
    assert_eq!(text.code, 0);
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines[1], "ledger      0000000000000abc, generation 3");
    assert_eq!(lines[4], "for nobody  rate_limited 1");
    assert_eq!(
        lines[lines.len() - 1],
        "       sum  2                    17               3               4               2               1"
    );
    assert!(lines.iter().skip(1).all(|line| line.chars().count() <= 100), "{}", text.stdout);
}

#[test]
fn what_is_no_good_ledger_is_1_and_says_what_to_do() {
    let stack = Stack::new();
    let ledger = make(&stack, SLOTS_MIN);
    count_some(&ledger);
    let (file, path) = (stack.path("ledger").display().to_string(), stack.path("ledger"));
    let header = std::fs::read(&path).unwrap();
    let with = |offset: u64, byte: u8| {
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(header.get(..Header::LEN).unwrap(), 0).unwrap();
        file.write_all_at(&[byte], offset).unwrap();
    };
    stack.run(&format!("usage dump {file}-x --json")).fails(1, "SUIFTLY_STATE");
    stack.run(&format!("usage dump {} --json", stack.state().display())).fails(1, "no regular file");
    with(8, 2);
    stack.run(&format!("usage dump {file} --json")).fails(1, "has version 2");
    with(24, 9);
    stack.run(&format!("usage dump {file} --json")).fails(1, "--despite-damage");
    stack.run("usage top --json").fails(1, "header is damaged");

    let dump = stack.run(&format!("usage dump {file} --json --despite-damage")).json_with(0);
    assert_eq!(
        (&dump["damage"], &dump["ledger"]),
        (&json!("its header is damaged: the checksum is wrong"), &Value::Null)
    );
    assert_eq!(dump["sum"]["guaranteed"], 17);
    let text = stack.run(&format!("usage dump {file} --despite-damage")).stdout;
    assert!(text.contains("NOTHING VOUCHES"), "{text}");

    std::fs::write(&path, "short").unwrap();
    stack.run(&format!("usage dump {file} --despite-damage --json")).fails(1, "length");
    stack.run("usage top --count 0 --json").fails(2, "--count");
    stack.run("usage top --sort size --json").fails(2, "total, admitted");
    stack.run("usage watch --json").fails(2, "--customer");
}

#[test]
fn a_great_dump_needs_no_memory_and_may_be_cut_off() {
    let stack = Stack::new();
    let ledger = make(&stack, 1 << 17);
    (1..=60_000).for_each(|customer| count(&ledger, customer, Service::Seal, &[(Counter::Admitted, 1)]));
    let line = format!("usage dump {}", stack.path("ledger").display());
    let dump = stack.run(&format!("{line} --json")).json_with(0);
    assert_eq!((&dump["slots_taken"], &dump["sum"]["guaranteed"]), (&json!(60_000), &json!(60_000)));

    let mut child = stack.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_pipe_gets_lines_and_json_one_object_unless_more_are_asked_for() {
    let stack = Stack::new();
    let ledger = make(&stack, SLOTS_MIN);
    count_some(&ledger);
    while_counting(&ledger, || {
        let top = stack.run("usage top --interval 0.3 --json").json_with(0);
        assert_eq!((&top["active"], &top["customers"][0]["customer_id"]), (&json!(2), &json!(7)));
        assert!(top["total"]["admitted_per_s"].as_f64().unwrap() > 25.0, "{top}");
        assert!(top["interval_ms"].as_u64().unwrap() >= 300, "{top}");
        stack.run("usage top --count 2 --json").fails(2, "--follow");

        let top = stack.run("usage top --interval 0.2 --count 3 --rows 1");
        assert_eq!(top.code, 0, "{}", top.stderr);
        let tables: Vec<&str> = top.stdout.split_inclusive("\n\n").collect();
        assert_eq!(tables.len(), 3, "{}", top.stdout);
        assert!(tables.iter().all(|table| table.contains("\n         7  seal")), "{}", top.stdout);
        assert!(top.stdout.lines().all(|line| line.chars().count() <= 100 && !line.contains('\u{1b}')));

        let follow = stack.run("usage watch --customer 7 --interval 0.2 --count 3 --follow --json");
        let objects: Vec<Value> =
            follow.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((follow.code, objects.len()), (0, 3), "{}", follow.stdout);
        assert!(objects[0]["services"][0]["reasons"]["rate_limited"].as_u64().unwrap() > 0);

        let watch = stack.run("usage watch --customer 7 --service seal --interval 0.2 --count 2");
        assert_eq!(watch.stdout.lines().count(), 2, "{}", watch.stdout);
        assert!(
            watch.stdout.lines().all(|line| line.contains("rate_limited ") && line.contains(" revoked "))
        );
    });
    let quiet = stack.run("usage watch --customer 9 --interval 0.1 --json").json_with(0);
    assert_eq!(quiet["services"], json!([]));
}

#[test]
fn on_a_terminal_top_fills_the_window_obeys_keys_and_gives_it_back() {
    let stack = Stack::new();
    let ledger = make(&stack, SLOTS_MIN);
    while_counting(&ledger, || {
        for (columns, rows) in [(80, 24), (50, 8)] {
            let mut terminal = Terminal::new(columns, rows);
            terminal.start(stack.command("usage top --interval 0.2"));
            terminal.wait_for("by total");
            terminal.wait_for("7  seal");
            terminal.type_keys(b"xf");
            terminal.wait_for("by refused");
            assert!(terminal.is_raw());
            terminal.type_keys(b"q");
            assert_eq!(terminal.wait_for_end(), Some(0));
            terminal.assert_clean();
        }
    });
}

#[test]
fn ctrl_c_and_sigterm_and_a_count_leave_the_terminal_clean_too() {
    let stack = Stack::new();
    drop(make(&stack, SLOTS_MIN));
    let mut terminal = Terminal::new(80, 24);
    for end in ["Ctrl-C", "SIGTERM", "SIGINT", "count"] {
        terminal.forget();
        let count = if end == "count" { "--count 2" } else { "" };
        terminal.start(stack.command(&format!("usage top --interval 0.1 {count}")));
        terminal.wait_for("[q]uit");
        match end {
            "Ctrl-C" => terminal.type_keys(&[3]),
            "SIGTERM" => terminal.kill(rustix::process::Signal::TERM),
            "SIGINT" => terminal.kill(rustix::process::Signal::INT),
            _ => {}
        }
        assert_eq!(terminal.wait_for_end(), Some(0), "{end}");
        terminal.assert_clean();
    }
}

#[test]
fn on_a_terminal_watch_is_no_wider_than_the_window() {
    let stack = Stack::new();
    let ledger = make(&stack, SLOTS_MIN);
    while_counting(&ledger, || {
        let mut terminal = Terminal::new(60, 24);
        terminal.start(stack.command("usage watch --customer 7 --interval 0.2 --count 3"));
        assert_eq!(terminal.wait_for_end(), Some(0));
        let shown = terminal.shown();
        assert!(shown.contains("\u{1b}[33mrate_limited "), "{shown:?}");
        let plain = shown.replace("\u{1b}[33m", "").replace("\u{1b}[0m", "");
        assert!(plain.lines().all(|line| line.trim_end().chars().count() <= 60), "{plain}");
        assert!(!plain.contains('\u{1b}') && !terminal.is_raw());
    });
}
