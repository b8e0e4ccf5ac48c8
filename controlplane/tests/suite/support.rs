//! What support sees of a customer and can end, and what sign-ins leave behind.

use crate::harness::accounts::{Raw, actions, api_token, log, login, session, wallet};
use crate::harness::{Backend, Stack, TestDatabase, on_both_databases};
use controlplane::config::UsageConfig;
use controlplane::db::Database;
use controlplane::domain::customers;
use controlplane::jobs;
use serde_json::{Value, json};
use std::time::Duration;

const NOW_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;

on_both_databases! {
    support_finds_a_customer_by_all_that_it_can_be_told,
    support_sees_and_ends_sessions,
    the_log_is_read_page_by_page,
    old_sign_ins_are_forgotten_and_nothing_else,
}

fn support_finds_a_customer_by_all_that_it_can_be_told(backend: Backend) {
    let stack = Stack::on(backend);
    let (customer, _) = (stack.customer(0xAB), stack.customer(2));
    let admin = |line: &str| stack.run(&format!("admin {line} --json")).json_with(0);
    let seal = format!("--customer {customer} --service seal");
    admin(&format!("service enable {seal} --tier pro --no-wait"));
    let keys: Vec<Value> = (0..3).map(|_| admin(&format!("key create {seal}"))).collect();
    let print = |place: usize| keys[place]["fingerprint"].as_str().unwrap();
    let text = keys[0]["api_key"].as_str().unwrap();
    admin(&format!("key revoke --fingerprint {} --no-wait", print(1)));
    admin(&format!("key expire --fingerprint {} --at 2001-01-01T00:00:00Z --no-wait", print(2)));
    let raw = Raw::of_stack(&stack, backend);
    let far_ms = NOW_MS + 1_000 * DAY_MS;
    raw.run(&(session(customer, 1, NOW_MS, far_ms, "a") + &session(customer, 2, 0, 1, "over")));
    raw.run(&api_token(customer, 1));

    let found = admin(&format!("customer find --wallet 0x{:064X}", 0xAB));
    let last = &found["last_activity"];
    assert_eq!((&last["action"], &last["number"]), (&"key_expiry_changed".into(), &7.into()));
    assert_eq!((&last["actor_kind"], &last["actor"]), (&"command".into(), &login().into()));
    assert_eq!(found["customer_id"], customer);
    assert_eq!((&found["wallet"], &found["status"]), (&wallet(0xAB).into(), &"active".into()));
    assert_eq!(found["services"], json!([{"service": "seal", "state": "enabled", "tier": "pro"}]));
    assert_eq!(found["keys"], json!({"active": 1, "expired": 1, "revoked": 1}));
    assert_eq!((&found["open_sessions"], &found["api_tokens"]), (&1.into(), &1.into()));
    for same in [format!("--id {customer}"), format!("--customer {customer}")] {
        assert_eq!(admin(&format!("customer find {same}")), found);
    }
    // A key says more: which it is, and how it stands. From stdin nobody else sees it.
    let states = [(print(0), "active"), (print(1), "revoked"), (print(2), "expired")];
    for (fingerprint, state) in states {
        let by = admin(&format!("customer find --fingerprint {fingerprint}"));
        assert_eq!(by["customer_id"], customer);
        assert_eq!(by["key"], json!({"fingerprint": fingerprint, "service": "seal", "state": state}));
    }
    let by = stack.run_with_stdin("admin customer find --key - --json", &format!("{text}\n"));
    assert_eq!(by.json_with(0)["key"]["fingerprint"], print(0));
    let shown = stack.run(&format!("admin customer find --key {text}"));
    assert!(shown.code == 0 && !shown.stdout.contains(text) && !shown.stderr.contains(text));
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 100), "{}", shown.stdout);
    assert!(shown.stderr.contains("authentic"), "{}", shown.stderr);
    // A key of another keyring names its customer, and is not ours.
    let foreign = format!("410003E7{customer:08X}");
    let by = admin(&format!("customer find --fingerprint {foreign}"));
    assert_eq!(by["customer_id"], customer);
    assert_eq!(by["key"], json!({"fingerprint": foreign, "service": null, "state": "unknown"}));

    for nobody in [format!("--wallet {}", wallet(9)), "--id 7".to_owned()] {
        stack.run(&format!("admin customer find {nobody} --json")).fails(3, "there is no customer with");
    }
    stack.run("admin customer find --fingerprint 4100000100000007 --json").fails(3, "4100000100000007");
    stack.run("admin customer find --json").fails(2, "");
    stack.run(&format!("admin customer find --id 1 --wallet {} --json", wallet(1))).fails(2, "");
}

fn support_sees_and_ends_sessions(backend: Backend) {
    let stack = Stack::on(backend);
    let (customer, other) = (stack.customer(1), stack.customer(2));
    let raw = Raw::of_stack(&stack, backend);
    let far_ms = NOW_MS + 1_000 * DAY_MS;
    let agent = format!("Mozilla{} {}", '\u{1b}', "x".repeat(200));
    raw.run(&session(customer, 1, NOW_MS, far_ms, &agent));
    raw.run(&(session(customer, 2, NOW_MS + 1, far_ms, "curl") + &session(customer, 3, 0, 1, "over")));
    raw.run(&(session(customer, 4, NOW_MS + 2, far_ms, "c") + &session(other, 5, NOW_MS, far_ms, "o")));
    let admin = |line: &str| stack.run(&format!("admin session {line} --json"));
    let listed = |all: &str| {
        let answer = admin(&format!("list --customer {customer} {all}")).json_with(0);
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| {
                let id = item["session_id"].as_str().unwrap();
                (u8::from_str_radix(&id[30..], 16).unwrap(), item["state"].as_str().unwrap().to_owned())
            })
            .collect::<Vec<_>>()
    };
    let is = |id: u8, state: &str| (id, state.to_owned());
    assert_eq!(listed(""), [is(4, "open"), is(2, "open"), is(1, "open")]);
    let text = stack.run(&format!("admin session list --customer {customer} --all")).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains("192.0.2.1"), "{text}");

    let ended = admin(&format!("end --session {:032x}", 2)).json_with(0);
    assert_eq!(ended, json!({"customer_id": customer, "ended": 1}));
    let again = admin(&format!("end --session {:032x}", 2)).json_with(0);
    assert_eq!(again["ended"], 0);
    assert_eq!(admin(&format!("end --customer {customer} --all")).json_with(0)["ended"], 2);
    assert_eq!(admin(&format!("end --customer {customer} --all")).json_with(0)["ended"], 0);
    assert_eq!(listed(""), []);
    let operator = "ended_by_operator";
    assert_eq!(listed("--all"), [is(4, operator), is(2, operator), is(1, operator), is(3, "expired")]);
    let log = log(&stack, customer);
    assert_eq!(actions(&log), ["customer_created", "session_ended", "session_ended"]);
    assert_eq!(log[1]["detail"], json!({"reason": operator, "session_id": format!("{:032x}", 2)}));
    assert_eq!(log[2]["detail"], json!({"reason": operator, "sessions": 2}));
    assert_eq!((&log[2]["actor_kind"], &log[2]["actor"]), (&"command".into(), &login().into()));
    assert_eq!(raw.count("sessions WHERE ended_at_ms IS NULL"), 2, "the other's, and one that was over");

    admin(&format!("end --session {:032x}", 99)).fails(3, "no session");
    let wrong = admin("end --session suiftly_token_of_somebody");
    wrong.fails(2, "letters and digits");
    assert!(!wrong.stderr.contains("somebody"), "{}", wrong.stderr);
    admin(&format!("end --customer {customer}")).fails(2, "--all");
    admin("end --all").fails(2, "--customer");
    admin("list --customer 7").fails(3, "there is no customer 7");
    admin("end --customer 7 --all").fails(3, "there is no customer 7");
}

fn the_log_is_read_page_by_page(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    for verb in ["suspend", "resume", "suspend", "resume"] {
        stack.run(&format!("admin customer {verb} --id {customer} --no-wait --json")).json_with(0);
    }
    let page = |more: &str| {
        let answer = stack.run(&format!("admin customer activity --id {customer} --limit 2 {more} --json"));
        let answer = answer.json_with(0);
        let numbers: Vec<u64> =
            answer["items"].as_array().unwrap().iter().map(|item| item["number"].as_u64().unwrap()).collect();
        (numbers, answer["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(page(""), (vec![5, 4], Some("4".to_owned())));
    assert_eq!(page("--before 4"), (vec![3, 2], Some("2".to_owned())));
    assert_eq!(page("--before 2"), (vec![1], None));
    assert_eq!(page("--before 1"), (vec![], None));
    let text = stack.run(&format!("admin customer activity --id {customer} --limit 2")).stdout;
    assert!(text.ends_with("older ones: --before 4\n"), "{text}");
    stack.run("admin customer activity --customer 7 --json").fails(3, "there is no customer 7");
    stack.run(&format!("admin customer activity --customer {customer} --limit 0 --json")).fails(2, "");
}

fn run_jobs(database: &mut Database, now_ms: i64) -> u64 {
    let keep = UsageConfig { minutes_keep_h: 2, hours_keep_d: 3, days_keep_d: 1_100 };
    let (mut rows, mut parts) = (0, 0);
    for mut job in jobs::all(&keep, Duration::from_secs(604_800)) {
        loop {
            let done = (job.run)(database, now_ms).unwrap();
            rows += done.rows;
            parts += 1;
            assert!(parts < 1_000, "{} has no end", job.name);
            if !done.more {
                break;
            }
        }
    }
    rows
}

fn old_sign_ins_are_forgotten_and_nothing_else(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let made = customers::create(&mut database, &wallet(1).parse().unwrap(), NOW_MS).unwrap();
    let id = u64::from(made.customer.get());
    let raw = Raw::of(&place);
    let hour_ms = 3_600_000;
    let challenge = |number: u32, expires_ms: i64, ended: &str| {
        format!(
            "INSERT INTO sign_in_challenges VALUES ('{number:064x}', '{number:064x}', '{}', '192.0.2.1', 0, \
             {expires_ms}, {ended}, NULL);",
            wallet(1)
        )
    };
    let answer = |number: u32, created_ms: i64| {
        format!(
            "INSERT INTO idempotency_keys VALUES ({id}, 'k{number}', '{number:064x}', 'key', 'x', 201, '{{}}', \
             {created_ms});"
        )
    };
    let keep = [
        challenge(1, NOW_MS - hour_ms, "NULL, NULL"),
        challenge(2, NOW_MS + 300_000, "NULL, NULL"),
        challenge(3, NOW_MS - 2 * hour_ms, &format!("{}, 'failed'", NOW_MS - hour_ms)),
        answer(1, NOW_MS - DAY_MS),
        answer(2, NOW_MS),
        session(id, 1, 0, NOW_MS + DAY_MS, "open"),
        session(id, 2, 0, NOW_MS - 30 * DAY_MS, "just over"),
        session(id, 3, 0, NOW_MS + DAY_MS, "ended"),
        format!(
            "UPDATE sessions SET ended_at_ms = {}, end_reason = 'logout' WHERE user_agent = 'ended';",
            NOW_MS - 30 * DAY_MS
        ),
    ];
    raw.run(&keep.concat());
    assert_eq!(run_jobs(&mut database, NOW_MS), 0, "nothing is old enough, by a millisecond");

    // More than one transaction takes of each.
    let mut old = vec![
        session(id, 4, 0, NOW_MS - 30 * DAY_MS - 1, "expired"),
        session(id, 5, 0, NOW_MS + DAY_MS, "ended long ago"),
        format!(
            "UPDATE sessions SET ended_at_ms = {}, end_reason = 'logout' WHERE user_agent = 'ended long ago';",
            NOW_MS - 30 * DAY_MS - 1
        ),
        challenge(1_000_000, NOW_MS - 2 * hour_ms, &format!("{}, 'signed_in'", NOW_MS - hour_ms - 1)),
    ];
    for number in 0..1_500_u32 {
        old.push(challenge(10_000 + number, NOW_MS - hour_ms - 1, "NULL, NULL"));
        old.push(answer(10_000 + number, NOW_MS - DAY_MS - 1));
        old.push(format!(
            "INSERT INTO refresh_tokens VALUES ('{:064x}', '{:032x}', 0, 0, 0);",
            10_000 + number,
            4
        ));
    }
    for number in 0..150_u32 {
        let customer = id;
        old.push(format!(
            "INSERT INTO sessions VALUES ('{number:031x}z', {customer}, 'x', 'old', 0, 0, 1, NULL, NULL);"
        ));
    }
    raw.run(&format!("BEGIN; {} COMMIT;", old.concat()));
    let activity_before = raw.count("activity");
    // Challenges, answers, refresh tokens with those of the two sessions, and the sessions.
    assert_eq!(run_jobs(&mut database, NOW_MS), 1_501 + 1_500 + 1_502 + 152);
    assert_eq!(raw.count("sign_in_challenges"), 3);
    assert_eq!(raw.count("idempotency_keys"), 2);
    assert_eq!(raw.count("sessions"), 3);
    assert_eq!(raw.count("refresh_tokens"), 3);
    assert_eq!(run_jobs(&mut database, NOW_MS), 0);
    // Ten years later the log is still whole.
    run_jobs(&mut database, NOW_MS + 3_650 * DAY_MS);
    assert_eq!(raw.count("activity"), activity_before);
    assert_eq!(raw.count("sessions") + raw.count("refresh_tokens"), 0);
}
