//! `cargo xtask tidy`: the rules of the house that compiler and linter cannot see.

mod arrows;
mod files;
mod settings;
mod source;

use crate::homeserver::repository;
use anyhow::{Result, bail};
use source::Source;
use std::path::Path;

/// Checks the repository and prints what it finds.
pub(crate) fn run() -> Result<()> {
    let findings = check(&repository()?)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: nothing to mend");
            Ok(())
        }
        count => bail!("tidy: {count} to mend"),
    }
}

/// Everything that is wrong in the repository at `root`.
fn check(root: &Path) -> Result<Vec<String>> {
    let sources = Source::read_all(root)?;
    let mut findings = files::check(&sources);
    findings.extend(arrows::check_manifests(root)?);
    findings.extend(arrows::check_sources(&sources));
    findings.extend(settings::check(&sources));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_between_the_crates_go_one_way() {
        let root = repository().unwrap();
        let mut findings = arrows::check_manifests(&root).unwrap();
        findings.extend(arrows::check_sources(&Source::read_all(&root).unwrap()));
        assert_eq!(findings, Vec::<String>::new());
    }
}
