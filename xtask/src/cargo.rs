//! Running cargo from within `cargo xtask`.

use std::{ffi::OsString, process::Command};

/// The cargo that runs this program, in the environment that it has outside of it.
///
/// Cargo tells a program that it runs about its package in the environment. Build scripts of
/// dependencies look at the same variables, so that a cargo within would compile them, and all
/// that stands on them, anew.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if is_of_this_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn is_of_this_package(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| {
        name == "CARGO"
            || name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name.starts_with("CARGO_BIN_")
            || name == "CARGO_CRATE_NAME"
            || name == "CARGO_PRIMARY_PACKAGE"
    })
}
