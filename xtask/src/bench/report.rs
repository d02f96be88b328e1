//! A run's results as JSON, as a table for the terminal, and as Markdown for the documentation.

use super::meter::{Row, Target};
use crate::procfs::Machine;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that one run found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) revision: String,
    pub(crate) quick: bool,
    /// From the start of the process on an empty folder to its first answer.
    pub(crate) start_ms: u128,
    /// The same on everything that the run left behind.
    #[serde(default)]
    pub(crate) restart_ms: u128,
    pub(crate) fdatasync_ms: f64,
    pub(crate) idle_mib: f64,
    pub(crate) after_mib: f64,
    pub(crate) peak_mib: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) failures: Vec<String>,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(machine: Machine, revision: String, quick: bool) -> Self {
        Self {
            machine,
            revision,
            quick,
            start_ms: 0,
            restart_ms: 0,
            fdatasync_ms: 0.0,
            idle_mib: 0.0,
            after_mib: 0.0,
            peak_mib: 0.0,
            rows: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let json = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))
    }

    /// The table for a terminal. Ratios to the baseline stand behind a value (1.00 = the same,
    /// below 1 = less), where the baseline is of a run of the same size.
    pub(crate) fn table(&self, baseline: Option<&Self>) -> String {
        let baseline = baseline.filter(|baseline| baseline.quick == self.quick);
        let mut lines = vec![self.machine_line(), self.process_line()];
        lines.push(format!(
            "{:<36}{:>9}{:>16}{:>17}{:>9}{:>9}{:>18}{:>14}  target",
            "work", "n", "ops/s", "p50 ms", "p95", "p99", "cpu ms/op", "written KiB"
        ));
        lines.extend(self.rows.iter().map(|row| {
            let old = baseline.and_then(|old| old.rows.iter().find(|old| old.name == row.name));
            table_line(row, old)
        }));
        lines.extend(
            self.failures
                .iter()
                .map(|failure| format!("FAILED {failure}")),
        );
        lines.join("\n") + "\n"
    }

    /// The same figures as a Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![
            format!("{}  ", self.machine_line()),
            self.process_line(),
            String::new(),
            "| Work | Operations | ops/s | p50 ms | p95 ms | p99 ms | CPU ms/op | KiB written/op \
             | Target |"
                .to_owned(),
            "|---|--:|--:|--:|--:|--:|--:|--:|---|".to_owned(),
        ];
        lines.extend(self.rows.iter().map(|row| {
            format!(
                "| {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.3} | {:.1} | {} |",
                row.name,
                row.operations,
                row.per_second,
                row.p50_ms,
                row.p95_ms,
                row.p99_ms,
                row.cpu_ms,
                row.written_kib,
                verdict(row)
            )
        }));
        lines.join("\n") + "\n"
    }

    fn machine_line(&self) -> String {
        let machine = &self.machine;
        format!(
            "{}, {} cores, {:.0} GiB, Linux {}; fdatasync p50 {:.2} ms; commit {}{}",
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            self.fdatasync_ms,
            self.revision,
            if self.quick { "; quick run" } else { "" }
        )
    }

    fn process_line(&self) -> String {
        format!(
            "start on an empty folder {} ms, on the data of this run {} ms; RSS idle {:.0} MiB, \
             after all {:.0} MiB, peak {:.0} MiB",
            self.start_ms, self.restart_ms, self.idle_mib, self.after_mib, self.peak_mib
        )
    }
}

fn table_line(row: &Row, old: Option<&Row>) -> String {
    format!(
        "{:<36}{:>9}{:>16}{:>17}{:>9.2}{:>9.2}{:>18}{:>14.1}  {}",
        row.name,
        row.operations,
        with_ratio(
            format!("{:.0}", row.per_second),
            row.per_second,
            old.map(|o| o.per_second)
        ),
        with_ratio(
            format!("{:.2}", row.p50_ms),
            row.p50_ms,
            old.map(|o| o.p50_ms)
        ),
        row.p95_ms,
        row.p99_ms,
        with_ratio(
            format!("{:.3}", row.cpu_ms),
            row.cpu_ms,
            old.map(|o| o.cpu_ms)
        ),
        row.written_kib,
        verdict(row)
    )
}

fn with_ratio(shown: String, new: f64, old: Option<f64>) -> String {
    match old {
        Some(old) if old > 0.0 => format!("{shown} ({:.2}×)", new / old),
        _ => shown,
    }
}

/// Each bound of the row's target, and whether the row keeps it.
fn verdict(row: &Row) -> String {
    let Target {
        cpu_ms,
        p50_ms,
        per_second,
        written_kib,
    } = row.target;
    let mut parts = Vec::new();
    let mut bound = |name: &str, kept: Option<(f64, bool)>, sign: char| {
        if let Some((bound, kept)) = kept {
            parts.push(format!(
                "{name} {sign} {bound} {}",
                if kept { "ok" } else { "MISSED" }
            ));
        }
    };
    bound("cpu", cpu_ms.map(|max| (max, row.cpu_ms <= max)), '≤');
    bound("p50", p50_ms.map(|max| (max, row.p50_ms <= max)), '≤');
    bound(
        "ops/s",
        per_second.map(|min| (min, row.per_second >= min)),
        '≥',
    );
    bound(
        "KiB",
        written_kib.map(|max| (max, row.written_kib <= max)),
        '≤',
    );
    parts.extend(row.grown_mib.map(|grown| format!("RSS +{grown:.0} MiB")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cpu_ms: f64) -> Row {
        Row {
            name: "send".to_owned(),
            operations: 10,
            per_second: 100.0,
            p50_ms: 2.0,
            p95_ms: 3.0,
            p99_ms: 4.0,
            cpu_ms,
            written_kib: 8.0,
            grown_mib: None,
            target: Target::cpu(1.0).p50(1.5).at_least(50.0),
        }
    }

    fn report(cpu_ms: f64) -> Report {
        let machine = Machine {
            cpu: "a processor".to_owned(),
            cores: 2,
            memory_gib: 8.0,
            kernel: "6.1".to_owned(),
        };
        let mut report = Report::new(machine, "abc".to_owned(), false);
        report.rows.push(row(cpu_ms));
        report
    }

    #[test]
    fn the_table_shows_ratios_to_the_baseline_and_kept_targets() {
        let table = report(2.0).table(Some(&report(1.0)));
        assert!(table.contains("2.000 (2.00×)"), "{table}");
        assert!(
            table.contains("cpu ≤ 1 MISSED, p50 ≤ 1.5 MISSED, ops/s ≥ 50 ok"),
            "{table}"
        );
    }

    #[test]
    fn a_quick_run_is_not_compared_with_a_full_baseline() {
        let mut quick = report(2.0);
        quick.quick = true;
        assert!(!quick.table(Some(&report(1.0))).contains('×'));
    }

    #[test]
    fn a_report_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/report.json");
        report(0.5).write(&path).unwrap();
        let read: Report = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(read.rows.first().unwrap().target, row(0.5).target);
    }
}
