//! Kills the real process while clients write, again and again, on the same data folder.

use super::audit::Audit;
use super::check::Checks;
use super::crew::Crew;
use super::ledger::Ledger;
use super::random::Random;
use super::writers::Job;
use crate::homeserver::{Launch, Profile, binary};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::time::SystemTime;
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
    let crew = Crew::hire(&server, &JOBS).await?;
    for number in 1..=loops {
        let mut ledger = Ledger::default();
        let crowd = crew.set_to_work(&server, number, &mut ledger).await?;
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
