//! TLS: with a certificate the edge speaks TLS 1.2 and 1.3, HTTP/2 and 1.1; the clear port refuses and never redirects.
//! The client is curl.

use harness::{Connection, Stack};
use std::path::PathBuf;
use std::process::Command;

/// A certificate for localhost, signed by itself; what the edge wants (chain and key in one file) and what a client trusts.
fn certificate(folder: &std::path::Path) -> (PathBuf, PathBuf) {
    let (key, chain, both) = (folder.join("key.pem"), folder.join("chain.pem"), folder.join("both.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = std::fs::read_to_string(&chain).unwrap() + &std::fs::read_to_string(&key).unwrap();
    std::fs::write(&both, text).unwrap();
    (both, chain)
}

struct Curl {
    exit: i32,
    status: String,
    version: String,
    head: String,
    body: String,
}

fn curl(chain: &std::path::Path, port: u16, arguments: &[&str]) -> Curl {
    let output = Command::new("curl")
        .args(["-s", "-m", "10", "-D", "/dev/stderr", "-w", "\n%{http_code} %{http_version}", "--cacert"])
        .arg(chain)
        .args(arguments)
        .arg(format!("https://localhost:{port}/"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, last) = printed.rsplit_once('\n').unwrap();
    let (status, version) = last.split_once(' ').unwrap();
    Curl {
        exit: output.status.code().unwrap(),
        status: status.to_owned(),
        version: version.to_owned(),
        head: String::from_utf8_lossy(&output.stderr).to_lowercase(),
        body: body.to_owned(),
    }
}

#[test]
fn with_a_certificate_the_edge_speaks_tls_http_2_and_1_and_the_clear_port_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (both, chain) = certificate(folder.path());
    let clear = harness::ports::Port::take();
    let stack = Stack::start_with(&[
        ("SUIFTLY_EDGE_CERT", both.to_str().unwrap()),
        ("SUIFTLY_EDGE_LISTEN", "127.0.0.1"),
        ("SUIFTLY_EDGE_CLEAR_PORT", &clear.number().to_string()),
    ]);
    let customer = stack.customer(1, "seal", "pro");
    let (key, _) = stack.key(customer, "seal");
    let line = format!("Authorization: Bearer {key}");
    let port = stack.edge.number();

    for (arguments, version) in [
        (vec!["--http2"], "2"),
        (vec!["--http1.1"], "1.1"),
        (vec!["--tls-max", "1.2", "--http2"], "2"),
        (vec!["--tlsv1.3", "--http2"], "2"),
    ] {
        let good = curl(&chain, port, &[arguments.as_slice(), &["-H", &line]].concat());
        assert_eq!(
            (good.exit, good.status.as_str(), good.version.as_str()),
            (0, "200", version),
            "{arguments:?} {}",
            good.body
        );
        assert!(good.head.contains("strict-transport-security: max-age=31536000"), "{}", good.head);
        assert!(good.body.contains(&customer.to_string()), "{}", good.body);
        let none = curl(&chain, port, &arguments);
        assert_eq!((none.status.as_str(), none.body.contains("missing_key")), ("401", true), "{}", none.body);
        assert!(none.head.contains("strict-transport-security"));
    }
    let old = curl(
        &chain,
        port,
        &["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", "-H", &line],
    );
    assert_ne!(old.exit, 0, "TLS 1.1 was accepted");

    for lines in [vec![], vec![line.as_str()], vec!["Upgrade-Insecure-Requests: 1"]] {
        let answer = Connection::open(clear.number()).unwrap().get(&lines).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (403, "tls_required"));
        assert_eq!((answer.field("location"), answer.field("strict-transport-security")), (None, None));
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    }
    // In clear on the TLS port: no answer that a client could take for one.
    assert!(!matches!(Connection::open(port).unwrap().get(&[&line]), Ok(answer) if answer.status == 200));
}

#[test]
fn without_a_certificate_only_this_machine_may_come_in_and_a_clear_port_makes_no_sense() {
    let stack = Stack::start();
    let listening =
        Command::new("ss").args(["-Hltn", &format!("sport = :{}", stack.edge.number())]).output().unwrap();
    let listening = String::from_utf8_lossy(&listening.stdout).into_owned();
    assert!(
        !listening.is_empty() && listening.lines().all(|line| line.contains(" 127.0.0.1:")),
        "{listening}"
    );
    assert!(stack.get(&[]).field("strict-transport-security").is_none());

    let stack = Stack::prepared(&[("SUIFTLY_EDGE_CLEAR_PORT", "8070")]);
    let (accepted, printed) = stack.check_config();
    assert!(!accepted && printed.contains("SUIFTLY_EDGE_CERT"), "{printed}");
}
