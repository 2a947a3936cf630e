//! Ports: found free, or said to be taken before anything slow begins.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// A port that was free when it was chosen.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    /// The UDP port of the same number, which nothing here uses: between the choice of a TCP port and the moment that a
    /// slow starter such as Java listens on it, it keeps other stacks from choosing the same one.
    _reserved: Option<UdpSocket>,
}

impl Port {
    /// The wanted port, or any free one for 0. `flag` is how another one is asked for.
    pub(super) fn choose(wanted: u16, flag: &str) -> Result<Self> {
        if wanted != 0 {
            return if is_free(wanted) {
                Ok(Self { number: wanted, _reserved: None })
            } else {
                Err(taken(wanted, flag))
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

    /// Whether something listens on it by now.
    pub(super) fn answers(&self) -> bool {
        answers(self.number)
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&address(port), Duration::from_millis(500)).is_ok()
}

/// Some systems let a program listen on 127.0.0.1 beside another one on all addresses, hence three tries.
fn is_free(port: u16) -> bool {
    !answers(port)
        && TcpListener::bind(address(port)).is_ok()
        && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// What to tell someone whose port is taken.
pub(super) fn taken(port: u16, flag: &str) -> anyhow::Error {
    anyhow!(message(port, flag, owner(port).as_deref()))
}

fn message(port: u16, flag: &str, owner: Option<&str>) -> String {
    let by = owner.map(|owner| format!(" by {owner}")).unwrap_or_default();
    let other = port.checked_add(10).unwrap_or(port - 10);
    format!("port {port} is taken{by}; stop that, or grant {flag} {other}")
}

/// The process that listens on a port, such as `java (process 12)`, where `/proc` tells.
fn owner(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let socket = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let holds = |folder: std::fs::ReadDir| {
            folder
                .flatten()
                .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == socket.as_str()))
        };
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if std::fs::read_dir(entry.path().join("fd")).is_ok_and(holds) {
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
    fn a_taken_port_says_what_to_do() {
        let listener = TcpListener::bind(address(0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let error = Port::choose(port, "--port").expect_err("taken").to_string();
        assert!(error.starts_with(&format!("port {port} is taken")), "{error}");
        assert!(error.ends_with(&format!("grant --port {}", port.checked_add(10).unwrap_or(port - 10))), "{error}");
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        }
    }

    #[test]
    fn any_port_is_not_given_twice() {
        let ports: Vec<Port> = (0..50).map(|_| Port::choose(0, "--port").expect("a port")).collect();
        let numbers: std::collections::HashSet<u16> = ports.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn the_message_does_without_the_owner() {
        assert_eq!(message(8000, "--port", None), "port 8000 is taken; stop that, or grant --port 8010");
        assert_eq!(message(65535, "--port", None), "port 65535 is taken; stop that, or grant --port 65525");
        assert_eq!(
            message(8001, "--dynamodb-port", Some("java (process 7)")),
            "port 8001 is taken by java (process 7); stop that, or grant --dynamodb-port 8011"
        );
    }
}
