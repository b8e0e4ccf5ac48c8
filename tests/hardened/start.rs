//! Without a certificate it starts only when told to.

use crate::layout::Installation;

const ASKS_FOR_A_CERTIFICATE: &str = "set SUIFTLY_EDGE_CERT to a PEM file";

#[test]
fn without_a_certificate_it_does_not_start_unless_told_to() {
    if !crate::can_run() {
        return;
    }
    for (settings, starts) in [
        (&[][..], false),
        (&[("SUIFTLY_EDGE_CERT", "")][..], false),
        (&[("SUIFTLY_ALLOW_CLEAR", "0")][..], false),
        (&[("SUIFTLY_ALLOW_CLEAR", "1")][..], true),
    ] {
        let mut installation = Installation::new(settings);
        installation.start_control_plane();
        let (accepted, printed) = installation.check_edge();
        assert_eq!(accepted, starts, "{settings:?}: {printed}");
        assert_eq!(printed.contains(ASKS_FOR_A_CERTIFICATE), !starts, "{settings:?}: {printed}");
        assert!(!starts || !printed.contains("WARNING"), "{printed}");
    }
}

#[test]
fn with_a_certificate_it_is_accepted_and_a_wrong_path_is_named() {
    if !crate::can_run() {
        return;
    }
    let mut installation = Installation::new(&[("SUIFTLY_EDGE_CERT", "edge.pem")]);
    installation.start_control_plane();
    let (accepted, printed) = installation.check_edge();
    assert!(!accepted && printed.contains("edge.pem"), "{printed}");

    let (chain, key) = (installation.path("chain.pem"), installation.path("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=edge.example.com", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let pem = std::fs::read_to_string(chain).unwrap() + &std::fs::read_to_string(key).unwrap();
    std::fs::write(installation.path("edge.pem"), pem).unwrap();
    let (accepted, printed) = installation.check_edge();
    assert!(accepted && !printed.contains("WARNING"), "{printed}");
}
