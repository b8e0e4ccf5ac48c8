//! A stack with a real gRPC server behind the edge, the edge in clear or with TLS.

use crate::server::Server;
use harness::Stack;
use harness::ports::Port;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How callers reach the edge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// HTTP/2 in clear from the first byte on, without an upgrade: what gRPC clients speak where there is no TLS.
    Clear,
    /// HTTP/2 by ALPN, with a certificate that the client checks.
    Tls,
}

/// The edge and the server behind it.
pub(crate) struct Edge {
    pub(crate) stack: Stack,
    /// What callers trust; none in clear.
    pub(crate) root_certificate: Option<PathBuf>,
    server: Option<Server>,
    server_port: Port,
    // Held, since HAProxy and the callers read files in it.
    _certificates: tempfile::TempDir,
}

impl Edge {
    pub(crate) fn start(transport: Transport) -> Self {
        let server_port = Port::take();
        let server = Server::start(&server_port);
        let server_address = format!("127.0.0.1:{}", server_port.number());
        let certificates = tempfile::tempdir().unwrap();
        let mut settings = vec![("SUIFTLY_GRPC_UPSTREAM", server_address.as_str())];
        let pem = certificates.path().join("edge.pem");
        let root_certificate = match transport {
            Transport::Clear => None,
            Transport::Tls => {
                settings.push(("SUIFTLY_EDGE_CERT", pem.to_str().unwrap()));
                settings.push(("SUIFTLY_EDGE_LISTEN", "127.0.0.1"));
                Some(make_certificate(certificates.path(), &pem))
            }
        };
        let stack = Stack::start_with(&settings);
        Self { stack, root_certificate, server: Some(server), server_port, _certificates: certificates }
    }

    /// Where callers connect.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.stack.edge.number())
    }

    /// Ends the server and its connections; its port refuses from now on.
    pub(crate) fn stop_server(&mut self) {
        drop(self.server.take());
    }

    /// Starts the server again on the same port.
    pub(crate) fn start_server(&mut self) {
        self.server = Some(Server::start(&self.server_port));
    }

    /// Whether HAProxy's health check sees the server.
    pub(crate) fn server_is_up(&self) -> bool {
        let table = self.stack.runtime("show servers state grpc");
        // `srv_op_state` is the sixth column: 0 is down, 2 is up.
        let line = table.lines().find(|line| line.contains(" grpc1 ")).unwrap();
        line.split(' ').nth(5) == Some("2")
    }
}

/// A certificate for 127.0.0.1 from an authority of its own; `pem` is certificate, chain and key, as HAProxy wants it.
/// The path of the authority's certificate.
fn make_certificate(folder: &Path, pem: &Path) -> PathBuf {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let output = output.expect("openssl runs; scripts/test installs it");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("{request} -subj /CN=authority -keyout authority.key -out authority.pem"));
    let names = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let signer = "-CA authority.pem -CAkey authority.key";
    openssl(&format!("{request} -subj /CN=edge {names} {signer} -keyout edge.key -out edge.crt"));
    let parts = ["edge.crt", "authority.pem", "edge.key"];
    let parts = parts.map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    std::fs::write(pem, parts.concat()).unwrap();
    folder.join("authority.pem")
}
