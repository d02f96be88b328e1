//! Where a value came from, and what is wrong with it.

use std::{fmt, path::PathBuf};

use toml::Value;

/// What set a value. Later variants win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nothing: the default holds.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// The name of the variable.
        name: String,
    },
    /// The command line.
    Flag {
        /// The flag.
        name: &'static str,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment { name } => write!(formatter, "environment {name}"),
            Self::Flag { name } => write!(formatter, "flag {name}"),
        }
    }
}

/// A value and what set it.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The value in the file's form; `None` when the source unset the key.
    pub value: Option<Value>,
    /// What set it.
    pub source: Source,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What set the value in question.
    pub source: Source,
    /// A sentence for the operator.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Default => formatter.write_str(&self.message),
            _ => write!(formatter, "{}: {}", self.source, self.message),
        }
    }
}

/// Everything that is wrong with the configuration, in the order in which it was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The problems; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration has mistakes:")?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}
