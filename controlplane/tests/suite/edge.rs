//! The agent against a real HAProxy, with a stand-in in Lua for the module: every worker in step, or an
//! error.

use crate::harness::{Stack, haproxy_is_there};
use serde_json::json;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Runs `test` with `serve` and HAProxy in step.
fn with_edge(test: impl FnOnce(&Stack, u64)) {
    if !haproxy_is_there() {
        return;
    }
    let stack = Stack::new();
    let _serve = stack.serve();
    let _haproxy = stack.haproxy();
    let customer = stack.customer(1);
    let line = format!("admin service enable --customer {customer} --service seal --tier pro --json");
    let answer = stack.run(&line);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stderr, stack.logs());
    assert_eq!(answer.json()["applied"], true);
    test(&stack, customer);
}

fn only_worker(stack: &Stack) -> u32 {
    let workers = stack.workers();
    assert_eq!(workers.current.len(), 1, "{workers:?}");
    workers.current[0]
}

fn revoke(stack: &Stack, fingerprint: &str) -> serde_json::Value {
    stack.run(&format!("admin key revoke --fingerprint {fingerprint} --json")).json_with(0)
}

fn plans(stack: &Stack, pid: u32) -> Vec<String> {
    let reply = stack.master(&format!("@!{pid} show map #0")).unwrap();
    let mut plans: Vec<String> =
        reply.lines().filter_map(|line| line.split_once(' ')).map(|(_, entry)| entry.to_owned()).collect();
    plans.sort();
    plans
}

#[test]
fn what_a_command_saved_is_in_the_worker_when_it_returns() {
    with_edge(|stack, customer| {
        let pid = only_worker(stack);
        let status = stack.status(pid);
        assert_eq!((&status["sequence"], &status["policies"]["count"]), (&json!(2), &json!(1)));
        let pro = 200_u64 | 500 << 20 | 3 << 40;
        assert_eq!(plans(stack, pid), [format!("1 {pro}")]);

        let revoked = revoke(stack, "4100000112345678");
        assert_eq!((&revoked["applied"], &revoked["sequence"]), (&json!(true), &json!(3)));
        assert_eq!(stack.status(pid)["revocations"]["count"], 1);
        // The first push was a load, everything after it a delta.
        assert_eq!(stack.metric("suiftly_edge_loads_total"), 1);

        let (status, body) = stack.get("/readyz").unwrap();
        assert_eq!(status, 200, "{body}");
        assert_eq!((stack.metric("suiftly_edge_in_step"), stack.metric("suiftly_edge_sequence")), (1, 3));
        assert_eq!((stack.metric("suiftly_policies"), stack.metric("suiftly_revocations")), (1, 1));

        // A command that changes nothing is confirmed, too, and uses no number.
        let line = format!("admin service enable --customer {customer} --service seal --json");
        let json = stack.run(&line).json_with(0);
        assert_eq!((&json["applied"], &json["sequence"]), (&json!(true), &json!(3)));
    });
}

#[test]
fn a_revocation_by_command_line_takes_far_less_than_a_tick() {
    with_edge(|stack, _| {
        let mut took: Vec<Duration> = (0..20)
            .map(|number| {
                let start = Instant::now();
                revoke(stack, &format!("41000001{number:08x}"));
                start.elapsed()
            })
            .collect();
        took.sort();
        eprintln!("revocation by command line: median {:?}, worst {:?}", took[10], took[19]);
        assert!(took[10] < Duration::from_millis(500), "{took:?}");
    });
}

#[test]
fn old_workers_are_told_as_well_as_new_ones() {
    with_edge(|stack, _| {
        let old = only_worker(stack);
        // A request that is half sent keeps the old worker alive.
        let mut open = UnixStream::connect(stack.path("edge.sock")).unwrap();
        open.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n").unwrap();
        stack.master("reload");
        stack.wait_until("there is an old worker", || {
            stack.master("show proc").is_some_and(|reply| reply.contains("# old workers"))
        });
        let revoked = revoke(stack, "4100000112345678");
        assert_eq!(revoked["applied"], true);
        let workers = stack.workers();
        assert_eq!((workers.old.as_slice(), workers.current.len()), ([old].as_slice(), 1));
        for pid in workers.all() {
            assert_eq!(stack.status(pid)["sequence"], 3, "worker {pid}");
            assert_eq!(stack.status(pid)["revocations"]["count"], 1, "worker {pid}");
        }
        assert_eq!(stack.metric("suiftly_edge_workers"), 2);
        drop(open);
        stack.wait_until("the old worker is forgotten", || stack.metric("suiftly_edge_workers") == 1);
    });
}

#[test]
fn a_restarted_haproxy_is_brought_up_to_date_by_itself() {
    if !haproxy_is_there() {
        return;
    }
    let stack = Stack::new();
    let _serve = stack.serve();
    let customer = stack.customer(1);
    let line = format!("admin service enable --customer {customer} --service seal --wait-limit 0 --json");
    assert_eq!(stack.run(&line).json_with(5)["applied"], false);
    let haproxy = stack.haproxy();
    stack.wait_until("the edge is in step", || stack.get("/readyz").unwrap().0 == 200);
    drop(haproxy);
    stack.wait_until("the loss is noticed", || stack.get("/readyz").unwrap().0 == 503);
    // With no worker nothing is confirmed, not even what was confirmed before.
    assert_eq!(stack.run(&line).json_with(5)["applied"], false);
    let _haproxy = stack.haproxy();
    stack.wait_until("the edge is in step again", || stack.get("/readyz").unwrap().0 == 200);
    assert_eq!(stack.status(only_worker(&stack))["policies"]["count"], 1);
}

#[test]
fn a_worker_that_lost_an_entry_at_the_right_sequence_is_repaired() {
    with_edge(|stack, _| {
        revoke(stack, "4100000112345678");
        let pid = only_worker(stack);
        stack.master(&format!("@!{pid} suiftly fault forget"));
        assert_eq!(stack.status(pid)["revocations"]["count"], 0);
        stack.wait_until("it has it again", || stack.status(pid)["revocations"]["count"] == 1);
        stack.wait_until("it is counted", || stack.metric("suiftly_edge_repairs_total") == 1);
    });
}

#[test]
fn a_worker_that_says_yes_and_does_nothing_is_not_believed() {
    with_edge(|stack, _| {
        let pid = only_worker(stack);
        stack.master(&format!("@!{pid} suiftly fault lie"));
        assert_eq!(revoke(stack, "4100000112345678")["applied"], true);
        assert_eq!(stack.status(pid)["revocations"]["count"], 1);
        assert_eq!(stack.metric("suiftly_edge_loads_total"), 2);
    });
}

#[test]
fn a_reply_that_breaks_off_is_no_confirmation() {
    with_edge(|stack, _| {
        let pid = only_worker(stack);
        stack.master(&format!("@!{pid} suiftly fault cut"));
        assert_eq!(revoke(stack, "4100000112345678")["applied"], true);
        assert_eq!(stack.status(pid)["revocations"]["count"], 1);
    });
}

#[test]
fn a_worker_that_reports_a_gap_is_loaded_whole() {
    with_edge(|stack, _| {
        let pid = only_worker(stack);
        stack.master(&format!("@!{pid} suiftly fault gap"));
        assert_eq!(revoke(stack, "4100000112345678")["applied"], true);
        assert_eq!(stack.metric("suiftly_edge_loads_total"), 2);
    });
}

#[test]
fn many_changes_at_once_arrive_in_parts_and_a_load_of_many_parts_works() {
    with_edge(|stack, _| {
        let mut text = String::new();
        for number in 1..=3_000_u32 {
            text.push_str(&format!("41000001{number:08x}\n"));
        }
        std::fs::write(stack.path("list.txt"), text).unwrap();
        let line =
            format!("admin key revoke --file {} --wait-limit 60 --json", stack.path("list.txt").display());
        assert_eq!(stack.run(&line).json_with(0)["applied"], true);
        let pid = only_worker(stack);
        assert_eq!(stack.status(pid)["revocations"]["count"], 3_000);
        assert_eq!(stack.metric("suiftly_edge_loads_total"), 1);
        stack.master("reload");
        stack.wait_until("a new worker is current", || stack.workers().current != [pid]);
        stack.wait_until("it is in step", || {
            let workers = stack.workers();
            workers.current.len() == 1
                && stack
                    .master(&format!("@!{} suiftly status", workers.current[0]))
                    .is_some_and(|reply| reply.contains("\"revocations\":{\"count\":3000"))
        });
        stack.wait_until("the load is counted", || stack.metric("suiftly_edge_loads_total") == 2);
    });
}

#[test]
fn hand_edits_of_the_files_and_of_the_native_map_are_put_back() {
    with_edge(|stack, customer| {
        let pid = only_worker(stack);
        let policies = stack.path("maps/policies.map");
        // What came since the start stands in the journal; now the tables are written whole.
        stack.run("edge resync --json").json_with(0);
        let before = std::fs::read_to_string(&policies).unwrap();
        std::fs::write(&policies, before.replace("enabled", "disabled")).unwrap();
        stack.wait_until("the file is put back", || std::fs::read_to_string(&policies).unwrap() == before);
        std::fs::remove_file(stack.path("maps/plans.map")).unwrap();
        stack.wait_until("the file is made anew", || stack.path("maps/plans.map").exists());
        let log = std::fs::read_to_string(stack.path("serve.log")).unwrap();
        assert!(log.contains("suiftly admin service"), "{log}");

        let expected = plans(stack, pid);
        stack.master(&format!("@!{pid} set map #0 1 7"));
        stack.master(&format!("@!{pid} add map #0 9 7"));
        stack.wait_until("the map is put back", || plans(stack, pid) == expected);
        assert!(before.contains(&format!("{customer} seal enabled")));
    });
}

#[test]
fn the_operators_files_are_made_once_and_then_left_alone() {
    let stack = Stack::new();
    std::fs::create_dir_all(stack.path("maps")).unwrap();
    std::fs::write(stack.path("maps/services.map"), "1 elsewhere\n").unwrap();
    let _serve = stack.serve();
    assert_eq!(std::fs::read_to_string(stack.path("maps/services.map")).unwrap(), "1 elsewhere\n");
    let errors = std::fs::read_to_string(stack.path("maps/errors.map")).unwrap();
    assert_eq!(edgeformat::map_file::read_errors(&errors), Ok(()));
}

#[test]
fn with_a_folder_that_cannot_be_written_nothing_is_pushed_and_the_command_says_why() {
    with_edge(|stack, _| {
        let pid = only_worker(stack);
        // Without its journal the agent writes the tables whole; a folder in the place of a draft keeps it from that, and
        // works for root as well, whom no mode stops.
        std::fs::create_dir(stack.path("maps/policies.map.new")).unwrap();
        std::fs::remove_file(stack.path("maps/changes.journal")).unwrap();
        let line = "admin key revoke --fingerprint 4100000112345678 --wait-limit 1 --json";
        let json = stack.run(line).json_with(5);
        assert!(json["detail"].as_str().unwrap().contains("policies.map"), "{json}");
        assert_eq!(stack.status(pid)["revocations"]["count"], 0, "pushed, though it is not on disk");
        assert!(stack.get("/readyz").unwrap().1.contains("policies.map"));
        std::fs::remove_dir(stack.path("maps/policies.map.new")).unwrap();
        stack.wait_until("it is in force", || stack.status(pid)["revocations"]["count"] == 1);
    });
}

#[test]
fn the_files_that_the_agent_writes_are_read_back_the_same() {
    use edgeformat::journal::Reader;
    use edgeformat::map_file::{read_plans, read_table};
    use edgeformat::{Policy, Revocation};
    let stack = Stack::new();
    let serve = stack.serve();
    let customer = stack.customer(1);
    for service in ["seal", "grpc"] {
        stack.run(&format!(
            "admin service enable --customer {customer} --service {service} --tier pro --wait-limit 0"
        ));
    }
    stack.run("admin key revoke --fingerprint 4100000112345678 --wait-limit 0");
    let text = |name: &str| std::fs::read_to_string(stack.path("maps").join(name)).unwrap();
    stack.wait_until("the journal is written", || text("changes.journal").contains(":0:revoked"));
    let (mut journal, mut found) = (Reader::default(), Vec::new());
    journal.read(text("changes.journal").as_bytes(), |batch| found.extend(batch.changes)).unwrap();
    assert_eq!((journal.header().unwrap().after, journal.end(), found.len()), (0, 4, 4));
    // The next start writes the tables whole and begins the journal anew.
    drop(serve);
    let _serve = stack.serve();
    stack.wait_until("the files are written", || text("revocations.map").contains("sequence=4"));
    assert!(text("changes.journal").contains(" after=4"));
    let mut policies = Vec::new();
    let header = read_table::<Policy>(&text("policies.map"), |policy| {
        policies.push(policy);
        Ok(())
    })
    .unwrap();
    assert_eq!((header.sequence, header.count, policies.len()), (4, 2, 2));
    let header = read_table::<Revocation>(&text("revocations.map"), |_| Ok(())).unwrap();
    assert_eq!((header.sequence, header.count), (4, 1));
    let plans = read_plans(&text("plans.map")).unwrap();
    assert_eq!((plans.len(), plans[0].guaranteed_per_s, plans[0].burst_priority), (1, 200, 3));
}
