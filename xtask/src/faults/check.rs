//! Counts what an audit found.

/// Failures shown in full; the rest is only counted.
const SHOWN: usize = 40;

/// Checks that passed, and what the failed ones saw.
#[derive(Default)]
pub(crate) struct Checks {
    passed: usize,
    failures: Vec<String>,
}

impl Checks {
    /// One check; `failure` says what was expected and what was found.
    pub(crate) fn that(&mut self, holds: bool, failure: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            self.failures.push(failure());
        }
    }

    /// Adds another audit's checks.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
    }

    /// Whether nothing failed.
    pub(crate) fn all_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The failures and the closing line.
    pub(crate) fn report(&self) -> String {
        let shown = self.failures.iter().take(SHOWN);
        let mut lines: Vec<String> = shown.map(|failure| format!("FAILED {failure}")).collect();
        if self.failures.len() > SHOWN {
            lines.push(format!("… and {} more", self.failures.len() - SHOWN));
        }
        lines.push(format!(
            "{} passed, {} failed",
            self.passed,
            self.failures.len()
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_and_counted() {
        let mut checks = Checks::default();
        checks.that(true, || "never said".to_owned());
        checks.that(false, || "an event is gone".to_owned());
        assert!(!checks.all_passed());
        assert_eq!(
            checks.report(),
            "FAILED an event is gone\n1 passed, 1 failed"
        );
    }

    #[test]
    fn many_failures_are_counted_but_not_all_shown() {
        let mut checks = Checks::default();
        for n in 0..SHOWN + 2 {
            checks.that(false, || format!("failure {n}"));
        }
        let report = checks.report();
        assert!(
            report.ends_with("… and 2 more\n0 passed, 42 failed"),
            "{report}"
        );
    }
}
