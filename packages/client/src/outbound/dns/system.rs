//! Looking names up as the system is configured: its hosts file and its name servers.
//!
//! Search domains are not followed: the name of a server means the same everywhere. Files are read
//! for each lookup, so that changes count at once; lookups are rare, as connections are kept.

use std::{
    cmp::Reverse,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rand::seq::SliceRandom;

use super::{
    Dns, DnsError, Service,
    message::{Answer, Kind, Record},
    query::ask,
};
use crate::outbound::{Host, Target};

/// The port of name servers.
const PORT: u16 = 53;
/// The most name servers that are asked, as in the system's resolver.
const MAX_SERVERS: usize = 3;
/// How often all of them are asked before giving up.
const ROUNDS: usize = 2;
/// How long the absence of a service holds.
const ABSENT: Duration = Duration::from_mins(5);

/// The system's names.
#[derive(Clone, Debug)]
pub struct SystemDns {
    hosts: PathBuf,
    resolv_conf: PathBuf,
}

impl Default for SystemDns {
    fn default() -> Self {
        Self::new("/etc/hosts", "/etc/resolv.conf")
    }
}

impl SystemDns {
    /// Names as a hosts file and a `resolv.conf` give them.
    pub fn new(hosts: impl Into<PathBuf>, resolv_conf: impl Into<PathBuf>) -> Self {
        Self {
            hosts: hosts.into(),
            resolv_conf: resolv_conf.into(),
        }
    }

    async fn look_up_addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let host = host.trim_end_matches('.');
        if let Some(addresses) = self.in_hosts_file(host).await {
            return Ok(addresses);
        }
        // RFC 6761: never the business of a name server.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let (v6, v4) = tokio::join!(self.query(host, Kind::Aaaa), self.query(host, Kind::A));
        let (v6, v4) = match (v6, v4) {
            (Err(error), Err(_)) => return Err(error),
            (v6, v4) => (v6.unwrap_or_default(), v4.unwrap_or_default()),
        };
        let addresses = v6.records.into_iter().chain(v4.records);
        let addresses: Vec<IpAddr> = addresses
            .filter_map(|record| match record {
                Record::Address(address) => Some(address),
                Record::Server { .. } => None,
            })
            .collect();
        if addresses.is_empty() {
            return Err(DnsError::NotFound(host.to_owned()));
        }
        Ok(addresses)
    }

    async fn look_up_service(&self, name: &str) -> Result<Service, DnsError> {
        let answer = self.query(name, Kind::Srv).await?;
        let ttl = answer
            .ttl
            .map_or(ABSENT, |ttl| Duration::from_secs(ttl.into()));
        let mut servers: Vec<_> = answer
            .records
            .into_iter()
            .filter_map(|record| match record {
                // The root as a host means that the service is decidedly not there.
                Record::Server { host, .. } if host.is_empty() => None,
                Record::Server {
                    priority,
                    weight,
                    port,
                    host,
                } => Some((
                    priority,
                    weight,
                    Target {
                        host: Host::parse(&host),
                        port,
                    },
                )),
                Record::Address(_) => None,
            })
            .collect();
        let mut random = rand::rng();
        servers.shuffle(&mut random);
        // Of the same priority, the heavier are tried first.
        servers.sort_by_key(|(priority, weight, _)| (*priority, Reverse(*weight)));
        Ok(Service {
            targets: servers.into_iter().map(|(_, _, target)| target).collect(),
            ttl,
        })
    }

    async fn query(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        let servers = self.name_servers().await;
        for _ in 0..ROUNDS {
            for server in &servers {
                match ask(*server, name, kind).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure = error,
                }
            }
        }
        Err(DnsError::Unavailable {
            name: name.to_owned(),
            source: Arc::new(failure),
        })
    }

    async fn name_servers(&self) -> Vec<SocketAddr> {
        let text = tokio::fs::read_to_string(&self.resolv_conf).await;
        let servers = name_servers(&text.unwrap_or_default());
        if servers.is_empty() {
            // As resolv.conf(5) has it.
            return vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))];
        }
        servers
    }

    async fn in_hosts_file(&self, host: &str) -> Option<Vec<IpAddr>> {
        let text = tokio::fs::read_to_string(&self.hosts).await.ok()?;
        let addresses = host_addresses(&text, host);
        (!addresses.is_empty()).then_some(addresses)
    }
}

impl Dns for SystemDns {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        self.look_up_addresses(host).boxed()
    }

    fn service<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Service, DnsError>> {
        self.look_up_service(name).boxed()
    }
}

/// The words of each line, without comments.
fn lines(text: &str) -> impl Iterator<Item = impl Iterator<Item = &str>> {
    text.lines().map(|line| {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        line.split_ascii_whitespace()
    })
}

fn name_servers(text: &str) -> Vec<SocketAddr> {
    let servers = lines(text).filter_map(|mut words| {
        let is_server = words.next() == Some("nameserver");
        let address = is_server.then(|| words.next())??;
        // A zone after the address has no place in what we connect to.
        let address = address.split('%').next()?;
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    });
    servers.take(MAX_SERVERS).collect()
}

fn host_addresses(text: &str, host: &str) -> Vec<IpAddr> {
    let addresses = lines(text).filter_map(|mut words| {
        let address = words.next()?.parse().ok()?;
        words
            .any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host))
            .then_some(address)
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_systems_files() {
        let text = "search corp\nnameserver 192.0.2.1 # a\n;nameserver 192.0.2.9\n\
                    nameserver fe80::1%eth0\nnameserver nonsense\nnameserver 192.0.2.3\n\
                    nameserver 192.0.2.4\n";
        let servers = name_servers(text)
            .into_iter()
            .map(|server| server.to_string());
        assert_eq!(
            servers.collect::<Vec<_>>(),
            ["192.0.2.1:53", "[fe80::1]:53", "192.0.2.3:53"]
        );
        let text = "127.0.0.1 localhost\n192.0.2.7\tone.test One # two.test\n::1 one.test\n";
        let found = |host| {
            let addresses = host_addresses(text, host).into_iter();
            addresses
                .map(|address| address.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("one.test"), ["192.0.2.7", "::1"]);
        assert_eq!(found("one"), ["192.0.2.7"]);
        assert_eq!(found("two.test"), [""; 0]);
    }

    #[tokio::test]
    async fn a_host_of_the_file_needs_no_name_server() {
        let folder = std::env::temp_dir();
        let hosts = folder.join(format!("matryx-hosts-{}", std::process::id()));
        std::fs::write(&hosts, "192.0.2.7 one.test\n").unwrap();
        let dns = SystemDns::new(&hosts, "/nonexistent");
        let found = dns.addresses("one.test").await.unwrap();
        let local = dns.addresses("localhost").await.unwrap();
        std::fs::remove_file(&hosts).unwrap();
        assert_eq!(found, [IpAddr::from([192, 0, 2, 7])]);
        assert_eq!(local.len(), 2);
    }
}
