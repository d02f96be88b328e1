//! `matryx federation`
//!
//! Looks at other servers from outside of the running one: with its configuration and its signing
//! key, but without its database, so that it may keep running meanwhile. What waits for them is the
//! running server's to say.

mod destinations;

use std::{net::IpAddr, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use matryx_client::{
    federation::{Federation, FederationError},
    outbound::{AddressGuard, Dns, Host, SystemDns},
};
use matryx_entity::{clock::Clock, server_keys::ServerKeys};
use ruma::{
    OwnedServerName, ServerName, UserId,
    api::federation::{
        discovery::{get_server_keys, get_server_version},
        query::get_profile_information,
    },
};

use super::{Loaded, block_on};
use crate::{
    clock::{Stopwatch, SystemClock},
    config::Config,
    data_dir::DataDir,
    serve,
    signing_key::SigningKey,
};

/// What to find out about another server.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Command {
    /// Ask a server for its version and its keys, and whether it believes our signature
    Ping {
        /// Name of the server
        server: OwnedServerName,
    },
    /// Show each step from a server's name to where it is
    Trace {
        /// Name of the server
        server: OwnedServerName,
    },
    /// List the servers to which something is to be sent, and how those fare that fail
    Destinations,
    /// Try servers that failed again now
    Retry {
        /// Name of the server; without one all that failed
        server: Option<OwnedServerName>,
    },
}

pub(super) fn run(command: &Command, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    match command {
        Command::Ping { server } => look(server, Look::Ping, loaded),
        Command::Trace { server } => look(server, Look::Trace, loaded),
        Command::Destinations => destinations::list(loaded),
        Command::Retry { server } => destinations::retry(loaded, server.clone()),
    }
}

/// In which way to look at a server.
#[derive(Clone, Copy)]
enum Look {
    Ping,
    Trace,
}

fn look(server: &ServerName, look: Look, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    let key = SigningKey::load(&DataDir::signing_key_in(&config.data_dir))
        .context("requests are signed with the server's key, which its first start makes")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let federation = serve::federation(config, &Arc::new(key.pair), &clock)?;
    let report = block_on(async {
        Ok(match look {
            Look::Ping => ping(&federation, server, &*clock).await,
            Look::Trace => trace(&federation, server, config).await,
        })
    })?;
    println!("{}", report.text);
    Ok(if report.is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What was found out.
struct Report {
    text: String,
    is_good: bool,
}

impl Report {
    fn new(title: String) -> Self {
        Self {
            text: title,
            is_good: true,
        }
    }

    fn note(&mut self, line: &str) {
        self.text.push_str("\n  ");
        self.text.push_str(line);
    }

    fn check(&mut self, what: &str, outcome: Result<String, String>) {
        self.is_good &= outcome.is_ok();
        let line = match outcome {
            Ok(found) => format!("ok   {what}: {found}"),
            Err(why) => format!("BAD  {what}: {why}"),
        };
        self.note(&line);
    }
}

async fn ping(federation: &Federation, server: &ServerName, clock: &dyn Clock) -> Report {
    let mut report = Report::new(server.to_string());
    report.check("version", version(federation, server).await);
    report.check("keys", keys(federation, server, clock).await);
    report.check("signature", signature(federation, server).await);
    report
}

async fn trace(federation: &Federation, server: &ServerName, config: &Config) -> Report {
    let mut report = Report::new(server.to_string());
    let resolution = federation.resolve(server).await;
    for step in &resolution.steps {
        report.note(&step.to_string());
    }
    let route = &resolution.route;
    report.note(&format!("Host: {}", route.authority));
    report.note(&format!("certificate for: {}", route.name));
    let guard = AddressGuard::new(config.federation.deny_ip_ranges.clone());
    for target in &route.targets {
        let addresses = match &target.host {
            Host::Ip(address) => Ok(vec![*address]),
            Host::Name(name) => SystemDns::default().addresses(name).await,
        };
        let found = match addresses {
            Ok(addresses) => {
                let shown = addresses.into_iter().map(|address| show(&guard, address));
                shown.collect::<Vec<_>>().join(", ")
            }
            Err(error) => chain(&error),
        };
        report.note(&format!("{target}: {found}"));
    }
    report.check("version", version(federation, server).await);
    report
}

fn show(guard: &AddressGuard, address: IpAddr) -> String {
    match guard.check(address) {
        Ok(()) => address.to_string(),
        Err(_denied) => format!("{address} (in federation.deny_ip_ranges)"),
    }
}

async fn version(federation: &Federation, server: &ServerName) -> Result<String, String> {
    let watch = Stopwatch::start();
    let request = get_server_version::v1::Request::new();
    let answer = federation.send(server, request).await;
    let answer = answer.map_err(|error| chain(&error))?;
    let program = answer.server.unwrap_or_default();
    let name = program.name.unwrap_or_else(|| "unnamed".to_owned());
    let version = program.version.unwrap_or_default();
    let took = watch.elapsed().as_millis();
    Ok(format!("{name} {version} ({took} ms)"))
}

async fn keys(
    federation: &Federation,
    server: &ServerName,
    clock: &dyn Clock,
) -> Result<String, String> {
    let request = get_server_keys::v2::Request::new();
    let answer = federation.send(server, request).await;
    let answer = answer.map_err(|error| chain(&error))?;
    let now = clock.now();
    let keys = ServerKeys::parse(answer.server_key.json().get(), server, now);
    let keys = keys.map_err(|error| chain(&error))?;
    let valid = keys
        .keys
        .iter()
        .filter(|(_, key)| now <= key.valid_until_ts);
    let ids: Vec<&str> = valid.map(|(id, _)| id.as_str()).collect();
    if ids.is_empty() {
        return Err("none of them is valid any more".to_owned());
    }
    Ok(ids.join(", "))
}

/// Does the server believe a signed request? It has to fetch our keys for that.
async fn signature(federation: &Federation, server: &ServerName) -> Result<String, String> {
    let user =
        UserId::parse(format!("@matryx-ping:{server}")).map_err(|error| error.to_string())?;
    let request = get_profile_information::v1::Request::new(user);
    match federation.send(server, request).await {
        Ok(_) => Ok("believed".to_owned()),
        // There is no such user, which only who is believed is told.
        Err(FederationError::Remote { source, .. })
            if [403, 404].contains(&source.status_code.as_u16()) =>
        {
            Ok("believed".to_owned())
        }
        Err(error) => Err(chain(&error)),
    }
}

/// An error and all its causes on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
