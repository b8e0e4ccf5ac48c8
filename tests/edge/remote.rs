//! Edges on other machines: real HAProxies with the real module, each behind its own `suiftly agent`.

use harness::keys::mint_independently;
use harness::{Connection, Stack};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn two_edges_follow_one_control_plane_and_a_confirmed_revocation_holds_on_both() {
    let control = Stack::control_plane(&[]);
    let customer = control.customer(1, "seal", "enterprise");
    let edges = [Stack::edge_of(&control, "fra1"), Stack::edge_of(&control, "nyc1")];
    for _ in 0..5 {
        let (key, fingerprint) = control.key(customer, "seal");
        for edge in &edges {
            assert_eq!(edge.status_with(&key), 200, "{}", edge.logs());
        }
        let answer = control.json(&format!("admin key revoke --fingerprint {fingerprint}"));
        assert_eq!(answer["applied"], true, "{answer}");
        // No waiting: the answer said so.
        assert_eq!(edges.each_ref().map(|edge| edge.status_with(&key)), [401, 401]);
    }
    let status = control.json("edge status");
    let names: Vec<&str> =
        status["edges"].as_array().unwrap().iter().map(|edge| edge["edge"].as_str().unwrap()).collect();
    assert_eq!(names, ["fra1", "nyc1"]);
    assert_eq!(control.json("edge diff")["differences"], serde_json::json!([]));
}

/// The control plane dies, and then everything on the edge does: what was confirmed stays in force, from the files alone.
#[test]
fn an_edge_alone_keeps_what_was_confirmed_through_reload_kill_and_restart() {
    let mut control = Stack::control_plane(&[]);
    let secret_hex = control.secret_hex();
    let customer = control.customer(1, "seal", "enterprise");
    let mut edge = Stack::edge_of(&control, "fra1");
    let keys: Vec<String> = (1..=8)
        .map(|number| mint_independently(&secret_hex, 1, "seal", 1000 - number, customer, 1))
        .collect();
    let (revoked, good) = keys.split_at(6);
    for key in revoked {
        control.admin(&format!("key revoke --key {key}"));
    }
    let (done, asked, admitted) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let port = edge.edge.number();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                let Ok(mut connection) = Connection::open(port) else { continue };
                for key in revoked {
                    let Ok(answer) = connection.get(&[&format!("X-API-Key: {key}")]) else { break };
                    asked.fetch_add(1, Ordering::Relaxed);
                    admitted.fetch_add(u64::from(answer.status == 200), Ordering::Relaxed);
                }
            }
        });
        control.kill_child("serve");
        edge.master("reload");
        std::thread::sleep(Duration::from_millis(300));
        edge.kill_child("serve");
        edge.kill_worker();
        edge.supervise_haproxy_until_it_serves();
        edge.start_child("serve");
        edge.wait_until_healthy();
        edge.reload();
        std::thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(admitted.load(Ordering::Relaxed), 0);
    assert!(asked.load(Ordering::Relaxed) > 20, "{asked:?}");
    for key in good {
        assert_eq!(edge.status_with(key), 200, "{}", edge.logs());
    }
    // Cut off, and it says so; what comes meanwhile is in force when the control plane is back.
    let (code, text, _) = edge.run(&["edge", "status", "--json"]);
    assert!(code == 5 && text.contains("cut off"), "{code} {text}");
    let (code, ..) = control.run(&["admin", "key", "revoke", "--key", &good[0], "--no-wait"]);
    assert_eq!(code, 0);
    control.start_child("serve");
    edge.wait_until_ready();
    harness::http::wait_for("the revocation", Duration::from_secs(5), || {
        (edge.status_with(&good[0]) != 200).then_some(())
    });
    assert_eq!(edge.status_with(&good[1]), 200);
}

/// Somebody puts an old copy of the map files back while nobody can say what came later: the workers, which know it, are left
/// as they are.
#[test]
fn an_agent_that_restarts_with_old_files_brings_no_revoked_key_back() {
    let mut control = Stack::control_plane(&[]);
    let customer = control.customer(1, "seal", "enterprise");
    let mut edge = Stack::edge_of(&control, "fra1");
    let [(_, early), (late, late_print)] = [(); 2].map(|()| control.key(customer, "seal"));
    control.admin(&format!("key revoke --fingerprint {early}"));
    let (maps, old) = (edge.state().join("maps"), edge.state().join("old"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&maps, &old);
    control.admin(&format!("key revoke --fingerprint {late_print}"));
    assert_eq!(edge.status_with(&late), 401);
    control.kill_child("serve");
    edge.kill_child("serve");
    copy(&old, &maps);
    edge.start_child("serve");
    edge.wait_until_healthy();
    harness::http::wait_for("it says that it knows less", Duration::from_secs(5), || {
        assert_ne!(edge.status_with(&late), 200, "a revoked key came back");
        let (_, text, _) = edge.run(&["edge", "status", "--json"]);
        text.contains("only").then_some(())
    });
    control.start_child("serve");
    harness::http::wait_for("in step again", Duration::from_secs(40), || {
        assert_ne!(edge.status_with(&late), 200, "a revoked key came back");
        let (code, ..) = edge.run(&["edge", "status", "--json"]);
        (code == 0).then_some(())
    });
}
