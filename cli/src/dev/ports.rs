//! TCP ports of the stack.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

/// A port that was free when it was chosen.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    /// The UDP port of the same number, which nothing uses. It keeps other stacks from choosing the same number until a
    /// slow server such as Java listens on the TCP port.
    _reserved: Option<UdpSocket>,
}

impl Port {
    /// The wanted port, or any free port for 0. `flag` is the flag for another port, for the error message.
    pub(super) fn choose(wanted: u16, flag: &str) -> Result<Self> {
        if wanted != 0 {
            return if is_free(wanted) {
                Ok(Self { number: wanted, _reserved: None })
            } else {
                Err(in_use(wanted, flag))
            };
        }
        for _ in 0..100 {
            let number = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
                .and_then(|listener| listener.local_addr())
                .context("failed to find a free port")?
                .port();
            if let Ok(reserved) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) {
                return Ok(Self { number, _reserved: Some(reserved) });
            }
        }
        bail!("failed to find a free port")
    }

    /// Whether a program listens on it.
    pub(super) fn is_listening(&self) -> bool {
        is_listening(self.number)
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect_timeout(&address(port), Duration::from_millis(500)).is_ok()
}

/// Tries a connection and both addresses: some systems let one program listen on 127.0.0.1 beside another on 0.0.0.0.
fn is_free(port: u16) -> bool {
    !is_listening(port)
        && TcpListener::bind(address(port)).is_ok()
        && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// The error for a port that another program uses.
pub(super) fn in_use(port: u16, flag: &str) -> anyhow::Error {
    anyhow!(message(port, flag, owner(port).as_deref()))
}

fn message(port: u16, flag: &str, owner: Option<&str>) -> String {
    let by = owner.map(|owner| format!(" by {owner}")).unwrap_or_default();
    let other = port.checked_add(10).unwrap_or(port - 10);
    format!("port {port} is in use{by}: stop that program, or pass {flag} {other}")
}

/// The process that listens on a port, such as `java (process 12)`. Needs `/proc`.
fn owner(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let socket = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let has_socket = |folder: std::fs::ReadDir| {
            folder
                .flatten()
                .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == socket.as_str()))
        };
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if std::fs::read_dir(entry.path().join("fd")).is_ok_and(has_socket) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// The inode of the socket that listens on `port`, from a table such as `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let matches = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTENING;
        matches.then(|| fields.get(9).map(ToString::to_string))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_in_use_names_its_owner_and_another_port() {
        let listener = TcpListener::bind(address(0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let error = Port::choose(port, "--port").expect_err("in use").to_string();
        assert!(error.starts_with(&format!("port {port} is in use")), "{error}");
        assert!(error.ends_with(&format!("pass --port {}", port.checked_add(10).unwrap_or(port - 10))), "{error}");
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        }
    }

    #[test]
    fn free_ports_are_chosen_only_once() {
        let port = Port::choose(0, "--port").expect("a port");
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, port.number)).expect_err("reserved");
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn message_without_an_owner_is_complete() {
        assert_eq!(message(8000, "--port", None), "port 8000 is in use: stop that program, or pass --port 8010");
        assert_eq!(message(65535, "--port", None), "port 65535 is in use: stop that program, or pass --port 65525");
        assert_eq!(
            message(8001, "--dynamodb-port", Some("java (process 7)")),
            "port 8001 is in use by java (process 7): stop that program, or pass --dynamodb-port 8011"
        );
    }
}
