//! `cargo xtask ci`: everything that has to pass before a change lands.
//!
//! The steps run one after another and stop at the first that fails. They share one build, of the
//! dev profile. The closing lines of the tests are repeated at the end, where a reader looks.

use crate::cargo::cargo;
use crate::homeserver::repository;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

/// Restarts of the kill -9 audit; `cargo xtask faults kill9 --loops 50` is the long form.
const KILLS: &str = "5";

/// One step.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
}

const STEPS: [Step; 7] = [
    Step {
        name: "format",
        arguments: &["fmt", "--all", "--check"],
    },
    Step {
        name: "tidy",
        arguments: &["xtask", "tidy"],
    },
    Step {
        name: "lint",
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    },
    Step {
        name: "test",
        arguments: &["test", "--workspace"],
    },
    Step {
        name: "generated files",
        arguments: &["xtask", "gen", "--check"],
    },
    Step {
        name: "real clients",
        arguments: &["xtask", "interop"],
    },
    Step {
        name: "kill -9",
        arguments: &["xtask", "faults", "kill9", "--loops", KILLS],
    },
];

/// Runs every step.
pub(crate) fn run() -> Result<()> {
    let mut report = Vec::new();
    for step in &STEPS {
        println!("\n== {}: cargo {}", step.name, step.arguments.join(" "));
        let began = now();
        let (passed, closing) = run_step(step)?;
        let word = if passed { "passed" } else { "FAILED" };
        let took = began.elapsed().as_secs();
        report.push(format!("== {} {word} in {took} s", step.name));
        report.extend(closing);
        if !passed {
            println!("\n{}", report.join("\n"));
            bail!("the step `{}` failed", step.name);
        }
    }
    println!("\n{}", report.join("\n"));
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a build step is timed by the wall clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// Runs one step, its output passed on; whether it passed, and its closing lines.
fn run_step(step: &Step) -> Result<(bool, Vec<String>)> {
    let mut child = cargo()
        .args(step.arguments)
        .current_dir(repository()?)
        .env_remove("UPDATE_GENERATED")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut closing = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("reading cargo's output")?;
        println!("{line}");
        if is_closing(&line) {
            closing.push(line);
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    Ok((status.success(), closing))
}

/// True for the line with which a test runner sums up tests that it has run.
fn is_closing(line: &str) -> bool {
    let counted = line.contains(" passed") && line.contains(" failed");
    let counts = line.strip_prefix("test result: ok. ").unwrap_or(line);
    let none = counts.starts_with("0 passed");
    let summary =
        line.starts_with("test result:") || line.starts_with(|c: char| c.is_ascii_digit());
    counted && summary && !none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_told_from_others() {
        assert!(is_closing(
            "test result: ok. 22 passed; 0 failed; 0 ignored; 0 measured"
        ));
        assert!(is_closing(
            "test result: FAILED. 0 passed; 1 failed; 0 ignored"
        ));
        assert!(is_closing("34 passed, 0 failed"));
        assert!(!is_closing(
            "test result: ok. 0 passed; 0 failed; 0 ignored"
        ));
        assert!(!is_closing("test config::load ... ok"));
    }
}
