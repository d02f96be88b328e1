//! The committed results that a run is compared with: `bench/baseline.json`.

use super::report::Report;
use crate::homeserver::repository;
use anyhow::{Context as _, Result};
use std::io::ErrorKind;
use std::path::PathBuf;

fn path() -> Result<PathBuf> {
    Ok(repository()?.join("bench/baseline.json"))
}

/// The baseline, where there is one.
pub(crate) fn load() -> Result<Option<Report>> {
    match std::fs::read(path()?) {
        Ok(json) => Ok(Some(
            serde_json::from_slice(&json).context("reading the baseline")?,
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("reading the baseline"),
    }
}

/// Makes `report` the baseline.
pub(crate) fn save(report: &Report) -> Result<()> {
    report.write(&path()?)
}
