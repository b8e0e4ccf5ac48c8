//! Services over the API: what they cost, what they get, and how they end.

use super::customer::Customer;
use super::server::Server;
use crate::harness::{Backend, on_both_databases};
use controlplane::changes::feed;
use controlplane::domain::catalogue::{TermsChange, set_terms};
use controlplane::domain::services::{Move, make_move, pending, set_own_rates};
use controlplane::domain::{Rates, Tier, gate};
use edgeformat::{PolicyKey, PolicyState};
use serde_json::json;

on_both_databases! {
    a_subscription_is_paid_for_now_and_is_served,
    what_cannot_be_paid_is_declined_with_the_amounts_and_changes_nothing,
    a_subscription_that_is_off_costs_nothing_until_it_is_switched_on,
    the_spending_limit_holds_for_28_days_from_the_accounts_creation,
    an_upgrade_costs_the_days_that_are_left_and_a_downgrade_waits_for_the_months_end,
    an_upgrade_is_reckoned_against_what_was_paid_and_not_against_a_price_of_today,
    a_cancelled_service_is_served_until_the_month_ends_and_can_be_had_again_two_weeks_later,
    an_operators_switch_and_one_that_is_off_keep_a_cancellation_that_can_be_taken_back,
    what_is_due_has_happened_also_where_the_job_has_not_come_by,
    what_is_had_again_restricts_the_old_keys_as_before_and_leaves_no_plan_behind,
    what_was_never_paid_for_ends_at_once,
    burst_and_allowlist_are_what_the_tier_has,
    a_change_with_several_parts_happens_whole_or_not_at_all,
    what_an_operator_granted_costs_nothing_and_an_upgrade_of_it_does,
    a_suspended_service_cannot_be_changed_by_its_owner,
    two_people_who_change_a_service_do_not_undo_each_other_unseen,
    a_subscription_that_is_sent_twice_under_one_key_is_charged_once,
    nobody_sees_or_changes_anothers_services,
    a_token_needs_the_scope_to_change_a_service,
    a_type_that_is_closed_can_be_kept_and_not_be_had,
    the_catalogue_says_what_can_be_had_and_what_it_costs_now,
}

/// What the edges are told of a customer's service.
fn policy(server: &Server, customer: &Customer<'_>) -> Option<edgeformat::Policy> {
    let mut database = server.database();
    let snapshot = database.read(feed::snapshot).unwrap();
    snapshot.policies.iter().copied().find(|policy| policy.key.customer == customer.id)
}

fn rates(server: &Server, customer: &Customer<'_>) -> (u32, u32) {
    let mut database = server.database();
    let snapshot = database.read(feed::snapshot).unwrap();
    let policy = snapshot.policies.iter().find(|policy| policy.key.customer == customer.id).unwrap();
    let plan = snapshot.plans.iter().find(|plan| plan.number == policy.plan).unwrap();
    (plan.guaranteed_per_s, plan.burst_per_s)
}

fn seal(customer: &Customer<'_>) -> PolicyKey {
    PolicyKey { customer: customer.id, service: apikey::Service::Seal }
}

fn a_subscription_is_paid_for_now_and_is_served(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 10_000);
    assert_eq!(customer.get("/services").with(200)["items"], json!([]));
    customer.get("/services/seal").is_problem(404, "no_service");
    let answer = customer.subscribe("seal", "pro");
    assert_eq!(answer.header("location"), "/api/v1/services/seal");
    assert!(!answer.header("x-suiftly-sequence").is_empty());
    let made = answer.with(201);
    assert_eq!((&made["state"], &made["tier"]), (&json!("enabled"), &json!("pro")));
    assert_eq!((&made["guaranteed_per_s"], &made["burst_per_s"]), (&json!(200), &json!(500)));
    assert_eq!((&made["paid"], &made["applied"]), (&json!(true), &json!(true)));
    assert_eq!(made["allowlist"], json!({"enabled": false, "entries": [], "entries_max": 20}));
    assert_eq!(customer.balance(), 10_000 - 3_900);
    assert_eq!(rates(&server, &customer), (200, 500));
    let mut read = customer.get("/services/seal").with(200);
    read["applied"] = json!(true);
    assert_eq!(read, made);
    customer.subscribe("seal", "pro").is_problem(409, "already_subscribed");
    assert_eq!(customer.balance(), 10_000 - 3_900);
    customer.post("/services", &json!({"service": "mail"})).is_problem(400, "invalid_body");
    customer.get("/services/mail").is_problem(404, "not_found");
    // Each type of service by itself.
    assert_eq!(customer.post("/services", &json!({"service": "grpc"})).with(201)["tier"], "starter");
    let listed = customer.get("/services").with(200);
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|item| item["service"].as_str().unwrap()).collect();
    assert_eq!(names, ["grpc", "seal"]);
}

fn what_cannot_be_paid_is_declined_with_the_amounts_and_changes_nothing(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::new(&server, 1);
    let nothing = customer.subscribe("seal", "pro");
    nothing.is_problem(402, "no_payment_method");
    assert_eq!(nothing.body["details"], json!({"estimated_cost_cents": 3_900}));
    customer.credit(542);
    let little = customer.subscribe("seal", "pro");
    little.is_problem(402, "insufficient_balance");
    let amounts = json!({
        "current_balance_cents": 542, "estimated_cost_cents": 3_900, "required_deposit_cents": 3_358
    });
    assert_eq!(little.body["details"], amounts);
    customer.get("/services/seal").is_problem(404, "no_service");
    assert_eq!((customer.balance(), policy(&server, &customer)), (542, None));
    // What is enough to the cent is enough.
    customer.credit(3_358);
    customer.subscribe("seal", "pro").with(201);
    assert_eq!(customer.balance(), 0);
    let upgrade = customer.patch("/services/seal", &json!({"tier": "enterprise"}));
    upgrade.is_problem(402, "insufficient_balance");
    assert_eq!(customer.get("/services/seal").with(200)["tier"], "pro");
    assert_eq!(rates(&server, &customer), (200, 500));
}

fn a_subscription_that_is_off_costs_nothing_until_it_is_switched_on(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::new(&server, 1);
    let made = customer.post("/services", &json!({"service": "seal", "tier": "starter", "enabled": false}));
    let made = made.with(201);
    assert_eq!((&made["state"], &made["paid"]), (&json!("disabled"), &json!(false)));
    let pending = customer.key("seal");
    pending.is_problem(402, "subscription_pending");
    assert_eq!(pending.body["details"], json!({"estimated_cost_cents": 200}));
    // Before the first payment every change is immediate and free.
    let changed = customer.patch("/services/seal", &json!({"tier": "enterprise"})).with(200);
    assert_eq!((&changed["tier"], &changed["next_tier"]), (&json!("enterprise"), &json!(null)));
    customer.patch("/services/seal", &json!({"tier": "pro"})).with(200);
    customer.patch("/services/seal", &json!({"enabled": true})).is_problem(402, "no_payment_method");
    customer.credit(3_899);
    customer.patch("/services/seal", &json!({"enabled": true})).is_problem(402, "insufficient_balance");
    assert_eq!(policy(&server, &customer).unwrap().state, PolicyState::Disabled);
    customer.credit(1);
    let on = customer.patch("/services/seal", &json!({"enabled": true})).with(200);
    assert_eq!((&on["state"], &on["paid"]), (&json!("enabled"), &json!(true)));
    assert_eq!(policy(&server, &customer).unwrap().state, PolicyState::Enabled);
    assert_eq!(customer.balance(), 0);
    // Off and on again costs nothing more.
    customer.patch("/services/seal", &json!({"enabled": false})).with(200);
    customer.patch("/services/seal", &json!({"enabled": true})).with(200);
    customer.key("seal").with(201);
}

fn the_spending_limit_holds_for_28_days_from_the_accounts_creation(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "enterprise").with(201);
    let declined = customer.subscribe("grpc", "enterprise");
    declined.is_problem(402, "spending_limit_exceeded");
    let amounts = json!({
        "spending_limit_cents": 25_000, "current_period_charged_cents": 18_500,
        "estimated_cost_cents": 18_500, "remaining_authorization_cents": 6_500
    });
    assert_eq!(declined.body["details"], amounts);
    customer.subscribe("graphql", "pro").with(201);
    let set = |cents| {
        gate::set_spending_limit(&mut server.database(), customer.id, cents, server.clock.now_ms()).unwrap()
    };
    assert_eq!(set(0).charged_cents, 18_500 + 3_900);
    customer.subscribe("grpc", "enterprise").with(201);
    set(25_000);
    customer
        .patch("/services/graphql", &json!({"tier": "enterprise"}))
        .is_problem(402, "spending_limit_exceeded");
    customer.wait_s(28 * 86_400 - 1);
    customer
        .patch("/services/graphql", &json!({"tier": "enterprise"}))
        .is_problem(402, "spending_limit_exceeded");
    customer.wait_s(1);
    customer.patch("/services/graphql", &json!({"tier": "enterprise"})).with(200);
}

fn an_upgrade_costs_the_days_that_are_left_and_a_downgrade_waits_for_the_months_end(backend: Backend) {
    // It is 21 November: 10 of 30 days are left, today included.
    let server = Server::on(backend);
    let mut customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "starter").with(201);
    let before = customer.balance();
    let upgraded = customer.patch("/services/seal", &json!({"tier": "pro"})).with(200);
    assert_eq!((&upgraded["tier"], &upgraded["next_tier"]), (&json!("pro"), &json!(null)));
    assert_eq!(before - customer.balance(), (3_900 - 200) * 10 / 30);
    assert_eq!(rates(&server, &customer), (200, 500));
    // A downgrade waits, and is taken back by the tier that is.
    let lowered = customer.patch("/services/seal", &json!({"tier": "starter"})).with(200);
    assert_eq!((&lowered["tier"], &lowered["next_tier"]), (&json!("pro"), &json!("starter")));
    assert_eq!(lowered["pending_until"], "2026-12-01T00:00:00.000Z");
    let kept = customer.patch("/services/seal", &json!({"tier": "pro"})).with(200);
    assert_eq!((&kept["next_tier"], &kept["pending_until"]), (&json!(null), &json!(null)));
    customer.patch("/services/seal", &json!({"tier": "starter"})).with(200);
    let job = || pending::let_happen(&mut server.database(), server.clock.now_ms()).unwrap();
    assert_eq!(job(), (0, false));
    // With two days left an upgrade is free.
    customer.wait_s(8 * 86_400);
    let before = customer.balance();
    customer.patch("/services/seal", &json!({"tier": "enterprise"})).with(200);
    assert_eq!((customer.balance(), rates(&server, &customer)), (before, (1_000, 2_000)));
    customer.patch("/services/seal", &json!({"tier": "starter"})).with(200);
    customer.wait_s(2 * 86_400);
    assert_eq!(job().0, 1);
    assert_eq!(customer.get("/services/seal").with(200)["tier"], "starter");
    assert_eq!((rates(&server, &customer), customer.balance()), ((12, 0), before));
    assert_eq!(job(), (0, false), "it happens once");
}

fn an_upgrade_is_reckoned_against_what_was_paid_and_not_against_a_price_of_today(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "pro").with(201);
    let cheaper = TermsChange { subscription_cents: Some(2_000), ..TermsChange::default() };
    let now_ms = server.clock.now_ms();
    let from_ms = now_ms + 86_400_000;
    set_terms(&mut server.database(), Tier::Pro, cheaper, from_ms, now_ms).unwrap();
    customer.wait_s(2 * 86_400);
    let before = customer.balance();
    customer.patch("/services/seal", &json!({"tier": "enterprise"})).with(200);
    // 8 of 30 days, today counted.
    assert_eq!(before - customer.balance(), (18_500 - 3_900) * 8 / 30);
}

fn a_cancelled_service_is_served_until_the_month_ends_and_can_be_had_again_two_weeks_later(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "pro").with(201);
    let cancelled = customer.to("DELETE", "/services/seal").send().with(200);
    assert_eq!(cancelled["state"], "cancellation_pending");
    assert_eq!(cancelled["pending_until"], "2026-12-01T00:00:00.000Z");
    assert_eq!(policy(&server, &customer).unwrap().state, PolicyState::Enabled);
    customer.patch("/services/seal", &json!({"tier": "enterprise"})).is_problem(409, "service_state");
    // Taken back, and cancelled again.
    let back = customer.patch("/services/seal", &json!({"enabled": true})).with(200);
    assert_eq!((&back["state"], &back["pending_until"]), (&json!("enabled"), &json!(null)));
    customer.to("DELETE", "/services/seal").send().with(200);
    let job = || pending::let_happen(&mut server.database(), server.clock.now_ms()).unwrap().0;
    customer.wait_s(10 * 86_400);
    assert_eq!(job(), 1);
    let ended = customer.get("/services/seal").with(200);
    assert_eq!((&ended["state"], &ended["cancelled"]), (&json!("disabled"), &json!(true)));
    assert_eq!(ended["pending_until"], "2026-12-08T00:00:00.000Z");
    assert_eq!(policy(&server, &customer).unwrap().state, PolicyState::Disabled);
    customer.patch("/services/seal", &json!({"enabled": true})).is_problem(409, "service_state");
    // Off it is already, and that is no way around it.
    assert_eq!(customer.patch("/services/seal", &json!({"enabled": false})).with(200)["cancelled"], true);
    customer.patch("/services/seal", &json!({"enabled": true})).is_problem(409, "service_state");
    customer.wait_s(7 * 86_400);
    assert_eq!(job(), 1);
    assert_eq!(policy(&server, &customer), None);
    let gone = customer.get("/services/seal").with(200);
    assert_eq!(
        (&gone["state"], &gone["pending_until"]),
        (&json!("not_provisioned"), &json!("2026-12-15T00:00:00.000Z"))
    );
    let too_early = customer.subscribe("seal", "pro");
    too_early.is_problem(409, "service_cooling_down");
    assert_eq!(too_early.body["details"]["available_again_at"], "2026-12-15T00:00:00.000Z");
    customer.patch("/services/seal", &json!({"enabled": true})).is_problem(404, "no_service");
    customer.wait_s(7 * 86_400);
    assert_eq!((job(), job()), (1, 0), "it is free again, and nobody looks at it any more");
    let before = customer.balance();
    customer.subscribe("seal", "starter").with(201);
    assert_eq!(before - customer.balance(), 200);
}

fn an_operators_switch_and_one_that_is_off_keep_a_cancellation_that_can_be_taken_back(backend: Backend) {
    let server = Server::on(backend);
    for (wallet, by_operator) in [(1, true), (2, false)] {
        let mut customer = Customer::with_credit(&server, wallet, 100_000);
        customer.subscribe("seal", "pro").with(201);
        let end = || {
            if by_operator {
                customer.to("DELETE", "/services/seal").send().with(200);
                let now_ms = server.clock.now_ms();
                make_move(&mut server.database(), seal(&customer), Move::Disable, now_ms).unwrap();
            } else {
                customer.patch("/services/seal", &json!({"enabled": false})).with(200);
                customer.to("DELETE", "/services/seal").send().with(200);
            }
            let ended = customer.get("/services/seal").with(200);
            assert_eq!((&ended["state"], &ended["cancelled"]), (&json!("disabled"), &json!(true)));
            assert_eq!(ended["pending_until"], "2026-12-08T00:00:00.000Z");
        };
        end();
        let before = customer.balance();
        let back = customer.patch("/services/seal", &json!({"enabled": true})).with(200);
        assert_eq!((&back["state"], &back["pending_until"]), (&json!("enabled"), &json!(null)));
        assert_eq!((&back["cancelled"], customer.balance()), (&json!(false), before));
        end();
        if !by_operator {
            customer.wait_s(10 * 86_400);
            customer.patch("/services/seal", &json!({"enabled": true})).is_problem(409, "service_state");
        }
    }
}

fn what_is_due_has_happened_also_where_the_job_has_not_come_by(backend: Backend) {
    let server = Server::on(backend);
    let mut lower = Customer::with_credit(&server, 1, 100_000);
    lower.subscribe("seal", "enterprise").with(201);
    lower.patch("/services/seal", &json!({"tier": "starter"})).with(200);
    let mut cancelled = Customer::with_credit(&server, 2, 100_000);
    cancelled.subscribe("seal", "pro").with(201);
    cancelled.to("DELETE", "/services/seal").send().with(200);
    lower.wait_s(10 * 86_400);
    cancelled.wait_s(0);
    // December has begun: pro is more than starter, and not less than enterprise.
    let before = lower.balance();
    let changed = lower.patch("/services/seal", &json!({"tier": "pro"})).with(200);
    assert_eq!((&changed["tier"], &changed["next_tier"]), (&json!("pro"), &json!(null)));
    assert_eq!(before - lower.balance(), 3_700);
    cancelled.patch("/services/seal", &json!({"enabled": true})).is_problem(409, "service_state");
    let ended = cancelled.patch("/services/seal", &json!({"enabled": false})).with(200);
    assert_eq!((&ended["state"], &ended["cancelled"]), (&json!("disabled"), &json!(true)));
    // Half a year later it can be had again, whatever the job has seen.
    cancelled.wait_s(180 * 86_400);
    cancelled.subscribe("seal", "starter").with(201);
}

fn what_is_had_again_restricts_the_old_keys_as_before_and_leaves_no_plan_behind(backend: Backend) {
    let server = Server::on(backend);
    let mut customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "pro").with(201);
    customer.patch("/services/seal", &json!({"allowlist": ["192.0.2.0/24"]})).with(200);
    let own = Rates { guaranteed_per_s: 77, burst_per_s: 0, burst_priority: 0 };
    let now_ms = server.clock.now_ms();
    set_own_rates(&mut server.database(), seal(&customer), Some(own), now_ms).unwrap();
    let has_plan = || {
        let snapshot = server.database().read(feed::snapshot).unwrap();
        snapshot.plans.iter().any(|plan| plan.guaranteed_per_s == 77)
    };
    assert!(has_plan() && policy(&server, &customer).unwrap().allowlist);
    customer.to("DELETE", "/services/seal").send().with(200);
    customer.wait_s(30 * 86_400);
    customer.subscribe("seal", "starter").with(201);
    assert!(!has_plan());
    let again = policy(&server, &customer).unwrap();
    assert_eq!((again.state, again.allowlist), (PolicyState::Enabled, true));
    customer.patch("/services/seal", &json!({"allowlist": []})).with(200);
    assert!(!policy(&server, &customer).unwrap().allowlist);
}

fn what_was_never_paid_for_ends_at_once(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::new(&server, 1);
    customer.post("/services", &json!({"service": "seal", "enabled": false})).with(201);
    let gone = customer.to("DELETE", "/services/seal").send().with(200);
    assert_eq!((&gone["state"], &gone["pending_until"]), (&json!("not_provisioned"), &json!(null)));
    assert_eq!(policy(&server, &customer), None);
    customer.to("DELETE", "/services/seal").send().is_problem(404, "no_service");
    customer.post("/services", &json!({"service": "seal", "enabled": false})).with(201);
}

fn burst_and_allowlist_are_what_the_tier_has(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "starter").with(201);
    let change = |body| customer.patch("/services/seal", &body);
    change(json!({"burst": true})).is_problem(403, "not_in_tier");
    change(json!({"allowlist": ["203.0.113.0/24"]})).is_problem(403, "not_in_tier");
    change(json!({"allowlist": {"enabled": true}})).is_problem(403, "not_in_tier");
    change(json!({"tier": "pro"})).with(200);
    assert_eq!(change(json!({"burst": false})).with(200)["burst_per_s"], 0);
    assert_eq!(rates(&server, &customer), (200, 0));
    assert_eq!(change(json!({"burst": true})).with(200)["burst_per_s"], 500);
    let listed = change(json!({"allowlist": ["2001:DB8::/32", "203.0.113.7", "203.0.113.7/32"]})).with(200);
    let expected =
        json!({"enabled": true, "entries": ["203.0.113.7/32", "2001:db8::/32"], "entries_max": 20});
    assert_eq!(listed["allowlist"], expected);
    assert!(policy(&server, &customer).unwrap().allowlist);
    let wrong = change(json!({"allowlist": ["203.0.113.7", "203.0.113.1/24"]}));
    wrong.is_problem(400, "invalid_body");
    assert_eq!(wrong.body["errors"][0]["field"], "allowlist[1]");
    for body in
        [json!({"allowlist": [null, null]}), json!({"allowlist": [true, []]}), json!({"allowlist": 5})]
    {
        customer.patch("/services/seal", &body).is_problem(400, "invalid_body");
    }
    let long: Vec<String> = (0..21).map(|n| format!("10.0.{n}.0/24")).collect();
    let too_long = change(json!({ "allowlist": {"entries": long} }));
    too_long.is_problem(409, "allowlist_too_long");
    assert_eq!(too_long.body["details"], json!({"entries": 21, "entries_max": 20}));
    // A tier without a list is refused while there is one: dropping it would open what its owner has closed.
    change(json!({"tier": "starter"})).is_problem(403, "not_in_tier");
    let off = change(json!({"allowlist": {"enabled": false}})).with(200);
    assert_eq!(off["allowlist"]["entries"].as_array().unwrap().len(), 2);
    change(json!({"tier": "starter"})).is_problem(403, "not_in_tier");
    change(json!({"allowlist": [], "tier": "starter"})).with(200);
    // A list that begins while a tier without one is coming would be there without right.
    change(json!({"allowlist": ["203.0.113.7"]})).is_problem(403, "not_in_tier");
}

fn a_change_with_several_parts_happens_whole_or_not_at_all(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 300);
    customer.subscribe("seal", "starter").with(201);
    customer.patch("/services/seal", &json!({"enabled": false})).with(200);
    let body = json!({"tier": "pro", "enabled": true, "burst": false, "allowlist": ["203.0.113.0/24"]});
    customer.patch("/services/seal", &body).is_problem(402, "insufficient_balance");
    let read = customer.get("/services/seal").with(200);
    assert_eq!((&read["tier"], &read["state"]), (&json!("starter"), &json!("disabled")));
    customer.credit(10_000);
    let before = server.database().read(controlplane::db::stream::position).unwrap().sequence;
    let changed = customer.patch("/services/seal", &body).with(200);
    assert_eq!((&changed["tier"], &changed["state"]), (&json!("pro"), &json!("enabled")));
    assert_eq!((&changed["burst_per_s"], &changed["allowlist"]["enabled"]), (&json!(0), &json!(true)));
    // The edge never admits more than before or after: the list is there and checked before the service is on.
    let mut database = server.database();
    let log = database.read(|tx| controlplane::db::change_log::after(tx, before, 100)).unwrap();
    let words: Vec<String> = log.iter().map(|(_, change)| change.to_string()).collect();
    let on = words.iter().position(|word| word.contains(":enabled:")).unwrap();
    let listed = words.iter().position(|word| word.starts_with("+a:")).unwrap();
    assert!(listed < on, "{words:?}");
    assert!(words[on].ends_with(":allowlist"), "{words:?}");
}

fn what_an_operator_granted_costs_nothing_and_an_upgrade_of_it_does(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::new(&server, 1);
    let now_ms = server.clock.now_ms();
    make_move(&mut server.database(), seal(&customer), Move::Enable(Some(Tier::Starter)), now_ms).unwrap();
    let granted = customer.get("/services/seal").with(200);
    assert_eq!((&granted["source"], &granted["state"]), (&json!("operator_grant"), &json!("enabled")));
    customer.key("seal").with(201);
    customer.patch("/services/seal", &json!({"enabled": false})).with(200);
    customer.patch("/services/seal", &json!({"enabled": true})).with(200);
    customer.patch("/services/seal", &json!({"tier": "pro"})).is_problem(402, "no_payment_method");
    customer.credit(5_000);
    let upgraded = customer.patch("/services/seal", &json!({"tier": "pro"})).with(200);
    assert_eq!((&upgraded["source"], &upgraded["paid"]), (&json!("subscription"), &json!(true)));
    assert_eq!(customer.balance(), 5_000 - 3_900, "a full month, as of any subscription");
}

fn a_suspended_service_cannot_be_changed_by_its_owner(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "pro").with(201);
    let now_ms = server.clock.now_ms();
    let make = |wanted| make_move(&mut server.database(), seal(&customer), wanted, now_ms).unwrap();
    for (stop, state, end) in [
        (Move::Suspend, "suspended_operator", Move::Resume),
        (Move::StopUnpaid, "suspended_no_payment", Move::Settle),
        (Move::StopAtLimit, "suspended_spending_limit", Move::Settle),
    ] {
        make(stop);
        assert_eq!(customer.get("/services/seal").with(200)["state"], state);
        assert_eq!(policy(&server, &customer).unwrap().state.word(), state);
        for body in [json!({"enabled": true}), json!({"enabled": false}), json!({"tier": "enterprise"})] {
            let refused = customer.patch("/services/seal", &body);
            refused.is_problem(409, "service_state");
            assert_eq!(refused.body["details"], json!({"state": state}));
            assert!(refused.body["detail"].as_str().unwrap().contains(state), "{}", refused.text);
        }
        customer.to("DELETE", "/services/seal").send().is_problem(409, "service_state");
        assert_eq!(make(end).service.state.word(), "enabled");
    }
}

fn two_people_who_change_a_service_do_not_undo_each_other_unseen(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 100_000);
    customer.subscribe("seal", "pro").with(201);
    let tag = customer.get("/services/seal").header("etag").to_owned();
    let with_tag = |body: serde_json::Value| {
        customer.to("PATCH", "/services/seal").header("if-match", &tag).json(&body).send()
    };
    let first = with_tag(json!({"burst": false}));
    assert_ne!(first.header("etag"), tag);
    first.with(200);
    with_tag(json!({"enabled": false})).is_problem(412, "changed_meanwhile");
    customer
        .to("DELETE", "/services/seal")
        .header("if-match", &tag)
        .send()
        .is_problem(412, "changed_meanwhile");
    assert_eq!(customer.get("/services/seal").with(200)["state"], "enabled");
}

fn a_subscription_that_is_sent_twice_under_one_key_is_charged_once(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 10_000);
    let body = json!({"service": "seal", "tier": "pro"});
    let send = |body| customer.to("POST", "/services").header("idempotency-key", "k1").json(body).send();
    let first = send(&body).with(201);
    assert_eq!(send(&body).with(201), first);
    assert_eq!(customer.balance(), 10_000 - 3_900);
    send(&json!({"service": "grpc"})).is_problem(409, "idempotency_key_reused");
}

fn nobody_sees_or_changes_anothers_services(backend: Backend) {
    let server = Server::on(backend);
    let (one, other) = (Customer::with_credit(&server, 1, 10_000), Customer::new(&server, 2));
    one.subscribe("seal", "pro").with(201);
    other.get("/services/seal").is_problem(404, "no_service");
    other.patch("/services/seal", &json!({"enabled": false})).is_problem(404, "no_service");
    other.to("DELETE", "/services/seal").send().is_problem(404, "no_service");
    assert_eq!(other.get("/services").with(200)["items"], json!([]));
    assert_eq!(one.get("/services/seal").with(200)["state"], "enabled");
}

fn a_token_needs_the_scope_to_change_a_service(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 10_000);
    let token = |scope: &str| {
        let made = customer.post("/tokens", &json!({"name": scope, "scopes": [scope]})).with(201);
        made["token"].as_str().unwrap().to_owned()
    };
    let (may, may_not) = (token("services:write"), token("keys:write"));
    let body = json!({"service": "seal"});
    let send = |token: &str| server.to("POST", "/api/v1/services").bearer(token).json(&body).send();
    send(&may_not).is_problem(403, "insufficient_scope");
    send(&may).with(201);
    server.to("GET", "/api/v1/services").bearer(&may_not).send().with(200);
}

fn a_type_that_is_closed_can_be_kept_and_not_be_had(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::with_credit(&server, 1, 10_000);
    customer.subscribe("seal", "starter").with(201);
    crate::harness::accounts::Raw::of(&server.place).run("UPDATE service_types SET open = 0");
    customer.subscribe("grpc", "starter").is_problem(409, "service_not_offered");
    customer.patch("/services/seal", &json!({"tier": "pro"})).with(200);
}

fn the_catalogue_says_what_can_be_had_and_what_it_costs_now(backend: Backend) {
    let server = Server::on(backend);
    let customer = Customer::new(&server, 1);
    let read = customer.get("/catalogue").with(200);
    let names: Vec<&str> =
        read["services"].as_array().unwrap().iter().map(|item| item["service"].as_str().unwrap()).collect();
    assert_eq!(names, ["graphql", "grpc", "seal"]);
    assert_eq!(read["services"][2], json!({"service": "seal", "title": "Seal key servers", "open": true}));
    let expected = json!({
        "tier": "pro", "subscription_cents": 3_900, "guaranteed_per_s": 200, "burst_per_s": 500,
        "allowlist_entries_max": 20, "api_keys_included": 2, "api_keys_max": 10, "seal_keys_included": 1,
        "packages_per_seal_key": 5,
    });
    assert_eq!(read["tiers"][1], expected);
    assert_eq!(read["prices"]["request_micro_usd"], 100);
    crate::harness::accounts::Raw::of(&server.place).run(
        "INSERT INTO prices VALUES ('request', 1795251900123, 90); INSERT INTO prices VALUES ('request', 1795251900124, 80); \
         UPDATE service_types SET open = 0 WHERE service = 'grpc'",
    );
    let read = customer.get("/catalogue").with(200);
    assert_eq!(
        (&read["prices"]["request_micro_usd"], &read["services"][1]["open"]),
        (&json!(90), &json!(false))
    );
}
