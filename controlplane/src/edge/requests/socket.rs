//! The socket that HAProxy's log lines come in on.

use crate::config::RequestLogTarget;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much the kernel may keep while we do not read, in bytes; it gives no more than `net.core.rmem_max`. A line takes about
/// 1,280 bytes there.
const BUFFER_LEN: usize = 4 << 20;
/// How long a read waits, and so how soon the end is noticed.
const READ_LIMIT: Duration = Duration::from_millis(200);
const UDP_SOCKETS: &str = "/proc/self/net/udp";

/// A socket that is bound. A file in the file system goes with it.
#[derive(Debug)]
pub enum LineSocket {
    /// A port of this machine.
    Udp(UdpSocket),
    /// A file, mode 0600.
    Unix(UnixDatagram, PathBuf),
}

impl LineSocket {
    /// Binds it; none where the request log is off.
    ///
    /// # Errors
    /// The operating system's, e.g. that the port is taken.
    pub fn bind(target: &RequestLogTarget) -> io::Result<Option<Self>> {
        let socket = match target {
            RequestLogTarget::Off => return Ok(None),
            RequestLogTarget::Udp(address) => {
                let socket = UdpSocket::bind(address)?;
                socket.set_read_timeout(Some(READ_LIMIT))?;
                rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER_LEN)?;
                Self::Udp(socket)
            }
            RequestLogTarget::Unix(path) => {
                remove_left_over(path)?;
                let socket = UnixDatagram::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                socket.set_read_timeout(Some(READ_LIMIT))?;
                Self::Unix(socket, path.clone())
            }
        };
        Ok(Some(socket))
    }

    /// Waits a moment for a line; none where none came. What does not fit is cut.
    ///
    /// # Errors
    /// The operating system's.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        let received = match self {
            Self::Udp(socket) => socket.recv(buffer),
            Self::Unix(socket, _) => socket.recv(buffer),
        };
        match received {
            Ok(len) => Ok(buffer.get(..len)),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many lines the kernel has dropped since the socket is there, because we did not read fast enough; none where it does
    /// not say. Of a unix socket the sender is told, and counts (`DroppedLogs` of HAProxy's `show info`).
    pub fn dropped(&self) -> Option<u64> {
        let Self::Udp(socket) = self else { return None };
        let port = socket.local_addr().ok()?.port();
        dropped_in(&std::fs::read_to_string(UDP_SOCKETS).ok()?, port)
    }
}

impl Drop for LineSocket {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Left over, it is removed at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The last column of the line of a loopback address with this port: `sl local_address … drops`.
fn dropped_in(table: &str, port: u16) -> Option<u64> {
    let place = format!("0100007F:{port:04X}");
    let mut lines = table.lines().map(str::split_whitespace);
    lines.find_map(|mut line| {
        let is_ours = line.nth(1) == Some(place.as_str());
        line.last().filter(|_| is_ours)?.parse().ok()
    })
}

/// Only a socket is removed: a file of somebody else's stays, and binding fails.
fn remove_left_over(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn udp() -> (LineSocket, std::net::SocketAddr) {
        let any = RequestLogTarget::Udp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        let socket = LineSocket::bind(&any).unwrap().unwrap();
        let LineSocket::Udp(bound) = &socket else { panic!("{socket:?}") };
        let address = bound.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn what_the_kernel_drops_is_known() {
        let (socket, address) = udp();
        assert_eq!(socket.dropped(), Some(0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100_000 {
            sender.send_to(&[b'x'; 400], address).unwrap();
        }
        let dropped = socket.dropped().unwrap();
        let (mut received, mut buffer) = (0, [0; 500]);
        while socket.receive(&mut buffer).unwrap().is_some() {
            received += 1;
        }
        assert!(received > 100, "{received}");
        assert_eq!(received + dropped, 100_000);
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.sock");
        let target = RequestLogTarget::Unix(path.clone());
        drop(UnixDatagram::bind(&path).unwrap());
        let socket = LineSocket::bind(&target).unwrap().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixDatagram::unbound().unwrap().send_to(b"line", &path).unwrap();
        assert_eq!(socket.receive(&mut [0; 9]).unwrap(), Some(b"line".as_slice()));
        drop(socket);
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        assert!(LineSocket::bind(&target).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
