//! `cargo xtask bench`: drives the release binary over HTTP and measures it from outside.
//!
//! One server process lives through all scenarios, so that the peak memory at the end is that of
//! the whole run. Latency is what the load generator saw, CPU time and bytes written are what the
//! kernel counted for the server alone.

mod baseline;
mod fixture;
mod meter;
mod report;
mod scenarios;

use crate::cargo::cargo;
use crate::homeserver::{self, Launch, Profile, repository};
use crate::procfs::{Machine, Memory};
use anyhow::{Context as _, Result, bail};
use fixture::Bench;
use report::Report;
use scenarios::Scenario;
use std::path::PathBuf;
use std::time::Duration;

/// Time after the start at which an idle server's memory is read.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// Options of `cargo xtask bench`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure this binary instead of building the release binary.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Run only the scenarios whose name contains this text (may be repeated).
    #[arg(long)]
    only: Vec<String>,
    /// A small version of every scenario, under two minutes.
    #[arg(long)]
    quick: bool,
    /// Write the results as JSON to this file.
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
    /// Make the results the baseline that later runs compare with.
    #[arg(long)]
    write_baseline: bool,
    /// Print the results as a Markdown table, as docs/operations/performance.md shows them.
    #[arg(long)]
    markdown: bool,
    /// Keep the server's data under this folder instead of the system's temporary one.
    #[arg(long)]
    work_dir: Option<PathBuf>,
    /// One more `key=value` setting for the server (may be repeated).
    #[arg(long = "set")]
    settings: Vec<String>,
    /// List the scenarios and exit.
    #[arg(long)]
    list: bool,
}

/// Runs the scenarios and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for scenario in Scenario::ALL {
            println!("{:<14} {}", scenario.name(), scenario.about());
        }
        return Ok(());
    }
    if cfg!(debug_assertions) {
        return rerun_optimised();
    }
    let chosen: Vec<Scenario> = Scenario::ALL
        .into_iter()
        .filter(|s| args.wants(*s))
        .collect();
    if chosen.is_empty() {
        bail!("no scenario is named so; see --list");
    }
    // A single thread: the generator must leave the cores to the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(args, &chosen))?;
    report.write(&args.out)?;
    let baseline = baseline::load()?;
    if args.markdown {
        print!("{}", report.markdown());
    } else {
        print!("{}", report.table(baseline.as_ref()));
    }
    if args.write_baseline {
        baseline::save(&report)?;
    }
    println!("JSON: {}", args.out.display());
    match report.failures.len() {
        0 => Ok(()),
        failed => bail!("{failed} of {} scenarios failed", chosen.len()),
    }
}

impl Args {
    fn wants(&self, scenario: Scenario) -> bool {
        if self.only.is_empty() {
            return scenario.is_usual();
        }
        let mut parts = self.only.iter();
        parts.any(|part| scenario.name().contains(part.as_str()))
    }
}

/// An unoptimised generator would take the processor time that the server should have.
fn rerun_optimised() -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    command.args(std::env::args_os().skip(1));
    let status = command
        .status()
        .context("running the optimised load generator")?;
    if status.success() {
        Ok(())
    } else {
        bail!("the bench failed: {status}")
    }
}

async fn measure(args: &Args, chosen: &[Scenario]) -> Result<Report> {
    let binary = homeserver::binary(args.binary.as_deref(), Profile::Release)?;
    let parent = args.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("matryx-bench-")
        .tempdir_in(parent)?;
    let appservices = fixture::write_appservice(folder.path())?;
    let mut launch = Launch::new(&binary, folder.path())?.with_appservices(&appservices);
    for setting in &args.settings {
        launch = launch.with_setting(setting);
    }
    let server = launch.start().await?;
    let mut report = Report::new(Machine::describe()?, revision(), args.quick);
    report.start_ms = server.ready_ms;
    report.fdatasync_ms = meter::fdatasync_ms(folder.path())?;
    tokio::time::sleep(IDLE_AFTER).await;
    report.idle_mib = Memory::of(server.pid)?.now_mib;
    let bench = Bench::new(server, args.quick, (&binary, folder.path(), &appservices));
    for scenario in chosen {
        println!("running {} …", scenario.name());
        match scenario.run(&bench).await {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => report
                .failures
                .push(format!("{}: {error:#}", scenario.name())),
        }
    }
    let memory = Memory::of(bench.server.pid)?;
    (report.after_mib, report.peak_mib) = (memory.now_mib, memory.peak_mib);
    if !report.failures.is_empty() {
        println!("{}", launch.log_tail());
    }
    bench.server.stop().await?;
    let again = launch.start().await?;
    report.restart_ms = again.ready_ms;
    again.stop().await?;
    Ok(report)
}

/// The commit that is measured, where git knows it.
fn revision() -> String {
    let root = repository().unwrap_or_default();
    let mut git = std::process::Command::new("git");
    let output = git
        .current_dir(root)
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}
