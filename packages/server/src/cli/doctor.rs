//! `matryx doctor`: looks for what keeps the server from running well, and says how to mend it.

mod checks;

use std::process::ExitCode;

use super::{ConfigError, Loaded, block_on};

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// All is well.
    Good(String),
    /// The server runs, but not well.
    Warning {
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// The server does not run.
    Bad {
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self::Good(what.into())
    }

    fn warning(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Warning {
            what: what.into(),
            mend: mend.into(),
        }
    }

    fn bad(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Bad {
            what: what.into(),
            mend: mend.into(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Good(what) => format!("ok       {what}"),
            Self::Warning { what, mend } => format!("warning  {what}\n         mend: {mend}"),
            Self::Bad { what, mend } => format!("BAD      {what}\n         mend: {mend}"),
        }
    }
}

pub(super) fn run(loaded: Result<Loaded, ConfigError>) -> anyhow::Result<ExitCode> {
    let findings = match loaded {
        Err(error) => vec![Finding::bad(
            error.to_string(),
            "correct these; `matryx config explain KEY` tells of each key",
        )],
        Ok(loaded) => block_on(async { Ok(checks::all(&loaded.config).await) })?,
    };
    for finding in &findings {
        println!("{}", finding.text());
    }
    let bad = findings
        .iter()
        .filter(|finding| matches!(finding, Finding::Bad { .. }))
        .count();
    match bad {
        0 => println!("nothing keeps the server from running"),
        _ => println!("{bad} to mend before the server runs"),
    }
    Ok(if bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
