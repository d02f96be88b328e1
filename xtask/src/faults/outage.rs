//! Takes the database away from a running homeserver while clients write, and gives it back.
//!
//! The clients do what real ones do: they wait and try again when the server says 503. Nothing
//! else may happen to them: no other error, no request without an answer, no event lost, doubled
//! or out of order. The homeserver is not restarted for it.

use super::audit::Audit;
use super::check::Checks;
use super::crew::Crew;
use super::ledger::{Account, Ledger};
use super::writers::Job;
use crate::homeserver::{Homeserver, Launch, Profile, binary, free_address};
use crate::wire::{Call, Reply, Wire, segment};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Writers whose requests may be sent again after an answer that says nothing of the outcome.
const JOBS: [Job; 9] = [
    Job::Send,
    Job::Send,
    Job::Redact,
    Job::CreateRoom,
    Job::AccountData,
    Job::Profile,
    Job::State,
    Job::Read,
    Job::Follow,
];
/// How long writers write before and after an outage.
const WRITING: Duration = Duration::from_secs(2);
/// How long the database is away: longer than the server waits for it.
const OUTAGE: Duration = Duration::from_secs(8);
/// Longest time for any answer while the database is away.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Longest time until everything works again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for the database's start.
const START_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);

/// Options of the outages.
#[derive(clap::Args)]
pub(crate) struct Outages {
    /// How often to take the database away.
    #[arg(long, default_value_t = 3)]
    outages: u64,
    /// Test this homeserver instead of building the dev one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Runs the outages with this database server and prints the closing line.
pub(crate) fn run(args: &Outages, surreal: &Path) -> Result<()> {
    println!("database outages: {}", args.outages);
    let binary = binary(args.binary.as_deref(), Profile::Dev)?;
    let folder = tempfile::Builder::new()
        .prefix("matryx-outage-")
        .tempdir()?;
    let address = free_address()?;
    let mut launch = Launch::new(&binary, folder.path())?;
    for setting in [
        &format!("database.url=ws://{address}"),
        "database.username=root",
        "database.password=root",
        "password.argon2.memory=64 KiB",
        "password.argon2.iterations=1",
    ] {
        launch = launch.with_setting(setting);
    }
    let database = Database {
        binary: surreal.to_owned(),
        folder: folder.path().to_owned(),
        address,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let checks = runtime.block_on(audit(&launch, &database, args.outages));
    let checks = checks.with_context(|| launch.log_tail())?;
    println!("{}", checks.report());
    if checks.all_passed() {
        Ok(())
    } else {
        bail!("an outage of the database was more than an outage")
    }
}

async fn audit(launch: &Launch, database: &Database, outages: u64) -> Result<Checks> {
    let mut checks = Checks::default();
    without_database(launch, &mut checks).await?;
    let mut running = database.start().await?;
    let mut server = launch.start().await?;
    let crew = Crew::hire(&server, &JOBS).await?.patient();
    for number in 1..=outages {
        let mut ledger = Ledger::default();
        let mut crowd = crew.set_to_work(&server, number, &mut ledger).await?;
        sleep(WRITING).await;
        running.kill().await?;
        let (away, unserved) = probe_all(&server, &crew.accounts, &ledger, &mut checks).await?;
        running = database.start().await?;
        let recovered = recover(&server, &crew.accounts, &ledger).await?;
        sleep(WRITING).await;
        checks.that(!server.has_ended()?, || {
            "the homeserver has ended".to_owned()
        });
        checks.that(crowd.try_join_next().is_none(), || {
            "a writer gave up".to_owned()
        });
        server.kill().await?;
        for part in crowd.join_all().await {
            ledger.absorb(part);
        }
        server = launch.start().await?;
        checks.absorb(Audit::run(&server, &mut ledger).await?);
        println!(
            "outage {number}: away for {away:?}, {unserved} probes answered 503, all works again \
             after {recovered:?}, {} acknowledged, {}",
            ledger.acknowledged(),
            if checks.all_passed() {
                "all there"
            } else {
                "FAILED"
            }
        );
    }
    let status = server.stop().await?;
    checks.that(status.success(), || {
        format!("the server ended with {status} after SIGTERM")
    });
    Ok(checks)
}

/// Without a database the server does not start, and says why.
async fn without_database(launch: &Launch, checks: &mut Checks) -> Result<()> {
    let mut server = launch.spawn()?;
    let deadline = Instant::now() + ANSWER_LIMIT;
    while !server.has_ended()? && Instant::now() < deadline {
        sleep(POLL).await;
    }
    checks.that(server.has_ended()?, || {
        "the server hangs without a database".to_owned()
    });
    let told = launch.log_tail();
    checks.that(told.contains("cannot open the database ws://"), || {
        format!("without a database the server says {told}")
    });
    Ok(())
}

/// Asks for this and that while the database is away. How long it was away, and how many requests
/// were not served.
async fn probe_all(
    server: &Homeserver,
    crew: &[Account],
    ledger: &Ledger,
    checks: &mut Checks,
) -> Result<(Duration, usize)> {
    let began = Instant::now();
    let mut probes = JoinSet::new();
    for probe in Probe::all(crew, ledger, "probe")? {
        let wire = probe.connect(server).await?;
        probes.spawn(probe.ask(wire));
    }
    let mut unserved = 0;
    for (probe, reply) in probes.join_all().await {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                checks.that(false, || {
                    format!("{probe:?} while the database is away: {error:#}")
                });
                continue;
            }
        };
        let expected = match reply.status {
            503 => {
                unserved += 1;
                reply.has_retry_after
            }
            200 => probe.may_be_served,
            _ => false,
        };
        checks.that(expected, || {
            format!("{probe:?} while the database is away: {reply:?}")
        });
    }
    sleep(OUTAGE.saturating_sub(began.elapsed())).await;
    Ok((began.elapsed(), unserved))
}

/// Waits until everything that was asked in the outage is served; how long that took.
async fn recover(server: &Homeserver, crew: &[Account], ledger: &Ledger) -> Result<Duration> {
    let began = Instant::now();
    for probe in Probe::all(crew, ledger, "recovered")? {
        loop {
            let wire = probe.connect(server).await?;
            let (asked, reply) = probe.clone().ask(wire).await;
            let status = reply
                .with_context(|| format!("{asked:?} after the outage"))?
                .status;
            if status == probe.at_last {
                break;
            }
            if began.elapsed() > RECOVERY_LIMIT {
                bail!("{probe:?} still gets {status} {RECOVERY_LIMIT:?} after the outage");
            }
            sleep(POLL).await;
        }
    }
    Ok(began.elapsed())
}

/// A request that is made while the database is away, and after it came back.
#[derive(Clone, Debug)]
struct Probe {
    call: Call,
    token: Option<String>,
    /// Whether it may be served from memory.
    may_be_served: bool,
    /// Its status once the database is back.
    at_last: u16,
}

impl Probe {
    /// One of each kind; `label` tells those of the outage from those after it.
    fn all(crew: &[Account], ledger: &Ledger, label: &str) -> Result<Vec<Self>> {
        let account = crew.first().context("nobody writes")?;
        let room = ledger.rooms.first().context("there is no room")?;
        let room = format!("/_matrix/client/v3/rooms/{}", segment(&room.room_id));
        let message = json!({ "msgtype": "m.text", "body": label });
        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": account.localpart },
            "password": super::writers::PASSWORD,
        });
        let token = Some(account.token.clone());
        let asks = |call, may_be_served| Self {
            call,
            token: token.clone(),
            may_be_served,
            at_last: 200,
        };
        let send = format!("{room}/send/m.room.message/{label}");
        let unknown = Self {
            token: Some(format!("unknown-{label}")),
            at_last: 401,
            ..asks(Call::get("/_matrix/client/v3/account/whoami"), false)
        };
        let nobody = Self {
            at_last: 404,
            ..asks(
                Call::get(format!(
                    "/_matrix/client/v3/profile/@nobody-{label}:localhost"
                )),
                false,
            )
        };
        Ok(vec![
            asks(Call::put(send, &message), false),
            asks(
                Call::post("/_matrix/client/v3/createRoom", &json!({})),
                false,
            ),
            asks(Call::post("/_matrix/client/v3/login", &login), false),
            asks(Call::get("/_matryx/health/ready"), false),
            asks(Call::get("/_matryx/health/live"), true),
            asks(Call::get("/_matrix/client/versions"), true),
            asks(Call::get("/_matrix/client/v3/account/whoami"), true),
            asks(Call::get("/_matrix/client/v3/sync"), true),
            asks(Call::get(format!("{room}/messages?dir=b&limit=1000")), true),
            asks(Call::get(format!("{room}/state")), true),
            unknown,
            nobody,
        ])
    }

    async fn connect(&self, server: &Homeserver) -> Result<Wire> {
        Wire::connect(server.address, self.token.clone()).await
    }

    async fn ask(self, mut wire: Wire) -> (Self, Result<Reply>) {
        let reply = timeout(ANSWER_LIMIT, wire.send(self.call.clone())).await;
        let reply = reply.context("no answer").flatten();
        (self, reply)
    }
}

/// How to start the database server.
struct Database {
    binary: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
}

impl Database {
    /// Starts it and waits until it listens.
    async fn start(&self) -> Result<Child> {
        let log = self.folder.join("database.log");
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.binary);
        command
            .args(["start", "--no-banner", "--log", "error"])
            .args(["--user", "root", "--pass", "root", "--bind"])
            .arg(self.address.to_string())
            .arg(format!(
                "rocksdb://{}",
                self.folder.join("database").display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().context("starting the database")?;
        let deadline = Instant::now() + START_LIMIT;
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            if Instant::now() > deadline {
                bail!("the database does not listen after {START_LIMIT:?}");
            }
            sleep(POLL).await;
        }
        Ok(child)
    }
}
