//! Kills the real process while clients write, again and again, on the same data folder.

use super::audit::Audit;
use super::check::Checks;
use super::ledger::{Account, Joined, Ledger};
use super::random::Random;
use super::writers::{self, Job, Stop, Writer};
use crate::homeserver::{Homeserver, Launch, Profile, binary};
use anyhow::{Context as _, Result, anyhow, bail};
use std::path::PathBuf;
use std::time::SystemTime;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The shortest and the longest time that writers write, in milliseconds.
const WRITING_MS: (u64, u64) = (100, 1500);
/// How long a start that is to be killed lives at most, in milliseconds.
const BROKEN_START_MS: u64 = 400;
/// One restart in so many is killed while it starts.
const BROKEN_START_IN: u64 = 4;
/// Accounts that write in every loop, each with one job.
const JOBS: [Job; 14] = [
    Job::Send,
    Job::Send,
    Job::Send,
    Job::Redact,
    Job::CreateRoom,
    Job::RegisterAndJoin,
    Job::AccountData,
    Job::Profile,
    Job::State,
    Job::Moderate,
    Job::ComeAndGo,
    Job::Read,
    Job::Sessions,
    Job::Follow,
];
/// Rooms that the jobs of one loop share.
const ROOMS: usize = 2;

/// Options of `cargo xtask faults kill9`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often to kill.
    #[arg(long, default_value_t = 5)]
    loops: u64,
    /// Repeat the moments of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Test this binary instead of building the dev one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Keep the data folder, to look into it.
    #[arg(long)]
    keep: bool,
}

/// Runs the loops and prints the closing line.
pub(crate) fn run(args: &Args) -> Result<()> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from(SystemTime::UNIX_EPOCH.elapsed()?.subsec_nanos()),
    };
    println!("kill -9 audit: {} loops, seed {seed}", args.loops);
    let binary = binary(args.binary.as_deref(), Profile::Dev)?;
    let mut folder = tempfile::Builder::new().prefix("matryx-kill9-").tempdir()?;
    folder.disable_cleanup(args.keep);
    let mut launch = Launch::new(&binary, folder.path())?;
    // Passwords are not what is tried here: their hashes shall not slow the writers down.
    for setting in [
        "password.argon2.memory=64 KiB",
        "password.argon2.iterations=1",
    ] {
        launch = launch.with_setting(setting);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let checks = runtime.block_on(audit(&launch, args.loops, seed));
    if args.keep {
        println!("kept {}", folder.path().display());
    }
    let checks = checks.with_context(|| launch.log_tail())?;
    println!("{}", checks.report());
    if checks.all_passed() {
        Ok(())
    } else {
        bail!("the server lost what it acknowledged")
    }
}

async fn audit(launch: &Launch, loops: u64, seed: u64) -> Result<Checks> {
    let mut random = Random::new(seed);
    let mut checks = Checks::default();
    let mut past = Vec::new();
    let mut server = launch.start().await?;
    let crew = hire(&server).await?;
    for number in 1..=loops {
        let mut ledger = Ledger::default();
        let crowd = start_writers(&server, &crew, number, &mut ledger).await?;
        let writing = random.pause_ms(WRITING_MS.0, WRITING_MS.1);
        sleep(writing).await;
        server.kill().await?;
        for part in crowd.join_all().await {
            ledger.absorb(part);
        }
        if random.below(BROKEN_START_IN) == 0 {
            let broken = launch.spawn()?;
            sleep(random.pause_ms(0, BROKEN_START_MS)).await;
            broken.kill().await?;
        }
        server = launch.start().await?;
        let found = Audit::run(&server, &mut ledger).await?;
        println!(
            "loop {number}: killed after {writing:?}, {} acknowledged, ready again in {} ms, {}",
            ledger.acknowledged(),
            server.ready_ms,
            if found.all_passed() {
                "all there"
            } else {
                "FAILED"
            }
        );
        checks.absorb(found);
        past.push(ledger);
    }
    for ledger in &past {
        checks.absorb(Audit::again(&server, ledger).await?);
    }
    let status = server.stop().await?;
    checks.that(status.success(), || {
        format!("the server ended with {status} after SIGTERM")
    });
    Ok(checks)
}

/// Registers the accounts that write.
async fn hire(server: &Homeserver) -> Result<Vec<Account>> {
    let mut crew = Vec::new();
    for n in 0..JOBS.len() {
        let mut wire = server.anonymous().await?;
        crew.push(
            writers::register(&mut wire, &format!("crew{n}"))
                .await
                .map_err(stopped)?,
        );
    }
    Ok(crew)
}

/// Creates this loop's rooms, brings everybody in, and sets everybody to work.
async fn start_writers(
    server: &Homeserver,
    crew: &[Account],
    number: u64,
    ledger: &mut Ledger,
) -> Result<JoinSet<Ledger>> {
    let creator = crew.first().context("nobody writes")?;
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        let mut wire = writers::connect(server, creator).await?;
        let name = format!("loop {number} room {n}");
        let room = writers::create_room(&mut wire, creator, &name)
            .await
            .map_err(stopped)?;
        rooms.push(room.room_id.clone());
        ledger.rooms.push(room);
    }
    let mut crowd = JoinSet::new();
    let mut ready = Vec::new();
    for (n, (job, account)) in JOBS.into_iter().zip(crew).enumerate() {
        let mut wire = writers::connect(server, account).await?;
        for room_id in &rooms {
            writers::join(&mut wire, room_id).await.map_err(stopped)?;
            // Who comes and goes is audited by its membership alone.
            if job != Job::ComeAndGo {
                let (room_id, account) = (room_id.clone(), account.clone());
                ledger.joins.push(Joined { room_id, account });
            }
        }
        let powerful = matches!(job, Job::State | Job::Moderate);
        let account = if powerful { creator } else { account };
        let wire = writers::connect(server, account).await?;
        let label = format!("loop{number}-writer{n}");
        ready.push((
            Writer {
                job,
                label,
                account: account.clone(),
                rooms: rooms.clone(),
            },
            wire,
        ));
    }
    for (writer, wire) in ready {
        crowd.spawn(writer.run(wire));
    }
    Ok(crowd)
}

/// Before the kill, nothing may stop a writer.
fn stopped(stop: Stop) -> anyhow::Error {
    match stop {
        Stop::Broken => anyhow!("the server broke the connection"),
        Stop::Refused(refusal) => anyhow!(refusal),
    }
}
