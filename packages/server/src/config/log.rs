//! `log.*`

use super::{setting::settings, value::choice};

choice! {
    /// The shape of a log line.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object each.
        Json = "json",
    }
}

settings! {
    /// Logs, which go to standard error.
    pub struct Log {
        /// Shape of a line.
        format: LogFormat = LogFormat::Text,
        /// Level (`error`, `warn`, `info`, `debug`, `trace`), with exceptions for single modules, for
        /// example `info,matryx_surrealdb=debug`.
        level: String = "info".to_owned(),
    }
}
